//! What the machine is that programs run on, beside what they were made for.

use lepid_ukernels::Isa;

/// The architecture and its calling convention, as packages and objects state it.
pub(crate) const MACHINE: &str = match (
    cfg!(target_arch = "x86_64"),
    cfg!(target_arch = "aarch64"),
    cfg!(windows),
) {
    (true, _, false) => "x86_64-sysv",
    (true, _, true) => "x86_64-windows",
    (_, true, false) => "aarch64-aapcs",
    (_, true, true) => "aarch64-windows",
    (false, false, _) => "unknown",
};

/// The best level that this machine has whole.
pub(crate) fn best() -> Isa {
    let mut levels = Isa::ALL.into_iter().rev();
    levels
        .find(|&isa| missing(isa).is_empty())
        .unwrap_or(Isa::Scalar)
}

/// The processor features of a level that this machine lacks: of those that its kernels use, and
/// that code is generated for.
#[cfg(target_arch = "x86_64")]
pub(crate) fn missing(level: Isa) -> Vec<&'static str> {
    macro_rules! features {
        ($($name:tt)*) => {
            vec![$(($name, is_x86_feature_detected!($name))),*]
        };
    }
    let wanted = match level {
        Isa::Scalar => Vec::new(),
        Isa::Avx2 => {
            features!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "f16c" "fma")
        }
    };
    let lacking = wanted.into_iter().filter(|(_, has)| !has);
    lacking.map(|(name, _)| name).collect()
}

/// The processor features of a level that this machine lacks.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn missing(level: Isa) -> Vec<&'static str> {
    match level {
        Isa::Scalar => Vec::new(),
        Isa::Avx2 => vec!["avx2"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_is_there() {
        assert!(missing(best()).is_empty());
        assert!(best().available());
    }
}
