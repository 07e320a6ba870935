//! The vector type that kernels are written over.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub(crate) mod portable;

use crate::table::F32x4;

/// A few floats, and what one instruction does to all of them.
///
/// Every method is inlined into a function that has the target features, so it may be a single instruction.
/// Kernels that walk memory assume 8 lanes; functions of one vector accept any number.
pub(crate) trait Vector: Copy {
    /// Number of floats.
    const LANES: usize;
    /// One truth value per lane.
    type Mask: Copy;

    fn splat(x: f32) -> Self;
    /// # Safety
    /// `p` points to `LANES` floats.
    unsafe fn load(p: *const f32) -> Self;
    /// Small integers as floats.
    /// # Safety
    /// `p` points to `LANES` bytes.
    unsafe fn load_i8(p: *const i8) -> Self;
    /// # Safety
    /// `p` points to `LANES` writable floats.
    unsafe fn store(self, p: *mut f32);
    /// The first `n < LANES` floats at `p`, then zeros.
    /// # Safety
    /// `p` points to `n` floats.
    unsafe fn load_first(p: *const f32, n: usize) -> Self;
    /// # Safety
    /// `p` points to `n` writable floats; `n <= LANES`.
    unsafe fn store_first(self, p: *mut f32, n: usize);
    /// The first `n` lanes.
    fn first_lanes(n: usize) -> Self::Mask;

    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    fn div(self, o: Self) -> Self;
    /// `self * a + b`, in one rounding where the machine has it.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self < o ? self : o`; so a NaN in `o` wins.
    fn min(self, o: Self) -> Self;
    /// `self > o ? self : o`; so a NaN in `o` wins.
    fn max(self, o: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    /// The sign of `sign` on the magnitude of `self`.
    fn copy_sign(self, sign: Self) -> Self;
    /// Nearest integer, ties to even, for magnitudes below 2^22.
    fn round(self) -> Self;
    /// `self * 2^n` for an integer `n` between -252 and 254, rounded once more if the result is subnormal.
    fn scale_by_power(self, n: Self) -> Self;
    /// `(m, e)` with `self = m * 2^e` and `m` in `[sqrt(1/2), sqrt(2))`, for positive normal numbers.
    fn split_exponent(self) -> (Self, Self);

    fn lt(self, o: Self) -> Self::Mask;
    fn is_nan(self) -> Self::Mask;
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    fn any(mask: Self::Mask) -> bool;

    /// Lane by lane through a function of the C library; only rare or costly functions come here.
    fn map_lanes(self, f: fn(f32) -> f32) -> Self;
    /// As `map_lanes`, with two arguments.
    fn zip_lanes(self, o: Self, f: fn(f32, f32) -> f32) -> Self;

    /// All lanes summed, by halves.
    fn sum(self) -> f32;
    fn first(self) -> f32;
    /// Lanes beyond the fourth are zero; missing ones are dropped.
    fn from_x4(x: F32x4) -> Self;
    /// The first four lanes; missing ones are zero.
    fn to_x4(self) -> F32x4;

    /// Asks for the cache line at `p`, which need not be mapped.
    fn prefetch(p: *const f32);

    /// Applies an activation that needs a transcendental function to a buffer, out of line.
    ///
    /// # Safety
    /// `p` points to `n` writable floats, `n` a multiple of `LANES`.
    unsafe fn activate_buffer(p: *mut f32, n: usize, act: u32);
}
