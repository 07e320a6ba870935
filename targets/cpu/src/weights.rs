//! The constant data of a program: raw constants and weights packed for the microkernels.
//!
//! Code generation asks for items and gets offsets; the bytes are made afterwards, one item at a
//! time, so that no more than one layer exists unpacked beside the packed data.

use std::collections::{HashMap, HashSet};

use lepid_ir::core::{Bytes, Module, Tensor, Value};
use lepid_ir::dialects::kernel::PANEL;
use lepid_ir::dialects::tensor;
use lepid_ir::interp;
use lepid_ukernels::args::PackRecurrentArgs;
use lepid_ukernels::winograd::Scheme;
use lepid_ukernels::{AlignedBuf, Isa, Table};

use crate::eight_bits;

/// How an item is made from the value of a constant expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Layout {
    /// As it is.
    Raw,
    /// A matrix [K, N], or [N, K] if `transpose`, in panels of 16 columns.
    Panels { transpose: bool },
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
            let to = &mut buffer.as_mut_slice()[item.offset..][..item.bytes];
            if let Layout::EightBits { block } = item.layout {
                eight_bits::fill(module, item.value, block, to)?;
                release(module, item.value);
                continue;
            }
            let Some(tensor) = interp::eval_constant(module, item.value) else {
                return Err(format!(
                    "a weight of type {} cannot be evaluated",
                    module.value_type(item.value)
                ));
            };
            match item.scale.map(|s| interp::eval_constant(module, s)) {
                None => fill(kernels, &tensor, &item.layout, to),
                Some(Some(scale)) => {
                    fill(kernels, &scaled(&tensor, &scale), &item.layout, to);
                }
                Some(None) => return Err("the scale of a weight cannot be evaluated".into()),
            }
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

fn fill(kernels: &Table, tensor: &Tensor, layout: &Layout, to: &mut [u8]) {
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
    let from = tensor.values::<f32>();
    // The buffer is aligned to cache lines, and all offsets are.
    let to: &mut [f32] = bytemuck::cast_slice_mut(to);
    match layout {
        Layout::Raw | Layout::Offsets { .. } | Layout::EightBits { .. } => {}
        Layout::Panels { transpose: false } => pack_panels(&from, shape[0], shape[1], to),
        Layout::Panels { transpose: true } => pack_rows(&from, shape[1], shape[0], 1, to),
        Layout::Conv { groups } => pack_conv(&from, shape, *groups, to),
        Layout::Winograd(scheme) => scheme.pack(&from, shape[1], shape[0], to),
        Layout::Depthwise => {
            let taps: usize = shape[2..].iter().product();
            for (c, kernel) in from.chunks_exact(taps).enumerate() {
                for (tap, &w) in kernel.iter().enumerate() {
                    to[tap * shape[0] + c] = w;
                }
            }
        }
        Layout::Recurrent { first, gates } => {
            let hidden = shape[1];
            let from = &from[first * hidden * hidden..][..gates * hidden * hidden];
            let args = PackRecurrentArgs {
                gates: *gates,
                hidden,
                src: from.as_ptr(),
                dst: to.as_mut_ptr(),
            };
            // SAFETY: `from` holds that many gates, `to` the packed length that `place` counted.
            unsafe { (kernels.pack_recurrent_f32)(&args) }
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

/// Each slice along the first axis times its factor.
fn scaled(tensor: &Tensor, scale: &Tensor) -> Tensor {
    let (from, factors) = (tensor.values::<f32>(), scale.values::<f32>());
    let slice = (from.len() / factors.len().max(1)).max(1);
    let slices = from.chunks_exact(slice).zip(factors.iter());
    let values = slices
        .flat_map(|(slice, &f)| slice.iter().map(move |x| x * f))
        .collect();
    Tensor::from_vec(tensor.elem(), tensor.shape().iter().copied(), values)
}

/// Rows and columns of a product's right side.
fn depth_and_columns(shape: &[usize], transpose: bool) -> (usize, usize) {
    match transpose {
        true => (shape[1], shape[0]),
        false => (shape[0], shape[1]),
    }
}

fn pack_panels(from: &[f32], k: usize, n: usize, to: &mut [f32]) {
    for (p, panel) in to.chunks_exact_mut(k * PANEL).enumerate() {
        let columns = (n - p * PANEL).min(PANEL);
        for (l, row) in panel.chunks_exact_mut(PANEL).enumerate() {
            row[..columns].copy_from_slice(&from[l * n + p * PANEL..][..columns]);
        }
    }
}

fn pack_conv(from: &[f32], shape: &[usize], groups: usize, to: &mut [f32]) {
    let (channels, taps) = (shape[1], shape[2] * shape[3]);
    let (outputs, k) = (shape[0] / groups, channels * taps);
    let group_bytes = outputs.next_multiple_of(PANEL) * k;
    for (group, to) in to.chunks_exact_mut(group_bytes).enumerate() {
        pack_rows(
            &from[group * outputs * k..][..outputs * k],
            k,
            outputs,
            taps,
            to,
        );
    }
}

/// Packs the transpose of `from` [N, K]; a row of `from` is `[K / taps, taps]`, of the result
/// `[taps, K / taps]`.
fn pack_rows(from: &[f32], k: usize, n: usize, taps: usize, to: &mut [f32]) {
    let channels = k / taps;
    for (p, panel) in to.chunks_exact_mut(k * PANEL).enumerate() {
        let rows: Vec<&[f32]> = from[p * PANEL * k..n.min((p + 1) * PANEL) * k]
            .chunks_exact(k)
            .collect();
        for channel in 0..channels {
            for tap in 0..taps {
                let to = &mut panel[(tap * channels + channel) * PANEL..][..PANEL];
                for (to, row) in to.iter_mut().zip(&rows) {
                    *to = row[channel * taps + tap];
                }
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
