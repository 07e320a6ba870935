//! Elementwise ops on two and three operands, and changes of the element type.

use crate::core::{Cost, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::{kernel, shapes};
use crate::{named_enum, op};

macro_rules! binary {
    ($(
        $(#[doc = $doc:literal])*
        $name:literal => $ty:ident($rule:ident, [$($fact:ident),*], $flops:literal, $float:expr, $int:expr);
    )*) => {
        /// The binary ops whose result has the operands' type; code generators match on it.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum BinaryKind { $($ty),* }

        /// The kind of the op of that name.
        pub fn binary_kind(name: &str) -> Option<BinaryKind> {
            match name {
                $($name => Some(BinaryKind::$ty),)*
                _ => None,
            }
        }

        impl BinaryKind {
            /// The meaning on floats, which are then rounded to the element type.
            pub fn on_float(self) -> Option<fn(f64, f64) -> f64> {
                match self { $(BinaryKind::$ty => $float),* }
            }

            /// The meaning on integers and truth values, which then wrap to the element type.
            pub fn on_int(self) -> Option<fn(i128, i128) -> i128> {
                match self { $(BinaryKind::$ty => $int),* }
            }
        }

        $(
            op! {
                $(#[doc = $doc])*
                $name => $ty {
                    operands: [x: $rule, y: $rule],
                    results: [z],
                    traits: [Pure, Elementwise $(, $fact)*],
                }
            }

            impl OpDef for $ty {
                fn info(&self) -> &'static OpInfo {
                    &$ty::INFO
                }
                fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                    let elem = shapes::same_elem(op, 0..2)?;
                    shapes::one(elem, shapes::meet_all(op.operand_dims(0), op.operand_dims(1))?)
                }
                fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
                    let kind = BinaryKind::$ty;
                    Ok(vec![kernel::zip(&x[0], &x[1], kind.on_float(), kind.on_int())?])
                }
                fn cost(&self, op: OpView<'_>) -> Cost {
                    Cost::per_element(op, $flops)
                }
            }
        )*

        pub(super) const BINARY_OPS: &[&dyn OpDef] = &[$(&$ty),*];
    };
}

binary! {
    /// `x + y`, element by element; integers wrap.
    "tensor.add" => Add(NUM_TENSOR, [Commutative], 1, Some(|x, y| x + y), Some(i128::wrapping_add));
    /// The bitwise or logical and, element by element.
    "tensor.and" => And(BITS_TENSOR, [Commutative], 1, None, Some(|x, y| x & y));
    /// The angle of the point (y, x), where `x` is the first operand and stands for the ordinate:
    /// `atan2(x, y)`, element by element.
    "tensor.atan2" => Atan2(FLOAT_TENSOR, [], 20, Some(libm::atan2), None);
    /// `x / y`, element by element; integers truncate towards zero and give 0 for `y = 0`.
    "tensor.div" => Div(NUM_TENSOR, [], 4, Some(|x, y| x / y), Some(|x, y| if y == 0 { 0 } else { x.wrapping_div(y) }));
    /// The greater of `x` and `y`, element by element; NaN if either is NaN.
    "tensor.max" => Max(NUM_TENSOR, [Commutative], 1, Some(float_max), Some(i128::max));
    /// The smaller of `x` and `y`, element by element; NaN if either is NaN.
    "tensor.min" => Min(NUM_TENSOR, [Commutative], 1, Some(float_min), Some(i128::min));
    /// `x * y`, element by element; integers wrap.
    "tensor.mul" => Mul(NUM_TENSOR, [Commutative], 1, Some(|x, y| x * y), Some(i128::wrapping_mul));
    /// The bitwise or logical or, element by element.
    "tensor.or" => Or(BITS_TENSOR, [Commutative], 1, None, Some(|x, y| x | y));
    /// `x` to the power `y`, element by element; integers wrap, and a negative power of an integer
    /// is truncated: 0 unless `x` is 1 or -1.
    "tensor.pow" => Pow(NUM_TENSOR, [], 20, Some(libm::pow), Some(int_pow));
    /// The rest of `x / y` with the sign of `x`, element by element; 0 for integers if `y = 0`.
    "tensor.rem" => Rem(NUM_TENSOR, [], 8, Some(|x, y| x % y), Some(|x, y| if y == 0 { 0 } else { x.wrapping_rem(y) }));
    /// `x` shifted left by `y` bits, element by element; 0 if `y` is not in [0, bits).
    "tensor.shl" => Shl(INT_TENSOR, [], 1, None, Some(|x, y| if (0..64).contains(&y) { x << y } else { 0 }));
    /// `x` shifted right by `y` bits, element by element: signed integers keep their sign; a `y`
    /// outside [0, bits) shifts everything out.
    "tensor.shr" => Shr(INT_TENSOR, [], 1, None, Some(|x, y| if (0..64).contains(&y) { x >> y } else { x >> 127 }));
    /// `x - y`, element by element; integers wrap.
    "tensor.sub" => Sub(NUM_TENSOR, [], 1, Some(|x, y| x - y), Some(i128::wrapping_sub));
    /// The bitwise or logical exclusive or, element by element.
    "tensor.xor" => Xor(BITS_TENSOR, [Commutative], 1, None, Some(|x, y| x ^ y));
}

/// The greater one; NaN if either is NaN, and +0 is above -0.
pub(crate) fn float_max(x: f64, y: f64) -> f64 {
    match () {
        () if x.is_nan() => x,
        () if y.is_nan() => y,
        () if x > y || (x == y && x.is_sign_positive()) => x,
        () => y,
    }
}

/// The smaller one; NaN if either is NaN, and -0 is below +0.
pub(crate) fn float_min(x: f64, y: f64) -> f64 {
    match () {
        () if x.is_nan() => x,
        () if y.is_nan() => y,
        () if x < y || (x == y && x.is_sign_negative()) => x,
        () => y,
    }
}

fn int_pow(x: i128, y: i128) -> i128 {
    match (x, y) {
        (1, _) => 1,
        (-1, _) => 1 - 2 * (y & 1),
        (_, ..0) => 0,
        _ => {
            let (mut result, mut square, mut rest) = (1i128, x, y);
            while rest > 0 {
                if rest & 1 == 1 {
                    result = result.wrapping_mul(square);
                }
                square = square.wrapping_mul(square);
                rest >>= 1;
            }
            result
        }
    }
}

named_enum! {
    /// How `tensor.compare` compares.
    Direction("direction") {
        Eq = "eq",
        Ne = "ne",
        Lt = "lt",
        Le = "le",
        Gt = "gt",
        Ge = "ge",
    }
}

impl Direction {
    /// Whether the relation holds; with NaN only `ne` does.
    pub fn holds<T: PartialOrd>(self, x: T, y: T) -> bool {
        match self {
            Direction::Eq => x == y,
            Direction::Ne => x != y,
            Direction::Lt => x < y,
            Direction::Le => x <= y,
            Direction::Gt => x > y,
            Direction::Ge => x >= y,
        }
    }
}

op! {
    /// Whether `x` stands in the relation `direction` (eq, ne, lt, le, gt, ge) to `y`, element by
    /// element.
    "tensor.compare" => Compare {
        operands: [x: TENSOR, y: TENSOR],
        attributes: [direction: Str],
        results: [z],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Compare {
    fn info(&self) -> &'static OpInfo {
        &Compare::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Direction::parse(Compare::direction(op))?;
        shapes::same_elem(op, 0..2)?;
        let dims = shapes::meet_all(op.operand_dims(0), op.operand_dims(1))?;
        shapes::one(Elem::Bool, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let direction = Direction::parse(Compare::direction(op))?;
        Ok(vec![kernel::compare(&x[0], &x[1], direction)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// `x` where `condition` holds and `y` elsewhere, element by element.
    "tensor.select" => Select {
        operands: [condition: BOOL_TENSOR, x: TENSOR, y: TENSOR],
        results: [z],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Select {
    fn info(&self) -> &'static OpInfo {
        &Select::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let elem = shapes::same_elem(op, 1..3)?;
        let dims = shapes::meet_all(op.operand_dims(1), op.operand_dims(2))?;
        shapes::one(elem, shapes::meet_all(&dims, op.operand_dims(0))?)
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![kernel::select(&x[0], &x[1], &x[2])?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// The elements as `to`: rounded to nearest among floats; truncated and saturated from float to
    /// integer, NaN to 0; wrapped among integers; `x != 0` to i1.
    "tensor.cast" => Cast {
        operands: [x: TENSOR],
        attributes: [to: ElemType],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Cast {
    fn info(&self) -> &'static OpInfo {
        &Cast::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::one(Cast::to(op), op.operand_dims(0).iter().copied())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![kernel::cast(&x[0], Cast::to(op))])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// The bits of the elements read as `to`, which has as many bits.
    "tensor.bitcast" => Bitcast {
        operands: [x: TENSOR],
        attributes: [to: ElemType],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Bitcast {
    fn info(&self) -> &'static OpInfo {
        &Bitcast::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (from, to) = (op.operand_tensor(0).elem, Bitcast::to(op));
        match from.bits() == to.bits() {
            true => shapes::one(to, op.operand_dims(0).iter().copied()),
            false => Err(OpError::new(format!(
                "`{from}` and `{to}` do not have as many bits"
            ))),
        }
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![kernel::bitcast(&x[0], Bitcast::to(op))])
    }
}

pub(super) const OTHER_OPS: &[&dyn OpDef] = &[&Bitcast, &Cast, &Compare, &Select];
