//! Every kernel, on every instruction set that the machine has, against a plain reference in double precision.
#![allow(unsafe_code, reason = "kernels are called through raw pointers")]

mod attention;
mod convolution;
mod eight_bits;
mod math;
mod matrix;
mod recurrent;
mod rows;
mod strassen;
mod terms;
mod winograd;

use lepid_ukernels::args::{Activation, Epilogue};
use lepid_ukernels::{Isa, Table, table};

/// Runs a test body once per instruction set.
fn on_each_isa(body: impl Fn(&Table)) {
    for isa in Isa::ALL {
        if let Some(table) = table(isa) {
            body(table);
        }
    }
}

/// A small generator of reproducible numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Uniform in -1..1.
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

const ACTIVATIONS: [Activation; 11] = [
    Activation::None,
    Activation::Relu,
    Activation::Clamp,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::HardSwish,
    Activation::HardSigmoid,
    Activation::LeakyRelu,
];

fn activate(act: Activation, lo: f32, hi: f32, x: f64) -> f64 {
    let (lo, hi) = (f64::from(lo), f64::from(hi));
    match act {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clamp => x.max(lo).min(hi),
        Activation::Gelu => 0.5 * x * (1.0 + math::erf(x / 2.0f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid => (lo * x + hi).clamp(0.0, 1.0),
        Activation::LeakyRelu => {
            if x < 0.0 {
                lo * x
            } else {
                x
            }
        }
    }
}

fn epilogue(bias: &[f32], residual: &[f32], ld_residual: usize, act: Activation) -> Epilogue {
    let pointer = |x: &[f32]| {
        if x.is_empty() {
            std::ptr::null()
        } else {
            x.as_ptr()
        }
    };
    Epilogue {
        bias: pointer(bias),
        residual: pointer(residual),
        ld_residual,
        act: act as u32,
        lo: 0.2,
        hi: 0.7,
    }
}

/// Equal up to rounding; NaN equals NaN.
#[track_caller]
fn assert_close(got: f32, want: f64, what: impl std::fmt::Display) {
    let close = (f64::from(got) - want).abs() <= 2e-5 * want.abs().max(1.0);
    assert!(
        close || got.is_nan() && want.is_nan() || f64::from(got) == want,
        "{what}: got {got}, want {want}"
    );
}
