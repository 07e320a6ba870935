//! Functions of one argument: accuracy, special values, and equality of the three forms.

use lepid_ukernels::{F32x4, Table, Unary};

use crate::{Random, on_each_isa};

/// The error function in double precision: a series near zero, a continued fraction beyond.
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..120 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return (sum * 2.0 / std::f64::consts::PI.sqrt()).copysign(x);
    }
    if a > 6.0 {
        return 1.0f64.copysign(x);
    }
    let mut fraction = a;
    for n in (1..80).rev() {
        fraction = a + f64::from(n) / 2.0 / fraction;
    }
    (1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())).copysign(x)
}

fn reference(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => erf(x),
        Unary::Gelu => 0.5 * x * (1.0 + erf(x / 2.0f64.sqrt())),
        Unary::GeluTanh => {
            x / (1.0
                + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).exp())
        }
        Unary::Silu => x / (1.0 + (-x).exp()),
        Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tan => x.tan(),
        Unary::Asin => x.asin(),
        Unary::Acos => x.acos(),
        Unary::Atan => x.atan(),
        Unary::Sinh => x.sinh(),
        Unary::Cosh => x.cosh(),
        Unary::Asinh => x.asinh(),
        Unary::Acosh => x.acosh(),
        Unary::Atanh => x.atanh(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log1p => x.ln_1p(),
    }
}

fn array(t: &Table, op: Unary, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    // SAFETY: both buffers have the length passed.
    unsafe { (t.unary_f32)(op as u32, x.len(), x.as_ptr(), y.as_mut_ptr()) };
    y
}

/// Magnitudes from subnormal to huge, both signs, and a dense sweep of the usual range.
fn inputs() -> Vec<f32> {
    let mut x: Vec<f32> = (-40_000..40_000).map(|i| i as f32 * 0.0025).collect();
    let mut random = Random(9);
    for exponent in -149..128 {
        for _ in 0..20 {
            x.push((random.float() * 2.0f64.powi(exponent) as f32) * 0.999);
        }
    }
    x
}

#[test]
fn errors_stay_small() {
    on_each_isa(|t| {
        for op in Unary::ALL {
            let x = inputs();
            let y = array(t, op, &x);
            let mut worst = (0.0, 0.0);
            for (x, y) in x.into_iter().zip(y) {
                let want = reference(op, f64::from(x));
                if want.is_nan() || want.abs() > f64::from(f32::MAX) {
                    assert!(
                        y.is_nan() == want.is_nan(),
                        "{op:?}({x}) = {y}, want {want}"
                    );
                    assert!(
                        y.is_nan() || y.is_infinite(),
                        "{op:?}({x}) = {y}, want {want}"
                    );
                    continue;
                }
                // A GELU cancels or underflows below zero, where only the error against its argument is bounded.
                let cancelled = matches!(op, Unary::Gelu | Unary::GeluTanh) && x < 0.0;
                let scale = if cancelled {
                    f64::from(x).abs()
                } else {
                    want.abs()
                };
                // Results that small may be flushed: a sigmoid's exponential overflows before its reciprocal does.
                let error = (f64::from(y) - want).abs() / scale.max(1e-30);
                if error > worst.0 {
                    worst = (error, x);
                }
            }
            // The library's inverse hyperbolic functions are rounded less well than ours.
            let library = matches!(op, Unary::Asinh | Unary::Acosh | Unary::Atanh);
            assert!(
                worst.0 < if library { 1e-4 } else { 1e-6 },
                "{op:?}: relative error {} at {}",
                worst.0,
                worst.1
            );
        }
    });
}

#[test]
fn special_values_are_right() {
    let inf = f32::INFINITY;
    let cases: [(Unary, f32, f32); 30] = [
        (Unary::Exp, 0.0, 1.0),
        (Unary::Exp, -200.0, 0.0),
        (Unary::Exp, -inf, 0.0),
        (Unary::Exp, 200.0, inf),
        (Unary::Exp, inf, inf),
        (Unary::Log, 1.0, 0.0),
        (Unary::Log, 0.0, -inf),
        (Unary::Log, -0.0, -inf),
        (Unary::Log, inf, inf),
        (Unary::Log, -1.0, f32::NAN),
        (Unary::Log, -inf, f32::NAN),
        (Unary::Log, -1e-42, f32::NAN),
        (Unary::Tanh, inf, 1.0),
        (Unary::Tanh, -inf, -1.0),
        (Unary::Tanh, 50.0, 1.0),
        (Unary::Sigmoid, -inf, 0.0),
        (Unary::Sigmoid, inf, 1.0),
        (Unary::Sigmoid, 0.0, 0.5),
        (Unary::Erf, inf, 1.0),
        (Unary::Erf, -inf, -1.0),
        (Unary::Erf, 0.0, 0.0),
        (Unary::Softplus, inf, inf),
        (Unary::Softplus, -inf, 0.0),
        (Unary::Sqrt, -1.0, f32::NAN),
        (Unary::Sin, 0.0, 0.0),
        (Unary::Sin, inf, f32::NAN),
        (Unary::Cos, 0.0, 1.0),
        (Unary::Cos, -inf, f32::NAN),
        (Unary::Gelu, 30.0, 30.0),
        (Unary::Silu, -200.0, -0.0),
    ];
    on_each_isa(|t| {
        for (op, x, want) in cases {
            let y = array(t, op, &[x])[0];
            assert!(
                y == want || y.is_nan() && want.is_nan(),
                "{op:?}({x}) = {y}, want {want}"
            );
        }
        for op in Unary::ALL {
            assert!(array(t, op, &[f32::NAN])[0].is_nan(), "{op:?} of NaN");
        }
        for op in [Unary::Sin, Unary::Tanh, Unary::Erf] {
            assert!(
                array(t, op, &[-0.0])[0].is_sign_negative(),
                "{op:?}(-0) lost its sign"
            );
        }
    });
}

#[test]
fn all_forms_of_a_function_agree_bit_for_bit() {
    on_each_isa(|t| {
        let mut x = inputs();
        x.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -1e9]);
        let bits = |x: f32| if x.is_nan() { 1 } else { x.to_bits() };
        for op in Unary::ALL {
            let y = array(t, op, &x);
            for (x, y) in x.chunks_exact(4).zip(y.chunks_exact(4)) {
                let x: [f32; 4] = x.try_into().unwrap();
                // SAFETY: F32x4 is four floats.
                let wide: [f32; 4] = unsafe {
                    let x: F32x4 = std::mem::transmute(x);
                    std::mem::transmute((t.unary_x4[op as usize])(x))
                };
                for lane in 0..4 {
                    // SAFETY: the function takes a float.
                    let single = unsafe { (t.unary_x1[op as usize])(x[lane]) };
                    let [a, b, c] = [y[lane], wide[lane], single].map(bits);
                    assert!(
                        a == b && b == c,
                        "{op:?}({}) = {}, {}, {single}",
                        x[lane],
                        y[lane],
                        wide[lane]
                    );
                }
            }
        }
    });
}

#[test]
fn maps_work_in_place_for_every_length() {
    on_each_isa(|t| {
        for n in 0..40 {
            let x = Random(4).floats(n + 1);
            let mut y = x.clone();
            // SAFETY: the buffer has more than n floats.
            unsafe { (t.unary_f32)(Unary::Exp as u32, n, y.as_ptr(), y.as_mut_ptr()) };
            assert_eq!(y[n], x[n], "wrote past the end");
            assert_eq!(y[..n], array(t, Unary::Exp, &x)[..n]);
        }
    });
}

#[test]
fn powers_come_from_the_c_library() {
    on_each_isa(|t| {
        for (x, y) in [
            (2.0f32, 10.0f32),
            (-2.0, 3.0),
            (0.0, 0.0),
            (4.0, -0.5),
            (-1.0, 0.5),
            (f32::INFINITY, -1.0),
        ] {
            let bits = |x: f32| if x.is_nan() { 1 } else { x.to_bits() };
            // SAFETY: F32x4 is four floats.
            let (single, wide) = unsafe {
                let [x4, y4] = [[x; 4], [y; 4]].map(|v| std::mem::transmute::<[f32; 4], F32x4>(v));
                (
                    (t.pow_x1)(x, y),
                    std::mem::transmute::<F32x4, [f32; 4]>((t.pow_x4)(x4, y4)),
                )
            };
            assert_eq!(bits(single), bits(x.powf(y)));
            assert!(wide.iter().all(|w| bits(*w) == bits(single)));
        }
    });
}
