//! Few rows against many panels: weights stream once, so sums are split to hide the latency of the additions.
//!
//! The stream is not asked for ahead: processors that foresee it lose by being told, and memory is the limit beyond them.

use super::PANEL;
use super::epilogue::{Place, finish, load_columns, store_tile};
use crate::args::GemvArgs;
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`GemvArgs`] says.
#[inline(always)]
pub(crate) unsafe fn gemv<V: Vector>(args: &GemvArgs) {
    // SAFETY: passed on from the caller.
    unsafe {
        match args.rows {
            1 => panels::<V, 1, 4>(args),
            2 => panels::<V, 2, 2>(args),
            3 => panels::<V, 3, 2>(args),
            _ => panels::<V, 4, 1>(args),
        }
    }
}

/// Sum number `s` of an element takes the products `i` with `i % SPLITS == s`.
#[inline(always)]
unsafe fn panels<V: Vector, const ROWS: usize, const SPLITS: usize>(args: &GemvArgs) {
    let finish = finish::<V>(&args.epilogue);
    let bias = args.epilogue.bias;
    for panel in args.panel_begin..args.panel_end {
        let column = panel * PANEL;
        let columns = (args.n - column).min(PANEL);
        // SAFETY: the caller vouches for all panels in the range and for the rows.
        unsafe {
            let mut b = args.b.add(panel * args.k * PANEL);
            let mut acc = [[[V::splat(0.0); 2]; ROWS]; SPLITS];
            if !bias.is_null() {
                acc[0] = if columns > V::LANES {
                    [load_columns(bias.add(column), columns); ROWS]
                } else {
                    let [first] = load_columns(bias.add(column), columns);
                    [[first, V::splat(0.0)]; ROWS]
                };
            }
            let mut i = 0;
            while i + SPLITS <= args.k {
                for s in 0..SPLITS {
                    step::<V, ROWS>(args, i + s, b, &mut acc[s]);
                    b = b.add(PANEL);
                }
                i += SPLITS;
            }
            for s in 0..SPLITS {
                if i + s < args.k {
                    step::<V, ROWS>(args, i + s, b, &mut acc[s]);
                    b = b.add(PANEL);
                }
            }
            let acc = join(acc);
            let place = Place {
                c: args.c,
                ldc: args.ldc,
                row: 0,
                column,
                columns,
            };
            if columns > V::LANES {
                store_tile(&args.epilogue, &finish, &place, acc);
            } else {
                let mut half = [[V::splat(0.0)]; ROWS];
                for r in 0..ROWS {
                    half[r] = [acc[r][0]];
                }
                store_tile(&args.epilogue, &finish, &place, half);
            }
        }
    }
}

#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize>(
    args: &GemvArgs,
    i: usize,
    b: *const f32,
    acc: &mut [[V; 2]; ROWS],
) {
    // SAFETY: `i < k` and `b` is row `i` of a panel.
    unsafe {
        let b0 = V::load(b);
        let b1 = V::load(b.add(V::LANES));
        for r in 0..ROWS {
            let x = V::splat(*args.a.add(r * args.lda + i));
            acc[r][0] = x.mul_add(b0, acc[r][0]);
            acc[r][1] = x.mul_add(b1, acc[r][1]);
        }
    }
}

#[inline(always)]
pub(super) fn join<V: Vector, const ROWS: usize, const SPLITS: usize>(
    mut acc: [[[V; 2]; ROWS]; SPLITS],
) -> [[V; 2]; ROWS] {
    let mut splits = SPLITS;
    while splits > 1 {
        splits /= 2;
        for s in 0..splits {
            for r in 0..ROWS {
                for half in 0..2 {
                    acc[s][r][half] = acc[s][r][half].add(acc[s + splits][r][half]);
                }
            }
        }
    }
    acc[0]
}
