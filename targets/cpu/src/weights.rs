//! The constant data of a program: raw constants and weights packed for the microkernels.
//!
//! Code generation asks for items and gets offsets; the bytes are made afterwards, one item at a
//! time, so that no more than one layer exists unpacked beside the packed data.

use std::collections::HashMap;

use lepid_ir::core::{Bytes, Module, Tensor, Value};
use lepid_ir::dialects::kernel::PANEL;
use lepid_ir::interp;
use lepid_ukernels::AlignedBuf;

/// How an item is made from the value of a constant expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Layout {
    /// As it is.
    Raw,
    /// A matrix [K, N] in panels of 16 columns.
    Panels,
    /// Convolution weights [O, I / groups, kh, kw]: per group, panels of rows (tap, channel).
    /// With `rows`, one tap is a row of the kernel: rows (kh, (kw, channel)).
    Conv { groups: usize },
    /// Depthwise weights [C, 1, kh, kw] as [tap][C].
    Depthwise,
    /// Recurrent LSTM weights [4 H, H] in the order of `lstm_cell_f32`.
    Lstm,
}

struct Item {
    value: Value,
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
        let shape: Vec<usize> = crate::codegen::nest::dims(module, value)
            .iter()
            .map(|&d| d as usize)
            .collect();
        let count: usize = shape.iter().product();
        let bytes = match &layout {
            Layout::Raw | Layout::Depthwise => {
                count * crate::codegen::nest::elem(module, value).bytes()
            }
            Layout::Panels => 4 * shape[0] * shape[1].next_multiple_of(PANEL),
            Layout::Conv { groups } => {
                let k: usize = shape[1..].iter().product();
                4 * groups * k * (shape[0] / groups).next_multiple_of(PANEL)
            }
            Layout::Lstm => 4 * lepid_ukernels::lstm_packed_len(shape[1]),
        };
        let offset = self.bytes;
        self.bytes = (offset + bytes).next_multiple_of(ALIGN);
        self.known.insert((value, layout.clone()), offset);
        self.items.push(Item {
            value,
            layout,
            offset,
            bytes,
        });
        offset
    }

    /// Makes all items.
    pub(crate) fn pack(&self, module: &Module) -> Result<Bytes, String> {
        // Kernels read whole lines past the last panel.
        let mut buffer = AlignedBuf::new_zeroed(self.bytes + ALIGN).map_err(|e| e.to_string())?;
        for item in &self.items {
            let Some(tensor) = interp::eval_constant(module, item.value) else {
                return Err(format!("a weight of type {} cannot be evaluated", module.value_type(item.value)));
            };
            let to = &mut buffer.as_mut_slice()[item.offset..][..item.bytes];
            fill(&tensor, &item.layout, to);
            tensor.data().release();
        }
        struct Owner(AlignedBuf);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.as_slice()
            }
        }
        let len = buffer.as_slice().len();
        Ok(Bytes::from_owner(std::sync::Arc::new(Owner(buffer)), 0..len))
    }
}

fn fill(tensor: &Tensor, layout: &Layout, to: &mut [u8]) {
    let shape = tensor.shape();
    if *layout == Layout::Raw {
        to.copy_from_slice(tensor.bytes());
        return;
    }
    let from = tensor.values::<f32>();
    // The buffer is aligned to cache lines, and all offsets are.
    let to: &mut [f32] = bytemuck::cast_slice_mut(to);
    match layout {
        Layout::Raw => {}
        Layout::Panels => pack_panels(&from, shape[0], shape[1], to),
        Layout::Conv { groups } => pack_conv(&from, shape, *groups, to),
        Layout::Depthwise => {
            let taps: usize = shape[2..].iter().product();
            for (c, kernel) in from.chunks_exact(taps).enumerate() {
                for (tap, &w) in kernel.iter().enumerate() {
                    to[tap * shape[0] + c] = w;
                }
            }
        }
        Layout::Lstm => lepid_ukernels::lstm_pack(&from, shape[1], to),
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
    let panels = outputs.div_ceil(PANEL);
    for (index, panel) in to.chunks_exact_mut(k * PANEL).enumerate() {
        let (group, p) = (index / panels, index % panels);
        let columns = (outputs - p * PANEL).min(PANEL);
        let first = group * outputs + p * PANEL;
        for column in 0..columns {
            let kernel = &from[(first + column) * k..][..k];
            for (channel, kernel) in kernel.chunks_exact(taps).enumerate() {
                for (tap, &w) in kernel.iter().enumerate() {
                    panel[(tap * channels + channel) * PANEL + column] = w;
                }
            }
        }
    }
}
