//! Strassen's product: values against a plain loop, errors against the stated bound, and that cuts do not matter.

use lepid_ukernels::args::{Activation, StrassenArgs};
use lepid_ukernels::{Table, strassen};

use crate::{ACTIVATIONS, Random, activate, assert_close, epilogue, on_each_isa};

struct Layer {
    rows: usize,
    k: usize,
    columns: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    packed: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

/// Elements between two rows beyond their length, of input, output and residual.
const GAPS: [usize; 3] = [1, 2, 3];

impl Layer {
    fn new(rows: usize, k: usize, columns: usize) -> Layer {
        assert!(strassen::suits(rows, k, columns));
        let mut random = Random(5);
        let mut layer = Layer {
            rows,
            k,
            columns,
            a: random.floats(rows * (k + GAPS[0])),
            b: random.floats(k * columns),
            packed: vec![0.0; strassen::packed_len(k, columns)],
            bias: random.floats(columns),
            residual: random.floats(rows * (columns + GAPS[2])),
        };
        for panel in 0..columns / 32 {
            strassen::pack_panel(k, columns, panel, &mut layer.packed, |i, column, row| {
                let from = i * columns + column;
                row.copy_from_slice(&layer.b[from..from + 16]);
            });
        }
        layer
    }

    fn sum(&self, row: usize, column: usize) -> f64 {
        let terms = (0..self.k).map(|i| {
            let a = self.a[row * (self.k + GAPS[0]) + i];
            f64::from(a) * f64::from(self.b[i * self.columns + column])
        });
        terms.sum()
    }

    /// All outputs, with `GAPS[1]` untouched elements (9) behind each row. Rows and panels are cut at these numbers, and
    /// so many rows are worked on together.
    fn run(&self, t: &Table, cuts: [usize; 2], block: usize, act: Option<Activation>) -> Vec<f32> {
        let ldc = self.columns + GAPS[1];
        let mut c = vec![9.0; self.rows * ldc];
        let mut scratch = vec![0.0; block * self.k / 2];
        let halves = [self.rows / 2, self.columns / 32];
        for row_begin in (0..halves[0]).step_by(cuts[0]) {
            for panel_begin in (0..halves[1]).step_by(cuts[1]) {
                let args = StrassenArgs {
                    rows: halves[0],
                    k: self.k / 2,
                    panels: halves[1],
                    a: self.a.as_ptr(),
                    lda: self.k + GAPS[0],
                    b: self.packed.as_ptr(),
                    c: c.as_mut_ptr(),
                    ldc,
                    row_begin,
                    row_end: halves[0].min(row_begin + cuts[0]),
                    panel_begin,
                    panel_end: halves[1].min(panel_begin + cuts[1]),
                    block,
                    scratch: scratch.as_mut_ptr(),
                    epilogue: match act {
                        None => epilogue(&[], &[], 0, Activation::None),
                        Some(act) => {
                            let ld = self.columns + GAPS[2];
                            epilogue(&self.bias, &self.residual, ld, act)
                        }
                    },
                };
                // SAFETY: all buffers have the sizes that the arguments say.
                unsafe { (t.strassen_f32)(&args) };
            }
        }
        c
    }
}

const LAYERS: [(usize, usize, usize); 4] =
    [(2, 32, 32), (26, 96, 64), (14, 64, 160), (130, 32, 32)];

#[test]
fn products_match_a_plain_loop() {
    on_each_isa(|t| {
        for (rows, k, columns) in LAYERS {
            let layer = Layer::new(rows, k, columns);
            for act in ACTIVATIONS {
                let c = layer.run(t, [rows, columns], 96, Some(act));
                for (row, c) in c.chunks_exact(columns + GAPS[1]).enumerate() {
                    for (column, &found) in c[..columns].iter().enumerate() {
                        let residual = layer.residual[row * (columns + GAPS[2]) + column];
                        let sum = layer.sum(row, column) + f64::from(layer.bias[column]);
                        let want = activate(act, 0.2, 0.7, sum + f64::from(residual));
                        assert_close(found, want, format_args!("{act:?} {row} {column}"));
                    }
                    assert_eq!(c[columns..], [9.0; GAPS[1]]);
                }
            }
        }
    });
}

#[test]
fn cuts_keep_every_bit() {
    on_each_isa(|t| {
        for (rows, k, columns) in LAYERS {
            let layer = Layer::new(rows, k, columns);
            let whole = layer.run(t, [rows, columns], 96, Some(Activation::Gelu));
            for (cuts, block) in [([1, 1], 1), ([5, 2], 96), ([12, 3], 7)] {
                let parts = layer.run(t, cuts, block, Some(Activation::Gelu));
                assert!(parts == whole, "{rows}x{k}x{columns} cut at {cuts:?}");
            }
        }
    });
}

#[test]
fn errors_stay_within_their_bound_and_near_it() {
    let (rows, k, columns) = (64, 2048, 64);
    let layer = Layer::new(rows, k, columns);
    let bound = strassen::error_bound(k);
    on_each_isa(|t| {
        let c = layer.run(t, [rows, columns], 96, None);
        let (mut worst, mut squares) = (0.0f64, 0.0);
        for row in 0..rows {
            for column in 0..columns {
                let want = layer.sum(row, column);
                let got = f64::from(c[row * (columns + GAPS[1]) + column]);
                worst = worst.max((got - want).abs());
                squares += want * want;
            }
        }
        let relative = worst / (squares / (rows * columns) as f64).sqrt();
        assert!(
            relative < bound && relative > bound / 20.0,
            "{relative:.2e} of {bound:.2e}"
        );
    });
}
