//! What every op must do, checked on sample uses: `eval` gives what `infer` says, `decompose` gives
//! what `eval` gives, and neither panics on garbage.
//!
//! A sample is one row of `tensor.rs` or `nn.rs`; a new op is tested by adding rows.

mod garbage;
mod nn;
mod sample;
mod tensor;

use std::collections::BTreeSet;

use lepid_ir::dialects::registry;

#[test]
fn samples_keep_their_promises() {
    let mut failures = Vec::new();
    for sample in tensor::samples().iter().chain(&nn::samples()) {
        if let Err(message) = sample.check() {
            failures.push(format!("{sample}: {message}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn each_op_has_a_sample() {
    let samples = [tensor::samples(), nn::samples()].concat();
    let sampled: BTreeSet<&str> = samples.iter().map(|s| s.def.info().name).collect();
    let ops = registry();
    let missing: Vec<&str> = ops
        .iter()
        .filter(|def| ["nn", "tensor"].contains(&def.info().dialect()))
        .filter(|def| def.info().regions.is_empty())
        .map(|def| def.info().name)
        .filter(|name| !sampled.contains(name))
        .collect();
    assert!(missing.is_empty(), "without a sample: {missing:?}");
}

#[test]
fn each_nn_op_decomposes() {
    let samples = nn::samples();
    let kept: Vec<String> = samples
        .iter()
        .filter(|s| !s.decomposes())
        .map(|s| s.to_string())
        .collect();
    assert!(
        kept.is_empty(),
        "without a decomposition:\n{}",
        kept.join("\n")
    );
}
