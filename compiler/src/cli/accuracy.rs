//! `lepid accuracy`: how good a classifier is on labelled data.

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
use crate::tune::outputs::{Labels, answers};
use crate::tune::quality::{Metric, Truth};

/// Measure how often the greatest output of a classifier is the label, and by which exits samples
/// leave.
///
/// Inputs and labels are arrays of one archive: inputs by their names, labels as `labels`, samples
/// along the first axis; an input that decides shapes has one value for all. Classes are along the
/// last axis of the first output, or along its second one, if labels have all axes but that.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid accuracy model.onnx --data test.npz
  lepid accuracy tuned.toml --data scenes.npz --metric mean-iou")]
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
    /// What answers are measured by.
    #[arg(long, value_name = "METRIC", value_enum, default_value_t = Metric::Accuracy)]
    metric: Metric,
    /// The output that says by which exit a sample has left, if there is one of this name.
    #[arg(long, value_name = "NAME", default_value = "exit")]
    exits: String,
    /// Fail if what is measured is less.
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
    let fail = |message: String| Diagnostic::error(Code::INPUT, Loc::Unknown, message);
    let labels = Labels::of(&labels).map_err(fail)?;
    let samples = labels.samples;
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
    let truth = Truth::new(args.metric, &labels.values, samples);
    let mut sums = truth.none();
    let outputs = signature.outputs.iter();
    let exit = outputs.clone().position(|port| port.name == args.exits);
    let mut exits: Vec<usize> = Vec::new();
    let progress = ProgressBar::new(samples as u64);
    for start in (0..samples).step_by(batch) {
        let chunk: Vec<Tensor> = inputs.iter().map(|t| rows(t, start, batch)).collect();
        let outputs = executable.run(&chunk)?;
        let Some(first) = outputs.first() else {
            return Err(fail("the model has no output".to_string()).into());
        };
        let answers = answers_to(&labels, first).map_err(fail)?;
        // The last batch may be padded.
        let count = batch.min(samples - start);
        for (i, answers) in answers.iter().take(count).enumerate() {
            truth.add(&mut sums, start + i, answers);
        }
        let left = exit.and_then(|exit| outputs.get(exit)).map(Tensor::to_i64s);
        for exit in left.iter().flatten().take(count) {
            let number = usize::try_from(*exit).ok().filter(|&n| n < MOST_EXITS);
            let Some(number) = number else {
                let message = format!("output `{}` is {exit}, which is no exit", args.exits);
                return Err(fail(message).into());
            };
            exits.resize(exits.len().max(number + 1), 0);
            exits[number] += 1;
        }
        progress.inc(batch as u64);
    }
    progress.finish_and_clear();
    let right = (args.metric == Metric::Accuracy).then(|| sums[0]);
    let total = labels.values.len();
    report(args, truth.score(&sums), (right, total), &exits, cx)
}

/// Exits of a network at most.
const MOST_EXITS: usize = 1 << 16;

fn report(
    args: &Args,
    score: f64,
    (right, total): (Option<i64>, usize),
    exits: &[usize],
    cx: &mut Cx<'_>,
) -> Outcome {
    let name = args.metric.name();
    cx.report("labels", total);
    match right {
        Some(right) => {
            cx.report("accuracy", json_number(score));
            cx.report("right", right);
        }
        None => cx.report("mean_iou", json_number(score)),
    }
    if !exits.is_empty() {
        cx.report("exits", exits);
    }
    if !cx.json {
        let mut out = io::stdout().lock();
        match right {
            Some(right) => writeln!(out, "{name} {score:.4} ({right} of {total})")?,
            None => writeln!(out, "{name} {score:.4} ({total} labels)")?,
        }
        if !exits.is_empty() {
            let samples: usize = exits.iter().sum();
            let share = |n: &usize| format!("{:.1} %", 100.0 * *n as f64 / samples as f64);
            let shares: Vec<String> = exits.iter().map(share).collect();
            writeln!(out, "samples leave by {}", shares.join(", "))?;
        }
    }
    match args.at_least {
        Some(least) if score < least => {
            let message = format!("the {name} is {score:.4}, at least {least} is asked for");
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
            Some(array) if array.shape().first() == Some(&samples) => {
                let elem = port.ty.as_tensor().map_or(array.elem(), |ty| ty.elem);
                found.push(array.cast(elem));
            }
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

/// The classes that an output gives for each sample of a batch, a class for each label.
fn answers_to(labels: &Labels, output: &Tensor) -> Result<Vec<Vec<usize>>, String> {
    let classes = labels.classes(output.shape())?;
    let places: usize = labels.places.iter().product();
    let values = output.to_f64s();
    let of_sample = |sample: &[f64]| match classes.before {
        true => answers(sample, places),
        false => {
            let rows = sample.chunks(classes.count);
            rows.flat_map(|row| answers(row, 1)).collect()
        }
    };
    Ok(values
        .chunks(classes.count * places)
        .map(of_sample)
        .collect())
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
        let labels = |shape: &[usize]| Labels::of(&Tensor::zeros(Elem::I64, shape)).unwrap();
        let found = |shape: &[usize], tensor: &Tensor| answers_to(&labels(shape), tensor).unwrap();
        assert_eq!(found(&[3], &tensor), [[1], [1], [1]]);
        // Classes behind the places, and before them.
        let tensor = Tensor::from_f64s(Elem::F32, [1, 2, 3], [0., 1., 2., 3., 2., 1.]);
        assert_eq!(found(&[1, 2], &tensor), [[2, 0]]);
        assert_eq!(found(&[1, 3], &tensor), [[1, 1, 0]]);
    }
}
