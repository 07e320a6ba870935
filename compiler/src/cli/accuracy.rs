//! `lepid accuracy`: how often a classifier is right on labelled data.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::ProgressBar;
use lepid_ir::core::{Bytes, Code, Diagnostic, Diagnostics, Dim, Loc, Tensor};
use lepid_target_api::{LoadOptions, Signature};

use super::args::{Job, ModelArgs, TargetArgs, load_package, thread_count, threads};
use super::output::json_number;
use super::{Cx, Outcome};
use crate::driver::arrays;

/// Measure how often the greatest output of a classifier is the label.
///
/// Inputs and labels are arrays of one archive: inputs by their names, labels as `labels`, samples
/// along the first axis; an input that decides shapes has one value for all. The class is the place of the greatest value along the last axis of the
/// first output.
#[derive(clap::Args)]
#[command(after_help = "Example: lepid accuracy model.onnx --data test.npz")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Inputs and labels.
    #[arg(long, value_name = "FILE.npz")]
    data: PathBuf,
    /// The name of the array of labels.
    #[arg(long, value_name = "NAME", default_value = "labels")]
    labels: String,
    /// Samples in one run, where the model leaves that open.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Fail if the accuracy is less.
    #[arg(long, value_name = "SHARE")]
    at_least: Option<f64>,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let mut arrays: BTreeMap<String, Tensor> = arrays::read_npz(&args.data)?.into_iter().collect();
    let labels = arrays.remove(&args.labels).ok_or_else(|| {
        let message = format!("`{}` has no array `{}`", args.data.display(), args.labels);
        Diagnostic::error(Code::INPUT, Loc::Unknown, message)
            .with_help("name the array of labels with `--labels NAME`")
    })?;
    let samples = labels.shape().first().copied().unwrap_or(0);
    let first = args.model.load_for(&arrays, cx)?;
    let signature = args.model.signature(&first)?;
    let inputs = inputs(&signature, &arrays, samples)?;
    let batch = batch(&signature, args.batch as usize, samples)?;
    // The first batch binds the extents for all.
    let mut given: BTreeMap<String, Tensor> = signature
        .inputs
        .iter()
        .zip(&inputs)
        .map(|(port, tensor)| (port.name.clone(), rows(tensor, 0, batch)))
        .collect();
    let constants = args.model.constants(&first)?;
    given.extend(arrays.into_iter().filter(|(n, _)| constants.contains(n)));
    let job = Job::with_inputs(&args.model, given, 0, cx)?;
    let target = args.target.target(cx)?;
    let func = args.model.func.as_deref();
    let compiled = args.target.compile(job.module, func, &[], cx)?;
    let options = LoadOptions {
        threads: threads(args.threads),
        dynamic_bytes: cx.session.limits.memory,
        ..LoadOptions::default()
    };
    let mut executable = load_package(target, &compiled.package, &options)?;
    let labels = labels.to_i64s();
    let per_sample = labels.len() / samples.max(1);
    let mut right = 0;
    let progress = ProgressBar::new(samples as u64);
    for start in (0..samples).step_by(batch) {
        let chunk: Vec<Tensor> = inputs.iter().map(|t| rows(t, start, batch)).collect();
        let outputs = executable.run(&chunk)?;
        let classes = outputs.first().map(classes).unwrap_or_default();
        if classes.len() != batch * per_sample {
            let message = format!(
                "the first output gives {} classes for {batch} samples of {per_sample} labels",
                classes.len()
            );
            return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message).into());
        }
        // The last batch may be padded.
        let expected = labels[start * per_sample..].iter();
        right += expected.zip(&classes).filter(|(a, b)| a == b).count();
        progress.inc(batch as u64);
    }
    progress.finish_and_clear();
    report(args, right, labels.len(), cx)
}

fn report(args: &Args, right: usize, total: usize, cx: &mut Cx<'_>) -> Outcome {
    let accuracy = right as f64 / total as f64;
    cx.report("accuracy", json_number(accuracy));
    cx.report("right", right);
    cx.report("labels", total);
    if !cx.json {
        writeln!(io::stdout(), "accuracy {accuracy:.4} ({right} of {total})")?;
    }
    match args.at_least {
        Some(least) if accuracy < least => {
            let message = format!("the accuracy is {accuracy:.4}, at least {least} is asked for");
            Err(Diagnostic::error(Code::MISMATCH, Loc::Unknown, message).into())
        }
        _ => Ok(()),
    }
}

/// The arrays of the inputs, in order.
fn inputs(
    signature: &Signature,
    arrays: &BTreeMap<String, Tensor>,
    samples: usize,
) -> Result<Vec<Tensor>, Diagnostics> {
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for port in &signature.inputs {
        match arrays.get(&port.name) {
            Some(array) if array.shape().first() == Some(&samples) => found.push(array.clone()),
            Some(array) => {
                let shape = array.ty();
                let message = format!(
                    "`{}` is `{shape}`, but there are {samples} labels",
                    port.name
                );
                errors.push(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
            }
            None => {
                let message = format!("there is no array for input `{}`", port.name);
                errors.push(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
            }
        }
    }
    if samples == 0 {
        let message = "there are no labels";
        errors.push(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
    }
    match errors.is_empty() {
        true => Ok(found),
        false => Err(errors),
    }
}

/// Samples in one run: what the model says, else what is asked for.
fn batch(signature: &Signature, asked: usize, samples: usize) -> Result<usize, Diagnostic> {
    let first = signature
        .inputs
        .first()
        .and_then(|port| port.ty.as_tensor());
    match first.and_then(|ty| ty.dims.first()) {
        Some(Dim::Known(n)) => Ok(*n as usize),
        Some(Dim::Sym(_) | Dim::Unknown) => Ok(asked.min(samples)),
        None => {
            let message = "the model has no input with an axis for samples";
            Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message))
        }
    }
}

/// `count` rows from `start` on; the last row stands for those beyond the end.
pub(super) fn rows(tensor: &Tensor, start: usize, count: usize) -> Tensor {
    let size = tensor.bytes().len() / tensor.shape()[0];
    let last = tensor.shape()[0] - 1;
    let mut bytes = Vec::with_capacity(size * count);
    for row in start..start + count {
        bytes.extend_from_slice(&tensor.bytes()[row.min(last) * size..][..size]);
    }
    let shape = std::iter::once(count).chain(tensor.shape()[1..].iter().copied());
    Tensor::new(tensor.elem(), shape, Bytes::from_vec(bytes))
}

/// The place of the greatest value in each row of the last axis; the first of equal ones.
pub(super) fn classes(scores: &Tensor) -> Vec<i64> {
    let values = scores.to_f64s();
    let width = scores.shape().last().copied().unwrap_or(1).max(1);
    values
        .chunks(width)
        .map(|row| {
            let mut best = 0;
            for (i, &x) in row.iter().enumerate() {
                if x > row[best] {
                    best = i;
                }
            }
            best as i64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::Elem;

    use super::*;

    #[test]
    fn rows_beyond_the_end_repeat_the_last() {
        let tensor = Tensor::from_f64s(Elem::F32, [3, 2], (0..6).map(f64::from));
        let got = rows(&tensor, 2, 2);
        assert_eq!(got.shape(), [2, 2]);
        assert_eq!(got.to_f64s(), [4.0, 5.0, 4.0, 5.0]);
        assert_eq!(classes(&tensor), [1, 1, 1]);
    }
}
