//! Ops that fold axes: reduce, arg_reduce, scan, and the sliding window.

use crate::core::{Cost, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::shapes::{self, WindowAxis};
use crate::dialects::tensor::{fold, kernel};
use crate::{named_enum, op};

named_enum! {
    /// What a fold computes.
    ReduceKind("kind") {
        Sum = "sum",
        Prod = "prod",
        Max = "max",
        Min = "min",
        /// Truth values only.
        Any = "any",
        /// Truth values only.
        All = "all",
    }
}

impl ReduceKind {
    /// Reads the attribute and holds it against the element type.
    pub fn of(name: &str, elem: Elem) -> OpResult<ReduceKind> {
        let kind = ReduceKind::parse(name)?;
        let logical = matches!(kind, ReduceKind::Any | ReduceKind::All);
        match logical == (elem == Elem::Bool) {
            true => Ok(kind),
            false => Err(OpError::new(format!(
                "kind \"{name}\" is not for elements of `{elem}`"
            ))),
        }
    }

    /// [`ReduceKind::of`], for ops that take some kinds only.
    fn among(name: &str, elem: Elem, kinds: &[ReduceKind]) -> OpResult<ReduceKind> {
        let kind = ReduceKind::of(name, elem)?;
        let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
        match kinds.contains(&kind) {
            true => Ok(kind),
            false => Err(OpError::new(format!(
                "`kind` is \"{name}\", but must be one of {}",
                names.join(", ")
            ))),
        }
    }
}

op! {
    /// Folds `axes` with `kind` (sum, prod, max, min; any, all for i1) and drops them. Over no
    /// elements, sum is 0, prod is 1, max the least and min the greatest value of the type.
    "tensor.reduce" => Reduce {
        operands: [x: TENSOR],
        attributes: [kind: Str, axes: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Reduce {
    fn info(&self) -> &'static OpInfo {
        &Reduce::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        ReduceKind::of(Reduce::kind(op), x.elem)?;
        let axes = shapes::axes("axes", &Reduce::axes(op), x.rank())?;
        let kept = (0..x.rank()).filter(|a| !axes.contains(a));
        shapes::one(x.elem, kept.map(|a| x.dims[a]))
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let kind = ReduceKind::of(Reduce::kind(op), x[0].elem())?;
        let axes = shapes::axes("axes", &Reduce::axes(op), x[0].rank())?;
        Ok(vec![fold::reduce(&x[0], kind, &axes)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(0))
    }
}

op! {
    /// The index along `axis` of the greatest (`kind` max) or smallest (min) element, which drops
    /// the axis. Of equals the first, or the last with `last`; NaN wins over any number.
    "tensor.arg_reduce" => ArgReduce {
        operands: [x: NUM_TENSOR],
        attributes: [kind: Str, axis: Int, last: Bool = false],
        results: [index],
        traits: [Pure],
    }
}

impl ArgReduce {
    fn checked_kind(op: OpView<'_>) -> OpResult<ReduceKind> {
        let elem = op.operand_tensor(0).elem;
        ReduceKind::among(
            ArgReduce::kind(op),
            elem,
            &[ReduceKind::Max, ReduceKind::Min],
        )
    }
}

impl OpDef for ArgReduce {
    fn info(&self) -> &'static OpInfo {
        &ArgReduce::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        ArgReduce::checked_kind(op)?;
        let mut dims = op.operand_dims(0).to_vec();
        let axis = shapes::axis("axis", ArgReduce::axis(op), dims.len())?;
        dims.remove(axis);
        shapes::one(Elem::I64, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let kind = ArgReduce::checked_kind(op)?;
        let axis = shapes::axis("axis", ArgReduce::axis(op), x[0].rank())?;
        Ok(vec![fold::arg_reduce(
            &x[0],
            kind,
            axis,
            ArgReduce::last(op),
        )?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(0))
    }
}

op! {
    /// The running fold along `axis` with `kind` (sum, prod, max, min): element `i` folds all up to
    /// `i`, or all before it with `exclusive`; from the end with `reverse`.
    "tensor.scan" => Scan {
        operands: [x: NUM_TENSOR],
        attributes: [kind: Str, axis: Int, exclusive: Bool = false, reverse: Bool = false],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Scan {
    fn info(&self) -> &'static OpInfo {
        &Scan::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        ReduceKind::of(Scan::kind(op), x.elem)?;
        shapes::axis("axis", Scan::axis(op), x.rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", Scan::axis(op), x[0].rank())?;
        let scan = fold::Scan {
            kind: ReduceKind::of(Scan::kind(op), x[0].elem())?,
            axis,
            exclusive: Scan::exclusive(op),
            reverse: Scan::reverse(op),
        };
        Ok(vec![scan.run(&x[0])])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// Folds a sliding window with `kind` (sum, max, min). Each list has one entry per axis; the
    /// padding `low` and `high` is the neutral element of the fold.
    "tensor.window" => Window {
        operands: [x: NUM_TENSOR],
        attributes: [kind: Str, size: Ints, stride: Ints, dilation: Ints, low: Ints, high: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl Window {
    fn checked_kind(op: OpView<'_>) -> OpResult<ReduceKind> {
        let kinds = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min];
        ReduceKind::among(Window::kind(op), op.operand_tensor(0).elem, &kinds)
    }

    /// The window, axis by axis.
    pub fn window_axes(op: OpView<'_>) -> OpResult<Vec<WindowAxis>> {
        let rank = op.operand_tensor(0).rank();
        let size = shapes::counts("size", &Window::size(op), rank, 1)?;
        let stride = shapes::counts("stride", &Window::stride(op), rank, 1)?;
        let dilation = shapes::counts("dilation", &Window::dilation(op), rank, 1)?;
        let low = shapes::counts("low", &Window::low(op), rank, 0)?;
        let high = shapes::counts("high", &Window::high(op), rank, 0)?;
        let axis = |i: usize| WindowAxis {
            size: size[i],
            stride: stride[i],
            dilation: dilation[i],
            low: low[i],
            high: high[i],
        };
        Ok((0..rank).map(axis).collect())
    }
}

impl OpDef for Window {
    fn info(&self) -> &'static OpInfo {
        &Window::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        Window::checked_kind(op)?;
        let axes = Window::window_axes(op)?;
        shapes::one(x.elem, axes.iter().zip(&x.dims).map(|(w, &d)| w.extent(d)))
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axes = Window::window_axes(op)?;
        kernel::checked_count(
            x[0].elem(),
            axes.iter()
                .zip(x[0].shape())
                .map(|(w, &n)| w.extent((n as u64).into()).known().unwrap_or(u64::MAX)),
        )?;
        Ok(vec![fold::window(&x[0], Window::checked_kind(op)?, &axes)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let taps: f64 = Window::size(op).iter().map(|&n| n as f64).product();
        Cost::of(op, op.result_elements(0) * taps)
    }
}

pub(super) const OPS: &[&dyn OpDef] = &[&ArgReduce, &Reduce, &Scan, &Window];
