//! Lowers the heavy `nn` ops on `f32` to `kernel` ops.
//!
//! ```text
//! nn.conv (channels last, constant weights)   => kernel.conv
//! nn.linear (constant weights)                => kernel.linear
//! nn.matmul, tensor.contract                  => kernel.pack and kernel.matmul
//! nn.attention (known extents)                => kernel.attention
//! nn.lstm, nn.gru (constant weights)          => kernel.linear and kernel.lstm or kernel.gru
//! tensor.contract of other elements           => tensor.broadcast, mul, reduce
//! tensor.window                               => one strided tensor.slice per position
//! ```
//!
//! Weights count as constant if they are computed from constants alone; such an expression is
//! left as it is for the target, which evaluates it while it packs.

use std::collections::HashSet;

use lepid_ir::core::{
    Attr, Builder, Dim, Elem, Module, Num, Op, OpError, OpResult, Tensor, Trait, Type, Value,
};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{kernel, nn, tensor};

use crate::core::{Changed, PassCx, PassDef, PassResult, Values};
use crate::transform::lower::attention::attention;
use crate::transform::lower::recurrent;
use crate::transform::memory_plan::is_open;

pub const PASS: PassDef = PassDef {
    name: "nn-to-kernel",
    summary: "Lowers convolutions, products, attention and recurrences to kernels.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk() {
        if kernel::is_inside_kernel(module, op) {
            continue;
        }
        let loc = module.loc(op).clone();
        let mut b = Builder::before(module, op);
        let lowered = match b.module.op_name(op) {
            "nn.conv" => conv(&mut b, op),
            "nn.linear" => linear(&mut b, op),
            "nn.matmul" => matmul(&mut b, op),
            "tensor.contract" => contract(&mut b, op),
            "tensor.window" => window(&mut b, op),
            "nn.attention" => attention(&mut b, op),
            "nn.lstm" => recurrent::lstm(&mut b, op),
            "nn.gru" => recurrent::gru(&mut b, op),
            _ => Ok(None),
        };
        if let Some(values) = lowered.map_err(|error| vec![error.at(loc)])? {
            module.replace_op(op, &values);
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// Whether a value is computed from constants alone, and its extents are known without computing
/// it.
pub fn is_constant_expression(module: &Module, value: Value) -> bool {
    let mut seen = HashSet::from([value]);
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        let Some(op) = keeps_constant(module, value) else {
            return false;
        };
        todo.extend(module.operands(op).iter().filter(|&&v| seen.insert(v)));
    }
    true
}

/// All values of which [`is_constant_expression`] holds, for those who ask of many.
pub(crate) fn constant_expressions(module: &Module) -> HashSet<Value> {
    let mut constants = HashSet::new();
    for op in module.walk() {
        for &result in module.results(op) {
            let operands = module.operands(op);
            if keeps_constant(module, result).is_some()
                && operands.iter().all(|v| constants.contains(v))
            {
                constants.insert(result);
            }
        }
    }
    constants
}

/// The op that makes the value, if the value is constant wherever the operands are.
fn keeps_constant(module: &Module, value: Value) -> Option<Op> {
    let ty = module.value_type(value).as_tensor();
    if ty.is_some_and(|ty| ty.dims.iter().any(|d| d.known().is_none())) {
        return None;
    }
    let op = module.defining_op(value)?;
    let view = module.view(op);
    (view.info().has(Trait::Pure) && view.regions().is_empty()).then_some(op)
}

fn conv(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let (x, w) = (view.operand_tensor(0), view.operand_tensor(1));
    let spatial = x.rank().saturating_sub(2);
    let ready = x.elem == Elem::F32
        && nn::Conv::layout(view) == "nhwc"
        && matches!(spatial, 1 | 2)
        && is_constant_expression(b.module, view.operand(1));
    if !ready {
        return Ok(None);
    }
    let mut operands = view.operands().to_vec();
    let has_bias = operands.len() == 3;
    let mut stride = nn::Conv::stride(view);
    let mut dilation = nn::Conv::dilation(view);
    let mut pad = nn::Conv::pad(view);
    let groups = nn::Conv::groups(view);
    let result = view.result_type(0);
    if spatial == 1 {
        // One row of pixels.
        let (xd, wd) = (x.dims.clone(), w.dims.clone());
        operands[0] = build::reshape(b, operands[0], &[xd[0], Dim::Known(1), xd[1], xd[2]])?;
        operands[1] = build::reshape(b, operands[1], &[wd[0], wd[1], Dim::Known(1), wd[2]])?;
        stride.insert(0, 1);
        dilation.insert(0, 1);
        pad = vec![0, pad[0], 0, pad[1]];
    }
    let attrs = [
        ("stride", stride.into()),
        ("dilation", dilation.into()),
        ("pad", pad.into()),
        ("groups", groups.into()),
        ("bias", has_bias.into()),
    ];
    let mut y = b.one(&kernel::Conv, &operands, &attrs)?;
    if spatial == 1 {
        y = build::reshape(b, y, dims_of(result))?;
    }
    Ok(Some(vec![y]))
}

fn linear(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    if view.operand_tensor(0).elem != Elem::F32 {
        return Ok(None);
    }
    let operands = view.operands().to_vec();
    let has_bias = operands.len() == 3;
    if is_constant_expression(b.module, operands[1]) {
        let y = b.one(&kernel::Linear, &operands, &[("bias", has_bias.into())])?;
        return Ok(Some(vec![y]));
    }
    let result = view.result_type(0);
    if is_open(b.module, operands[0]) || is_open(b.module, operands[1]) {
        return Ok(None);
    }
    let (k, n) = {
        let w = view.operand_dims(1);
        (w[0], w[1])
    };
    let rows = view
        .operand_dims(0)
        .iter()
        .rev()
        .skip(1)
        .fold(Dim::Known(1), |n, d| n.times(*d));
    let x = build::reshape(b, operands[0], &[rows, k])?;
    let mut y = packed_product(b, x, operands[1], false, n)?;
    y = build::reshape(b, y, dims_of(result))?;
    if has_bias {
        let bias = build::broadcast_to(b, operands[2], dims_of(result))?;
        y = b.one(&tensor::Add, &[y, bias], &[])?;
    }
    Ok(Some(vec![y]))
}

/// `x` [B..., M, K] times `y` [B..., K, N] or, transposed, [B..., N, K].
fn packed_product(
    b: &mut Builder<'_>,
    x: Value,
    y: Value,
    transpose: bool,
    n: Dim,
) -> OpResult<Value> {
    let Some(columns) = n.known() else {
        return Err(OpError::new("the extents of a product must be known here")
            .help("bind the dimensions first, with `refine`"));
    };
    // A transposition of the last two axes is free while packing.
    let (y, transpose) = match b.module.defining_op(y) {
        Some(op) if b.module.op_name(op) == "tensor.transpose" && swaps_last(b.module, op) => {
            (b.module.operands(op)[0], !transpose)
        }
        _ => (y, transpose),
    };
    let x_dims = build::dims(b, x);
    if matches!(x_dims[x_dims.len() - 2], Dim::Known(..=MOST_UNPACKED_ROWS)) {
        return unpacked_product(b, x, y, transpose);
    }
    let packed = b.one(&kernel::Pack, &[y], &[("transpose", transpose.into())])?;
    b.one(
        &kernel::Matmul,
        &[x, packed],
        &[("columns", (columns as i64).into())],
    )
}

/// Packing reads and writes the right side once; so few rows read it less often than that.
const MOST_UNPACKED_ROWS: u64 = 2;

/// The same product as a nest of its own: all products side by side, summed.
fn unpacked_product(b: &mut Builder<'_>, x: Value, y: Value, transpose: bool) -> OpResult<Value> {
    let (xd, yd) = (build::dims(b, x), build::dims(b, y));
    let rank = xd.len() as i64;
    let (batch, m) = (rank - 2, xd[xd.len() - 2]);
    // [B..., M, N, K], or [B..., M, K, N]: the last axis of `y` stays the last.
    let all: Vec<Dim> = xd[..batch as usize]
        .iter()
        .copied()
        .chain([m, yd[yd.len() - 2], yd[yd.len() - 1]])
        .collect();
    let depth = if transpose { rank } else { rank - 1 };
    let mut spread = |value: Value, axes: Vec<i64>| {
        let attrs = [
            ("shape", Attr::dims(all.iter().copied())),
            ("axes", axes.into()),
        ];
        b.one(&tensor::Broadcast, &[value], &attrs)
    };
    let xb = spread(x, (0..=batch).chain([depth]).collect())?;
    let yb = spread(y, (0..batch).chain([rank - 1, rank]).collect())?;
    let products = b.one(&tensor::Mul, &[xb, yb], &[])?;
    build::reduce(b, products, "sum", &[depth as usize])
}

fn swaps_last(module: &Module, transpose: Op) -> bool {
    let perm = tensor::Transpose::perm(module.view(transpose));
    let rank = perm.len();
    let expected = (0..rank as i64 - 2).chain([rank as i64 - 1, rank as i64 - 2]);
    rank >= 2 && perm.iter().copied().eq(expected)
}

fn matmul(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let (x, y) = (view.operand_tensor(0), view.operand_tensor(1));
    if x.elem != Elem::F32 {
        return Ok(None);
    }
    let (xd, yd) = (x.dims.clone(), y.dims.clone());
    let operands = view.operands().to_vec();
    if yd.len() == 2 && is_constant_expression(b.module, operands[1]) {
        return Ok(Some(vec![b.one(&kernel::Linear, &operands, &[])?]));
    }
    let out = dims_of(view.result_type(0)).to_vec();
    if is_open(b.module, operands[0]) || is_open(b.module, operands[1]) {
        return Ok(None);
    }
    let batch = &out[..out.len() - 2];
    let full = |tail: &[Dim]| -> Vec<Dim> { batch.iter().chain(tail).copied().collect() };
    let x_full = full(&xd[xd.len() - 2..]);
    let y_full = full(&yd[yd.len() - 2..]);
    let x = match x_full == xd {
        true => operands[0],
        false => build::broadcast_to(b, operands[0], &x_full)?,
    };
    let y = match y_full == yd {
        true => operands[1],
        false => build::broadcast_to(b, operands[1], &y_full)?,
    };
    Ok(Some(vec![packed_product(
        b,
        x,
        y,
        false,
        yd[yd.len() - 1],
    )?]))
}

pub(super) fn dims_of(ty: Type) -> &'static [Dim] {
    match ty.as_tensor() {
        Some(t) => &t.dims,
        None => lepid_ir::bug!("{ty} is not a tensor"),
    }
}

fn axes(list: Vec<i64>) -> Vec<usize> {
    list.into_iter().map(|a| a as usize).collect()
}

fn contract(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let (x, y) = (view.operand(0), view.operand(1));
    let (xd, yd) = (view.operand_dims(0), view.operand_dims(1));
    let (bx, by) = (
        axes(tensor::Contract::batch_x(view)),
        axes(tensor::Contract::batch_y(view)),
    );
    let (cx, cy) = (
        axes(tensor::Contract::contract_x(view)),
        axes(tensor::Contract::contract_y(view)),
    );
    let free = |rank: usize, used: [&Vec<usize>; 2]| -> Vec<usize> {
        (0..rank)
            .filter(|a| !used.iter().any(|u| u.contains(a)))
            .collect()
    };
    let (fx, fy) = (free(xd.len(), [&bx, &cx]), free(yd.len(), [&by, &cy]));
    let result = view.result_type(0);
    let elem = result.elem().unwrap_or(Elem::F32);
    let plain = view.operand_type(0).elem() == Some(elem);
    // Of unknown extents only the rows of the left side may be, and there is no way to name more
    // than one of them in a shape; the target has loops for the rest.
    if is_open(b.module, x) || is_open(b.module, y) || is_open(b.module, view.result(0)) {
        let rows = xd.iter().zip(0..).filter(|(d, _)| d.known().is_none());
        let only_rows = rows.map(|(_, a)| a).eq(fx.iter().copied().take(1)) && fx.len() == 1;
        if elem != Elem::F32 || !plain || !bx.is_empty() || !only_rows || is_open(b.module, y) {
            return Ok(None);
        }
    }
    let product = |d: &[Dim], a: &[usize]| a.iter().fold(Dim::Known(1), |n, &i| n.times(d[i]));
    if elem == Elem::F32 && plain {
        let order = |parts: [&[usize]; 3]| -> Vec<usize> { parts.concat() };
        let batch: Vec<Dim> = bx.iter().map(|&a| xd[a]).collect();
        let (m, k, n) = (product(xd, &fx), product(xd, &cx), product(yd, &fy));
        let xt = build::transpose(b, x, &order([&bx, &fx, &cx]))?;
        let yt = build::transpose(b, y, &order([&by, &cy, &fy]))?;
        let shape = |tail: [Dim; 2]| -> Vec<Dim> { batch.iter().copied().chain(tail).collect() };
        let xm = build::reshape(b, xt, &shape([m, k]))?;
        let ym = build::reshape(b, yt, &shape([k, n]))?;
        let z = packed_product(b, xm, ym, false, n)?;
        return Ok(Some(vec![build::reshape(b, z, dims_of(result))?]));
    }
    // Everything else: all products side by side, summed in one nest.
    let all: Vec<Dim> = bx
        .iter()
        .chain(&fx)
        .map(|&a| xd[a])
        .chain(fy.iter().map(|&a| yd[a]))
        .chain(cx.iter().map(|&a| xd[a]))
        .collect();
    let (batch, mine, theirs) = (bx.len(), fx.len(), fy.len());
    let place = |operand: Value, parts: [&[usize]; 3], at: Vec<i64>, b: &mut Builder<'_>| {
        let wide = build::cast(b, operand, elem)?;
        let moved = build::transpose(b, wide, &parts.concat())?;
        let attrs = [
            ("shape", Attr::dims(all.iter().copied())),
            ("axes", at.into()),
        ];
        b.one(&tensor::Broadcast, &[moved], &attrs)
    };
    let total = all.len() as i64;
    let (first_y, first_k) = ((batch + mine) as i64, (batch + mine + theirs) as i64);
    let x_axes: Vec<i64> = (0..first_y).chain(first_k..total).collect();
    let y_axes: Vec<i64> = (0..batch as i64).chain(first_y..total).collect();
    let xb = place(x, [&bx, &fx, &cx], x_axes, b)?;
    let yb = place(y, [&by, &fy, &cy], y_axes, b)?;
    let z = b.one(&tensor::Mul, &[xb, yb], &[])?;
    let summed: Vec<i64> = (first_k..total).collect();
    let attrs = [("kind", "sum".into()), ("axes", summed.into())];
    Ok(Some(vec![b.one(&tensor::Reduce, &[z], &attrs)?]))
}

fn window(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let x = view.operand(0);
    let elem = view.operand_tensor(0).elem;
    let (size, stride) = (tensor::Window::size(view), tensor::Window::stride(view));
    let dilation = tensor::Window::dilation(view);
    let (low, high) = (tensor::Window::low(view), tensor::Window::high(view));
    let Some(out) = view.result_tensor(0).known_dims() else {
        return Ok(None);
    };
    let (def, fill): (&'static dyn lepid_ir::core::OpDef, Num) = match tensor::Window::kind(view) {
        "sum" => (&tensor::Add, Num::Int(0)),
        "max" => (&tensor::Max, tensor::kernel::extremes(elem).0),
        _ => (&tensor::Min, tensor::kernel::extremes(elem).1),
    };
    let fill = constant(b, Tensor::scalar(elem, fill))?;
    let attrs = [("low", low.into()), ("high", high.into())];
    let padded = b.one(&tensor::Pad, &[x, fill], &attrs)?;
    let mut sum: Option<Value> = None;
    let positions: i64 = size.iter().product();
    for position in 0..positions {
        let mut rest = position;
        let mut start = vec![0; size.len()];
        for axis in (0..size.len()).rev() {
            start[axis] = rest % size[axis] * dilation[axis];
            rest /= size[axis];
        }
        let stop: Vec<i64> = (0..size.len())
            .map(|a| match out[a] {
                0 => start[a],
                n => start[a] + (n as i64 - 1) * stride[a] + 1,
            })
            .collect();
        let attrs = [
            ("start", start.into()),
            ("stop", stop.into()),
            ("step", stride.clone().into()),
        ];
        let part = b.one(&tensor::Slice, &[padded], &attrs)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => b.one(def, &[sum, part], &[])?,
        });
    }
    Ok(sum.map(|s| vec![s]))
}
