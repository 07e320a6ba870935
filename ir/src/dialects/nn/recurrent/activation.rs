//! The activations that a recurrent network may name.

use crate::core::{Builder, OpResult, Value};
use crate::dialects::tensor::{self as t, build};

use super::super::activation::{
    Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, ThresholdedRelu, sigmoid,
    softplus,
};
use super::super::expand::affine;
use super::super::rules::{choice, ensure};

/// One activation with its parameters.
#[derive(Copy, Clone)]
pub(super) struct Activation {
    name: &'static str,
    alpha: f64,
    beta: f64,
    function: fn(f64, f64, f64) -> f64,
    build: fn(&mut Builder<'_>, Value, f64, f64) -> OpResult<Value>,
}

impl Activation {
    pub(super) fn of(&self, x: f64) -> f64 {
        (self.function)(x, self.alpha, self.beta)
    }

    pub(super) fn build(&self, b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
        (self.build)(b, x, self.alpha, self.beta)
    }
}

/// The known activations, by name, with the defaults of their parameters.
const ACTIVATIONS: &[Activation] = &[
    Activation {
        name: "affine",
        alpha: 1.0,
        beta: 0.0,
        function: |x, alpha, beta| alpha * x + beta,
        build: affine,
    },
    Activation {
        name: "elu",
        alpha: 1.0,
        beta: 0.0,
        function: |x, alpha, _| if x < 0.0 { alpha * libm::expm1(x) } else { x },
        build: |b, x, alpha, _| b.one(&Elu, &[x], &[("alpha", alpha.into())]),
    },
    Activation {
        name: "hard_sigmoid",
        alpha: 0.2,
        beta: 0.5,
        function: |x, alpha, beta| (alpha * x + beta).clamp(0.0, 1.0),
        build: |b, x, alpha, beta| {
            b.one(
                &HardSigmoid,
                &[x],
                &[("alpha", alpha.into()), ("beta", beta.into())],
            )
        },
    },
    Activation {
        name: "leaky_relu",
        alpha: 0.01,
        beta: 0.0,
        function: |x, alpha, _| if x < 0.0 { alpha * x } else { x },
        build: |b, x, alpha, _| b.one(&LeakyRelu, &[x], &[("alpha", alpha.into())]),
    },
    Activation {
        name: "relu",
        alpha: 0.0,
        beta: 0.0,
        function: |x, _, _| if x < 0.0 { 0.0 } else { x },
        build: |b, x, _, _| b.one(&Relu, &[x], &[]),
    },
    Activation {
        name: "scaled_tanh",
        alpha: 1.0,
        beta: 1.0,
        function: |x, alpha, beta| alpha * libm::tanh(beta * x),
        build: |b, x, alpha, beta| {
            let inner = affine(b, x, beta, 0.0)?;
            let tanh = build::unary(b, &t::Tanh, inner)?;
            affine(b, tanh, alpha, 0.0)
        },
    },
    Activation {
        name: "sigmoid",
        alpha: 0.0,
        beta: 0.0,
        function: |x, _, _| sigmoid(x),
        build: |b, x, _, _| b.one(&Sigmoid, &[x], &[]),
    },
    Activation {
        name: "softplus",
        alpha: 0.0,
        beta: 0.0,
        function: |x, _, _| softplus(x),
        build: |b, x, _, _| b.one(&Softplus, &[x], &[]),
    },
    Activation {
        name: "softsign",
        alpha: 0.0,
        beta: 0.0,
        function: |x, _, _| x / (1.0 + x.abs()),
        build: |b, x, _, _| b.one(&Softsign, &[x], &[]),
    },
    Activation {
        name: "tanh",
        alpha: 0.0,
        beta: 0.0,
        function: |x, _, _| libm::tanh(x),
        build: |b, x, _, _| build::unary(b, &t::Tanh, x),
    },
    Activation {
        name: "thresholded_relu",
        alpha: 1.0,
        beta: 0.0,
        function: |x, alpha, _| if x <= alpha { 0.0 } else { x },
        build: |b, x, alpha, _| b.one(&ThresholdedRelu, &[x], &[("alpha", alpha.into())]),
    },
];

/// The activations of all directions, checked; without names `sigmoid`, `tanh`, `tanh` for each.
pub(super) fn list(
    count: usize,
    names: &[&str],
    alpha: &[f64],
    beta: &[f64],
) -> OpResult<Vec<Activation>> {
    let defaults: Vec<&str> = match count % 3 {
        0 => ["sigmoid", "tanh", "tanh"].repeat(count / 3),
        _ => ["sigmoid", "tanh"].repeat(count / 2),
    };
    let names = if names.is_empty() { &defaults } else { names };
    let lists = [
        ("activations", names.len()),
        ("alpha", alpha.len()),
        ("beta", beta.len()),
    ];
    for (name, len) in lists {
        ensure!(
            len == count || (name != "activations" && len == 0),
            "`{name}` must have {count} entries, found {len}"
        );
    }
    let known: Vec<&str> = ACTIVATIONS.iter().map(|a| a.name).collect();
    let mut list = Vec::with_capacity(count);
    for (i, name) in names.iter().enumerate() {
        choice("activations", name, &known)?;
        list.extend(
            ACTIVATIONS
                .iter()
                .filter(|a| a.name == *name)
                .map(|a| Activation {
                    alpha: alpha.get(i).copied().unwrap_or(a.alpha),
                    beta: beta.get(i).copied().unwrap_or(a.beta),
                    ..*a
                }),
        );
    }
    Ok(list)
}

/// Those of one direction.
pub(super) fn of_direction<const EACH: usize>(
    all: &[Activation],
    direction: usize,
) -> [Activation; EACH] {
    std::array::from_fn(|i| all[direction * EACH + i])
}
