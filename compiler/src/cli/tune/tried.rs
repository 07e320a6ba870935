//! A choice on samples that it was not made by.

use std::time::Instant;

use indicatif::ProgressBar;
use lepid_ir::core::{Attr, Builder, Code, Diagnostic, Diagnostics, Dim, Loc, Module, Tensor};
use lepid_ir::dialects::core::{Func, Return};
use lepid_target_api::main_function;

use super::data::Data;
use super::{Args, Loaded, executable};
use crate::cli::accuracy::rows;
use crate::cli::{Cx, Failure};
use crate::tune::outputs::answers;
use crate::tune::quality::{Metric, Truth};
use crate::tune::search::Choice;

/// The choice on samples that it was not made by, one at a time.
pub(super) struct Tried {
    pub(super) score: f64,
    pub(super) full_score: f64,
    pub(super) exits: Vec<usize>,
    /// Means over samples.
    pub(super) milliseconds: f64,
    pub(super) full_milliseconds: f64,
}

impl Tried {
    pub(super) fn new(
        args: &Args,
        loaded: &Loaded,
        (data, metric): (&Data, Metric),
        choice: &Choice,
        cx: &mut Cx<'_>,
    ) -> Result<Tried, Failure> {
        let mut full = loaded.of_samples(args, 1, cx)?;
        keep_last_exit(&mut full, loaded.names.last().map_or(0, Vec::len))?;
        let mut full = executable(args, full, cx)?;
        let mut options = loaded.options.clone();
        let ty = loaded
            .signature
            .inputs
            .first()
            .and_then(|port| port.ty.as_tensor());
        if let Some(Dim::Sym(name)) = ty.and_then(|ty| ty.dims.first()) {
            options.bindings.dims.insert(name.as_str().to_string(), 1);
        }
        let tuned = cx.driver.load(&args.output, &options, &mut cx.session)?;
        let mut tuned = executable(args, tuned, cx)?;
        let samples = data.labels.samples;
        let truth = Truth::new(metric, &data.labels.values, samples);
        let places = data.labels.places.iter().product();
        let mut exits = vec![0; choice.exits.len()];
        let mut sums = [truth.none(), truth.none()];
        let mut seconds = [Vec::new(), Vec::new()];
        let progress = ProgressBar::new(samples as u64);
        for i in 0..samples {
            let one: Vec<Tensor> = data.inputs.iter().map(|t| rows(t, i, 1)).collect();
            // Each twice, so that both find their weights where they left them.
            full.run(&one)?;
            let start = Instant::now();
            let wanted = full.run(&one)?;
            seconds[1].push(start.elapsed().as_secs_f64());
            tuned.run(&one)?;
            let start = Instant::now();
            let found = tuned.run(&one)?;
            seconds[0].push(start.elapsed().as_secs_f64());
            for (sums, outputs) in sums.iter_mut().zip([&found, &wanted]) {
                let fail = |message| Diagnostic::error(Code::INPUT, Loc::Unknown, message);
                data.labels.classes(outputs[0].shape()).map_err(fail)?;
                let answers = answers(&outputs[0].to_f64s(), places);
                truth.add(sums, i, &answers);
            }
            let exit = found.last().map_or(0, |exit| exit.to_i64s()[0]);
            if let Some(count) = exits.get_mut(exit as usize) {
                *count += 1;
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
        let mean = |s: &[f64]| 1e3 * s.iter().sum::<f64>() / samples as f64;
        Ok(Tried {
            score: truth.score(&sums[0]),
            full_score: truth.score(&sums[1]),
            exits,
            milliseconds: mean(&seconds[0]),
            full_milliseconds: mean(&seconds[1]),
        })
    }
}

/// Lets a function of all exits give the last one only.
fn keep_last_exit(module: &mut Module, outputs: usize) -> Result<(), Diagnostics> {
    let func = main_function(module, None)?;
    let view = module.view(func);
    let all = Func::returned(view).len();
    let kept = Func::returned(view)[all - outputs..].to_vec();
    let names = Func::output_names(view)[all - outputs..].to_vec();
    let names: Vec<Attr> = names.iter().map(|n| n.as_str().into()).collect();
    let Some(end) = module.terminator(Func::block(view)) else {
        lepid_ir::bug!("a function without a return passed the verifier");
    };
    module.set_attr(func, "outputs", Attr::List(Vec::new()));
    let mut b = Builder::before(module, end);
    Return::build(&mut b, &kept, &[]).map_err(|error| vec![error.at(Loc::Unknown)])?;
    module.erase(end);
    module.set_attr(func, "outputs", Attr::List(names));
    Ok(())
}
