//! Products with weights in eight bits.

use lepid_ukernels::Table;
use lepid_ukernels::args::{Activation, EightBitArgs};

use crate::{Random, activate, assert_close, epilogue, on_each_isa};

#[test]
fn rows_times_weights_in_eight_bits_match_the_formula() {
    on_each_isa(|t| {
        for rows in 1..=9 {
            for n in [1, 8, 9, 16, 50] {
                for (k, block) in [(1, 1), (7, 7), (40, 16), (64, 32), (64, 64)] {
                    let act = [Activation::None, Activation::Clamp, Activation::Gelu][rows % 3];
                    product(t, [rows, k, n], block, act);
                }
            }
        }
    });
}

fn product(t: &Table, [rows, k, n]: [usize; 3], block: usize, act: Activation) {
    let mut random = Random((rows * 7919 + n * 31 + k) as u64);
    let (lda, ldc) = (k + 3, n + 2);
    let (panels, blocks) = (n.div_ceil(16), k.div_ceil(block));
    let a = random.floats(rows * lda);
    let weights: Vec<i8> = (0..panels * k * 16).map(|_| random.next() as i8).collect();
    let scales: Vec<f32> = random.floats(panels * blocks * 16);
    let scales: Vec<f32> = scales.iter().map(|x| x / 64.0).collect();
    let (bias, residual) = match rows % 2 {
        0 => (random.floats(n), random.floats(rows * (n + 1))),
        _ => (Vec::new(), Vec::new()),
    };
    let mut c = vec![9.0; rows * ldc];
    for (panel_begin, panel_end) in [(0, panels / 2), (panels / 2, panels)] {
        let args = EightBitArgs {
            rows,
            k,
            block,
            n,
            a: a.as_ptr(),
            lda,
            b: weights.as_ptr(),
            scales: scales.as_ptr(),
            c: c.as_mut_ptr(),
            ldc,
            panel_begin,
            panel_end,
            epilogue: epilogue(&bias, &residual, n + 1, act),
        };
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe { (t.gemv_i8)(&args) };
    }
    for r in 0..rows {
        for j in 0..n {
            let (panel, lane) = (j / 16, j % 16);
            let mut sum = 0.0;
            for i in 0..k {
                let weight = f64::from(weights[(panel * k + i) * 16 + lane]);
                let scale = f64::from(scales[(panel * blocks + i / block) * 16 + lane]);
                sum += f64::from(a[r * lda + i]) * weight * scale;
            }
            if !bias.is_empty() {
                sum += f64::from(bias[j]) + f64::from(residual[r * (n + 1) + j]);
            }
            let want = activate(act, 0.2, 0.7, sum);
            assert_close(c[r * ldc + j], want, format!("{rows}x{k}x{n} ({r}, {j})"));
        }
        assert_eq!(&c[r * ldc + n..][..2], [9.0, 9.0], "wrote past the columns");
    }
}
