//! Attention: threads share tiles of queries, the microkernel does the rest.

use std::mem::offset_of;

use lepid_ir::core::{OpView, Value};
use lepid_ir::dialects::kernel;
use lepid_ukernels::Table;
use lepid_ukernels::attention::{
    AttentionArgs, AttentionBlock, HeadExtents, HeadStrides, MaskStrides,
};

use crate::codegen::args::Args;
use crate::codegen::cells::Count;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::nest;
use crate::places::Place;

/// A matrix per batch entry and head.
#[derive(Copy, Clone, Debug)]
struct Matrices {
    place: Place,
    /// Elements before the first one that is read.
    skip: usize,
    strides: HeadStrides,
}

/// `softmax(scale · q · kᵀ + mask) · v` per batch entry and head.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    batch: Count,
    heads: usize,
    head: HeadExtents,
    /// How many keys the first query sees; each query sees one more than that before it.
    seen: usize,
    scale: f32,
    q: Matrices,
    k: Matrices,
    v: Matrices,
    y: Matrices,
    mask: Option<(Place, MaskStrides)>,
}

/// What is computed at a time.
const BLOCK: AttentionBlock = AttentionBlock::USUAL;

impl Attention {
    /// What a `kernel.attention` of known extents computes, with its operands and its result there;
    /// `samples` are those that there may be, if its batch entries are samples.
    pub(crate) fn of(
        view: OpView<'_>,
        operands: &[Place],
        result: Place,
        samples: Option<usize>,
    ) -> Attention {
        let dims = |value: Value| -> Vec<usize> {
            let dims = nest::dims(view.module, value);
            dims.into_iter().map(|d| d as usize).collect()
        };
        let matrices = |i: usize, dims: &[usize], place: Place| {
            let held = kernel::Attention::held(view, i);
            let (outer, inner) = (dims[2] * dims[3], dims[3]);
            let (head, row) = match held.behind_positions {
                true => (inner, outer),
                false => (outer, inner),
            };
            Matrices {
                place,
                skip: held.first * head,
                strides: HeadStrides {
                    batch: dims[1] * outer,
                    head,
                    row,
                },
            }
        };
        let [q, k, v] = [0, 1, 2].map(|i| dims(view.operand(i)));
        let y = dims(view.result(0));
        let positions = |i: usize, dims: &[usize]| match kernel::Attention::held(view, i) {
            held if held.behind_positions => dims[1],
            _ => dims[2],
        };
        let head = HeadExtents {
            queries: positions(0, &q),
            keys: positions(1, &k),
            features: q[3],
            outputs: v[3],
        };
        let offset = kernel::Attention::offset(view) as usize;
        Attention {
            batch: match samples {
                Some(most) => Count::Samples {
                    each: q[0] / most,
                    most,
                },
                None => Count::Known(q[0]),
            },
            heads: kernel::Attention::heads(view) as usize,
            head,
            seen: match kernel::Attention::causal(view) {
                true => offset + 1,
                false => head.keys,
            },
            scale: kernel::Attention::scale(view) as f32,
            q: matrices(0, &q, operands[0]),
            k: matrices(1, &k, operands[1]),
            v: matrices(2, &v, operands[2]),
            y: matrices(3, &y, result),
            mask: operands
                .get(3)
                .map(|&place| (place, mask_strides(&dims(view.operand(3))))),
        }
    }

    pub(crate) fn scratch_bytes(&self) -> usize {
        4 * BLOCK.scratch_len(self.head)
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<AttentionArgs>(g);
        let sizes = [
            (offset_of!(AttentionArgs, heads), self.heads),
            (offset_of!(AttentionArgs, queries), self.head.queries),
            (offset_of!(AttentionArgs, keys), self.head.keys),
            (offset_of!(AttentionArgs, features), self.head.features),
            (offset_of!(AttentionArgs, outputs), self.head.outputs),
            (offset_of!(AttentionArgs, seen), self.seen),
        ];
        for (field, size) in sizes {
            args.set_int(g, field, size as i64);
        }
        args.set_f32(g, offset_of!(AttentionArgs, scale), self.scale);
        let matrices = [
            (
                &self.q,
                offset_of!(AttentionArgs, q),
                offset_of!(AttentionArgs, q_strides),
            ),
            (
                &self.k,
                offset_of!(AttentionArgs, k),
                offset_of!(AttentionArgs, k_strides),
            ),
            (
                &self.v,
                offset_of!(AttentionArgs, v),
                offset_of!(AttentionArgs, v_strides),
            ),
            (
                &self.y,
                offset_of!(AttentionArgs, y),
                offset_of!(AttentionArgs, y_strides),
            ),
        ];
        for (matrices, pointer, strides) in matrices {
            let base = g.address(matrices.place);
            let first = g.add_int(base, 4 * matrices.skip as i64);
            args.set(g, pointer, first);
            set_strides(g, &args, strides, matrices.strides);
        }
        let mask = self.mask.map(|(place, _)| g.address(place));
        let none = g.int(0);
        args.set(g, offset_of!(AttentionArgs, mask), mask.unwrap_or(none));
        let strides = self.mask.map_or(NO_MASK, |(_, strides)| strides);
        let at = offset_of!(AttentionArgs, mask_strides);
        let queries = at + offset_of!(MaskStrides, queries);
        set_strides(g, &args, queries, strides.queries);
        args.set_int(g, at + offset_of!(MaskStrides, key), strides.key as i64);
        let at = offset_of!(AttentionArgs, block);
        let queries = at + offset_of!(AttentionBlock, queries);
        args.set_int(g, queries, BLOCK.queries as i64);
        let keys = at + offset_of!(AttentionBlock, keys);
        args.set_int(g, keys, BLOCK.keys as i64);
        let scratch = g.scratch();
        args.set(g, offset_of!(AttentionArgs, scratch), scratch);
        let entry = self.heads * BLOCK.tiles(self.head.queries);
        let batch = self.batch.extent(g);
        let tiles = g.extent_mul(batch, Extent::Known(entry as i64));
        let (begin, end) = g.share_extent(tiles, 1);
        args.set(g, offset_of!(AttentionArgs, tile_begin), begin);
        args.set(g, offset_of!(AttentionArgs, tile_end), end);
        g.kernel(offset_of!(Table, attention_f32), &[args.address], &[]);
    }
}

const NO_MASK: MaskStrides = MaskStrides {
    queries: HeadStrides {
        batch: 0,
        head: 0,
        row: 0,
    },
    key: 0,
};

/// The distances in a mask of batch, head, query, key, whose extents of 1 repeat.
fn mask_strides(dims: &[usize]) -> MaskStrides {
    let stride = |axis: usize| match dims[axis] {
        1 => 0,
        _ => dims[axis + 1..].iter().product(),
    };
    MaskStrides {
        queries: HeadStrides {
            batch: stride(0),
            head: stride(1),
            row: stride(2),
        },
        key: stride(3),
    }
}

fn set_strides(g: &mut Gen<'_>, args: &Args, at: usize, strides: HeadStrides) {
    let fields = [
        (offset_of!(HeadStrides, batch), strides.batch),
        (offset_of!(HeadStrides, head), strides.head),
        (offset_of!(HeadStrides, row), strides.row),
    ];
    for (field, stride) in fields {
        args.set_int(g, at + field, stride as i64);
    }
}
