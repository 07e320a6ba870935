//! Arithmetic on storage types as the interpreter has it: floats in `f64`, integers that wrap.

use half::{bf16, f16};
use lepid_ir::core::{Elem, Native, Num};

/// A storage type to compute with.
pub(super) trait Number: Native {
    /// What sums and products run in.
    type Wide: Copy;

    fn widen(self) -> Self::Wide;
    /// Rounds, or brings into the range of `elem`, which may have fewer bits than its storage.
    fn narrow(wide: Self::Wide, elem: Elem) -> Self;
    fn wide(num: Num) -> Self::Wide;
    fn add(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn mul(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn greater(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn lesser(a: Self::Wide, b: Self::Wide) -> Self::Wide;

    fn is_nan(self) -> bool;
    /// A number with the order of the elements; NaN is above all numbers, and zeros are equal.
    fn key(self) -> u64;
}

macro_rules! float {
    ($($t:ty: $key:expr;)*) => {$(
        impl Number for $t {
            type Wide = f64;

            fn widen(self) -> f64 {
                f64::from(self)
            }
            fn narrow(wide: f64, _: Elem) -> $t {
                <$t as Native>::from_num(Num::Float(wide))
            }
            fn wide(num: Num) -> f64 {
                num.as_f64()
            }
            fn add(a: f64, b: f64) -> f64 {
                a + b
            }
            fn mul(a: f64, b: f64) -> f64 {
                a * b
            }
            fn greater(a: f64, b: f64) -> f64 {
                match () {
                    () if a.is_nan() => a,
                    () if b.is_nan() => b,
                    () if a > b || (a == b && a.is_sign_positive()) => a,
                    () => b,
                }
            }
            fn lesser(a: f64, b: f64) -> f64 {
                match () {
                    () if a.is_nan() => a,
                    () if b.is_nan() => b,
                    () if a < b || (a == b && a.is_sign_negative()) => a,
                    () => b,
                }
            }
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
            fn key(self) -> u64 {
                $key(self)
            }
        }
    )*};
}

float! {
    f64: key64;
    f32: key32;
    f16: |x: f16| key32(x.to_f32());
    bf16: |x: bf16| key32(x.to_f32());
}

fn key64(x: f64) -> u64 {
    let bits = x.to_bits();
    match () {
        () if x.is_nan() => u64::MAX,
        () if x == 0.0 => 1 << 63,
        () if x > 0.0 => bits | 1 << 63,
        () => !bits,
    }
}

fn key32(x: f32) -> u64 {
    let bits = x.to_bits();
    u64::from(match () {
        () if x.is_nan() => u32::MAX,
        () if x == 0.0 => 1 << 31,
        () if x > 0.0 => bits | 1 << 31,
        () => !bits,
    })
}

macro_rules! int {
    ($($t:ty: $unsigned:ty;)*) => {$(
        impl Number for $t {
            type Wide = $t;

            fn widen(self) -> $t {
                self
            }
            fn narrow(wide: $t, elem: Elem) -> $t {
                // Fewer bits than the storage has are extended by their sign.
                let unused = <$t>::BITS - elem.bits();
                (wide << unused) >> unused
            }
            fn wide(num: Num) -> $t {
                <$t as Native>::from_num(num)
            }
            fn add(a: $t, b: $t) -> $t {
                a.wrapping_add(b)
            }
            fn mul(a: $t, b: $t) -> $t {
                a.wrapping_mul(b)
            }
            fn greater(a: $t, b: $t) -> $t {
                Ord::max(a, b)
            }
            fn lesser(a: $t, b: $t) -> $t {
                Ord::min(a, b)
            }
            fn is_nan(self) -> bool {
                false
            }
            fn key(self) -> u64 {
                u64::from(self.wrapping_sub(<$t>::MIN) as $unsigned)
            }
        }
    )*};
}

int! {
    i64: u64;
    i32: u32;
    i16: u16;
    i8: u8;
    u64: u64;
    u32: u32;
    u16: u16;
    u8: u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_floats() {
        let list = [
            f64::NEG_INFINITY,
            -1e300,
            -1.0,
            -1e-310,
            0.0,
            5e-324,
            2.0,
            f64::INFINITY,
        ];
        assert!(list.windows(2).all(|w| w[0].key() < w[1].key()));
        assert!(list.iter().all(|x| x.key() < f64::NAN.key()));
        assert_eq!((-0.0f64).key(), 0.0f64.key());
        let list = [
            f32::NEG_INFINITY,
            -3.0,
            -1e-40,
            0.0,
            1e-45,
            1.0,
            f32::INFINITY,
        ];
        assert!(list.windows(2).all(|w| w[0].key() < w[1].key()));
        assert!(list.iter().all(|x| x.key() < (-f32::NAN).key()));
    }

    #[test]
    fn few_bits_wrap_and_keep_their_sign() {
        assert_eq!(<i8 as Number>::narrow(9, Elem::I4), -7);
        assert_eq!(<i8 as Number>::narrow(-3, Elem::I2), 1);
        assert_eq!(<u8 as Number>::narrow(0x9d, Elem::U4), 0xd);
        assert_eq!(<u8 as Number>::narrow(7, Elem::U2), 3);
        assert_eq!(<i64 as Number>::narrow(i64::MIN, Elem::I64), i64::MIN);
    }

    #[test]
    fn keys_have_the_order_of_integers() {
        assert!(i8::MIN.key() < (-1i8).key() && (-1i8).key() < 0i8.key());
        assert!(0i8.key() < i8::MAX.key());
        assert!(i64::MIN.key() < 0i64.key() && 0i64.key() < i64::MAX.key());
        assert!(3u16.key() < 4u16.key());
    }
}
