//! The instruction sets that code is made for: a few levels, each with a name and a fixed list of
//! features. Nothing else of the machine that compiles reaches the code, so that a level gives the
//! same bytes everywhere.

use std::sync::Arc;

use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use lepid_ukernels::Isa;

/// What an option `isa` may be.
pub(crate) const LEVELS: &str = "native, avx2 or scalar";

/// The level of that name: `native` is the best that this machine has, or what `LEPID_CPU_ISA`
/// names.
pub(crate) fn level(name: &str) -> Option<Isa> {
    match name {
        "native" => Some(match std::env::var("LEPID_CPU_ISA").as_deref() {
            Ok("scalar") => Isa::Scalar,
            _ => crate::machine::best(),
        }),
        _ => Isa::ALL.into_iter().find(|isa| isa.name() == name),
    }
}

/// A Cranelift ISA of that level, for the architecture and the conventions of this machine.
pub(crate) fn target(level: Isa) -> Result<OwnedTargetIsa, String> {
    let mut flags = settings::builder();
    let mut set = |name: &str, value: &str| flags.set(name, value).map_err(|e| e.to_string());
    set("opt_level", "speed")?;
    set("is_pic", "true")?;
    set(
        "enable_verifier",
        if cfg!(debug_assertions) {
            "true"
        } else {
            "false"
        },
    )?;
    // Tasks use no deep stack, and the blob has no unwinder.
    set("enable_probestack", "false")?;
    set("unwind_info", "false")?;
    // The triple of this machine without what its processor has.
    let mut builder = cranelift_native::builder_with_options(false)?;
    for feature in features(level)? {
        builder.enable(feature).map_err(|e| e.to_string())?;
    }
    let isa = builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| e.to_string())?;
    Ok(Arc::clone(&isa))
}

/// What generated code may use at a level, as Cranelift names it: no more than the kernels of the
/// level need, so that a package runs wherever its kernels do.
#[cfg(target_arch = "x86_64")]
fn features(level: Isa) -> Result<&'static [&'static str], String> {
    Ok(match level {
        Isa::Scalar => &[],
        Isa::Avx2 => &[
            "has_avx",
            "has_avx2",
            "has_fma",
            "has_popcnt",
            "has_sse3",
            "has_sse41",
            "has_sse42",
            "has_ssse3",
        ],
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn features(level: Isa) -> Result<&'static [&'static str], String> {
    match level {
        Isa::Scalar => Ok(&[]),
        Isa::Avx2 => Err("the level `avx2` is for x86-64, which this machine is not".to_string()),
    }
}

/// What generated code asks of the instruction set.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Abilities {
    /// Rounding to an integer is an instruction; it is a call of a library elsewhere, which
    /// generated code cannot make.
    pub(crate) rounding: bool,
    /// An operand in memory may stand at any address. Before AVX that holds for loads alone, and
    /// Cranelift forgets it where it joins a load with a comparison of vectors.
    pub(crate) unaligned_operands: bool,
}

impl Abilities {
    pub(crate) fn of(isa: &dyn TargetIsa) -> Abilities {
        let flags = isa.isa_flags();
        // A flag that the architecture does not know is not lacking.
        let lacks = |name: &str| {
            let mut flags = flags.iter().filter(|flag| flag.name == name);
            flags.any(|flag| flag.as_bool() == Some(false))
        };
        Abilities {
            rounding: !lacks("has_sse41"),
            unaligned_operands: !lacks("has_avx"),
        }
    }
}
