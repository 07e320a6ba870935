//! Products of two values: packing of the right side, and the product with it.

use crate::core::{Cost, Dim, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type};
use crate::op;

op! {
    /// `y` [B..., K, N] (or [B..., N, K] with `transpose`) in panels of 16 columns:
    /// [B..., ceil(N / 16), K, 16], filled up with zeros.
    "kernel.pack" => Pack {
        operands: [y: FLOAT_TENSOR],
        attributes: [transpose: Bool = false],
        results: [packed],
        traits: [Pure],
    }
}

/// Columns of a packed panel.
pub const PANEL: usize = 16;

impl OpDef for Pack {
    fn info(&self) -> &'static OpInfo {
        &Pack::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let y = op.operand_tensor(0);
        if y.rank() < 2 {
            return Err(OpError::new(format!(
                "expected rank 2 or more, found `{y}`"
            )));
        }
        let (batch, last) = y.dims.split_at(y.rank() - 2);
        let (k, n) = match Pack::transpose(op) {
            true => (last[1], last[0]),
            false => (last[0], last[1]),
        };
        let panels = n.map(|n| n.div_ceil(PANEL as u64));
        let packed = [panels, k, Dim::Known(PANEL as u64)];
        Ok(vec![Type::tensor(
            y.elem,
            batch.iter().copied().chain(packed),
        )])
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (shape, values) = (v[0].shape(), v[0].to_f64s());
        let rank = shape.len();
        let transpose = Pack::transpose(op);
        let (k, n) = match transpose {
            true => (shape[rank - 1], shape[rank - 2]),
            false => (shape[rank - 2], shape[rank - 1]),
        };
        let batch: usize = shape[..rank - 2].iter().product();
        let panels = n.div_ceil(PANEL);
        let mut out = vec![0.0; batch * panels * k * PANEL];
        for b in 0..batch {
            for l in 0..k {
                for j in 0..n {
                    let from = b * k * n + if transpose { j * k + l } else { l * n + j };
                    let to = ((b * panels + j / PANEL) * k + l) * PANEL + j % PANEL;
                    out[to] = values[from];
                }
            }
        }
        let packed = shape[..rank - 2].iter().copied().chain([panels, k, PANEL]);
        Ok(vec![Tensor::from_f64s(v[0].elem(), packed, out)])
    }
}

op! {
    /// `scale * (x · y)` for packed `y`: `x` is [B..., M, K], `y` as `kernel.pack` gives it for
    /// the same batch extents, the result [B..., M, `columns`].
    "kernel.matmul" => Matmul {
        operands: [x: FLOAT_TENSOR, y: FLOAT_TENSOR],
        attributes: [columns: Int, scale: Float = 1.0],
        results: [z],
        traits: [Pure],
    }
}

impl OpDef for Matmul {
    fn info(&self) -> &'static OpInfo {
        &Matmul::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (x, y) = (op.operand_tensor(0), op.operand_tensor(1));
        let rank = x.rank();
        if rank < 2 || y.rank() != rank + 1 || x.elem != y.elem {
            return Err(OpError::new(format!("`{x}` and `{y}` do not fit")));
        }
        let columns = u64::try_from(Matmul::columns(op)).unwrap_or(0);
        let panels = Dim::Known(columns.div_ceil(PANEL as u64));
        let wanted = x.dims[..rank - 2].iter().copied().chain([
            panels,
            x.dims[rank - 1],
            Dim::Known(PANEL as u64),
        ]);
        if wanted.zip(&y.dims).any(|(a, b)| !a.compatible(*b)) {
            return Err(OpError::new(format!(
                "`{x}` and packed `{y}` do not fit {columns} columns"
            )));
        }
        let mut dims = x.dims.clone();
        dims[rank - 1] = Dim::Known(columns);
        Ok(vec![Type::tensor(x.elem, dims)])
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (x, y) = (v[0].to_f64s(), v[1].to_f64s());
        let rank = v[0].rank();
        let (m, k) = (v[0].shape()[rank - 2], v[0].shape()[rank - 1]);
        let n = Matmul::columns(op) as usize;
        let packed = n.div_ceil(PANEL) * k * PANEL;
        let batch: usize = v[0].shape()[..rank - 2].iter().product();
        let mut out = Vec::with_capacity(batch * m * n);
        for b in 0..batch {
            let (x, y) = (&x[b * m * k..][..m * k], &y[b * packed..][..packed]);
            for i in 0..m {
                for j in 0..n {
                    let column = j / PANEL * k * PANEL + j % PANEL;
                    let products = (0..k).map(|l| x[i * k + l] * y[column + l * PANEL]);
                    out.push(products.sum::<f64>() * Matmul::scale(op));
                }
            }
        }
        let mut shape = v[0].shape().to_vec();
        shape[rank - 1] = n;
        Ok(vec![Tensor::from_f64s(v[0].elem(), shape, out)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let k = op.operand_dims(0).last().and_then(|d| d.known());
        Cost::of(op, 2.0 * op.result_elements(0) * k.unwrap_or(1) as f64)
    }
}
