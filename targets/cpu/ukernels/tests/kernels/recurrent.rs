//! LSTM and GRU steps.

use lepid_ukernels::args::{GruCellArgs, GruHalfArgs, LstmCellArgs, PackRecurrentArgs};
use lepid_ukernels::{Table, recurrent_packed_len};

use crate::{Random, assert_close, on_each_isa};

const HIDDEN: [usize; 5] = [1, 5, 8, 19, 40];

/// Recurrent weights, packed, and states of `rows` sequences.
struct Case {
    hidden: usize,
    gates: usize,
    r: Vec<f32>,
    packed: Vec<f32>,
    x_proj: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    extra: Vec<f32>,
}

impl Case {
    fn new(t: &Table, gates: usize, rows: usize, hidden: usize) -> Case {
        let mut random = Random((rows * 100 + hidden) as u64);
        let r = random.floats(gates * hidden * hidden);
        let packed = packed(t, &r, gates, hidden);
        Case {
            hidden,
            gates,
            r,
            packed,
            x_proj: random.floats(rows * (gates * hidden + 2)),
            h: random.floats(rows * (hidden + 1)),
            c: random.floats(rows * hidden),
            extra: random.floats(3 * hidden),
        }
    }

    /// The recurrent product of a gate, without the input's part.
    fn product(&self, row: usize, gate: usize, unit: usize) -> f64 {
        let weights = &self.r[(gate * self.hidden + unit) * self.hidden..][..self.hidden];
        let h = &self.h[row * (self.hidden + 1)..];
        weights
            .iter()
            .zip(h)
            .map(|(w, h)| f64::from(*w) * f64::from(*h))
            .sum()
    }

    fn input(&self, row: usize, gate: usize, unit: usize) -> f64 {
        f64::from(self.x_proj[row * (self.gates * self.hidden + 2) + gate * self.hidden + unit])
    }
}

fn packed(t: &Table, r: &[f32], gates: usize, hidden: usize) -> Vec<f32> {
    let mut packed = vec![f32::NAN; recurrent_packed_len(gates, hidden)];
    let args = PackRecurrentArgs {
        gates,
        hidden,
        src: r.as_ptr(),
        dst: packed.as_mut_ptr(),
    };
    // SAFETY: the buffers have the sizes the arguments say.
    unsafe { (t.pack_recurrent_f32)(&args) };
    packed
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn lstm_steps_match_the_formula() {
    on_each_isa(|t| {
        for rows in 1..=8 {
            for hidden in HIDDEN {
                for (peephole, clip) in [(false, f32::INFINITY), (true, 0.8)] {
                    lstm(t, rows, hidden, peephole, clip);
                }
            }
        }
    });
}

fn lstm(t: &Table, rows: usize, hidden: usize, peephole: bool, clip: f32) {
    let case = Case::new(t, 4, rows, hidden);
    let mut h = vec![9.0; rows * hidden];
    let mut c = case.c.clone();
    let blocks = hidden.div_ceil(8);
    for (block_begin, block_end) in [(0, blocks / 2), (blocks / 2, blocks)] {
        let c_out = c.as_mut_ptr();
        let args = LstmCellArgs {
            rows,
            hidden,
            block_begin,
            block_end,
            x_proj: case.x_proj.as_ptr(),
            ld_x_proj: 4 * hidden + 2,
            r: case.packed.as_ptr(),
            h_prev: case.h.as_ptr(),
            ld_h_prev: hidden + 1,
            c_prev: c_out,
            ld_c_prev: hidden,
            h: h.as_mut_ptr(),
            ld_h: hidden,
            c: c_out,
            ld_c: hidden,
            peephole: if peephole {
                case.extra.as_ptr()
            } else {
                std::ptr::null()
            },
            clip,
        };
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe { (t.lstm_cell_f32)(&args) };
    }
    for row in 0..rows {
        for unit in 0..hidden {
            let gate = |g: usize| case.input(row, g, unit) + case.product(row, g, unit);
            let through = |g: usize| {
                if peephole {
                    f64::from(case.extra[g * hidden + unit])
                } else {
                    0.0
                }
            };
            let clipped = |x: f64| x.clamp(-f64::from(clip), f64::from(clip));
            let before = f64::from(case.c[row * hidden + unit]);
            let i = sigmoid(clipped(gate(0) + through(0) * before));
            let f = sigmoid(clipped(gate(2) + through(2) * before));
            let after = f * before + i * clipped(gate(3)).tanh();
            let o = sigmoid(clipped(gate(1) + through(1) * after));
            assert_close(
                c[row * hidden + unit],
                after,
                format!("c of {rows}x{hidden} ({row}, {unit})"),
            );
            assert_close(
                h[row * hidden + unit],
                o * after.tanh(),
                format!("h of {rows}x{hidden} ({row}, {unit})"),
            );
        }
    }
}

#[test]
fn gru_steps_match_the_formula() {
    on_each_isa(|t| {
        for rows in 1..=5 {
            for hidden in HIDDEN {
                gru(t, rows, hidden);
            }
        }
    });
}

fn gru(t: &Table, rows: usize, hidden: usize) {
    let case = Case::new(t, 3, rows, hidden);
    let mut out = vec![9.0; rows * hidden];
    let blocks = hidden.div_ceil(8);
    for (block_begin, block_end) in [(0, blocks / 2), (blocks / 2, blocks)] {
        let args = GruCellArgs {
            rows,
            hidden,
            block_begin,
            block_end,
            x_proj: case.x_proj.as_ptr(),
            ld_x_proj: 3 * hidden + 2,
            r: case.packed.as_ptr(),
            recurrent_bias: case.extra.as_ptr(),
            h_prev: case.h.as_ptr(),
            ld_h_prev: hidden + 1,
            h: out.as_mut_ptr(),
            ld_h: hidden,
            clip: f32::INFINITY,
        };
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe { (t.gru_cell_f32)(&args) };
    }
    for row in 0..rows {
        for unit in 0..hidden {
            let z = sigmoid(case.input(row, 0, unit) + case.product(row, 0, unit));
            let r = sigmoid(case.input(row, 1, unit) + case.product(row, 1, unit));
            let h = case.product(row, 2, unit) + f64::from(case.extra[unit]);
            let h = (case.input(row, 2, unit) + r * h).tanh();
            let want = (1.0 - z) * h + z * f64::from(case.h[row * (hidden + 1) + unit]);
            assert_close(
                out[row * hidden + unit],
                want,
                format!("{rows}x{hidden} ({row}, {unit})"),
            );
        }
    }
}

#[test]
fn gru_steps_in_halves_match_the_formula() {
    on_each_isa(|t| {
        for rows in 1..=9 {
            for hidden in HIDDEN {
                gru_halves(t, rows, hidden, f32::INFINITY);
                gru_halves(t, rows, hidden, 0.6);
            }
        }
    });
}

fn gru_halves(t: &Table, rows: usize, hidden: usize, clip: f32) {
    let case = Case::new(t, 3, rows, hidden);
    let (of_gates, of_candidate) = case.r.split_at(2 * hidden * hidden);
    let of_gates = packed(t, of_gates, 2, hidden);
    let of_candidate = packed(t, of_candidate, 1, hidden);
    let mut out = vec![9.0; rows * hidden];
    let mut reset = vec![9.0; rows * (hidden + 3)];
    let blocks = hidden.div_ceil(8);
    for first_half in [true, false] {
        for (block_begin, block_end) in [(0, blocks / 2), (blocks / 2, blocks)] {
            let args = GruHalfArgs {
                rows,
                hidden,
                block_begin,
                block_end,
                x_proj: case.x_proj.as_ptr(),
                ld_x_proj: 3 * hidden + 2,
                r: match first_half {
                    true => of_gates.as_ptr(),
                    false => of_candidate.as_ptr(),
                },
                h_prev: case.h.as_ptr(),
                ld_h_prev: hidden + 1,
                reset: reset.as_mut_ptr(),
                ld_reset: hidden + 3,
                h: out.as_mut_ptr(),
                ld_h: hidden,
                clip,
            };
            // SAFETY: all buffers have the sizes the arguments say.
            match first_half {
                true => unsafe { (t.gru_gates_f32)(&args) },
                false => unsafe { (t.gru_candidate_f32)(&args) },
            }
        }
    }
    let clipped = |x: f64| x.clamp(-f64::from(clip), f64::from(clip));
    for row in 0..rows {
        let state = |unit: usize| f64::from(case.h[row * (hidden + 1) + unit]);
        let gate = |g: usize, unit| {
            sigmoid(clipped(
                case.input(row, g, unit) + case.product(row, g, unit),
            ))
        };
        for unit in 0..hidden {
            let weights = &case.r[(2 * hidden + unit) * hidden..][..hidden];
            let products = weights.iter().zip(0..);
            let sum: f64 = products
                .map(|(&w, i)| f64::from(w) * gate(1, i) * state(i))
                .sum();
            let n = clipped(case.input(row, 2, unit) + sum).tanh();
            let z = gate(0, unit);
            assert_close(
                out[row * hidden + unit],
                (1.0 - z) * n + z * state(unit),
                format!("{rows}x{hidden} ({row}, {unit})"),
            );
        }
    }
}
