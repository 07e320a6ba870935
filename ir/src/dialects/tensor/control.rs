//! Branches and loops. Their regions see the values around them and end in `core.yield`.

use crate::core::{
    Block, Dim, Elem, EvalCx, Num, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, TensorType,
    Type, TypeKind, Value,
};
use crate::dialects::tensor::shapes;
use crate::op;

op! {
    /// Runs `then` if the scalar `condition` holds and `else` otherwise; the results are what the
    /// region yields. An extent that differs between the regions is `?`.
    "tensor.if" => If {
        operands: [condition: BOOL_TENSOR],
        results: [; results],
        regions: [then, else],
    }
}

impl OpDef for If {
    fn info(&self) -> &'static OpInfo {
        &If::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::rank(op, 0, 0)?;
        let [then, otherwise] = [yielded(op, 0)?, yielded(op, 1)?];
        for region in 0..2 {
            let args = op.module.block_args(block(op, region)?).len();
            shapes::length("a region of `tensor.if`", args, 0)?;
        }
        if then.len() != otherwise.len() {
            return Err(OpError::new(format!(
                "`then` yields {} values, but `else` yields {}",
                then.len(),
                otherwise.len()
            )));
        }
        then.into_iter()
            .zip(otherwise)
            .map(|(a, b)| join(a, b))
            .collect()
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let region = usize::from(!holds(&x[0]));
        cx.blocks.run_block(block(op, region)?, Vec::new())
    }
}

op! {
    /// Repeats `body` while `condition` holds. Both regions take the carried values, at first
    /// `initial`; `condition` yields one scalar i1, `body` the next carried values, which at last
    /// are the results. An extent that changes must be `?` in the regions' arguments.
    "tensor.while" => While {
        operands: [; initial: ANY],
        results: [; results],
        regions: [condition, body],
    }
}

impl OpDef for While {
    fn info(&self) -> &'static OpInfo {
        &While::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let types = |values: &[Value]| -> Vec<Type> {
            values.iter().map(|&v| op.module.value_type(v)).collect()
        };
        let carried = types(op.module.block_args(block(op, 1)?));
        if types(op.module.block_args(block(op, 0)?)) != carried {
            return Err(OpError::new(
                "the regions of `tensor.while` must take the same arguments",
            ));
        }
        all_fit(op, "operand", &types(op.operands()), &carried)?;
        all_fit(op, "yielded value", &yielded(op, 1)?, &carried)?;
        match yielded(op, 0)?.as_slice() {
            [one] if *one == Type::scalar(Elem::Bool) => Ok(carried),
            _ => Err(OpError::new(
                "the condition of `tensor.while` must yield one `tensor<i1>`",
            )),
        }
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (condition, body) = (block(op, 0)?, block(op, 1)?);
        let mut carried = x.to_vec();
        loop {
            let verdict = cx.blocks.run_block(condition, carried.clone())?;
            if !verdict.first().is_some_and(holds) {
                return Ok(carried);
            }
            carried = cx.blocks.run_block(body, carried)?;
        }
    }
}

fn holds(condition: &Tensor) -> bool {
    condition.nums().first().is_some_and(|n| *n != Num::Int(0))
}

fn block(op: OpView<'_>, region: usize) -> OpResult<Block> {
    let blocks = op.module.region_blocks(op.regions()[region]);
    blocks.first().copied().ok_or_else(|| {
        OpError::new(format!(
            "region `{}` has no block",
            op.info().regions[region]
        ))
    })
}

/// The types of what a region yields.
fn yielded(op: OpView<'_>, region: usize) -> OpResult<Vec<Type>> {
    let end = op.module.terminator(block(op, region)?);
    match end.filter(|&end| op.module.op_name(end) == "core.yield") {
        Some(end) => {
            let values = op.module.operands(end).iter();
            Ok(values.map(|&v| op.module.value_type(v)).collect())
        }
        None => Err(OpError::new(format!(
            "region `{}` must end in `core.yield`",
            op.info().regions[region]
        ))),
    }
}

/// The type that both values have.
pub(in crate::dialects) fn join(a: Type, b: Type) -> OpResult<Type> {
    match (a.kind(), b.kind()) {
        _ if a == b => Ok(a),
        (TypeKind::Tensor(x), TypeKind::Tensor(y)) if x.elem == y.elem && x.rank() == y.rank() => {
            let dims = x.dims.iter().zip(&y.dims);
            Ok(TensorType::new(x.elem, dims.map(|(&a, &b)| shapes::join(a, b))).into())
        }
        _ => Err(OpError::new(format!(
            "the regions yield `{a}` and `{b}` for one result"
        ))),
    }
}

pub(in crate::dialects) fn all_fit(
    op: OpView<'_>,
    what: &str,
    types: &[Type],
    carried: &[Type],
) -> OpResult<()> {
    let name = op.name();
    if types.len() != carried.len() {
        return Err(OpError::new(format!(
            "the regions of `{name}` take {} values, but there is {} of them: {} {what}",
            carried.len(),
            if types.len() < carried.len() {
                "not one for each"
            } else {
                "more than one for each"
            },
            types.len()
        )));
    }
    match types.iter().zip(carried).find(|(ty, to)| !fits(**ty, **to)) {
        None => Ok(()),
        Some((ty, to)) => Err(OpError::new(format!(
            "a {what} of `{ty}` does not fit the argument `{to}`"
        ))
        .help("write `?` for an extent that changes")),
    }
}

/// Whether every value of `ty` is one of `to`.
fn fits(ty: Type, to: Type) -> bool {
    match (ty.kind(), to.kind()) {
        (TypeKind::Tensor(x), TypeKind::Tensor(y)) => {
            let wider = |(a, b): (&Dim, &Dim)| a == b || *b == Dim::Unknown;
            x.elem == y.elem && x.rank() == y.rank() && x.dims.iter().zip(&y.dims).all(wider)
        }
        _ => ty == to,
    }
}

pub(super) const OPS: &[&dyn OpDef] = &[&If, &While];
