//! Softmax, norms and reductions of rows.

use lepid_ukernels::args::{LrnArgs, NormArgs, ReduceArgs, Reduction, RowsArgs};

use crate::{Random, assert_close, on_each_isa};

const LENGTHS: [usize; 9] = [1, 2, 7, 8, 9, 31, 32, 77, 300];
const ROWS: usize = 3;

/// Rows with a gap after each, in and out.
struct Rows {
    len: usize,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Rows {
    fn new(len: usize) -> Rows {
        let mut x = Random(len as u64).floats(ROWS * (len + 1));
        for x in &mut x {
            *x *= 5.0;
        }
        Rows {
            len,
            x,
            y: vec![9.0; ROWS * (len + 2)],
        }
    }

    fn args(&mut self) -> RowsArgs {
        let len = self.len;
        RowsArgs {
            rows: ROWS,
            len,
            x: self.x.as_ptr(),
            ldx: len + 1,
            y: self.y.as_mut_ptr(),
            ldy: len + 2,
        }
    }

    fn row(&self, r: usize) -> Vec<f64> {
        self.x[r * (self.len + 1)..][..self.len]
            .iter()
            .map(|&x| f64::from(x))
            .collect()
    }

    fn check(&self, what: &str, want: impl Fn(&[f64], usize) -> f64) {
        for r in 0..ROWS {
            let row = self.row(r);
            for i in 0..self.len {
                assert_close(
                    self.y[r * (self.len + 2) + i],
                    want(&row, i),
                    format!("{what} of {} at ({r}, {i})", self.len),
                );
            }
            assert_eq!(
                self.y[r * (self.len + 2) + self.len],
                9.0,
                "wrote past the row"
            );
        }
    }
}

fn softmax(x: &[f64], i: usize) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (x[i] - top).exp() / x.iter().map(|x| (x - top).exp()).sum::<f64>()
}

#[test]
fn softmax_and_its_logarithm() {
    on_each_isa(|t| {
        for len in LENGTHS {
            let mut rows = Rows::new(len);
            // SAFETY: the buffers have the sizes the arguments say.
            unsafe { (t.softmax_f32)(&rows.args()) };
            rows.check("softmax", softmax);
            // SAFETY: as above.
            unsafe { (t.log_softmax_f32)(&rows.args()) };
            rows.check("log softmax", |x, i| softmax(x, i).ln());
        }
    });
}

#[test]
fn softmax_survives_large_values_and_infinite_masks() {
    on_each_isa(|t| {
        let x = [1000.0f32, f32::NEG_INFINITY, 1000.0, -1000.0, 0.0];
        let mut y = x;
        let args = RowsArgs {
            rows: 1,
            len: 5,
            x: y.as_ptr(),
            ldx: 5,
            y: y.as_mut_ptr(),
            ldy: 5,
        };
        // SAFETY: the buffers have the sizes the arguments say.
        unsafe { (t.softmax_f32)(&args) };
        assert_eq!(y, [0.5, 0.0, 0.5, 0.0, 0.0]);
    });
}

#[test]
fn norms_match_their_formulas() {
    on_each_isa(|t| {
        for len in LENGTHS {
            let gamma = Random(1).floats(len);
            let beta = Random(2).floats(len);
            for with_affine in [false, true] {
                let pointer = |x: &[f32]| {
                    if with_affine {
                        x.as_ptr()
                    } else {
                        std::ptr::null()
                    }
                };
                let affine = |i: usize, x: f64, with_beta: bool| match (with_affine, with_beta) {
                    (false, _) => x,
                    (true, false) => x * f64::from(gamma[i]),
                    (true, true) => x * f64::from(gamma[i]) + f64::from(beta[i]),
                };
                let mut rows = Rows::new(len);
                let args = NormArgs {
                    rows: rows.args(),
                    gamma: pointer(&gamma),
                    beta: pointer(&beta),
                    eps: 1e-2,
                };
                // SAFETY: the buffers have the sizes the arguments say.
                unsafe { (t.layer_norm_f32)(&args) };
                let n = len as f64;
                rows.check("layer norm", |x, i| {
                    let mean = x.iter().sum::<f64>() / n;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                    affine(i, (x[i] - mean) / (variance + 1e-2).sqrt(), true)
                });
                // SAFETY: as above.
                unsafe { (t.rms_norm_f32)(&args) };
                rows.check("rms norm", |x, i| {
                    let mean_square = x.iter().map(|x| x * x).sum::<f64>() / n;
                    affine(i, x[i] / (mean_square + 1e-2).sqrt(), false)
                });
            }
        }
    });
}

#[test]
fn lrn_matches_its_formula() {
    on_each_isa(|t| {
        for len in LENGTHS {
            for (size, beta) in [(1, 0.75f32), (4, 0.75), (5, 0.5), (5, 0.9), (9, 0.75)] {
                let mut rows = Rows::new(len);
                let args = LrnArgs {
                    rows: rows.args(),
                    size,
                    alpha: 0.5,
                    beta,
                    bias: 1.5,
                };
                // SAFETY: the buffers have the sizes the arguments say.
                unsafe { (t.lrn_f32)(&args) };
                rows.check("lrn", |x, i| {
                    let window =
                        &x[i.saturating_sub((size - 1) / 2)..(i + size / 2 + 1).min(x.len())];
                    let squares: f64 = window.iter().map(|x| x * x).sum();
                    x[i] / (1.5 + 0.5 / size as f64 * squares).powf(f64::from(beta))
                });
            }
        }
    });
}

#[test]
fn reductions_match_a_plain_loop() {
    const ALL: [Reduction; 7] = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Max,
        Reduction::Min,
        Reduction::SumSquare,
        Reduction::SumAbs,
        Reduction::Product,
    ];
    on_each_isa(|t| {
        for op in ALL {
            for len in LENGTHS {
                let mut rows = Rows::new(len);
                for x in &mut rows.x {
                    *x = if op == Reduction::Product {
                        1.0 + *x * 0.01
                    } else {
                        *x
                    };
                }
                for with_nan in [false, true] {
                    if with_nan {
                        rows.x[len / 2] = f32::NAN;
                    }
                    let mut y = vec![9.0; ROWS];
                    let args = ReduceArgs {
                        op: op as u32,
                        rows: ROWS,
                        len,
                        x: rows.x.as_ptr(),
                        ldx: len + 1,
                        y: y.as_mut_ptr(),
                    };
                    // SAFETY: the buffers have the sizes the arguments say.
                    unsafe { (t.reduce_f32)(&args) };
                    for (r, y) in y.into_iter().enumerate() {
                        let x = rows.row(r);
                        let sum: f64 = x.iter().sum();
                        let want = match op {
                            _ if sum.is_nan() => f64::NAN,
                            Reduction::Sum => sum,
                            Reduction::Mean => sum / len as f64,
                            Reduction::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                            Reduction::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
                            Reduction::SumSquare => x.iter().map(|x| x * x).sum(),
                            Reduction::SumAbs => x.iter().map(|x| x.abs()).sum(),
                            Reduction::Product => x.iter().product(),
                        };
                        assert_close(y, want, format!("{op:?} of {len}"));
                    }
                }
            }
        }
    });
}
