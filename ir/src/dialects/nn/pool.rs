//! Pools over windows of the spatial axes, and the mean over whole axes.

use crate::core::{Cost, Dim, OpDef, OpInfo, OpResult, OpView, TensorType, Type};
use crate::op;

use super::rules::{axes, ensure, one, operand_types};
use super::window::{Layout, Window};

op! {
    /// The greatest element of each window; positions in the padding do not count.
    ///
    /// A window without any position gives the least value. `pad` lists all lows, then all highs.
    /// With `ceil`, a last window may stick out at the end if it starts before the end's padding.
    /// Not for 64-bit integers.
    "nn.max_pool" => MaxPool {
        operands: [x: NUM_TENSOR],
        attributes: [kernel: Ints, stride: Ints, dilation: Ints, pad: Ints, ceil: Bool = false, layout: Str = "nchw"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for MaxPool {
    fn info(&self) -> &'static OpInfo {
        &MaxPool::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = operand_types(op);
        ensure!(
            x[0].elem.is_float() || x[0].elem.bits() <= 32,
            "pools of `{}` are not defined",
            x[0].elem
        );
        let pool = Pool::of_max(op, x[0].rank())?;
        one(pool.result(&x[0])?)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(
            op,
            MaxPool::kernel(op).iter().product::<i64>().unsigned_abs(),
        )
    }
}

op! {
    /// The mean of each window: the sum of its positions inside `x`, divided by their number.
    ///
    /// With `include_pad`, positions in the padding count in the number (those beyond it, which
    /// `ceil` may bring, do not). A window without any position gives 0.
    "nn.avg_pool" => AvgPool {
        operands: [x: FLOAT_TENSOR],
        attributes: [kernel: Ints, stride: Ints, dilation: Ints, pad: Ints, ceil: Bool = false, include_pad: Bool = false, layout: Str = "nchw"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for AvgPool {
    fn info(&self) -> &'static OpInfo {
        &AvgPool::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = operand_types(op);
        let pool = Pool::of_avg(op, x[0].rank())?;
        one(pool.result(&x[0])?)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(
            op,
            AvgPool::kernel(op).iter().product::<i64>().unsigned_abs(),
        )
    }
}

/// The checked attributes of a pool.
struct Pool {
    layout: Layout,
    window: Window,
    ceil: bool,
}

impl Pool {
    fn of_max(op: OpView<'_>, rank: usize) -> OpResult<Pool> {
        let layout = Layout::new(MaxPool::layout(op), rank)?;
        let lists = [
            MaxPool::kernel(op),
            MaxPool::stride(op),
            MaxPool::dilation(op),
            MaxPool::pad(op),
        ];
        Pool::new(layout, &lists, MaxPool::ceil(op))
    }

    fn of_avg(op: OpView<'_>, rank: usize) -> OpResult<Pool> {
        let layout = Layout::new(AvgPool::layout(op), rank)?;
        let lists = [
            AvgPool::kernel(op),
            AvgPool::stride(op),
            AvgPool::dilation(op),
            AvgPool::pad(op),
        ];
        Pool::new(layout, &lists, AvgPool::ceil(op))
    }

    fn new(
        layout: Layout,
        [kernel, stride, dilation, pad]: &[Vec<i64>; 4],
        ceil: bool,
    ) -> OpResult<Pool> {
        ensure!(
            kernel.len() == layout.spatial,
            "`kernel` must have {} entries, found {}",
            layout.spatial,
            kernel.len()
        );
        let window = Window::new(kernel, stride, dilation, pad)?;
        Ok(Pool {
            layout,
            window,
            ceil,
        })
    }

    fn result(&self, x: &TensorType) -> OpResult<TensorType> {
        let spatial = self
            .window
            .all_places(self.layout.spatial_of(&x.dims), self.ceil)?;
        let dims = self
            .layout
            .dims(x.dims[0], x.dims[self.layout.channel], &spatial);
        Ok(TensorType::new(x.elem, dims))
    }
}

op! {
    /// The mean over `axes`, which vanish, or stay with extent 1 if `keep`.
    "nn.mean" => Mean {
        operands: [x: FLOAT_TENSOR],
        attributes: [axes: Ints, keep: Bool = false],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Mean {
    fn info(&self) -> &'static OpInfo {
        &Mean::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let axes = axes(&Mean::axes(op), x.rank())?;
        let keep = Mean::keep(op);
        let dims = x.dims.iter().enumerate();
        let dims = dims.filter_map(|(i, &d)| match (axes.contains(&i), keep) {
            (false, _) => Some(d),
            (true, true) => Some(Dim::Known(1)),
            (true, false) => None,
        });
        one(TensorType::new(x.elem, dims))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(0))
    }
}
