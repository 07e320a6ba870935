//! One time step of LSTM and GRU: the recurrent product and all that follows, per block of 8 hidden units.
//!
//! For one row the sums are split in two to hide the latency of the additions; more rows hide it by themselves. Weights
//! are not asked for ahead: they come in order, and processors that foresee this lose a fifth by being told.

use super::dwconv::load;
use super::pack::BLOCK;
use crate::args::{GruCellArgs, GruHalfArgs, LstmCellArgs};
use crate::math::{sigmoid, tanh};
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`LstmCellArgs`] says.
#[inline(always)]
pub(crate) unsafe fn lstm_cell<V: Vector>(args: &LstmCellArgs) {
    let product = Product {
        hidden: args.hidden,
        r: args.r,
        h: args.h_prev,
        ld: args.ld_h_prev,
    };
    for block in args.block_begin..args.block_end {
        // SAFETY: the caller vouches for `rows` rows and for all blocks in the range.
        unsafe {
            if args.rows == 1 {
                let [gates] = multiply::<V, 4, 1, 2>(&product, block, 0);
                lstm_finish(args, block, 0, gates);
                continue;
            }
            // Two rows fill the registers: 8 sums, 4 weights.
            let mut row = 0;
            while row + 2 <= args.rows {
                lstm_rows::<V, 2>(args, &product, block, row);
                row += 2;
            }
            if row < args.rows {
                lstm_rows::<V, 1>(args, &product, block, row);
            }
        }
    }
}

#[inline(always)]
unsafe fn lstm_rows<V: Vector, const ROWS: usize>(
    args: &LstmCellArgs,
    product: &Product,
    block: usize,
    row: usize,
) {
    // SAFETY: rows `row..row + ROWS` exist.
    unsafe {
        let gates = multiply::<V, 4, ROWS, 1>(product, block, row);
        for r in 0..ROWS {
            lstm_finish(args, block, row + r, gates[r]);
        }
    }
}

#[inline(always)]
unsafe fn lstm_finish<V: Vector>(args: &LstmCellArgs, block: usize, row: usize, gates: [V; 4]) {
    let unit = block * BLOCK;
    let lanes = (args.hidden - unit).min(V::LANES);
    // SAFETY: `lanes` units from `unit` on exist in every gate, state and peephole.
    unsafe {
        let x = args.x_proj.add(row * args.ld_x_proj + unit);
        let [i, o, f, g] = gates;
        let mut i = i.add(load(x, lanes));
        let mut o = o.add(load(x.add(args.hidden), lanes));
        let mut f = f.add(load(x.add(2 * args.hidden), lanes));
        let g = g.add(load(x.add(3 * args.hidden), lanes));
        let c_prev: V = load(args.c_prev.add(row * args.ld_c_prev + unit), lanes);
        let peephole = args.peephole.wrapping_add(unit);
        if !args.peephole.is_null() {
            i = c_prev.mul_add(load(peephole, lanes), i);
            f = c_prev.mul_add(load(peephole.add(2 * args.hidden), lanes), f);
        }
        let clip = args.clip;
        let kept = sigmoid(clipped(f, clip)).mul(c_prev);
        let c = sigmoid(clipped(i, clip)).mul_add(tanh(clipped(g, clip)), kept);
        if !args.peephole.is_null() {
            o = c.mul_add(load(peephole.add(args.hidden), lanes), o);
        }
        let h = sigmoid(clipped(o, clip)).mul(tanh(c));
        store(c, args.c.add(row * args.ld_c + unit), lanes);
        store(h, args.h.add(row * args.ld_h + unit), lanes);
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`GruCellArgs`] says.
#[inline(always)]
pub(crate) unsafe fn gru_cell<V: Vector>(args: &GruCellArgs) {
    let product = Product {
        hidden: args.hidden,
        r: args.r,
        h: args.h_prev,
        ld: args.ld_h_prev,
    };
    for block in args.block_begin..args.block_end {
        // SAFETY: the caller vouches for `rows` rows and for all blocks in the range.
        unsafe {
            if args.rows == 1 {
                let [gates] = multiply::<V, 3, 1, 2>(&product, block, 0);
                gru_finish(args, block, 0, gates);
                continue;
            }
            let mut row = 0;
            while row + 3 <= args.rows {
                gru_rows::<V, 3>(args, &product, block, row);
                row += 3;
            }
            for row in row..args.rows {
                gru_rows::<V, 1>(args, &product, block, row);
            }
        }
    }
}

#[inline(always)]
unsafe fn gru_rows<V: Vector, const ROWS: usize>(
    args: &GruCellArgs,
    product: &Product,
    block: usize,
    row: usize,
) {
    // SAFETY: rows `row..row + ROWS` exist.
    unsafe {
        let gates = multiply::<V, 3, ROWS, 1>(product, block, row);
        for r in 0..ROWS {
            gru_finish(args, block, row + r, gates[r]);
        }
    }
}

#[inline(always)]
unsafe fn gru_finish<V: Vector>(args: &GruCellArgs, block: usize, row: usize, gates: [V; 3]) {
    let unit = block * BLOCK;
    let lanes = (args.hidden - unit).min(V::LANES);
    // SAFETY: `lanes` units from `unit` on exist in every gate, state and bias.
    unsafe {
        let x = args.x_proj.add(row * args.ld_x_proj + unit);
        let [z, r, mut h] = gates;
        let z = sigmoid(clipped(z.add(load(x, lanes)), args.clip));
        let r = sigmoid(clipped(r.add(load(x.add(args.hidden), lanes)), args.clip));
        if !args.recurrent_bias.is_null() {
            h = h.add(load(args.recurrent_bias.add(unit), lanes));
        }
        let h = r.mul_add(h, load(x.add(2 * args.hidden), lanes));
        let h = tanh(clipped(h, args.clip));
        let h_prev: V = load(args.h_prev.add(row * args.ld_h_prev + unit), lanes);
        // (1 - z) h + z h_prev
        let y = z.mul_add(h_prev.sub(h), h);
        store(y, args.h.add(row * args.ld_h + unit), lanes);
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`GruHalfArgs`] says.
#[inline(always)]
pub(crate) unsafe fn gru_gates<V: Vector>(args: &GruHalfArgs) {
    let product = Product {
        hidden: args.hidden,
        r: args.r,
        h: args.h_prev,
        ld: args.ld_h_prev,
    };
    for block in args.block_begin..args.block_end {
        // SAFETY: the caller vouches for `rows` rows and for all blocks in the range.
        unsafe {
            if args.rows == 1 {
                let [gates] = multiply::<V, 2, 1, 4>(&product, block, 0);
                gates_finish(args, block, 0, gates);
                continue;
            }
            let mut row = 0;
            while row + 4 <= args.rows {
                let gates = multiply::<V, 2, 4, 1>(&product, block, row);
                for r in 0..4 {
                    gates_finish(args, block, row + r, gates[r]);
                }
                row += 4;
            }
            for row in row..args.rows {
                let [gates] = multiply::<V, 2, 1, 1>(&product, block, row);
                gates_finish(args, block, row, gates);
            }
        }
    }
}

#[inline(always)]
unsafe fn gates_finish<V: Vector>(args: &GruHalfArgs, block: usize, row: usize, gates: [V; 2]) {
    let unit = block * BLOCK;
    let lanes = (args.hidden - unit).min(V::LANES);
    // SAFETY: `lanes` units from `unit` on exist in every gate and state.
    unsafe {
        let x = args.x_proj.add(row * args.ld_x_proj + unit);
        let [z, r] = gates;
        let z = sigmoid(clipped(z.add(load(x, lanes)), args.clip));
        let r = sigmoid(clipped(r.add(load(x.add(args.hidden), lanes)), args.clip));
        let h_prev: V = load(args.h_prev.add(row * args.ld_h_prev + unit), lanes);
        store(z, args.h.add(row * args.ld_h + unit), lanes);
        store(
            r.mul(h_prev),
            args.reset.add(row * args.ld_reset + unit),
            lanes,
        );
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`GruHalfArgs`] says.
#[inline(always)]
pub(crate) unsafe fn gru_candidate<V: Vector>(args: &GruHalfArgs) {
    let product = Product {
        hidden: args.hidden,
        r: args.r,
        h: args.reset,
        ld: args.ld_reset,
    };
    for block in args.block_begin..args.block_end {
        // SAFETY: the caller vouches for `rows` rows and for all blocks in the range.
        unsafe {
            if args.rows == 1 {
                let [[sum]] = multiply::<V, 1, 1, 8>(&product, block, 0);
                candidate_finish(args, block, 0, sum);
                continue;
            }
            let mut row = 0;
            while row + 8 <= args.rows {
                let sums = multiply::<V, 1, 8, 1>(&product, block, row);
                for r in 0..8 {
                    candidate_finish(args, block, row + r, sums[r][0]);
                }
                row += 8;
            }
            for row in row..args.rows {
                let [[sum]] = multiply::<V, 1, 1, 1>(&product, block, row);
                candidate_finish(args, block, row, sum);
            }
        }
    }
}

#[inline(always)]
unsafe fn candidate_finish<V: Vector>(args: &GruHalfArgs, block: usize, row: usize, sum: V) {
    let unit = block * BLOCK;
    let lanes = (args.hidden - unit).min(V::LANES);
    // SAFETY: `lanes` units from `unit` on exist in every gate and state.
    unsafe {
        let x = args.x_proj.add(row * args.ld_x_proj + unit);
        let n = tanh(clipped(
            sum.add(load(x.add(2 * args.hidden), lanes)),
            args.clip,
        ));
        let h_prev: V = load(args.h_prev.add(row * args.ld_h_prev + unit), lanes);
        let to = args.h.add(row * args.ld_h + unit);
        let z: V = load(to, lanes);
        // (1 - z) n + z h_prev
        store(z.mul_add(h_prev.sub(n), n), to, lanes);
    }
}

/// Packed recurrent weights and the hidden states they multiply.
struct Product {
    hidden: usize,
    r: *const f32,
    h: *const f32,
    ld: usize,
}

/// The gates of one block for `ROWS` rows; sum `s` takes the products `i` with `i % SPLITS == s`.
#[inline(always)]
unsafe fn multiply<V: Vector, const GATES: usize, const ROWS: usize, const SPLITS: usize>(
    product: &Product,
    block: usize,
    row: usize,
) -> [[V; GATES]; ROWS] {
    let mut acc = [[[V::splat(0.0); GATES]; ROWS]; SPLITS];
    // SAFETY: the caller vouches for the rows and the block.
    unsafe {
        let mut w = product.r.add(block * product.hidden * GATES * BLOCK);
        let h = product.h.add(row * product.ld);
        let mut i = 0;
        while i + SPLITS <= product.hidden {
            for s in 0..SPLITS {
                step(product, h.add(i + s), w, &mut acc[s]);
                w = w.add(GATES * BLOCK);
            }
            i += SPLITS;
        }
        for s in 0..SPLITS {
            if i + s < product.hidden {
                step(product, h.add(i + s), w, &mut acc[s]);
                w = w.add(GATES * BLOCK);
            }
        }
    }
    for s in 1..SPLITS {
        for r in 0..ROWS {
            for g in 0..GATES {
                acc[0][r][g] = acc[0][r][g].add(acc[s][r][g]);
            }
        }
    }
    acc[0]
}

#[inline(always)]
unsafe fn step<V: Vector, const GATES: usize, const ROWS: usize>(
    product: &Product,
    h: *const f32,
    w: *const f32,
    acc: &mut [[V; GATES]; ROWS],
) {
    // SAFETY: `w` is one packed row of a block, `h` an element of the first hidden state.
    unsafe {
        let mut weights = [V::splat(0.0); GATES];
        for g in 0..GATES {
            weights[g] = V::load(w.add(g * BLOCK));
        }
        for r in 0..ROWS {
            let x = V::splat(*h.add(r * product.ld));
            for g in 0..GATES {
                acc[r][g] = x.mul_add(weights[g], acc[r][g]);
            }
        }
    }
}

#[inline(always)]
fn clipped<V: Vector>(x: V, clip: f32) -> V {
    V::splat(clip).min(V::splat(-clip).max(x))
}

#[inline(always)]
unsafe fn store<V: Vector>(y: V, p: *mut f32, lanes: usize) {
    // SAFETY: the caller vouches for `lanes` floats.
    unsafe {
        if lanes == V::LANES {
            y.store(p)
        } else {
            y.store_first(p, lanes)
        }
    }
}
