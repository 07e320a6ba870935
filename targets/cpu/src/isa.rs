//! The instruction set that Cranelift generates for.

use std::sync::Arc;

use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use lepid_ukernels::Isa;

/// The level to generate for: the machine's best, or what `LEPID_CPU_ISA` names.
pub(crate) fn level() -> Isa {
    match std::env::var("LEPID_CPU_ISA").as_deref() {
        Ok("scalar") => Isa::Scalar,
        _ => Isa::detect(),
    }
}

/// The features of x86-64 that generated code may use at a level, as Cranelift names them: those
/// that the kernels of the level need, so that a package runs wherever its kernels do.
fn features(level: Isa) -> &'static [&'static str] {
    match level {
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
    }
}

/// A Cranelift ISA for the level, on the architecture of this machine.
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
    let mut builder = cranelift_native::builder_with_options(false)?;
    for feature in features(level) {
        builder.enable(feature).map_err(|e| e.to_string())?;
    }
    let isa = builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| e.to_string())?;
    Ok(Arc::clone(&isa))
}

/// Whether rounding to an integer is an instruction; it is a call of a library elsewhere, which
/// generated code cannot make.
pub(crate) fn has_rounding(isa: &dyn TargetIsa) -> bool {
    let flags = isa.isa_flags();
    let sse41 = flags.iter().find(|flag| flag.name == "has_sse41");
    sse41.is_none_or(|flag| flag.as_bool() == Some(true))
}
