//! x86-64 with AVX2 and FMA.

use super::instantiate;
use crate::vector::avx2::Avx2;

instantiate!(
    wide: Avx2, quad: Avx2, single: Avx2,
    attributes: { #[target_feature(enable = "avx2,fma,f16c")] }
);
