//! The instruction set that Cranelift generates for.

use std::sync::Arc;

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use lepid_ukernels::Isa;

/// The level to generate for: the machine's best, or what `LEPID_CPU_ISA` names.
pub(crate) fn level() -> Isa {
    match std::env::var("LEPID_CPU_ISA").as_deref() {
        Ok("scalar") => Isa::Scalar,
        _ => Isa::detect(),
    }
}

/// A Cranelift ISA for this machine.
pub(crate) fn target() -> Result<OwnedTargetIsa, String> {
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
    let builder = cranelift_native::builder_with_options(true)?;
    let isa = builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| e.to_string())?;
    Ok(Arc::clone(&isa))
}
