//! FNV-1a: a hash that is the same with each version of the standard library.

/// The hash of what has been added so far.
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_as_published() {
        let mut hash = Fnv::default();
        hash.add("foo");
        hash.add("bar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
