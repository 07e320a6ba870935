//! Strassen's product of matrices: seven products of quadrants, each added to the quadrants of the result as its tiles are
//! done.

use super::PANEL;
use super::epilogue::{Finish, Place, finish, load_columns, store_tile};
use super::igemm::{Depth, TILE, Tile, sums};
use super::pointers::next_tile;
use crate::args::{Epilogue, StrassenArgs};
use crate::strassen::{FIRST, LAST, PRODUCTS, Quadrant, Sign};
use crate::vector::Vector;

/// Vectors of a panel.
const VECTORS: usize = 2;

/// # Safety
/// The arguments describe memory that is there, as [`StrassenArgs`] says.
#[inline(always)]
pub(crate) unsafe fn strassen<V: Vector>(args: &StrassenArgs) {
    let last = Last {
        finish: finish(&args.epilogue),
        before: finish(&Epilogue::NONE),
    };
    let mut row = args.row_begin;
    while row < args.row_end {
        let rows = args.block.min(args.row_end - row);
        for product in 0..PRODUCTS.len() {
            // SAFETY: passed on from the caller.
            unsafe { multiply::<V>(args, &last, product, row, rows) };
        }
        row += rows;
    }
}

/// The activation, and none, which stands before it.
struct Last<V> {
    finish: Finish<V>,
    before: Finish<V>,
}

/// One product, for some rows of a half.
#[inline(always)]
unsafe fn multiply<V: Vector>(
    args: &StrassenArgs,
    last: &Last<V>,
    product: usize,
    row: usize,
    rows: usize,
) {
    let left = PRODUCTS[product].left;
    let quadrant = |q: Quadrant| {
        let from = (q / 2 * args.rows + row) * args.lda + q % 2 * args.k;
        args.a.wrapping_add(from)
    };
    // SAFETY: rows and columns lie inside what the caller described.
    unsafe {
        let (a, lda) = match left.other {
            None => (quadrant(left.first), args.lda),
            Some((sign, other)) => {
                let sides = [quadrant(left.first), quadrant(other)];
                match sign {
                    Sign::Plus => add::<V, true>(args, sides, rows),
                    Sign::Minus => add::<V, false>(args, sides, rows),
                }
                (args.scratch.cast_const(), args.k)
            }
        };
        let panel_len = args.k * PANEL;
        let matrix = args.b.add(product * args.panels * panel_len);
        // How far the next panel is asked for with each step of a sum, so that all tiles of rows share in it.
        let stride = PANEL.div_ceil(rows.div_ceil(TILE));
        for panel in args.panel_begin..args.panel_end {
            let b = matrix.add(panel * panel_len);
            let mut from = 0;
            while from < rows {
                let size = next_tile(rows - from);
                let pointers: [*const f32; TILE] =
                    std::array::from_fn(|r| a.wrapping_add((from + r) * lda));
                let tile = Tile {
                    a: pointers.as_ptr(),
                    b,
                    ahead: b.wrapping_add(panel_len + from / TILE * args.k * stride),
                    stride,
                };
                let at = At {
                    product,
                    row: row + from,
                    column: panel * PANEL,
                };
                match size {
                    6 => compute::<V, 6>(args, last, &tile, &at),
                    5 => compute::<V, 5>(args, last, &tile, &at),
                    4 => compute::<V, 4>(args, last, &tile, &at),
                    3 => compute::<V, 3>(args, last, &tile, &at),
                    2 => compute::<V, 2>(args, last, &tile, &at),
                    _ => compute::<V, 1>(args, last, &tile, &at),
                }
                from += size;
            }
        }
    }
}

/// The sum or difference of two quadrants of the left side, to the scratch memory.
#[inline(always)]
unsafe fn add<V: Vector, const PLUS: bool>(
    args: &StrassenArgs,
    sides: [*const f32; 2],
    rows: usize,
) {
    for r in 0..rows {
        for i in (0..args.k).step_by(V::LANES) {
            // SAFETY: the quadrants have these rows and columns, and the scratch memory has room for them.
            unsafe {
                let [x, y] = sides.map(|side| V::load(side.add(r * args.lda + i)));
                let sum = match PLUS {
                    true => x.add(y),
                    false => x.sub(y),
                };
                sum.store(args.scratch.add(r * args.k + i));
            }
        }
    }
}

/// Where a tile of a product lies in its quadrant.
struct At {
    product: usize,
    row: usize,
    column: usize,
}

#[inline(always)]
unsafe fn compute<V: Vector, const ROWS: usize>(
    args: &StrassenArgs,
    last: &Last<V>,
    tile: &Tile,
    at: &At,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let zero = [[V::splat(0.0); VECTORS]; ROWS];
        let depth = Depth {
            taps: 1,
            k: args.k,
            skip: 0,
            gather: std::ptr::null(),
        };
        let acc = sums::<V, ROWS, VECTORS, false, true>(depth, tile, zero);
        for &(sign, quadrant) in PRODUCTS[at.product].to {
            let place = Place {
                c: args.c,
                ldc: args.ldc,
                row: quadrant / 2 * args.rows + at.row,
                column: quadrant % 2 * args.panels * PANEL + at.column,
                columns: PANEL,
            };
            let mut acc = acc;
            // What comes first brings bias and residual, what comes later is added, and the activation is last.
            let mut epilogue = Epilogue {
                residual: args.c,
                ld_residual: args.ldc,
                ..Epilogue::NONE
            };
            if at.product == FIRST[quadrant] {
                epilogue.residual = args.epilogue.residual;
                epilogue.ld_residual = args.epilogue.ld_residual;
                if !args.epilogue.bias.is_null() {
                    let bias =
                        load_columns::<V, VECTORS>(args.epilogue.bias.add(place.column), PANEL);
                    for row in &mut acc {
                        for v in 0..VECTORS {
                            row[v] = row[v].add(bias[v]);
                        }
                    }
                }
            } else if sign == Sign::Minus {
                for row in &mut acc {
                    for v in 0..VECTORS {
                        row[v] = V::splat(0.0).sub(row[v]);
                    }
                }
            }
            let finish = match at.product == LAST[quadrant] {
                true => &last.finish,
                false => &last.before,
            };
            store_tile(&epilogue, finish, &place, acc);
        }
    }
}
