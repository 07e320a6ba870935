//! Pools over windows of the spatial axes, and the mean over whole axes.

use crate::core::{
    Builder, Cost, Dim, Elem, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Shape, Tensor,
    TensorType, Type, Value,
};
use crate::dialects::tensor::{self as t, build, shapes};
use crate::op;

use super::expand::{expanded, with};
use super::rules::{ensure, int_range, one, operand_types, shape_of, strides, tensor_types};
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
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let pool = Pool::of_max(op, x[0].rank())?;
        let shape = shape_of(&pool.result(&tensor_types(x)[0])?)?;
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let least = least(x[0].elem());
        let greater = |sum: f64, x: f64| if x > sum || x.is_nan() { x } else { sum };
        let y = pool.fold(&x[0], &shape, least, greater, |y, _| y);
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let x = view.operand(0);
        let pool = Pool::of_max(view, view.operand_tensor(0).rank())?;
        let Some(high) = pool.reach_at_end(&view.operand_tensor(0).dims) else {
            return Ok(None);
        };
        let y = pool.build(b, x, "max", (&pool.window.low, &high))?;
        expanded(b, op, y)
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
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let pool = Pool::of_avg(op, x[0].rank())?;
        let shape = shape_of(&pool.result(&tensor_types(x)[0])?)?;
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let padded = AvgPool::include_pad(op);
        let y = pool.fold(
            &x[0],
            &shape,
            0.0,
            |sum, x| sum + x,
            |sum, seen| sum / if padded { seen.padded } else { seen.inside }.max(1) as f64,
        );
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let x = view.operand(0);
        let include_pad = AvgPool::include_pad(view);
        let pool = Pool::of_avg(view, view.operand_tensor(0).rank())?;
        let window = &pool.window;
        let Some(high) = pool.reach_at_end(&view.operand_tensor(0).dims) else {
            return Ok(None);
        };
        let sum = pool.build(b, x, "sum", (&window.low, &high))?;
        let padding = window.low.iter().chain(&window.high).any(|n| *n > 0);
        let beyond = high != window.high;
        let y = match (include_pad || !padding) && !beyond {
            true => build::with_scalar(b, &t::Div, sum, window.positions() as f64)?,
            false => {
                let ones = pool.ones(b, x)?;
                let zeros = vec![0; high.len()];
                let counts = if include_pad {
                    let (low, end) = (
                        pool.per_axis(b, x, &window.low),
                        pool.per_axis(b, x, &window.high),
                    );
                    let ones = build::pad(b, ones, 1.0, &low, &end)?;
                    let rest: Vec<usize> =
                        high.iter().zip(&window.high).map(|(a, b)| a - b).collect();
                    pool.build(b, ones, "sum", (&zeros, &rest))?
                } else {
                    let counts = pool.build(b, ones, "sum", (&window.low, &high))?;
                    build::with_scalar(b, &t::Max, counts, 1.0)?
                };
                with(b, &t::Div, sum, counts)?
            }
        };
        expanded(b, op, y)
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

impl Pool {
    /// The padding at the end of each spatial axis that gives all places of the window, with
    /// `ceil` maybe more than the declared one. `None` if that depends on open extents.
    fn reach_at_end(&self, dims: &[Dim]) -> Option<Vec<usize>> {
        let window = &self.window;
        let axes = self.layout.spatial_of(dims).iter().enumerate();
        axes.map(|(i, &dim)| {
            let (stride, high) = (window.stride[i], window.high[i]);
            match (self.ceil, dim) {
                (false, _) => Some(high),
                (true, Dim::Known(n)) => {
                    let places = window.places(i, dim, true).ok()?.known()?;
                    let end = u128::from(places - 1) * stride as u128 + window.reach(i) as u128;
                    let padded = u128::from(n) + (window.low[i] + high) as u128;
                    // Less than a stride.
                    Some(high + end.saturating_sub(padded) as usize)
                }
                // Padding by less than a stride rounds up; no window starts beyond the input
                // if the declared padding is small enough.
                (true, _) if high + stride <= window.reach(i) => Some(high + stride - 1),
                (true, _) => None,
            }
        })
        .collect()
    }

    /// A list with an entry per axis of `x`, 0 where the axis is not spatial.
    fn per_axis(&self, b: &Builder<'_>, x: Value, spatial: &[usize]) -> Vec<i64> {
        self.list(b, x, spatial, 0)
    }

    fn list(&self, b: &Builder<'_>, x: Value, spatial: &[usize], other: i64) -> Vec<i64> {
        let mut list = vec![other; build::rank(b, x)];
        for (i, &n) in spatial.iter().enumerate() {
            list[self.layout.first + i] = n as i64;
        }
        list
    }

    /// The fold of the window over `x` with padding before and after.
    fn build(
        &self,
        b: &mut Builder<'_>,
        x: Value,
        kind: &str,
        (low, high): (&[usize], &[usize]),
    ) -> OpResult<Value> {
        let window = &self.window;
        let attrs = [
            ("kind", kind.into()),
            ("size", self.list(b, x, &window.size, 1).into()),
            ("stride", self.list(b, x, &window.stride, 1).into()),
            ("dilation", self.list(b, x, &window.dilation, 1).into()),
            ("low", self.list(b, x, low, 0).into()),
            ("high", self.list(b, x, high, 0).into()),
        ];
        b.one(&t::Window, &[x], &attrs)
    }

    /// Ones in the shape of one channel of one sample, or of all of `x` if its extents are open.
    fn ones(&self, b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
        let dims = build::dims(b, x);
        let spatial = self.layout.spatial_of(&dims);
        let one = self.layout.dims(Dim::Known(1), Dim::Known(1), spatial);
        match one.contains(&Dim::Unknown) {
            true => build::splat_like(b, x, 1.0),
            false => {
                let value = build::scalar(b, build::elem(b, x), 1.0)?;
                build::broadcast_to(b, value, &one)
            }
        }
    }

    /// Folds what each window sees, in the order of the result.
    fn fold(
        &self,
        x: &Tensor,
        shape: &Shape,
        first: f64,
        step: impl Fn(f64, f64) -> f64,
        finish: impl Fn(f64, Seen) -> f64,
    ) -> Vec<f64> {
        let layout = self.layout;
        let spatial = layout.spatial_of(x.shape());
        let (x_strides, y_strides) = (strides(x.shape()), strides(shape));
        let last = layout.first + layout.spatial - 1;
        let values = x.to_f64s();
        let places: usize = layout.spatial_of(shape).iter().product();
        let mut out = vec![0.0; shape.iter().product()];
        for place in 0..places {
            let (offsets, seen) = self.see(place, layout.spatial_of(shape), spatial);
            let y_place = place * y_strides[last];
            for sample in 0..shape[0] {
                for channel in 0..shape[layout.channel] {
                    let at =
                        |strides: &[usize]| sample * strides[0] + channel * strides[layout.channel];
                    let base = at(&x_strides);
                    let seen_values = offsets.iter().map(|o| values[base + o * x_strides[last]]);
                    let folded = seen_values.fold(first, &step);
                    out[at(&y_strides) + y_place] = finish(folded, seen);
                }
            }
        }
        out
    }

    /// The positions of the input that a window sees, as row-major spatial indices.
    fn see(&self, mut place: usize, places: &[usize], input: &[usize]) -> (Vec<usize>, Seen) {
        let window = &self.window;
        let mut corner = vec![0; places.len()];
        for i in (0..places.len()).rev() {
            corner[i] = place % places[i] * window.stride[i];
            place /= places[i];
        }
        let mut offsets = vec![0];
        let mut padded = 1;
        for i in 0..places.len() {
            let taps = (0..window.size[i]).map(|t| corner[i] + t * window.dilation[i]);
            let inside = taps.clone().filter_map(|t| t.checked_sub(window.low[i]));
            let inside: Vec<usize> = inside.filter(|t| *t < input[i]).collect();
            let end = input[i] + window.low[i] + window.high[i];
            padded *= taps.filter(|t| *t < end).count();
            let rows = offsets.iter();
            offsets = rows
                .flat_map(|o| inside.iter().map(move |t| o * input[i] + t))
                .collect();
        }
        let inside = offsets.len();
        (offsets, Seen { inside, padded })
    }
}

/// How many positions of a window lie in the input, and how many in the input with padding.
#[derive(Copy, Clone)]
struct Seen {
    inside: usize,
    padded: usize,
}

/// The value that is the greatest of none.
fn least(elem: Elem) -> f64 {
    match elem.is_float() {
        true => f64::NEG_INFINITY,
        false => int_range(elem).0 as f64,
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
        one(mean_type(op, op.operand_tensor(0))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = shape_of(&mean_type(op, &tensor_types(x)[0])?)?;
        let from = x[0].shape();
        let axes = shapes::axes("axes", &Mean::axes(op), from.len())?;
        let kept: Vec<usize> = (0..from.len())
            .map(|i| if axes.contains(&i) { 1 } else { from[i] })
            .collect();
        let (from_strides, to_strides) = (strides(from), strides(&kept));
        let count: usize = axes.iter().map(|&a| from[a]).product();
        let mut sums = vec![0.0; shape.iter().product()];
        for (i, value) in x[0].to_f64s().into_iter().enumerate() {
            let along = |a: usize| i / from_strides[a] % from[a] * to_strides[a];
            let at: usize = (0..from.len())
                .filter(|a| !axes.contains(a))
                .map(along)
                .sum();
            sums[at] += value;
        }
        sums.iter_mut().for_each(|sum| *sum /= count as f64);
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, sums)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let x = view.operand(0);
        let axes = shapes::axes("axes", &Mean::axes(view), view.operand_tensor(0).rank())?;
        let y = match Mean::keep(view) {
            true => build::mean_keep(b, x, &axes)?,
            false => build::mean(b, x, &axes)?,
        };
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(0))
    }
}

fn mean_type(op: OpView<'_>, x: &TensorType) -> OpResult<TensorType> {
    let axes = shapes::axes("axes", &Mean::axes(op), x.rank())?;
    let keep = Mean::keep(op);
    let dims = x.dims.iter().enumerate();
    let dims = dims.filter_map(|(i, &d)| match (axes.contains(&i), keep) {
        (false, _) => Some(d),
        (true, true) => Some(Dim::Known(1)),
        (true, false) => None,
    });
    Ok(TensorType::new(x.elem, dims))
}
