//! Activations spelled out in primitive ops become the named ones.
//!
//! Exporters write them in many ways: factors in any order, constants as divisors, cubes as powers
//! or as products. So an expression is read as a product of factors and a number, and what stands
//! inside as a polynomial.

use lepid_ir::core::{Attr, Builder, Module, Num, Op, OpDef, Value};
use lepid_ir::dialects::{nn, tensor as t};

use crate::core::rewrite::{Pattern, Rewrite, defined_by, is};
use crate::transform::matching::{
    dims, is_uniform, tensor_type, under, uniform, uniform_float, with_uniform,
};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "max-relu",
        op: "tensor.max",
        apply: max_relu,
    },
    Pattern {
        name: "clip-relu",
        op: "nn.clip",
        apply: clip_relu,
    },
    Pattern {
        name: "clip-clip",
        op: "nn.clip",
        apply: clip_clip,
    },
    Pattern {
        name: "min-clip",
        op: "tensor.min",
        apply: min_clip,
    },
    Pattern {
        name: "max-clip",
        op: "tensor.max",
        apply: max_clip,
    },
    Pattern {
        name: "sigmoid",
        op: "tensor.div",
        apply: sigmoid,
    },
    Pattern {
        name: "hard-sigmoid",
        op: "tensor.mul",
        apply: hard_sigmoid,
    },
    Pattern {
        name: "gelu",
        op: "tensor.mul",
        apply: gelu,
    },
    Pattern {
        name: "gated",
        op: "tensor.mul",
        apply: gated,
    },
];

fn is_float(module: &Module, value: Value) -> bool {
    tensor_type(module, value).elem.is_float()
}

fn max_relu(b: &mut Builder<'_>, op: Op) -> Rewrite {
    match with_uniform(b.module, op) {
        Some((x, n)) if n.as_f64() == 0.0 && same_dims(b, op, x) && is_float(b.module, x) => {
            Ok(Some(vec![b.one(&nn::Relu, &[x], &[])?]))
        }
        _ => Ok(None),
    }
}

fn same_dims(b: &Builder<'_>, op: Op, x: Value) -> bool {
    dims(b.module, x) == dims(b.module, b.module.results(op)[0])
}

/// The bounds of a clip or a relu.
fn bounds(module: &Module, value: Value) -> Option<(Value, f64, f64)> {
    let op = module.defining_op(value)?;
    let view = module.view(op);
    match view.name() {
        "nn.clip" => Some((view.operand(0), nn::Clip::min(view), nn::Clip::max(view))),
        "nn.relu" => Some((view.operand(0), 0.0, f64::INFINITY)),
        _ => None,
    }
}

fn clip(b: &mut Builder<'_>, x: Value, min: f64, max: f64) -> Rewrite {
    let attrs = [("min", Attr::Float(min)), ("max", Attr::Float(max))];
    Ok(Some(vec![b.one(&nn::Clip, &[x], &attrs)?]))
}

fn clip_relu(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let (x, bounds) = (view.operand(0), (nn::Clip::min(view), nn::Clip::max(view)));
    match bounds == (0.0, f64::INFINITY) {
        true => Ok(Some(vec![b.one(&nn::Relu, &[x], &[])?])),
        false => Ok(None),
    }
}

fn clip_clip(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let (min, max) = (nn::Clip::min(view), nn::Clip::max(view));
    match bounds(b.module, view.operand(0)) {
        // Bounds that cross each other would give a constant; they are left alone.
        Some((x, low, high)) if low.max(min) <= high.min(max) => {
            clip(b, x, low.max(min), high.min(max))
        }
        _ => Ok(None),
    }
}

fn min_clip(b: &mut Builder<'_>, op: Op) -> Rewrite {
    match with_uniform(b.module, op) {
        Some((x, Num::Float(max))) if same_dims(b, op, x) => {
            if let Some((x, low, high)) = bounds(b.module, x)
                && low <= max
            {
                return clip(b, x, low, high.min(max));
            }
            let inner = defined_by(b.module, x, &t::Max);
            match inner.and_then(|inner| with_uniform(b.module, inner)) {
                Some((x, Num::Float(min))) if min <= max && same_dims(b, op, x) => {
                    clip(b, x, min, max)
                }
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn max_clip(b: &mut Builder<'_>, op: Op) -> Rewrite {
    match with_uniform(b.module, op) {
        Some((x, Num::Float(min))) if same_dims(b, op, x) => {
            if let Some((x, low, high)) = bounds(b.module, x)
                && min <= high
            {
                return clip(b, x, low.max(min), high);
            }
            let inner = defined_by(b.module, x, &t::Min);
            match inner.and_then(|inner| with_uniform(b.module, inner)) {
                Some((x, Num::Float(max))) if min <= max && same_dims(b, op, x) => {
                    clip(b, x, min, max)
                }
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (one, below) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    let found = || {
        let sum = defined_by(b.module, below, &t::Add)?;
        let (exp, number) = with_uniform(b.module, sum)?;
        let x = under(b.module, under(b.module, exp, &t::Exp)?, &t::Neg)?;
        let fits = number.as_f64() == 1.0 && is_uniform(b.module, one, 1.0);
        (fits && same_dims(b, op, x)).then_some(x)
    };
    match found() {
        Some(x) => Ok(Some(vec![b.one(&nn::Sigmoid, &[x], &[])?])),
        None => Ok(None),
    }
}

/// `clip(x + 3, 0, 6) / 6`, the way in which exporters write it.
fn hard_sigmoid(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let found = || {
        let (inner, factor) = with_uniform(b.module, op)?;
        let (sum, low, high) = bounds(b.module, inner)?;
        let add = defined_by(b.module, sum, &t::Add)?;
        let (x, three) = with_uniform(b.module, add)?;
        let fits = near(factor.as_f64(), 1.0 / 6.0) && (low, high) == (0.0, 6.0);
        (fits && three.as_f64() == 3.0 && same_dims(b, op, x)).then_some(x)
    };
    match found() {
        Some(x) => {
            let attrs = [
                ("alpha", Attr::Float(1.0 / 6.0)),
                ("beta", Attr::Float(0.5)),
            ];
            Ok(Some(vec![b.one(&nn::HardSigmoid, &[x], &attrs)?]))
        }
        None => Ok(None),
    }
}

/// `x` times a function of `x`: SiLU, Mish, hard swish.
fn gated(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op);
    for (x, gate) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        let found: Option<&'static dyn OpDef> = if under(b.module, gate, &nn::Sigmoid) == Some(x) {
            Some(&nn::Silu)
        } else if under(b.module, gate, &t::Tanh).and_then(|v| under(b.module, v, &nn::Softplus))
            == Some(x)
        {
            Some(&nn::Mish)
        } else if is_hard_swish_gate(b.module, gate, x) {
            Some(&nn::HardSwish)
        } else {
            None
        };
        if let Some(def) = found.filter(|_| same_dims(b, op, x)) {
            return Ok(Some(vec![b.one(def, &[x], &[])?]));
        }
    }
    // `x · clip(x + 3, 0, 6) / 6` with the division last.
    let Some(x) = hard_swish_product(b.module, op) else {
        return Ok(None);
    };
    Ok(Some(vec![b.one(&nn::HardSwish, &[x], &[])?]))
}

fn is_hard_swish_gate(module: &Module, gate: Value, x: Value) -> bool {
    defined_by(module, gate, &nn::HardSigmoid).is_some_and(|op| {
        let view = module.view(op);
        let (alpha, beta) = (nn::HardSigmoid::alpha(view), nn::HardSigmoid::beta(view));
        view.operand(0) == x && near(alpha, 1.0 / 6.0) && near(beta, 0.5)
    })
}

fn hard_swish_product(module: &Module, op: Op) -> Option<Value> {
    let (number, factors) = factors(module, op)?;
    let &[f, g] = factors.as_slice() else {
        return None;
    };
    let fits = |x: Value, gate: Value| {
        let Some((sum, low, high)) = bounds(module, gate) else {
            return false;
        };
        (low, high) == (0.0, 6.0) && polynomial(module, sum, x) == Some([3.0, 1.0, 0.0, 0.0])
    };
    if !near(number, 1.0 / 6.0) {
        return None;
    }
    match (fits(f, g), fits(g, f)) {
        (true, _) => Some(f),
        (_, true) => Some(g),
        _ => None,
    }
}

/// `x/2 · (1 + erf(x/√2))` and `x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))`.
fn gelu(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let module = &*b.module;
    let found = || {
        let (number, factors) = factors(module, op)?;
        let &[f, g] = factors.as_slice() else {
            return None;
        };
        near(number, 0.5).then_some(())?;
        let kind = |x, sum| Some((x, gelu_kind(module, x, sum)?));
        kind(f, g).or_else(|| kind(g, f))
    };
    match found() {
        Some((x, kind)) if same_dims(b, op, x) => {
            let attrs = [("approximate", Attr::from(kind))];
            Ok(Some(vec![b.one(&nn::Gelu, &[x], &attrs)?]))
        }
        _ => Ok(None),
    }
}

fn gelu_kind(module: &Module, x: Value, sum: Value) -> Option<&'static str> {
    let add = defined_by(module, sum, &t::Add)?;
    let (curve, one) = with_uniform(module, add)?;
    if one.as_f64() != 1.0 {
        return None;
    }
    let all_near =
        |found: [f64; 4], expected: [f64; 4]| found.iter().zip(expected).all(|(&f, e)| near(f, e));
    if let Some(inner) = under(module, curve, &t::Erf) {
        let expected = [0.0, std::f64::consts::FRAC_1_SQRT_2, 0.0, 0.0];
        return all_near(polynomial(module, inner, x)?, expected).then_some("none");
    }
    let inner = under(module, curve, &t::Tanh)?;
    let k = (2.0 / std::f64::consts::PI).sqrt();
    let expected = [0.0, k, 0.0, 0.044715 * k];
    all_near(polynomial(module, inner, x)?, expected).then_some("tanh")
}

/// Constants come rounded to f32 or to a few digits.
fn near(x: f64, expected: f64) -> bool {
    (x - expected).abs() <= 1e-4 * expected.abs()
}

/// A product as a number and the factors that are none; products in it are taken apart.
fn factors(module: &Module, op: Op) -> Option<(f64, Vec<Value>)> {
    fn collect(module: &Module, value: Value, depth: usize, out: &mut (f64, Vec<Value>)) {
        if let Some(number) = uniform_float(module, value) {
            out.0 *= number;
            return;
        }
        match module.defining_op(value).filter(|_| depth > 0) {
            Some(op) if is(module, op, &t::Mul) => {
                for &v in module.operands(op) {
                    collect(module, v, depth - 1, out);
                }
            }
            Some(op) if is(module, op, &t::Div) => {
                let (x, y) = (module.operands(op)[0], module.operands(op)[1]);
                match uniform_float(module, y) {
                    Some(number) => {
                        out.0 /= number;
                        collect(module, x, depth - 1, out);
                    }
                    None => out.1.push(value),
                }
            }
            _ => out.1.push(value),
        }
    }
    let mut out = (1.0, Vec::new());
    for &v in module.operands(op) {
        collect(module, v, 3, &mut out);
    }
    out.0.is_finite().then_some(out)
}

/// The coefficients of 1, x, x², x³ if `value` is a polynomial of `x`.
fn polynomial(module: &Module, value: Value, x: Value) -> Option<[f64; 4]> {
    fn within(module: &Module, value: Value, x: Value, depth: usize) -> Option<[f64; 4]> {
        if value == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Some(number) = uniform(module, value) {
            return Some([number.as_f64(), 0.0, 0.0, 0.0]);
        }
        let op = module.defining_op(value).filter(|_| depth > 0)?;
        let operand = |i: usize| within(module, module.operands(op)[i], x, depth - 1);
        let each = |f: fn(f64, f64) -> f64| {
            let (p, q) = (operand(0)?, operand(1)?);
            Some(std::array::from_fn(|i| f(p[i], q[i])))
        };
        match module.op_name(op) {
            "tensor.add" => each(|p, q| p + q),
            "tensor.sub" => each(|p, q| p - q),
            "tensor.mul" => product(operand(0)?, operand(1)?),
            "tensor.neg" => Some(operand(0)?.map(|c| -c)),
            "tensor.div" => {
                let number = uniform_float(module, module.operands(op)[1])?;
                Some(operand(0)?.map(|c| c / number))
            }
            "tensor.pow" => {
                let base = operand(0)?;
                match uniform(module, module.operands(op)[1])?.as_f64() {
                    2.0 => product(base, base),
                    3.0 => product(product(base, base)?, base),
                    _ => None,
                }
            }
            _ => None,
        }
    }
    within(module, value, x, 8)
}

/// The product of two polynomials, if its degree is at most 3.
fn product(p: [f64; 4], q: [f64; 4]) -> Option<[f64; 4]> {
    let mut all = [0.0; 7];
    for (i, a) in p.iter().enumerate() {
        for (j, c) in q.iter().enumerate() {
            all[i + j] += a * c;
        }
    }
    let fits = all[4..].iter().all(|c| *c == 0.0);
    fits.then(|| std::array::from_fn(|i| all[i]))
}
