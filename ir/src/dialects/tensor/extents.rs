//! Extents at run time and what can be said of them before: the values of names in `shape`
//! attributes, and the entries of shape vectors followed back to where they come from.

use crate::core::{
    Block, Dim, EvalCx, Module, Op, OpError, OpResult, OpView, Symbol, Tensor, Value, ValueDef,
};
use crate::dialects::kernel::Nest;

/// The numbers that `dims` stand for in this run; `None` where that is not known.
///
/// A name is looked up in the types of the operands first, so that ops can be evaluated alone.
pub(super) fn resolve(
    op: OpView<'_>,
    operands: &[Tensor],
    cx: &EvalCx<'_>,
    dims: &[Dim],
) -> Vec<Option<usize>> {
    let named = |name: Symbol| {
        let of_operands = op.operands().iter().zip(operands).find_map(|(&value, x)| {
            let ty = op.module.value_type(value).as_tensor()?;
            let axis = ty.dims.iter().position(|d| *d == Dim::Sym(name))?;
            x.shape().get(axis).copied()
        });
        of_operands.or_else(|| usize::try_from(cx.blocks.extent(name)?).ok())
    };
    dims.iter()
        .map(|&dim| match dim {
            Dim::Known(n) => usize::try_from(n).ok(),
            Dim::Sym(name) => named(name),
            Dim::Unknown => None,
        })
        .collect()
}

/// All extents, or an error if one is not known.
pub(super) fn all(dims: &[Option<usize>]) -> OpResult<Vec<usize>> {
    let all: Option<Vec<usize>> = dims.iter().copied().collect();
    all.ok_or_else(|| {
        OpError::new("an extent of `shape` is not known here")
            .help("name an extent of an argument, or use an op that takes the shape as an operand")
    })
}

/// What is known of one integer of a shape vector.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    Number(i64),
    /// The extent of that name.
    Symbol(Symbol),
    Unknown,
}

impl Entry {
    /// The extent that the entry is. `None` for a negative number.
    pub fn dim(self) -> Option<Dim> {
        match self {
            Entry::Number(n) => u64::try_from(n).ok().map(Dim::Known),
            Entry::Symbol(name) => Some(Dim::Sym(name)),
            Entry::Unknown => Some(Dim::Unknown),
        }
    }
}

impl From<Dim> for Entry {
    fn from(dim: Dim) -> Entry {
        match dim {
            Dim::Known(n) => i64::try_from(n).map_or(Entry::Unknown, Entry::Number),
            Dim::Sym(name) => Entry::Symbol(name),
            Dim::Unknown => Entry::Unknown,
        }
    }
}

/// The longest shape vector that is followed, and with that the greatest rank of a dynamic shape.
pub const MAX_RANK: u64 = 64;

/// The entries of a scalar or vector of integers, in order. `None` if its length is not known or
/// above [`MAX_RANK`].
pub fn trace(module: &Module, value: Value) -> Option<Vec<Entry>> {
    // Enough for the shape arithmetic of real models; it bounds the time for any input.
    let mut fuel = 256;
    trace_within(module, value, &mut fuel)
}

fn trace_within(module: &Module, value: Value, fuel: &mut u32) -> Option<Vec<Entry>> {
    let ty = module.value_type(value).as_tensor()?;
    let count = ty
        .element_count()
        .filter(|&n| n <= MAX_RANK && ty.rank() <= 1)? as usize;
    *fuel = fuel.saturating_sub(1);
    let found = match (*fuel, module.value_def(value)) {
        (0, _) => None,
        (_, ValueDef::Result(op, i)) if module.op_name(op) == Nest::INFO.name => {
            let yielded = Nest::yielded(module.view(op)).get(i);
            yielded.and_then(|&v| trace_within(module, v, fuel))
        }
        (_, ValueDef::Result(op, _)) => trace_op(module, op, value, fuel),
        // A nest that is not valid yet may have more arguments than operands.
        (_, ValueDef::Arg(block, i)) => nest_around(module, block).and_then(|nest| {
            let outside = module.operands(nest).get(i)?;
            trace_within(module, *outside, fuel)
        }),
    };
    Some(
        found
            .filter(|e| e.len() == count)
            .unwrap_or_else(|| vec![Entry::Unknown; count]),
    )
}

/// The nest whose body a block is.
fn nest_around(module: &Module, block: Block) -> Option<Op> {
    let around = module.region_op(module.block_region(block)?)?;
    (module.op_name(around) == Nest::INFO.name).then_some(around)
}

fn trace_op(module: &Module, op: Op, value: Value, fuel: &mut u32) -> Option<Vec<Entry>> {
    use crate::dialects::tensor as t;
    let view = module.view(op);
    if let Some(constant) = module.constant_value(value) {
        let whole = !constant.elem().is_float();
        return whole.then(|| constant.to_i64s().into_iter().map(Entry::Number).collect());
    }
    let mut operand = |i: usize| trace_within(module, view.operand(i), fuel);
    match view.name() {
        "tensor.dim" => {
            let axis = usize::try_from(t::DimOf::axis(view)).ok()?;
            let dim = module
                .value_type(view.operand(0))
                .as_tensor()?
                .dims
                .get(axis)?;
            Some(vec![Entry::from(*dim)])
        }
        "tensor.concat" => {
            let parts: Option<Vec<Vec<Entry>>> = (0..view.operands().len()).map(operand).collect();
            Some(parts?.concat())
        }
        "tensor.reshape" => operand(0),
        // Values that a narrower type wraps would differ, so only the wide ones pass.
        "tensor.cast" if t::Cast::to(view) == crate::core::Elem::I64 => {
            let from = view.operand_tensor(0).elem;
            from.is_int().then(|| operand(0)).flatten()
        }
        "tensor.broadcast" => {
            let entries = operand(0)?;
            let count = module.value_type(value).as_tensor()?.element_count()? as usize;
            match entries.as_slice() {
                [entry] => Some(vec![*entry; count]),
                _ => Some(entries),
            }
        }
        "tensor.slice" => {
            let entries = operand(0)?;
            let first = |list: Vec<i64>| usize::try_from(*list.first()?).ok();
            let start = first(t::Slice::start(view))?;
            let stop = first(t::Slice::stop(view))?.min(entries.len());
            let step = first(t::Slice::step(view))?;
            let run = entries.get(start..stop)?;
            (step > 0).then(|| run.iter().copied().step_by(step).collect())
        }
        "tensor.gather" => {
            let (entries, indices) = (operand(0)?, operand(1)?);
            let last = entries.len().checked_sub(1)?;
            let pick = |e: Entry| match e {
                Entry::Number(i) => Some(entries[usize::try_from(i).unwrap_or(0).min(last)]),
                Entry::Symbol(_) | Entry::Unknown => None,
            };
            indices.into_iter().map(pick).collect()
        }
        "tensor.mul" | "tensor.add" | "tensor.sub" | "tensor.div" => {
            let (x, y) = (operand(0)?, operand(1)?);
            let kind = t::binary_kind(view.name())?;
            Some(
                x.into_iter()
                    .zip(y)
                    .map(|(x, y)| arithmetic(kind, x, y))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn arithmetic(kind: crate::dialects::tensor::BinaryKind, x: Entry, y: Entry) -> Entry {
    use crate::dialects::tensor::BinaryKind;
    match (kind, x, y) {
        (BinaryKind::Mul, Entry::Number(1), e) | (BinaryKind::Mul, e, Entry::Number(1)) => e,
        (BinaryKind::Add, Entry::Number(0), e) | (BinaryKind::Add, e, Entry::Number(0)) => e,
        (BinaryKind::Sub, e, Entry::Number(0)) | (BinaryKind::Div, e, Entry::Number(1)) => e,
        (_, Entry::Number(x), Entry::Number(y)) => {
            let result = kind.on_int().map(|f| f(x.into(), y.into()));
            let exact = result.and_then(|n| i64::try_from(n).ok());
            exact.map_or(Entry::Unknown, Entry::Number)
        }
        _ => Entry::Unknown,
    }
}
