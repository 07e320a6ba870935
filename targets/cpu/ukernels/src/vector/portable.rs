//! Floats in an array: runs everywhere, and is vectorised by the compiler as far as the base instruction set goes.

use super::Vector;
use crate::kernels::epilogue::activate_buffer;
use crate::table::F32x4;

/// `N` floats.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>([f32; N]);

impl<const N: usize> Portable<N> {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let mut out = self.0;
        for x in &mut out {
            *x = f(*x);
        }
        Portable(out)
    }

    #[inline(always)]
    fn zip(self, o: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self.0;
        for (x, y) in out.iter_mut().zip(o.0) {
            *x = f(*x, y);
        }
        Portable(out)
    }
}

/// Adding and subtracting this rounds a float below 2^22 to an integer.
const ROUND: f32 = 12_582_912.0;

fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl<const N: usize> Vector for Portable<N> {
    const LANES: usize = N;
    type Mask = [bool; N];

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Portable([x; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for N floats; an array needs no more alignment than its element.
        unsafe { Portable(*p.cast::<[f32; N]>()) }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self {
        // SAFETY: the caller vouches for N bytes.
        unsafe { Portable((*p.cast::<[i8; N]>()).map(f32::from)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for N floats.
        unsafe { *p.cast::<[f32; N]>() = self.0 }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        let mut out = [0.0; N];
        for (i, x) in out.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats.
            *x = unsafe { *p.add(i) };
        }
        Portable(out)
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        for (i, x) in self.0.iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats.
            unsafe { *p.add(i) = *x };
        }
    }
    #[inline(always)]
    fn first_lanes(n: usize) -> Self::Mask {
        std::array::from_fn(|i| i < n)
    }

    #[inline(always)]
    fn add(self, o: Self) -> Self {
        self.zip(o, |x, y| x + y)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self.zip(o, |x, y| x - y)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        self.zip(o, |x, y| x * y)
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        self.zip(o, |x, y| x / y)
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.mul(a).add(b)
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        self.zip(o, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        self.zip(o, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(f32::abs)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(f32::sqrt)
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        self.zip(sign, f32::copysign)
    }
    #[inline(always)]
    fn round(self) -> Self {
        self.map(|x| (x + ROUND) - ROUND)
    }
    #[inline(always)]
    fn scale_by_power(self, n: Self) -> Self {
        self.zip(n, |x, n| {
            // A NaN becomes 0 here, and the product stays NaN if `x` is.
            let n = n as i32;
            let half = n >> 1;
            x * power_of_two(half) * power_of_two(n - half)
        })
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        let exponent = self.map(|x| {
            let bits = x
                .to_bits()
                .wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
            ((bits as i32) >> 23) as f32
        });
        let mantissa = self.map(|x| {
            let bits = x
                .to_bits()
                .wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
            f32::from_bits(x.to_bits().wrapping_sub(bits & 0xff80_0000))
        });
        (mantissa, exponent)
    }

    #[inline(always)]
    fn lt(self, o: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] < o.0[i])
    }
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i].is_nan())
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Portable(std::array::from_fn(
            |i| if mask[i] { a.0[i] } else { b.0[i] },
        ))
    }
    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask.contains(&true)
    }

    #[inline(always)]
    fn map_lanes(self, f: fn(f32) -> f32) -> Self {
        self.map(f)
    }
    #[inline(always)]
    fn zip_lanes(self, o: Self, f: fn(f32, f32) -> f32) -> Self {
        self.zip(o, f)
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut x = self.0;
        let mut n = N;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                x[i] += x[i + n];
            }
        }
        x[0]
    }
    #[inline(always)]
    fn first(self) -> f32 {
        self.0[0]
    }
    #[inline(always)]
    fn from_x4(x: F32x4) -> Self {
        // SAFETY: F32x4 is four floats on every architecture.
        let x: [f32; 4] = unsafe { std::mem::transmute(x) };
        Portable(std::array::from_fn(|i| if i < 4 { x[i] } else { 0.0 }))
    }
    #[inline(always)]
    fn to_x4(self) -> F32x4 {
        let x: [f32; 4] = std::array::from_fn(|i| if i < N { self.0[i] } else { 0.0 });
        // SAFETY: F32x4 is four floats on every architecture.
        unsafe { std::mem::transmute(x) }
    }

    #[inline(always)]
    fn prefetch(_: *const f32) {}

    unsafe fn activate_buffer(p: *mut f32, n: usize, act: u32) {
        // SAFETY: the caller vouches for the buffer.
        unsafe { activate_buffer::<Self>(p, n, act) }
    }
}
