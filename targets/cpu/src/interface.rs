//! Which programs and which run time fit together.
//!
//! A program in a package or in an object file was generated against tables, argument structs and
//! packed layouts of one version of this crate. They have no version number that somebody could
//! forget to raise: their fingerprint is made of the very files that declare them, and a program
//! that states another one is refused.

/// The fingerprint of everything that generated code and packed weights rely on.
pub(crate) const INTERFACE: u64 = {
    let mut hash = OFFSET;
    hash = add(hash, env!("CARGO_PKG_VERSION"));
    hash = add(hash, include_str!("abi.rs"));
    hash = add(hash, include_str!("engine.rs"));
    hash = add(hash, include_str!("eight_bits.rs"));
    hash = add(hash, include_str!("faults.rs"));
    hash = add(hash, include_str!("gates.rs"));
    hash = add(hash, include_str!("slots.rs"));
    hash = add(hash, include_str!("linked.rs"));
    hash = add(hash, include_str!("routines/arithmetic.rs"));
    hash = add(hash, include_str!("routines/fft.rs"));
    hash = add(hash, include_str!("routines/gather.rs"));
    hash = add(hash, include_str!("routines/measure.rs"));
    hash = add(hash, include_str!("routines/mod.rs"));
    hash = add(hash, include_str!("routines/non_zero.rs"));
    hash = add(hash, include_str!("routines/order.rs"));
    hash = add(hash, include_str!("routines/scan.rs"));
    hash = add(hash, include_str!("routines/scatter.rs"));
    hash = add(hash, include_str!("states.rs"));
    hash = add(hash, include_str!("support.rs"));
    hash = add(hash, include_str!("weights.rs"));
    hash = add(hash, include_str!("../ukernels/src/args.rs"));
    hash = add(hash, include_str!("../ukernels/src/attention.rs"));
    hash = add(hash, include_str!("../ukernels/src/table.rs"));
    hash = add(hash, include_str!("../ukernels/src/kernels/pack.rs"));
    hash = add(hash, include_str!("../ukernels/src/kernels/strassen.rs"));
    hash = add(hash, include_str!("../ukernels/src/kernels/winograd.rs"));
    hash = add(hash, include_str!("../ukernels/src/strassen.rs"));
    hash = add(hash, include_str!("../ukernels/src/winograd.rs"));
    hash
};

// FNV-1a.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

const fn add(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        // A checkout may have other line ends.
        if bytes[i] != b'\r' {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(PRIME);
        }
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_routine_counts() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let this = fs::read_to_string(source.join("interface.rs")).unwrap();
        for entry in fs::read_dir(source.join("routines")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(this.contains(&format!("\"routines/{name}\"")), "{name}");
        }
    }
}
