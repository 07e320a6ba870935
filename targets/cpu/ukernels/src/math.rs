//! Functions of one vector, by polynomials: the same code for arrays, four lanes and one.
//!
//! Coefficients are minimax fits of the relative error, rounded to f32. Relative errors stay below 5e-7 (see the tests)
//! where the result is neither subnormal nor, for the GELUs, cancelled by `1 + erf` far on the negative side.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI, LOG2_E};

use crate::args::Unary;
use crate::vector::Vector;

/// `op(x)`; called with a constant `op`, of which one branch remains.
#[inline(always)]
pub(crate) fn apply<V: Vector>(op: Unary, x: V) -> V {
    match op {
        Unary::Exp => exp(x),
        Unary::Log => log(x),
        Unary::Tanh => tanh(x),
        Unary::Sigmoid => sigmoid(x),
        Unary::Erf => erf(x),
        Unary::Gelu => gelu(x),
        Unary::GeluTanh => gelu_tanh(x),
        Unary::Silu => silu(x),
        Unary::Softplus => softplus(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Sin => sin(x),
        Unary::Cos => cos(x),
        Unary::Tan => x.map_lanes(f32::tan),
        Unary::Asin => x.map_lanes(f32::asin),
        Unary::Acos => x.map_lanes(f32::acos),
        Unary::Atan => x.map_lanes(f32::atan),
        Unary::Sinh => x.map_lanes(f32::sinh),
        Unary::Cosh => x.map_lanes(f32::cosh),
        Unary::Asinh => x.map_lanes(f32::asinh),
        Unary::Acosh => x.map_lanes(f32::acosh),
        Unary::Atanh => x.map_lanes(f32::atanh),
        Unary::Expm1 => x.map_lanes(f32::exp_m1),
        Unary::Log1p => x.map_lanes(f32::ln_1p),
    }
}

#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    // Beyond these bounds the result is 0 or infinity anyway; within them n fits the scaling.
    let x = V::splat(89.0).min(V::splat(-105.0).max(x));
    let n = x.mul(V::splat(LOG2_E)).round();
    let r = n.mul_add(V::splat(-0.693_145_75), x);
    let r = n.mul_add(V::splat(-1.428_606_8e-6), r);
    let p = polynomial(
        r,
        [
            0.001_381_422_2,
            0.008_368_9,
            0.041_668_404,
            0.166_665_2,
            0.499_999_94,
        ],
    );
    let p = p.mul_add(r.mul(r), r).add(V::splat(1.0));
    p.scale_by_power(n)
}

#[inline(always)]
pub(crate) fn log<V: Vector>(x: V) -> V {
    let tiny = x.lt(V::splat(f32::MIN_POSITIVE));
    let normal = V::select(tiny, x.mul(V::splat(8_388_608.0)), x);
    let (m, e) = normal.split_exponent();
    let e = V::select(tiny, e.sub(V::splat(23.0)), e);
    let f = m.sub(V::splat(1.0));
    let z = f.mul(f);
    let p = polynomial(
        f,
        [
            0.067_466_4,
            -0.116_756_52,
            0.118_881_62,
            -0.124_055_89,
            0.142_195_52,
            -0.166_679_96,
            0.200_021_19,
            -0.250_000_1,
            0.333_333_13,
        ],
    );
    let y = p.mul(z).mul(f);
    let y = e.mul_add(V::splat(1.428_606_8e-6), y);
    let y = z.mul_add(V::splat(-0.5), y);
    let y = e.mul_add(V::splat(0.693_145_75), f.add(y));
    let y = V::select(V::splat(f32::MAX).lt(x), x, y);
    let y = V::select(
        x.lt(V::splat(f32::from_bits(1))),
        V::splat(f32::NEG_INFINITY),
        y,
    );
    let y = V::select(x.lt(V::splat(0.0)), V::splat(f32::NAN), y);
    V::select(x.is_nan(), x, y)
}

#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let a = x.abs();
    let z = x.mul(x);
    let p = polynomial(
        z,
        [
            -0.005_704_987_3,
            0.020_639_088,
            -0.053_739_715,
            0.133_314_42,
            -0.333_332_8,
        ],
    );
    let small = p.mul(z).mul_add(x, x);
    let one = V::splat(1.0);
    let large = one.sub(V::splat(2.0).div(exp(a.add(a)).add(one)));
    V::select(a.lt(V::splat(0.625)), small, large).copy_sign(x)
}

#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(x))))
}

#[inline(always)]
pub(crate) fn erf<V: Vector>(x: V) -> V {
    // From 3.92 on it is 1 in `f32`; a NaN passes through the bounds.
    let x = V::splat(3.93).min(V::splat(-3.93).max(x));
    let z = x.mul(x);
    // One quotient for all arguments costs half of what a polynomial here and an exponential there do.
    let p = polynomial(
        z,
        [
            2.041_957_3e-6,
            2.847_962_3e-4,
            0.003_779_284_7,
            0.052_789_263,
            0.190_776_99,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    let q = polynomial(
        z,
        [
            3.800_328_3e-5,
            0.001_165_124_6,
            0.014_996_79,
            0.114_254_594,
            0.502_404_45,
            1.0,
        ],
    );
    let one = V::splat(1.0);
    one.min(V::splat(-1.0).max(x.mul(p).div(q)))
}

#[inline(always)]
pub(crate) fn gelu<V: Vector>(x: V) -> V {
    let half = x.mul(V::splat(0.5));
    half.mul_add(erf(x.mul(V::splat(FRAC_1_SQRT_2))), half)
}

#[inline(always)]
pub(crate) fn gelu_tanh<V: Vector>(x: V) -> V {
    // (1 + tanh(u)) / 2 = sigmoid(2 u)
    let cubic = x.mul(x).mul_add(
        V::splat(2.0 * 0.797_884_6 * 0.044_715),
        V::splat(2.0 * 0.797_884_6),
    );
    x.mul(sigmoid(x.mul(cubic)))
}

#[inline(always)]
pub(crate) fn silu<V: Vector>(x: V) -> V {
    x.mul(sigmoid(x))
}

#[inline(always)]
pub(crate) fn softplus<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    let u = exp(V::splat(0.0).sub(x.abs()));
    let w = one.add(u);
    let d = w.sub(one);
    // log(1 + u) = log(w) u / (w - 1) cancels the rounding of w; below that, u itself.
    let inexact = V::splat(0.0).lt(d);
    let tail = V::select(inexact, log(w).mul(u).div(d), u);
    V::splat(0.0).max(x).add(tail)
}

#[inline(always)]
pub(crate) fn sin<V: Vector>(x: V) -> V {
    // Near zero the sine is its argument, sign of zero included.
    V::select(
        x.abs().lt(V::splat(1e-4)),
        x,
        sin_quadrant(x, 0.0, f32::sin),
    )
}

#[inline(always)]
pub(crate) fn cos<V: Vector>(x: V) -> V {
    sin_quadrant(x, 1.0, f32::cos)
}

/// `sin(x + shift * pi / 2)`; beyond 8192 the reduction would lose bits, so those lanes take `far`.
#[inline(always)]
fn sin_quadrant<V: Vector>(x: V, shift: f32, far: fn(f32) -> f32) -> V {
    let limit = V::splat(8192.0);
    let near = V::select(x.abs().lt(limit), x, V::splat(0.0));
    let q = near.mul(V::splat(FRAC_2_PI)).round();
    // Pi / 2 in parts of 11 bits: products with q are exact up to 2^13, with or without a fused multiply-add.
    let r = q.mul_add(V::splat(-1.570_312_5), near);
    let r = q.mul_add(V::splat(-4.837_513e-4), r);
    let r = q.mul_add(V::splat(-7.549_533_6e-8), r);
    let r = q.mul_add(V::splat(-2.563_344e-12), r);
    let z = r.mul(r);
    let s = polynomial(
        z,
        [
            2.717_680_2e-6,
            -1.983_926_6e-4,
            0.008_333_329,
            -0.166_666_67,
        ],
    );
    let s = s.mul(z).mul_add(r, r);
    let c = polynomial(z, [2.442_878_6e-5, -0.001_388_727_8, 0.041_666_646]);
    let c = c
        .mul(z)
        .mul_add(z, z.mul_add(V::splat(-0.5), V::splat(1.0)));
    // The quadrant modulo 4, in -2..=2, by floats: exact for small integers.
    let q = q.add(V::splat(shift));
    let odd = q.sub(q.mul(V::splat(0.5)).round().mul(V::splat(2.0))).abs();
    let y = V::select(V::splat(0.5).lt(odd), c, s);
    let quadrant = q.sub(q.mul(V::splat(0.25)).round().mul(V::splat(4.0)));
    // Quadrants 2 and 3 (also written -2 and -1) are negative.
    let below = quadrant.lt(V::splat(-0.5));
    let beyond = V::splat(1.5).lt(quadrant);
    let negated = V::splat(0.0).sub(y);
    let y = V::select(below, negated, V::select(beyond, negated, y));
    let y = V::select(x.abs().lt(limit), y, V::splat(f32::NAN));
    if V::any(y.is_nan()) {
        let wide = x.map_lanes(far);
        return V::select(y.is_nan(), wide, y);
    }
    y
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut y = V::splat(coefficients[0]);
    let mut i = 1;
    while i < N {
        y = y.mul_add(x, V::splat(coefficients[i]));
        i += 1;
    }
    y
}
