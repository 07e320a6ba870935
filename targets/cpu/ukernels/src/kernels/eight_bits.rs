//! Rows against panels of weights in eight bits: a quarter of the bytes of floats comes from memory. A block of products is
//! summed before it is scaled, which costs less than to scale its weights.

use super::PANEL;
use super::epilogue::{Place, finish, load_columns, store_tile};
use super::gemv::join;
use crate::args::EightBitArgs;
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`EightBitArgs`] says.
#[inline(always)]
pub(crate) unsafe fn gemv<V: Vector>(args: &EightBitArgs) {
    for panel in args.panel_begin..args.panel_end {
        // A panel stays in the second-level cache for the rows after the first four.
        let mut row = 0;
        while row < args.rows {
            // SAFETY: the caller vouches for all panels in the range and for the rows.
            unsafe {
                match args.rows - row {
                    1 => tile::<V, 1, 4>(args, panel, row),
                    2 => tile::<V, 2, 2>(args, panel, row),
                    3 => tile::<V, 3, 2>(args, panel, row),
                    _ => tile::<V, 4, 1>(args, panel, row),
                }
            }
            row += 4;
        }
    }
}

/// Within a block, sum number `s` of an element takes the products `i` with `i % SPLITS == s`.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const SPLITS: usize>(
    args: &EightBitArgs,
    panel: usize,
    row: usize,
) {
    let finish = finish::<V>(&args.epilogue);
    let bias = args.epilogue.bias;
    let column = panel * PANEL;
    let columns = (args.n - column).min(PANEL);
    // SAFETY: the caller vouches for the panel and the rows.
    unsafe {
        let a = args.a.add(row * args.lda);
        let mut b = args.b.add(panel * args.k * PANEL);
        let mut scales = args.scales.add(panel * args.k.div_ceil(args.block) * PANEL);
        let mut total = [[V::splat(0.0); 2]; ROWS];
        if !bias.is_null() {
            total = if columns > V::LANES {
                [load_columns(bias.add(column), columns); ROWS]
            } else {
                let [first] = load_columns(bias.add(column), columns);
                [[first, V::splat(0.0)]; ROWS]
            };
        }
        let mut i = 0;
        while i < args.k {
            let end = (i + args.block).min(args.k);
            let mut acc = [[[V::splat(0.0); 2]; ROWS]; SPLITS];
            while i + SPLITS <= end {
                for s in 0..SPLITS {
                    step::<V, ROWS>(args, a.add(i + s), b, &mut acc[s]);
                    b = b.add(PANEL);
                }
                i += SPLITS;
            }
            for s in 0..SPLITS {
                if i + s < end {
                    step::<V, ROWS>(args, a.add(i + s), b, &mut acc[s]);
                    b = b.add(PANEL);
                }
            }
            i = end;
            let sums = join(acc);
            let scale = [V::load(scales), V::load(scales.add(V::LANES))];
            scales = scales.add(PANEL);
            for r in 0..ROWS {
                for half in 0..2 {
                    total[r][half] = sums[r][half].mul_add(scale[half], total[r][half]);
                }
            }
        }
        let place = Place {
            c: args.c,
            ldc: args.ldc,
            row,
            column,
            columns,
        };
        if columns > V::LANES {
            store_tile(&args.epilogue, &finish, &place, total);
        } else {
            let mut half = [[V::splat(0.0)]; ROWS];
            for r in 0..ROWS {
                half[r] = [total[r][0]];
            }
            store_tile(&args.epilogue, &finish, &place, half);
        }
    }
}

#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize>(
    args: &EightBitArgs,
    a: *const f32,
    b: *const i8,
    acc: &mut [[V; 2]; ROWS],
) {
    // SAFETY: `a` is an element of the first row, `b` the row of a panel that it multiplies.
    unsafe {
        let b0 = V::load_i8(b);
        let b1 = V::load_i8(b.add(V::LANES));
        for r in 0..ROWS {
            let x = V::splat(*a.add(r * args.lda));
            acc[r][0] = x.mul_add(b0, acc[r][0]);
            acc[r][1] = x.mul_add(b1, acc[r][1]);
        }
    }
}
