//! Eight floats in a ymm register.
//!
//! Values of this type exist only inside functions of `isa::avx2`, which carry the target features and are reached
//! only through `table(Isa::Avx2)` after the features were detected. That is why the intrinsics below are safe to run.

use std::arch::x86_64::*;

use super::Vector;
use crate::kernels::epilogue::activate_buffer;
use crate::table::F32x4;

/// Eight floats.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// A plain load or store. The intrinsics for it are functions that copy bytes, which the compiler may leave out of line
/// in a large kernel; a call there would cost all vector registers.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned(__m256);

/// Masks of the first n lanes start at element 8 - n.
static LANE_MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
fn lane_mask(n: usize) -> __m256i {
    // SAFETY: n <= 8, so eight elements follow; AVX2 is there (module docs).
    unsafe { _mm256_castps_si256((*LANE_MASKS.as_ptr().add(8 - n).cast::<Unaligned>()).0) }
}

/// Wraps an expression of intrinsics.
macro_rules! avx2 {
    ($e:expr) => {
        // SAFETY: AVX2 and FMA are there (module docs); the expression touches registers only.
        unsafe { $e }
    };
}

impl Vector for Avx2 {
    const LANES: usize = 8;
    type Mask = __m256;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        avx2!(Avx2(_mm256_set1_ps(x)))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for 8 floats.
        unsafe { Avx2((*p.cast::<Unaligned>()).0) }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self {
        // SAFETY: the caller vouches for 8 bytes; AVX2 is there (module docs).
        unsafe {
            let bytes = _mm_loadl_epi64(p.cast());
            Avx2(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)))
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for 8 floats.
        unsafe { *p.cast::<Unaligned>() = Unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for n floats; masked lanes are not touched.
        unsafe { Avx2(_mm256_maskload_ps(p, lane_mask(n))) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // A masked store takes tens of cycles on some processors; halves of halves take a few.
        // SAFETY: the caller vouches for n floats, which the parts add up to.
        unsafe {
            let (mut at, mut x) = (p, self.0);
            if n & 8 != 0 {
                return self.store(p);
            }
            if n & 4 != 0 {
                _mm_storeu_ps(at, _mm256_castps256_ps128(x));
                at = at.add(4);
                x = _mm256_castps128_ps256(_mm256_extractf128_ps::<1>(x));
            }
            let mut x = _mm256_castps256_ps128(x);
            if n & 2 != 0 {
                _mm_storel_pd(at.cast(), _mm_castps_pd(x));
                at = at.add(2);
                x = _mm_movehl_ps(x, x);
            }
            if n & 1 != 0 {
                _mm_store_ss(at, x);
            }
        }
    }
    #[inline(always)]
    fn first_lanes(n: usize) -> Self::Mask {
        avx2!(_mm256_castsi256_ps(lane_mask(n)))
    }

    #[inline(always)]
    fn add(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_add_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_sub_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_mul_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_div_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        avx2!(Avx2(_mm256_fmadd_ps(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_min_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        avx2!(Avx2(_mm256_max_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        avx2!(Avx2(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        avx2!(Avx2(_mm256_sqrt_ps(self.0)))
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        avx2!(Avx2(_mm256_or_ps(
            self.abs().0,
            _mm256_and_ps(_mm256_set1_ps(-0.0), sign.0)
        )))
    }
    #[inline(always)]
    fn round(self) -> Self {
        avx2!(Avx2(_mm256_round_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(self.0)))
    }
    #[inline(always)]
    fn scale_by_power(self, n: Self) -> Self {
        avx2!({
            let n = _mm256_cvtps_epi32(n.0);
            let half = _mm256_srai_epi32::<1>(n);
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias));
            Avx2(_mm256_mul_ps(
                _mm256_mul_ps(self.0, _mm256_castsi256_ps(low)),
                _mm256_castsi256_ps(high),
            ))
        })
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        avx2!({
            let x = _mm256_castps_si256(self.0);
            let root = _mm256_set1_epi32(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32);
            let bits = _mm256_sub_epi32(x, root);
            let exponent = _mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(bits));
            let whole = _mm256_and_si256(bits, _mm256_set1_epi32(0xff80_0000_u32 as i32));
            (
                Avx2(_mm256_castsi256_ps(_mm256_sub_epi32(x, whole))),
                Avx2(exponent),
            )
        })
    }

    #[inline(always)]
    fn lt(self, o: Self) -> Self::Mask {
        avx2!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, o.0))
    }
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        avx2!(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0))
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        avx2!(Avx2(_mm256_blendv_ps(b.0, a.0, mask)))
    }
    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        avx2!(_mm256_movemask_ps(mask) != 0)
    }

    #[inline(always)]
    fn map_lanes(self, f: fn(f32) -> f32) -> Self {
        let mut lanes = [0.0f32; 8];
        // SAFETY: the array holds eight floats.
        unsafe {
            self.store(lanes.as_mut_ptr());
            for x in &mut lanes {
                *x = f(*x);
            }
            Self::load(lanes.as_ptr())
        }
    }
    #[inline(always)]
    fn zip_lanes(self, o: Self, f: fn(f32, f32) -> f32) -> Self {
        let mut lanes = [0.0f32; 8];
        let mut others = [0.0f32; 8];
        // SAFETY: the arrays hold eight floats each.
        unsafe {
            self.store(lanes.as_mut_ptr());
            o.store(others.as_mut_ptr());
            for (x, y) in lanes.iter_mut().zip(others) {
                *x = f(*x, y);
            }
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        avx2!({
            let x = _mm_add_ps(
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        })
    }
    #[inline(always)]
    fn first(self) -> f32 {
        avx2!(_mm256_cvtss_f32(self.0))
    }
    #[inline(always)]
    fn from_x4(x: F32x4) -> Self {
        avx2!(Avx2(_mm256_zextps128_ps256(x)))
    }
    #[inline(always)]
    fn to_x4(self) -> F32x4 {
        avx2!(_mm256_castps256_ps128(self.0))
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        avx2!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }

    #[inline(always)]
    unsafe fn activate_buffer(p: *mut f32, n: usize, act: u32) {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline(never)]
        unsafe fn out_of_line(p: *mut f32, n: usize, act: u32) {
            // SAFETY: passed on from the caller.
            unsafe { activate_buffer::<Avx2>(p, n, act) }
        }
        // SAFETY: passed on from the caller; the features are there (module docs).
        unsafe { out_of_line(p, n, act) }
    }
}
