//! Indirect matrix product, 6x16 tiles: 12 accumulators, 2 panel vectors and 1 broadcast fill 15 of 16 registers.

use super::PANEL;
use super::epilogue::{Finish, activate, bound, finish};
use super::pointers::next_tile;
use crate::args::IgemmArgs;
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`IgemmArgs`] says.
#[inline(always)]
pub(crate) unsafe fn igemm<V: Vector>(args: &IgemmArgs) {
    let finish = finish::<V>(&args.epilogue);
    let panel_len = args.taps * args.k * PANEL;
    // A panel stays in the first cache levels while all rows pass by.
    for column in (0..args.n).step_by(PANEL) {
        let mut row = 0;
        while row < args.rows {
            let size = next_tile(args.rows - row);
            // SAFETY: row < rows and column < n, so all of these lie inside what the caller described.
            unsafe {
                let tile = Tile {
                    a: args.a.add(row * args.taps),
                    b: args.b.add(column / PANEL * panel_len),
                    row,
                    column,
                };
                match size {
                    6 => compute::<V, 6>(args, &finish, tile),
                    5 => compute::<V, 5>(args, &finish, tile),
                    4 => compute::<V, 4>(args, &finish, tile),
                    3 => compute::<V, 3>(args, &finish, tile),
                    2 => compute::<V, 2>(args, &finish, tile),
                    _ => compute::<V, 1>(args, &finish, tile),
                }
            }
            row += size;
        }
    }
}

#[derive(Clone, Copy)]
struct Tile {
    a: *const *const f32,
    b: *const f32,
    row: usize,
    column: usize,
}

/// One tile: sums start from the bias and run over taps and `k` in order, whatever the tile's height.
#[inline(always)]
unsafe fn compute<V: Vector, const ROWS: usize>(args: &IgemmArgs, finish: &Finish<V>, tile: Tile) {
    let columns = (args.n - tile.column).min(PANEL);
    let bias = args.epilogue.bias;
    // SAFETY: the caller vouches for the tables and the panel behind `tile`.
    unsafe {
        let bias = if bias.is_null() {
            [V::splat(0.0); 2]
        } else {
            load_columns(bias.add(tile.column), columns)
        };
        let mut acc = [bias; ROWS];
        let mut b = tile.b;
        for tap in 0..args.taps {
            let rows = *tile.a.add(tap * ROWS).cast::<[*const f32; ROWS]>();
            for i in 0..args.k {
                let b0 = V::load(b);
                let b1 = V::load(b.add(V::LANES));
                b = b.add(PANEL);
                for r in 0..ROWS {
                    let x = V::splat(*rows[r].add(i));
                    acc[r][0] = x.mul_add(b0, acc[r][0]);
                    acc[r][1] = x.mul_add(b1, acc[r][1]);
                }
            }
        }
        store(args, finish, tile, acc);
    }
}

#[inline(always)]
unsafe fn store<V: Vector, const ROWS: usize>(
    args: &IgemmArgs,
    finish: &Finish<V>,
    tile: Tile,
    mut acc: [[V; 2]; ROWS],
) {
    let columns = (args.n - tile.column).min(PANEL);
    let residual = args.epilogue.residual;
    // SAFETY: rows and columns of the tile lie inside the output and the residual.
    unsafe {
        if !residual.is_null() {
            for r in 0..ROWS {
                let p = residual.add((tile.row + r) * args.epilogue.ld_residual + tile.column);
                let [x0, x1] = load_columns::<V>(p, columns);
                acc[r] = [acc[r][0].add(x0), acc[r][1].add(x1)];
            }
        }
        if finish.late.is_some() {
            let mut buffer = [[0.0f32; PANEL]; ROWS];
            for r in 0..ROWS {
                acc[r][0].store(buffer[r].as_mut_ptr());
                acc[r][1].store(buffer[r].as_mut_ptr().add(V::LANES));
            }
            activate(finish, buffer.as_mut_ptr().cast(), PANEL * ROWS);
            for r in 0..ROWS {
                acc[r] = load_columns(buffer[r].as_ptr(), PANEL);
            }
        }
        let c = args.c.add(tile.row * args.ldc + tile.column);
        if columns == PANEL {
            for r in 0..ROWS {
                let p = c.add(r * args.ldc);
                bound(finish, acc[r][0]).store(p);
                bound(finish, acc[r][1]).store(p.add(V::LANES));
            }
        } else {
            for r in 0..ROWS {
                store_columns(
                    c.add(r * args.ldc),
                    columns,
                    [bound(finish, acc[r][0]), bound(finish, acc[r][1])],
                );
            }
        }
    }
}

/// The first `columns` of 16 floats, zeros after them.
///
/// # Safety
/// `p` points to `columns` floats.
#[inline(always)]
pub(crate) unsafe fn load_columns<V: Vector>(p: *const f32, columns: usize) -> [V; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        if columns == PANEL {
            [V::load(p), V::load(p.add(V::LANES))]
        } else if columns < V::LANES {
            [V::load_first(p, columns), V::splat(0.0)]
        } else {
            [
                V::load(p),
                V::load_first(p.add(V::LANES), columns - V::LANES),
            ]
        }
    }
}

/// The first `columns < 16` of two vectors.
///
/// # Safety
/// `p` points to `columns` writable floats.
#[inline(always)]
pub(crate) unsafe fn store_columns<V: Vector>(p: *mut f32, columns: usize, x: [V; 2]) {
    // SAFETY: passed on from the caller.
    unsafe {
        if columns < V::LANES {
            x[0].store_first(p, columns);
        } else {
            x[0].store(p);
            x[1].store_first(p.add(V::LANES), columns - V::LANES);
        }
    }
}
