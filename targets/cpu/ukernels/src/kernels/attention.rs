//! Attention: scores of a tile of queries stay in the cache until they have weighed the values.
//!
//! Keys and values are packed once per head and call. A row of scores that does not fit one tile of keys is worked off
//! tile by tile: the output so far is scaled down whenever a greater score turns up, so that memory does not grow with
//! queries times keys.

use std::ptr;

use super::PANEL;
use super::dwconv::load;
use super::pack;
use super::pool::largest;
use super::reduce::{Max, fold};
use crate::args::{Epilogue, IgemmArgs, PackBArgs};
use crate::attention::{AttentionArgs, FEW_QUERIES, HeadStrides, Scratch};
use crate::math;
use crate::vector::Vector;

/// The product of tiles.
pub(crate) type Product = unsafe extern "C" fn(*const IgemmArgs);

/// # Safety
/// The arguments describe memory that is there, as [`AttentionArgs`] says.
#[inline(always)]
pub(crate) unsafe fn attention<V: Vector>(args: &AttentionArgs, product: Product) {
    let tiles = args.block.tiles(args.queries);
    let scratch = args.block.scratch(args.head_extents());
    let few = args.queries <= FEW_QUERIES;
    let mut packed = Packed {
        index: usize::MAX,
        keys: 0,
    };
    for tile in args.tile_begin..args.tile_end {
        let index = tile / tiles;
        let first = tile % tiles * args.block.queries;
        let end = (first + args.block.queries).min(args.queries);
        // SAFETY: the caller vouches for all tiles in the range, and for the scratch.
        unsafe {
            let head = Head::of(args, index);
            if few {
                for query in first..end {
                    direct::<V>(args, &scratch, &head, query);
                }
                continue;
            }
            if packed.index != index {
                // What no query of this call sees is not read.
                let rest = args.tile_end - index * tiles;
                let last = args.queries.min(rest * args.block.queries) - 1;
                packed = Packed {
                    index,
                    keys: seen(args, last),
                };
                pack_head(args, &scratch, &head, packed.keys);
            }
            let tile = Tile {
                first,
                rows: end - first,
                packed: packed.keys,
            };
            compute::<V>(args, &scratch, &head, &tile, product);
        }
    }
}

/// The head that is packed, as far as this many keys.
struct Packed {
    index: usize,
    keys: usize,
}

/// Queries `first..first + rows` of a head of which so many keys are packed.
struct Tile {
    first: usize,
    rows: usize,
    packed: usize,
}

/// Where the matrices of a head begin.
struct Head {
    q: *const f32,
    k: *const f32,
    v: *const f32,
    y: *mut f32,
    mask: *const f32,
}

impl Head {
    #[inline(always)]
    unsafe fn of(args: &AttentionArgs, index: usize) -> Head {
        let (entry, head) = (index / args.heads, index % args.heads);
        let at = |strides: &HeadStrides| entry * strides.batch + head * strides.head;
        // SAFETY: the caller vouches for the head; the offset of an absent mask is not followed.
        unsafe {
            Head {
                q: args.q.add(at(&args.q_strides)),
                k: args.k.add(at(&args.k_strides)),
                v: args.v.add(at(&args.v_strides)),
                y: args.y.add(at(&args.y_strides)),
                mask: args.mask.wrapping_add(at(&args.mask_strides.queries)),
            }
        }
    }
}

/// How many keys a query sees.
#[inline(always)]
fn seen(args: &AttentionArgs, query: usize) -> usize {
    args.keys.min(query + args.seen)
}

/// Packs the first `keys` keys in panels of 16 keys, and as many values in panels per tile.
#[inline(always)]
unsafe fn pack_head(args: &AttentionArgs, scratch: &Scratch, head: &Head, keys: usize) {
    // SAFETY: the caller vouches for the head and for the scratch.
    unsafe {
        pack::panels(&PackBArgs {
            k: args.features,
            n: keys,
            src: head.k,
            k_stride: 1,
            n_stride: args.k_strides.row,
            dst: args.scratch,
        });
        for first in (0..keys).step_by(args.block.keys) {
            pack::panels(&PackBArgs {
                k: (keys - first).min(args.block.keys),
                n: args.outputs,
                src: head.v.add(first * args.v_strides.row),
                k_stride: args.v_strides.row,
                n_stride: 1,
                dst: args.scratch.add(values_of(args, scratch, first)),
            });
        }
    }
}

/// Where the packed values from key `first` on stand.
#[inline(always)]
fn values_of(args: &AttentionArgs, scratch: &Scratch, first: usize) -> usize {
    scratch.values + first * args.outputs.next_multiple_of(PANEL)
}

/// One tile of queries over all keys that they see.
#[inline(always)]
unsafe fn compute<V: Vector>(
    args: &AttentionArgs,
    scratch: &Scratch,
    head: &Head,
    tile: &Tile,
    product: Product,
) {
    // SAFETY: the caller vouches for the queries, for what is packed and for the scratch.
    unsafe {
        let query_rows = args.scratch.add(scratch.query_rows).cast::<*const f32>();
        let score_rows = args.scratch.add(scratch.score_rows).cast::<*const f32>();
        let scores = args.scratch.add(scratch.scores);
        for r in 0..tile.rows {
            let query = tile.first + r;
            *query_rows.add(r) = head.q.add(query * args.q_strides.row);
            *score_rows.add(r) = scores.add(r * scratch.score_row);
            *args.scratch.add(scratch.tops + r) = f32::NEG_INFINITY;
            *args.scratch.add(scratch.sums + r) = 0.0;
        }
        let y = head.y.add(tile.first * args.y_strides.row);
        let sees = seen(args, tile.first + tile.rows - 1);
        let mut first = 0;
        while first < sees {
            let keys = (sees - first).min(args.block.keys);
            product(&IgemmArgs {
                rows: tile.rows,
                taps: 1,
                k: args.features,
                skip: 0,
                gather: ptr::null(),
                cold: 0,
                a: query_rows,
                b: args.scratch.add(first * args.features),
                c: scores,
                ldc: scratch.score_row,
                n: keys,
                epilogue: Epilogue::NONE,
            });
            for r in 0..tile.rows {
                weigh::<V>(args, scratch, head, tile, r, first..first + keys);
            }
            let stride = (tile.packed - first).min(args.block.keys) * PANEL;
            let values = args.scratch.add(values_of(args, scratch, first));
            for column in (0..args.outputs).step_by(PANEL) {
                let c = y.add(column);
                product(&IgemmArgs {
                    rows: tile.rows,
                    taps: 1,
                    k: keys,
                    skip: 0,
                    gather: ptr::null(),
                    cold: 0,
                    a: score_rows,
                    b: values.add(column / PANEL * stride),
                    c,
                    ldc: args.y_strides.row,
                    n: (args.outputs - column).min(PANEL),
                    epilogue: Epilogue {
                        residual: if first == 0 { ptr::null() } else { c },
                        ld_residual: args.y_strides.row,
                        ..Epilogue::NONE
                    },
                });
            }
            first += keys;
        }
        for r in 0..tile.rows {
            let sum = *args.scratch.add(scratch.sums + r);
            scale_row::<V>(y.add(r * args.y_strides.row), args.outputs, 1.0 / sum);
        }
    }
}

/// Turns the scores of a row for some keys into weights, relative to the greatest score so far; what the row has of the
/// output by then is made relative to it, too.
#[inline(always)]
unsafe fn weigh<V: Vector>(
    args: &AttentionArgs,
    scratch: &Scratch,
    head: &Head,
    tile: &Tile,
    r: usize,
    keys: std::ops::Range<usize>,
) {
    let query = tile.first + r;
    let len = seen(args, query).max(keys.start).min(keys.end) - keys.start;
    // SAFETY: the caller vouches for the row, for its mask, and for the scratch.
    unsafe {
        let row = args.scratch.add(scratch.scores + r * scratch.score_row);
        let scale = prepare::<V>(args, head, query, keys.start, row, len);
        let top = fold::<V, _>(&Max, row, len) * scale;
        let (tops, sums) = (
            args.scratch.add(scratch.tops + r),
            args.scratch.add(scratch.sums + r),
        );
        let before = *tops;
        let top = largest(V::splat(before), V::splat(top)).first();
        let base = base(top);
        let sum = exponentials::<V>(row, len, scale, base);
        for i in len..keys.end - keys.start {
            *row.add(i) = 0.0;
        }
        *tops = top;
        if keys.start == 0 {
            *sums = sum;
        } else if before == top {
            *sums += sum;
        } else {
            let factor = math::exp(V::splat(before - base)).first();
            *sums = *sums * factor + sum;
            let y = head.y.add(query * args.y_strides.row);
            scale_row::<V>(y, args.outputs, factor);
        }
    }
}

/// What is taken from the scores before their exponential. If nothing is seen all weights are 0, and so is their sum.
#[inline(always)]
fn base(top: f32) -> f32 {
    if top == f32::NEG_INFINITY { 0.0 } else { top }
}

/// Brings scores into a form that lacks no more than a factor that is not negative, which it gives.
#[inline(always)]
unsafe fn prepare<V: Vector>(
    args: &AttentionArgs,
    head: &Head,
    query: usize,
    first: usize,
    row: *mut f32,
    len: usize,
) -> f32 {
    if args.mask.is_null() && args.scale > 0.0 {
        return args.scale;
    }
    let scale = V::splat(args.scale);
    let strides = &args.mask_strides;
    let mask = head
        .mask
        .wrapping_add(query * strides.queries.row + first * strides.key);
    let mut i = 0;
    // SAFETY: the caller vouches for the row and for its mask.
    unsafe {
        while i < len {
            let lanes = (len - i).min(V::LANES);
            let add = if args.mask.is_null() {
                V::splat(0.0)
            } else if strides.key == 0 {
                V::splat(*mask)
            } else {
                load::<V>(mask.add(i), lanes)
            };
            let y = load::<V>(row.add(i), lanes).mul_add(scale, add);
            store(y, row.add(i), lanes);
            i += lanes;
        }
    }
    1.0
}

/// Replaces `x` by `exp(x * scale - base)`; gives the sum.
#[inline(always)]
unsafe fn exponentials<V: Vector>(row: *mut f32, len: usize, scale: f32, base: f32) -> f32 {
    let (scale, below) = (V::splat(scale), V::splat(-base));
    let mut sums = [V::splat(0.0); 2];
    let mut i = 0;
    // SAFETY: the caller vouches for the row.
    unsafe {
        while i + 2 * V::LANES <= len {
            for half in 0..2 {
                let at = row.add(i + half * V::LANES);
                let y = math::exp(V::load(at).mul_add(scale, below));
                y.store(at);
                sums[half] = sums[half].add(y);
            }
            i += 2 * V::LANES;
        }
        while i < len {
            let lanes = (len - i).min(V::LANES);
            let y = math::exp(load::<V>(row.add(i), lanes).mul_add(scale, below));
            store(y, row.add(i), lanes);
            let sum = sums[0].add(y);
            sums[0] = if lanes == V::LANES {
                sum
            } else {
                V::select(V::first_lanes(lanes), sum, sums[0])
            };
            i += lanes;
        }
    }
    sums[0].add(sums[1]).sum()
}

#[inline(always)]
unsafe fn scale_row<V: Vector>(row: *mut f32, len: usize, factor: f32) {
    let factor = V::splat(factor);
    let mut i = 0;
    // SAFETY: the caller vouches for the row.
    unsafe {
        while i < len {
            let lanes = (len - i).min(V::LANES);
            store(load::<V>(row.add(i), lanes).mul(factor), row.add(i), lanes);
            i += lanes;
        }
    }
}

/// One query by itself: keys and values are read where they are.
#[inline(always)]
unsafe fn direct<V: Vector>(args: &AttentionArgs, scratch: &Scratch, head: &Head, query: usize) {
    let keys = seen(args, query);
    // SAFETY: the caller vouches for the query, for its mask, and for the scratch.
    unsafe {
        let row = args.scratch.add(scratch.scores);
        let q = head.q.add(query * args.q_strides.row);
        let mut key = 0;
        while key < keys {
            if key + 4 <= keys {
                dots::<V, 4>(args, head, q, key, row);
                key += 4;
            } else {
                dots::<V, 1>(args, head, q, key, row);
                key += 1;
            }
        }
        let scale = prepare::<V>(args, head, query, 0, row, keys);
        let top = fold::<V, _>(&Max, row, keys) * scale;
        let sum = exponentials::<V>(row, keys, scale, base(top));
        let mut mix = Mix {
            v: head.v,
            v_row: args.v_strides.row,
            weights: row,
            keys,
            y: head.y.add(query * args.y_strides.row),
            factor: 1.0 / sum,
        };
        let mut rest = args.outputs;
        while rest > 0 {
            let columns = if rest >= WIDE * V::LANES {
                mix.columns::<V, WIDE>(V::LANES);
                WIDE * V::LANES
            } else {
                let lanes = rest.min(V::LANES);
                mix.columns::<V, 1>(lanes);
                lanes
            };
            mix.v = mix.v.wrapping_add(columns);
            mix.y = mix.y.wrapping_add(columns);
            rest -= columns;
        }
    }
}

/// Vectors of the output that are summed at once: enough to hide the latency of the additions.
const WIDE: usize = 8;

/// Scores of a few keys.
#[inline(always)]
unsafe fn dots<V: Vector, const KEYS: usize>(
    args: &AttentionArgs,
    head: &Head,
    q: *const f32,
    key: usize,
    row: *mut f32,
) {
    let mut sums = [V::splat(0.0); KEYS];
    // SAFETY: the caller vouches for the query and the keys.
    unsafe {
        let k = head.k.add(key * args.k_strides.row);
        let mut i = 0;
        while i < args.features {
            let lanes = (args.features - i).min(V::LANES);
            let x = load::<V>(q.add(i), lanes);
            for n in 0..KEYS {
                let y = load::<V>(k.add(n * args.k_strides.row + i), lanes);
                sums[n] = x.mul_add(y, sums[n]);
            }
            i += lanes;
        }
        for n in 0..KEYS {
            *row.add(key + n) = sums[n].sum();
        }
    }
}

/// A row of the output: values by their weights, by a factor.
struct Mix {
    v: *const f32,
    v_row: usize,
    weights: *const f32,
    keys: usize,
    y: *mut f32,
    factor: f32,
}

impl Mix {
    /// The next columns: so many vectors, of which a single one may have fewer lanes.
    ///
    /// # Safety
    /// Values and output have these columns.
    #[inline(always)]
    unsafe fn columns<V: Vector, const VECTORS: usize>(&self, lanes: usize) {
        let mut sums = [V::splat(0.0); VECTORS];
        // SAFETY: passed on from the caller.
        unsafe {
            for key in 0..self.keys {
                let weight = V::splat(*self.weights.add(key));
                let v = self.v.add(key * self.v_row);
                for n in 0..VECTORS {
                    sums[n] = weight.mul_add(load::<V>(v.add(n * V::LANES), lanes), sums[n]);
                }
            }
            for n in 0..VECTORS {
                let y = sums[n].mul(V::splat(self.factor));
                store(y, self.y.add(n * V::LANES), lanes);
            }
        }
    }
}

/// # Safety
/// `p` points to `lanes` writable floats.
#[inline(always)]
unsafe fn store<V: Vector>(x: V, p: *mut f32, lanes: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        if lanes == V::LANES {
            x.store(p)
        } else {
            x.store_first(p, lanes)
        }
    }
}
