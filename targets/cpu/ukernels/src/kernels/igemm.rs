//! Indirect matrix product, 6x16 tiles: 12 accumulators, 2 panel vectors and 1 broadcast fill 15 of 16 registers.

use super::PANEL;
use super::epilogue::{Finish, Place, finish, load_columns, store_tile};
use super::pointers::next_tile;
use crate::args::IgemmArgs;
use crate::vector::Vector;

/// Rows of a whole tile.
pub(crate) const TILE: usize = 6;

/// # Safety
/// The arguments describe memory that is there, as [`IgemmArgs`] says.
#[inline(always)]
pub(crate) unsafe fn igemm<V: Vector>(args: &IgemmArgs) {
    // SAFETY: passed on from the caller.
    unsafe {
        match (args.gather.is_null(), args.cold == 0) {
            (true, true) => panels::<V, false, false>(args),
            (true, false) => panels::<V, false, true>(args),
            (false, _) => panels::<V, true, true>(args),
        }
    }
}

#[inline(always)]
unsafe fn panels<V: Vector, const GATHER: bool, const COLD: bool>(args: &IgemmArgs) {
    let finish = finish::<V>(&args.epilogue);
    let panel_len = args.taps * args.k * PANEL;
    // How far the next panel is asked for with each step of a sum, so that all tiles of rows share in it.
    let stride = PANEL.div_ceil(args.rows.div_ceil(TILE));
    // A panel stays in the first cache levels while all rows pass by.
    for column in (0..args.n).step_by(PANEL) {
        let mut row = 0;
        while row < args.rows {
            let size = next_tile(args.rows - row);
            // SAFETY: row < rows and column < n, so all of these lie inside what the caller described.
            unsafe {
                let b = args.b.add(column / PANEL * panel_len);
                let done = row / TILE * args.taps * args.k * stride;
                let tile = Tile {
                    a: args.a.add(row * args.taps),
                    b,
                    ahead: b.wrapping_add(panel_len + done),
                    stride,
                };
                let at = (row, column);
                // A panel at most half full needs one vector of it.
                if args.n - column > V::LANES {
                    heights::<V, 2, GATHER, COLD>(args, &finish, &tile, at, size);
                } else {
                    heights::<V, 1, GATHER, COLD>(args, &finish, &tile, at, size);
                }
            }
            row += size;
        }
    }
}

/// What a tile reads.
pub(crate) struct Tile {
    /// Pointers to `k` elements of each row, tap by tap.
    pub(crate) a: *const *const f32,
    pub(crate) b: *const f32,
    /// What this tile asks for of the panel behind, and by how much per step.
    pub(crate) ahead: *const f32,
    pub(crate) stride: usize,
}

/// What a sum runs over, as [`IgemmArgs`] says.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) taps: usize,
    pub(crate) k: usize,
    pub(crate) skip: usize,
    pub(crate) gather: *const u32,
}

#[inline(always)]
unsafe fn heights<V: Vector, const VECTORS: usize, const GATHER: bool, const COLD: bool>(
    args: &IgemmArgs,
    finish: &Finish<V>,
    tile: &Tile,
    at: (usize, usize),
    rows: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match rows {
            6 => compute::<V, 6, VECTORS, GATHER, COLD>(args, finish, tile, at),
            5 => compute::<V, 5, VECTORS, GATHER, COLD>(args, finish, tile, at),
            4 => compute::<V, 4, VECTORS, GATHER, COLD>(args, finish, tile, at),
            3 => compute::<V, 3, VECTORS, GATHER, COLD>(args, finish, tile, at),
            2 => compute::<V, 2, VECTORS, GATHER, COLD>(args, finish, tile, at),
            _ => compute::<V, 1, VECTORS, GATHER, COLD>(args, finish, tile, at),
        }
    }
}

/// One tile: sums start from the bias.
#[inline(always)]
unsafe fn compute<
    V: Vector,
    const ROWS: usize,
    const VECTORS: usize,
    const GATHER: bool,
    const COLD: bool,
>(
    args: &IgemmArgs,
    finish: &Finish<V>,
    tile: &Tile,
    (row, column): (usize, usize),
) {
    let columns = (args.n - column).min(PANEL);
    let bias = args.epilogue.bias;
    let depth = Depth {
        taps: args.taps,
        k: args.k,
        skip: args.skip,
        gather: args.gather,
    };
    // SAFETY: the caller vouches for the tables and the panel behind `tile`.
    unsafe {
        let bias = if bias.is_null() {
            [V::splat(0.0); VECTORS]
        } else {
            load_columns(bias.add(column), columns)
        };
        let acc = sums::<V, ROWS, VECTORS, GATHER, COLD>(depth, tile, [bias; ROWS]);
        let place = Place {
            c: args.c,
            ldc: args.ldc,
            row,
            column,
            columns,
        };
        store_tile(&args.epilogue, finish, &place, acc);
    }
}

/// The products of a tile added to `acc`, over taps and `k` in order, whatever the tile's height.
///
/// # Safety
/// The tables and the panel behind `tile` are there.
#[inline(always)]
pub(crate) unsafe fn sums<
    V: Vector,
    const ROWS: usize,
    const VECTORS: usize,
    const GATHER: bool,
    const COLD: bool,
>(
    depth: Depth,
    tile: &Tile,
    mut acc: [[V; VECTORS]; ROWS],
) -> [[V; VECTORS]; ROWS] {
    let mut b = tile.b;
    let mut ahead = tile.ahead;
    // SAFETY: passed on from the caller.
    unsafe {
        for tap in 0..depth.taps {
            let rows = *tile.a.add(tap * ROWS).cast::<[*const f32; ROWS]>();
            for i in 0..depth.k {
                let mut weights = [V::splat(0.0); VECTORS];
                for v in 0..VECTORS {
                    weights[v] = V::load(b.add(v * V::LANES));
                }
                b = b.add(PANEL);
                if COLD {
                    V::prefetch(ahead);
                    ahead = ahead.wrapping_add(tile.stride);
                }
                let i = if GATHER {
                    *depth.gather.add(i) as usize
                } else {
                    depth.skip + i
                };
                for r in 0..ROWS {
                    let x = V::splat(*rows[r].add(i));
                    for v in 0..VECTORS {
                        acc[r][v] = x.mul_add(weights[v], acc[r][v]);
                    }
                }
            }
        }
    }
    acc
}
