//! Attention in tiles of queries and keys: what the kernel takes, and how much scratch it needs.

use crate::kernels::{PANEL, packed_len};

/// Elements between neighbours of a matrix per batch entry and head, whose rows are contiguous.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStrides {
    /// Between two batch entries.
    pub batch: usize,
    /// Between two heads.
    pub head: usize,
    /// Between two rows.
    pub row: usize,
}

/// Elements between neighbours of a mask; zero along an axis that repeats.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskStrides {
    /// Between batch entries, heads and queries.
    pub queries: HeadStrides,
    /// Between two keys: 0 or 1.
    pub key: usize,
}

/// `y = softmax(scale * q · kᵀ + mask) · v` per batch entry and head, for some tiles of queries.
///
/// A tile is up to [`AttentionBlock::queries`] queries of one head; tiles are counted over batch entries, heads and
/// queries. Cutting them into several calls keeps every bit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AttentionArgs {
    /// Heads of a batch entry.
    pub heads: usize,
    /// Rows of `q` and of the output, at least 1.
    pub queries: usize,
    /// Rows of `k` and of `v`, at least 1.
    pub keys: usize,
    /// Columns of `q` and of `k`, at least 1.
    pub features: usize,
    /// Columns of `v` and of the output, at least 1.
    pub outputs: usize,
    /// Query `i` sees the keys before `i + seen` only; `keys` for all.
    pub seen: usize,
    /// Factor of the products.
    pub scale: f32,
    /// First query.
    pub q: *const f32,
    /// Where the other queries are.
    pub q_strides: HeadStrides,
    /// First key.
    pub k: *const f32,
    /// Where the other keys are.
    pub k_strides: HeadStrides,
    /// First value.
    pub v: *const f32,
    /// Where the other values are.
    pub v_strides: HeadStrides,
    /// First row of the output.
    pub y: *mut f32,
    /// Where the other rows of the output are.
    pub y_strides: HeadStrides,
    /// What is added to the scores, or null.
    pub mask: *const f32,
    /// Where the rest of it is.
    pub mask_strides: MaskStrides,
    /// First tile to compute.
    pub tile_begin: usize,
    /// One past the last tile to compute.
    pub tile_end: usize,
    /// How much is computed at a time.
    pub block: AttentionBlock,
    /// [`AttentionBlock::scratch_len`] floats, on a cache line.
    pub scratch: *mut f32,
}

/// How much of an [`AttentionArgs`] is computed at a time: with that many keys or fewer, rows of scores are whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBlock {
    /// Queries of a tile.
    pub queries: usize,
    /// Keys of a tile, a multiple of 16.
    pub keys: usize,
}

/// No more queries than this read keys and values where they are: to pack them would cost as much.
pub const FEW_QUERIES: usize = 4;

/// What one head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadExtents {
    /// Rows of `q`.
    pub queries: usize,
    /// Rows of `k`.
    pub keys: usize,
    /// Columns of `q`.
    pub features: usize,
    /// Columns of `v`.
    pub outputs: usize,
}

/// Keys of a tile.
const MOST_KEYS: usize = 256;

/// Floats of a cache line.
const LINE: usize = 16;

/// Where things begin in the scratch, in floats.
pub(crate) struct Scratch {
    pub(crate) values: usize,
    pub(crate) scores: usize,
    /// Elements between two rows of scores.
    pub(crate) score_row: usize,
    pub(crate) tops: usize,
    pub(crate) sums: usize,
    pub(crate) query_rows: usize,
    pub(crate) score_rows: usize,
    pub(crate) end: usize,
}

impl AttentionBlock {
    /// What a target should take: scores, keys and values of a tile share the second-level cache. Packed keys that are
    /// more than a tile come from beyond it, so that more queries should use them.
    pub fn usual(keys: usize) -> AttentionBlock {
        AttentionBlock {
            queries: if keys > MOST_KEYS { 96 } else { 48 },
            keys: MOST_KEYS,
        }
    }

    /// Floats that a call needs.
    pub fn scratch_len(self, head: HeadExtents) -> usize {
        self.scratch(head).end
    }

    /// Tiles of one head.
    pub fn tiles(self, queries: usize) -> usize {
        queries.div_ceil(self.queries)
    }

    pub(crate) fn scratch(self, head: HeadExtents) -> Scratch {
        let line = |floats: usize| floats.next_multiple_of(LINE);
        let few = head.queries <= FEW_QUERIES;
        let (packed_keys, packed_values) = match few {
            true => (0, 0),
            false => (
                packed_len(head.features, head.keys),
                packed_len(head.keys, head.outputs),
            ),
        };
        let (rows, score_row) = match few {
            true => (1, head.keys.next_multiple_of(PANEL)),
            false => (
                self.queries,
                self.keys.min(head.keys.next_multiple_of(PANEL)),
            ),
        };
        let values = packed_keys;
        let scores = values + packed_values;
        let tops = scores + rows * score_row;
        let sums = tops + line(rows);
        let query_rows = sums + line(rows);
        let pointers = line(rows * size_of::<*const f32>() / size_of::<f32>());
        Scratch {
            values,
            scores,
            score_row,
            tops,
            sums,
            query_rows,
            score_rows: query_rows + pointers,
            end: query_rows + 2 * pointers,
        }
    }
}

impl AttentionArgs {
    pub(crate) fn head_extents(&self) -> HeadExtents {
        HeadExtents {
            queries: self.queries,
            keys: self.keys,
            features: self.features,
            outputs: self.outputs,
        }
    }
}
