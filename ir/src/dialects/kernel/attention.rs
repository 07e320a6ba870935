//! Attention on operands as layers leave them.

use crate::core::{Cost, Dim, EvalCx, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type};
use crate::dialects::nn::rules::{choice, ensure, one, operand_types, tensor_types};
use crate::dialects::{nn, tensor};
use crate::op;

op! {
    /// `softmax(scale · q · kᵀ + mask) · v` per batch entry and head, as `nn.attention`.
    ///
    /// `layouts` are those of `q`, `k`, `v` and the result: "bhsd" is batch, head, position,
    /// feature; with "bshd" positions come before heads, as behind a linear layer. An operand may
    /// hold more heads than the `heads` that are read: they begin at `first`, so that `q`, `k` and
    /// `v` may be one value.
    "kernel.attention" => Attention {
        operands: [q: FLOAT_TENSOR, k: FLOAT_TENSOR, v: FLOAT_TENSOR; mask: FLOAT_TENSOR],
        attributes: [heads: Int, scale: Float, causal: Bool = false, offset: Int = 0, first: Ints = [0, 0, 0], layouts: Strs = &[HEADS_FIRST; 4][..]],
        results: [y],
        traits: [Pure],
    }
}

/// Batch, head, position, feature.
pub const HEADS_FIRST: &str = "bhsd";
/// Batch, position, head, feature.
pub const POSITIONS_FIRST: &str = "bshd";

/// The heads of an operand that are read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Heads {
    pub first: usize,
    /// Whether the axis of positions comes before that of heads.
    pub behind_positions: bool,
}

impl Attention {
    /// How operand `i` or, as the fourth, the result holds its heads.
    pub fn held(op: OpView<'_>, i: usize) -> Heads {
        Heads {
            first: Attention::first(op).get(i).map_or(0, |&n| n as usize),
            behind_positions: Attention::layouts(op).get(i) == Some(&POSITIONS_FIRST),
        }
    }
}

/// The axes "bhsd" of a value in the other layout, and the other way round.
const SWAPPED: [usize; 4] = [0, 2, 1, 3];

impl OpDef for Attention {
    fn info(&self) -> &'static OpInfo {
        &Attention::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (layouts, first) = (Attention::layouts(op), Attention::first(op));
        ensure!(
            layouts.len() == 4 && first.len() == 3,
            "expected 4 `layouts` and 3 numbers in `first`, found {} and {}",
            layouts.len(),
            first.len()
        );
        for layout in layouts {
            choice("layouts", layout, &[HEADS_FIRST, POSITIONS_FIRST])?;
        }
        let mut types = operand_types(op);
        for (i, ty) in types.iter_mut().take(3).enumerate() {
            *ty = read_type(op, i, ty)?;
        }
        let mut y = nn::attention::attention_type(op, &types)?;
        if Attention::held(op, 3).behind_positions {
            y.dims.swap(1, 2);
        }
        one(y)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (mut plain, types) = (x.to_vec(), tensor_types(x));
        for (i, operand) in plain.iter_mut().take(3).enumerate() {
            // The actual extents may be fewer than the types leave open.
            read_type(op, i, &types[i])?;
            *operand = read(op, i, operand);
        }
        let mut results = nn::Attention.eval(op, &plain, cx)?;
        if Attention::held(op, 3).behind_positions {
            results[0] = tensor::kernel::transpose(&results[0], &SWAPPED);
        }
        Ok(results)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let e = AttentionExtents::of(op);
        Cost {
            bytes: e.bytes(op),
            ..Cost::of(op, e.scores * (2.0 * e.features + 2.0 * e.outputs + 5.0))
        }
    }
}

/// The type of the heads of an operand that are read, as batch, head, position, feature.
fn read_type(op: OpView<'_>, i: usize, ty: &TensorType) -> OpResult<TensorType> {
    ensure!(
        ty.rank() == 4,
        "operands must have rank 4, found {}",
        ty.rank()
    );
    let mut dims = ty.dims.clone();
    if Attention::held(op, i).behind_positions {
        dims.swap(1, 2);
    }
    let (first, count) = (Attention::first(op)[i], Attention::heads(op));
    let end = first.saturating_add(count);
    let inside = dims[1].known().is_none_or(|heads| end as u64 <= heads);
    ensure!(
        first >= 0 && count >= 1 && inside,
        "`{ty}` has no {count} heads from head {first} on"
    );
    dims[1] = Dim::Known(count as u64);
    Ok(TensorType::new(ty.elem, dims))
}

/// The heads of an operand that are read, as batch, head, position, feature.
fn read(op: OpView<'_>, i: usize, x: &Tensor) -> Tensor {
    let held = Attention::held(op, i);
    let mut strides = tensor::kernel::strides(x.shape());
    let mut shape = x.shape().to_vec();
    if held.behind_positions {
        shape.swap(1, 2);
        strides.swap(1, 2);
    }
    shape[1] = Attention::heads(op) as usize;
    let first = held.first as isize * strides[1];
    tensor::kernel::strided(x, &shape, &strides, first)
}

/// What a `kernel.attention` or `nn.attention` computes; unknown extents count as 1.
#[derive(Copy, Clone, Debug)]
pub struct AttentionExtents {
    /// Heads of all batch entries.
    pub heads: f64,
    pub queries: f64,
    pub keys: f64,
    pub features: f64,
    pub outputs: f64,
    /// Pairs of a query and a key that it sees, in all heads.
    pub scores: f64,
}

impl AttentionExtents {
    pub fn of(op: OpView<'_>) -> AttentionExtents {
        let whole = op.name() == Attention::INFO.name;
        let extents = |i: usize| {
            let mut dims = op.operand_dims(i).to_vec();
            if whole && Attention::held(op, i).behind_positions {
                dims.swap(1, 2);
            }
            dims.into_iter()
                .map(|d| d.known().unwrap_or(1) as f64)
                .collect::<Vec<f64>>()
        };
        let (q, k, v) = (extents(0), extents(1), extents(2));
        let count = match whole {
            true => Attention::heads(op) as f64,
            false => q[1],
        };
        let (queries, keys) = (q[2], k[2]);
        let pairs = match Attention::causal(op) {
            false => queries * keys,
            true => {
                // Query i sees i + seen keys, until it sees all.
                let seen = Attention::offset(op) as f64 + 1.0;
                let some = (keys - seen).clamp(0.0, queries);
                some * seen + some * (some - 1.0).max(0.0) / 2.0 + (queries - some) * keys
            }
        };
        AttentionExtents {
            heads: q[0] * count,
            queries,
            keys,
            features: q[3],
            outputs: v[3],
            scores: q[0] * count * pairs,
        }
    }

    /// Bytes that are read and written, of an operand those heads that are read.
    pub fn bytes(&self, op: OpView<'_>) -> f64 {
        let rows = (self.queries + self.keys) * (self.features + self.outputs);
        let elements = self.heads * rows;
        let mask = Attention::mask(op).first();
        let mask = mask.map_or(0.0, |_| op.operand_elements(3));
        f64::from(op.operand_tensor(0).elem.bits()) / 8.0 * (elements + mask)
    }
}
