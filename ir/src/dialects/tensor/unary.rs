//! Elementwise ops on one operand, as one table.

use crate::core::{Cost, Elem, EvalCx, OpDef, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::{kernel, shapes};
use crate::op;

macro_rules! unary {
    ($(
        $(#[doc = $doc:literal])*
        $name:literal => $ty:ident($rule:ident, $flops:literal, $float:expr, $int:expr);
    )*) => {
        /// The unary ops whose result has the operand's type; code generators match on it.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum UnaryKind { $($ty),* }

        /// The kind of the op of that name.
        pub fn unary_kind(name: &str) -> Option<UnaryKind> {
            match name {
                $($name => Some(UnaryKind::$ty),)*
                _ => None,
            }
        }

        impl UnaryKind {
            /// The meaning on floats, which are then rounded to the element type.
            pub fn on_float(self) -> Option<fn(f64) -> f64> {
                match self { $(UnaryKind::$ty => $float),* }
            }

            /// The meaning on integers and truth values, which then wrap to the element type.
            pub fn on_int(self) -> Option<fn(i128) -> i128> {
                match self { $(UnaryKind::$ty => $int),* }
            }
        }

        $(
            op! {
                $(#[doc = $doc])*
                $name => $ty {
                    operands: [x: $rule],
                    results: [y],
                    traits: [Pure, Elementwise],
                }
            }

            impl OpDef for $ty {
                fn info(&self) -> &'static OpInfo {
                    &$ty::INFO
                }
                fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                    Ok(vec![op.operand_type(0)])
                }
                fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
                    let kind = UnaryKind::$ty;
                    Ok(vec![kernel::map(&x[0], kind.on_float(), kind.on_int())?])
                }
                fn cost(&self, op: OpView<'_>) -> Cost {
                    Cost::per_element(op, $flops)
                }
            }
        )*

        pub(super) const UNARY_OPS: &[&dyn OpDef] = &[$(&$ty),*];
    };
}

unary! {
    /// `|x|`, element by element; the least signed integer wraps to itself.
    "tensor.abs" => Abs(NUM_TENSOR, 1, Some(f64::abs), Some(i128::wrapping_abs));
    /// The arc cosine, element by element; NaN outside [-1, 1].
    "tensor.acos" => Acos(FLOAT_TENSOR, 20, Some(libm::acos), None);
    /// The inverse hyperbolic cosine, element by element; NaN below 1.
    "tensor.acosh" => Acosh(FLOAT_TENSOR, 20, Some(libm::acosh), None);
    /// The arc sine, element by element; NaN outside [-1, 1].
    "tensor.asin" => Asin(FLOAT_TENSOR, 20, Some(libm::asin), None);
    /// The inverse hyperbolic sine, element by element.
    "tensor.asinh" => Asinh(FLOAT_TENSOR, 20, Some(libm::asinh), None);
    /// The arc tangent, element by element.
    "tensor.atan" => Atan(FLOAT_TENSOR, 20, Some(libm::atan), None);
    /// The inverse hyperbolic tangent, element by element; NaN outside [-1, 1].
    "tensor.atanh" => Atanh(FLOAT_TENSOR, 20, Some(libm::atanh), None);
    /// The complement of every bit, element by element.
    "tensor.bit_not" => BitNot(INT_TENSOR, 1, None, Some(|x| !x));
    /// The least whole number that is not below `x`, element by element.
    "tensor.ceil" => Ceil(FLOAT_TENSOR, 1, Some(f64::ceil), None);
    /// The cosine, element by element.
    "tensor.cos" => Cos(FLOAT_TENSOR, 20, Some(libm::cos), None);
    /// The hyperbolic cosine, element by element.
    "tensor.cosh" => Cosh(FLOAT_TENSOR, 20, Some(libm::cosh), None);
    /// The error function, element by element.
    "tensor.erf" => Erf(FLOAT_TENSOR, 20, Some(libm::erf), None);
    /// The exponential, element by element.
    "tensor.exp" => Exp(FLOAT_TENSOR, 10, Some(libm::exp), None);
    /// The greatest whole number that is not above `x`, element by element.
    "tensor.floor" => Floor(FLOAT_TENSOR, 1, Some(f64::floor), None);
    /// The natural logarithm, element by element; NaN below 0.
    "tensor.log" => Log(FLOAT_TENSOR, 10, Some(libm::log), None);
    /// `-x`, element by element; integers wrap.
    "tensor.neg" => Neg(NUM_TENSOR, 1, Some(|x| -x), Some(i128::wrapping_neg));
    /// The opposite truth value, element by element.
    "tensor.not" => Not(BOOL_TENSOR, 1, None, Some(|x| i128::from(x == 0)));
    /// The nearest whole number, halves to the even one, element by element.
    "tensor.round" => Round(FLOAT_TENSOR, 1, Some(f64::round_ties_even), None);
    /// `1 / sqrt(x)`, element by element; NaN below 0.
    "tensor.rsqrt" => Rsqrt(FLOAT_TENSOR, 4, Some(|x| 1.0 / x.sqrt()), None);
    /// -1, 0 or 1 as `x` is below, at or above 0, element by element; NaN stays.
    "tensor.sign" => Sign(NUM_TENSOR, 1, Some(sign), Some(i128::signum));
    /// The sine, element by element.
    "tensor.sin" => Sin(FLOAT_TENSOR, 20, Some(libm::sin), None);
    /// The hyperbolic sine, element by element.
    "tensor.sinh" => Sinh(FLOAT_TENSOR, 20, Some(libm::sinh), None);
    /// The square root, element by element; NaN below 0.
    "tensor.sqrt" => Sqrt(FLOAT_TENSOR, 4, Some(f64::sqrt), None);
    /// The tangent, element by element.
    "tensor.tan" => Tan(FLOAT_TENSOR, 20, Some(libm::tan), None);
    /// The hyperbolic tangent, element by element.
    "tensor.tanh" => Tanh(FLOAT_TENSOR, 20, Some(libm::tanh), None);
}

fn sign(x: f64) -> f64 {
    match x {
        _ if x > 0.0 => 1.0,
        _ if x < 0.0 => -1.0,
        zero_or_nan => zero_or_nan,
    }
}

op! {
    /// Whether `x` is NaN, element by element.
    "tensor.is_nan" => IsNan {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for IsNan {
    fn info(&self) -> &'static OpInfo {
        &IsNan::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::one(Elem::Bool, op.operand_dims(0).iter().copied())
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![kernel::test(&x[0], f64::is_nan)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// Whether `x` is an infinity of the admitted signs, element by element.
    "tensor.is_inf" => IsInf {
        operands: [x: FLOAT_TENSOR],
        attributes: [positive: Bool = true, negative: Bool = true],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for IsInf {
    fn info(&self) -> &'static OpInfo {
        &IsInf::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::one(Elem::Bool, op.operand_dims(0).iter().copied())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (positive, negative) = (IsInf::positive(op), IsInf::negative(op));
        Ok(vec![kernel::test(&x[0], |x| {
            (positive && x == f64::INFINITY) || (negative && x == f64::NEG_INFINITY)
        })])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}
