//! The constant data of a program: raw constants and weights packed for the microkernels.
//!
//! Code generation asks for items and gets offsets; the bytes are made afterwards, one item at a
//! time, so that no more than one layer exists unpacked beside the packed data.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lepid_ir::core::{Bytes, Module, Tensor, Value};
use lepid_ir::dialects::kernel::PANEL;
use lepid_ir::dialects::tensor;
use lepid_ir::interp;
use lepid_ukernels::args::PackRecurrentArgs;
use lepid_ukernels::strassen;
use lepid_ukernels::winograd::{Packing, Scheme};
use lepid_ukernels::{AlignedBuf, Isa, Table};

use crate::eight_bits;

/// How an item is made from the value of a constant expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Layout {
    /// As it is.
    Raw,
    /// A matrix [K, N], or [N, K] if `transpose`, in panels of 16 columns.
    Panels { transpose: bool },
    /// A matrix as for `Panels`, as sums of its quadrants.
    Strassen { transpose: bool },
    /// Convolution weights [O, I / groups, kh, kw]: per group, panels of rows (tap, channel).
    Conv { groups: usize },
    /// Convolution weights [O, I, 3, 3], transformed.
    Winograd(Scheme),
    /// Depthwise weights `[C, 1, kh, kw]` as `[tap, C]`.
    Depthwise,
    /// Indices as offsets below an extent, where they are clamped.
    Offsets { extent: usize },
    /// A matrix [K, N] of quantised weights: scales, one for each column of `block` rows, and
    /// integers of eight bits in panels of 16 columns.
    EightBits { block: usize },
    /// Gates `first..first + gates` of recurrent weights [G H, H], in the order of the cells.
    Recurrent { first: usize, gates: usize },
}

struct Item {
    value: Value,
    /// Factors for the slices along the first axis, applied while packing.
    scale: Option<Value>,
    layout: Layout,
    offset: usize,
    bytes: usize,
}

/// The items that a program needs, in the order of asking.
#[derive(Default)]
pub(crate) struct Weights {
    items: Vec<Item>,
    known: HashMap<(Value, Layout), usize>,
    bytes: usize,
}

/// Packed data starts on a cache line.
const ALIGN: usize = 64;

impl Weights {
    /// The offset of a constant expression in the given layout.
    pub(crate) fn place(&mut self, module: &Module, value: Value, layout: Layout) -> usize {
        if let Some(&offset) = self.known.get(&(value, layout.clone())) {
            return offset;
        }
        let asked = value;
        let shape: Vec<usize> = crate::codegen::nest::dims(module, value)
            .iter()
            .map(|&d| d as usize)
            .collect();
        let count: usize = shape.iter().product();
        let bytes = match &layout {
            Layout::Raw | Layout::Depthwise => {
                count * crate::codegen::nest::elem(module, value).bytes()
            }
            Layout::Panels { transpose } => {
                let (k, n) = depth_and_columns(&shape, *transpose);
                4 * k * n.next_multiple_of(PANEL)
            }
            Layout::Strassen { transpose } => {
                let (k, n) = depth_and_columns(&shape, *transpose);
                4 * strassen::packed_len(k, n)
            }
            Layout::Conv { groups } => {
                let k: usize = shape[1..].iter().product();
                4 * groups * k * (shape[0] / groups).next_multiple_of(PANEL)
            }
            Layout::Winograd(scheme) => 4 * scheme.packed_len(shape[1], shape[0]),
            Layout::Offsets { .. } => 4 * count,
            Layout::EightBits { block } => eight_bits::packed_bytes(shape[0], shape[1], *block),
            Layout::Recurrent { gates, .. } => {
                4 * lepid_ukernels::recurrent_packed_len(*gates, shape[1])
            }
        };
        let (value, scale) = match layout {
            Layout::Conv { .. } | Layout::Winograd(_) | Layout::Depthwise => {
                peel_scale(module, value)
            }
            Layout::Raw
            | Layout::Panels { .. }
            | Layout::Strassen { .. }
            | Layout::Offsets { .. }
            | Layout::EightBits { .. }
            | Layout::Recurrent { .. } => (value, None),
        };
        let offset = self.bytes;
        self.bytes = (offset + bytes).next_multiple_of(ALIGN);
        self.known.insert((asked, layout.clone()), offset);
        self.items.push(Item {
            value,
            scale,
            layout,
            offset,
            bytes,
        });
        offset
    }

    /// Makes all items.
    pub(crate) fn pack(&self, module: &Module) -> Result<Bytes, String> {
        // Every level packs alike, so the level that is always there does it for all.
        let Some(kernels) = lepid_ukernels::table(Isa::Scalar) else {
            return Err("there are no scalar kernels".into());
        };
        // Kernels read whole lines past the last panel.
        let mut buffer = AlignedBuf::new_zeroed(self.bytes + ALIGN);
        for item in &self.items {
            if let Layout::EightBits { block } = item.layout {
                let to = &mut buffer.as_mut_slice()[item.offset..][..item.bytes];
                eight_bits::fill(module, item.value, block, to)?;
                release(module, item.value);
                continue;
            }
            let evaluate = |value: Value| match interp::eval_constant(module, value) {
                Some(tensor) => Ok(tensor),
                None => Err(format!(
                    "a weight of type {} cannot be evaluated",
                    module.value_type(value)
                )),
            };
            let tensor = evaluate(item.value)?;
            let scale = item.scale.map(evaluate).transpose()?;
            let to = &mut buffer.as_mut_slice()[item.offset..][..item.bytes];
            fill(kernels, &tensor, scale.as_ref(), &item.layout, to);
            release(module, item.value);
        }
        struct Owner(AlignedBuf);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.as_slice()
            }
        }
        let len = buffer.as_slice().len();
        Ok(Bytes::from_owner(
            std::sync::Arc::new(Owner(buffer)),
            0..len,
        ))
    }
}

/// Lets go of the constants that a packed item was made from. Where one is read once more, its pages
/// come from the file again.
pub(crate) fn release(module: &Module, value: Value) {
    let mut seen = HashSet::from([value]);
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        if let Some(constant) = module.constant_value(value) {
            constant.data().release();
        } else if let Some(op) = module.defining_op(value) {
            todo.extend(module.operands(op).iter().filter(|&&v| seen.insert(v)));
        }
    }
}

/// Packs a tensor, each slice along the first axis times its element of `scale`.
fn fill(kernels: &Table, tensor: &Tensor, scale: Option<&Tensor>, layout: &Layout, to: &mut [u8]) {
    let shape = tensor.shape();
    match layout {
        Layout::Raw => return to.copy_from_slice(tensor.bytes()),
        Layout::Offsets { extent } => {
            let last = (*extent - 1) as f64;
            for (index, to) in tensor.to_f64s().into_iter().zip(to.chunks_exact_mut(4)) {
                to.copy_from_slice(&(index.clamp(0.0, last) as u32).to_ne_bytes());
            }
            return;
        }
        _ => {}
    }
    // The buffer is aligned to cache lines, and all offsets are.
    let to: &mut [f32] = bytemuck::cast_slice_mut(to);
    let slices = Slices::of(tensor, scale);
    match layout {
        // The largest weights, which are never copied whole.
        Layout::Conv { groups } => return pack_conv(&slices, shape, *groups, to),
        Layout::Winograd(scheme) => {
            let packing = Packing::new(*scheme, shape[1], shape[0]);
            return slices.each_panel(0..shape[0], |panel, weights| {
                packing.pack_panel(panel, weights, to);
            });
        }
        Layout::Recurrent { first, gates } => {
            let hidden = shape[1];
            let from = slices.read(first * hidden..(first + gates) * hidden);
            let args = PackRecurrentArgs {
                gates: *gates,
                hidden,
                src: from.as_ptr(),
                dst: to.as_mut_ptr(),
            };
            // SAFETY: `from` holds that many gates, `to` the packed length that `place` counted.
            unsafe { (kernels.pack_recurrent_f32)(&args) };
            return;
        }
        _ => {}
    }
    // Those of linear layers neither.
    match layout {
        Layout::Strassen { transpose } => {
            return pack_strassen(tensor.bytes(), shape, *transpose, to);
        }
        Layout::Panels { transpose: false } => {
            return pack_panels(tensor.bytes(), shape[0], shape[1], to);
        }
        _ => {}
    }
    let from = slices.read(0..shape[0]);
    match layout {
        Layout::Raw
        | Layout::Offsets { .. }
        | Layout::Conv { .. }
        | Layout::Winograd(_)
        | Layout::Strassen { .. }
        | Layout::Panels { transpose: false }
        | Layout::EightBits { .. }
        | Layout::Recurrent { .. } => {}
        Layout::Panels { transpose: true } => {
            for (rows, panel) in from
                .chunks((PANEL * shape[1]).max(1))
                .zip(panels_mut(to, shape[1]))
            {
                pack_rows(rows, shape[1], 1, panel);
            }
        }
        Layout::Depthwise => {
            let taps: usize = shape[2..].iter().product();
            for (c, kernel) in from.chunks_exact(taps).enumerate() {
                for (tap, &w) in kernel.iter().enumerate() {
                    to[tap * shape[0] + c] = w;
                }
            }
        }
    }
}

/// A matrix [K, N], or [N, K] if `transpose`, as sums of its quadrants.
fn pack_strassen(from: &[u8], shape: &[usize], transpose: bool, to: &mut [f32]) {
    let (k, n) = depth_and_columns(shape, transpose);
    for panel in 0..n / 2 / PANEL {
        match transpose {
            true => strassen::pack_panel(k, n, panel, to, |i, column, row| {
                for (lane, x) in row.iter_mut().enumerate() {
                    read_floats(from, (column + lane) * k + i, std::slice::from_mut(x));
                }
            }),
            false => strassen::pack_panel(k, n, panel, to, |i, column, row| {
                read_floats(from, i * n + column, row);
            }),
        }
    }
}

/// Splits `w * broadcast(scale along the first axis)`, which folded batch norms leave behind.
fn peel_scale(module: &Module, value: Value) -> (Value, Option<Value>) {
    let whole = (value, None);
    let Some(mul) = module.defining_op(value).map(|op| module.view(op)) else {
        return whole;
    };
    if mul.name() != "tensor.mul" {
        return whole;
    }
    for (w, factor) in [(0, 1), (1, 0)] {
        let Some(op) = module
            .defining_op(mul.operand(factor))
            .map(|op| module.view(op))
        else {
            continue;
        };
        if op.name() == "tensor.broadcast"
            && op.operand_tensor(0).rank() == 1
            && tensor::Broadcast::axes(op) == [0]
        {
            return (mul.operand(w), Some(op.operand(0)));
        }
    }
    whole
}

/// The slices of a tensor of `f32` along its first axis, each to be multiplied by a factor.
struct Slices<'a> {
    tensor: &'a Tensor,
    factors: Option<Cow<'a, [f32]>>,
}

impl<'a> Slices<'a> {
    fn of(tensor: &'a Tensor, scale: Option<&'a Tensor>) -> Slices<'a> {
        Slices {
            tensor,
            factors: scale.map(Tensor::values),
        }
    }

    /// The elements of some of them. A file need not have them where `f32` may lie.
    fn read(&self, slices: Range<usize>) -> Vec<f32> {
        let len = self.tensor.len() / self.tensor.shape().first().map_or(1, |&n| n.max(1));
        let bytes = &self.tensor.bytes()[4 * len * slices.start..4 * len * slices.end];
        let mut values: Vec<f32> = bytemuck::allocation::pod_collect_to_vec(bytes);
        if let Some(factors) = &self.factors {
            for (slice, factor) in values.chunks_exact_mut(len.max(1)).zip(&factors[slices]) {
                slice.iter_mut().for_each(|x| *x *= factor);
            }
        }
        values
    }

    /// Gives the elements of 16 of them after another, with the number of their panel.
    fn each_panel(&self, slices: Range<usize>, mut body: impl FnMut(usize, &[f32])) {
        for (panel, first) in slices.clone().step_by(PANEL).enumerate() {
            body(panel, &self.read(first..slices.end.min(first + PANEL)));
        }
    }
}

/// Rows and columns of a product's right side.
fn depth_and_columns(shape: &[usize], transpose: bool) -> (usize, usize) {
    match transpose {
        true => (shape[1], shape[0]),
        false => (shape[0], shape[1]),
    }
}

fn pack_panels(from: &[u8], k: usize, n: usize, to: &mut [f32]) {
    for (p, panel) in to.chunks_exact_mut(k * PANEL).enumerate() {
        let columns = (n - p * PANEL).min(PANEL);
        for (l, row) in panel.chunks_exact_mut(PANEL).enumerate() {
            read_floats(from, l * n + p * PANEL, &mut row[..columns]);
        }
    }
}

/// Floats from element `at` on, which need not lie where `f32` may.
fn read_floats(from: &[u8], at: usize, to: &mut [f32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(to);
    bytes.copy_from_slice(&from[4 * at..][..bytes.len()]);
}

/// Packed panels of 16 columns and `k` rows.
fn panels_mut(packed: &mut [f32], k: usize) -> std::slice::ChunksExactMut<'_, f32> {
    packed.chunks_exact_mut((k * PANEL).max(1))
}

fn pack_conv(slices: &Slices<'_>, shape: &[usize], groups: usize, to: &mut [f32]) {
    let taps = shape[2] * shape[3];
    let (outputs, k) = (shape[0] / groups, shape[1] * taps);
    let mut panels = panels_mut(to, k);
    for group in 0..groups {
        slices.each_panel(group * outputs..(group + 1) * outputs, |_, rows| {
            if let Some(panel) = panels.next() {
                pack_rows(rows, k, taps, panel);
            }
        });
    }
}

/// Packs up to 16 rows `[K / taps, taps]` as the columns `[taps, K / taps]` of a panel.
fn pack_rows(rows: &[f32], k: usize, taps: usize, panel: &mut [f32]) {
    let channels = k / taps;
    let rows: Vec<&[f32]> = rows.chunks_exact(k).collect();
    for channel in 0..channels {
        for tap in 0..taps {
            let to = &mut panel[(tap * channels + channel) * PANEL..][..PANEL];
            for (to, row) in to.iter_mut().zip(&rows) {
                *to = row[channel * taps + tap];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Builder, Elem, Num};
    use lepid_ir::dialects::core::{Func, constant};

    use super::*;

    #[test]
    fn weights_that_are_read_twice_are_made_once() {
        let mut module = Module::new();
        let func = Func::create(&mut module, "f", &[], &[]).unwrap();
        let block = Func::block(module.view(func));
        let mut b = Builder::at_end(&mut module, block);
        let mut value = constant(&mut b, Tensor::scalar(Elem::F32, Num::Int(1))).unwrap();
        for _ in 0..100 {
            value = b.one(&tensor::Mul, &[value, value], &[]).unwrap();
        }
        let mut weights = Weights::default();
        let offset = weights.place(&module, value, Layout::Raw);
        let bytes = weights.pack(&module).unwrap();
        assert_eq!(bytes.as_slice()[offset..][..4], 1f32.to_le_bytes());
    }
}
