//! `lepid tune`: chooses exits, policies and thresholds on labelled samples.

mod report;
mod tried;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use lepid_ir::core::{Code, Diagnostic, Diagnostics, Dim, Loc, Module, Tensor};
use lepid_ir::dialects::adapt::policies::{self, Settings};
use lepid_target_api::{Executable, LoadOptions, Signature, main_function};

use crate::cli::accuracy::{classes, rows};
use crate::cli::args::{FileArgs, TargetArgs, load_package, thread_count, threads};
use crate::cli::{Cx, Failure, Outcome};
use crate::driver::{ModelOptions, arrays, files};
use crate::frontends::spec::Spec;
use crate::tune::calibration::{self, Logits};
use crate::tune::candidates::{self, Candidate, Rule};
use crate::tune::measure::{Paths, multiply_adds};
use crate::tune::search::{self, Bits, Exit, Goal, Problem};
use report::Report;
use tried::Tried;

/// Choose exits, policies and thresholds for a model with several exits.
///
/// The spec names the exits; its policies are not read. The model runs once over the calibration set
/// with all exits. Temperatures are fitted, and then the best choice is searched without running
/// anything.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid tune exits.toml --data calibration.npz -o tuned.toml
  lepid tune exits.toml --data calibration.npz --max-macs 2e6 -o tuned.toml
  lepid tune exits.toml --data calibration.npz --test test.npz --html tuned.html -o tuned.toml")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Inputs and labels to choose by: inputs by their names, samples along the first axis.
    #[arg(long, value_name = "FILE.npz")]
    data: PathBuf,
    /// Inputs and labels that the choice is tried on afterwards, one sample at a time.
    #[arg(long, value_name = "FILE.npz")]
    test: Option<PathBuf>,
    /// The name of the array of labels.
    #[arg(long, value_name = "NAME", default_value = "labels")]
    labels: String,
    /// How much less often than the last exit alone the choice may be right, as a share
    /// [default: 0.01].
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["max_macs", "max_latency"])]
    max_accuracy_drop: Option<f64>,
    /// The mean of multiply-adds that a sample may take; then the best accuracy is sought.
    #[arg(long, value_name = "N", conflicts_with = "max_latency")]
    max_macs: Option<f64>,
    /// The mean of milliseconds that a sample may take, as the target predicts them.
    #[arg(long, value_name = "MS")]
    max_latency: Option<f64>,
    /// What is to be small: multiply-adds, or the milliseconds that the target predicts.
    #[arg(long, value_name = "UNIT", value_enum, default_value_t = Unit::Macs)]
    cost: Unit,
    /// Policies that exits may have; `gbvsb:2,5` sets M and N.
    #[arg(long, value_name = "NAME", default_values_t = ["top1", "margin", "entropy", "gbvsb:1,3"].map(String::from))]
    policy: Vec<String>,
    /// Thresholds that are tried for each policy at each exit.
    #[arg(long, value_name = "N", default_value_t = 40)]
    steps: usize,
    /// Beginnings of choices that the search looks at; beyond that its result is not proved best.
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    nodes: usize,
    /// Where the tuned spec goes.
    #[arg(short, long, value_name = "FILE.toml")]
    output: PathBuf,
    /// A page with the trade-off, where samples leave, and how far the exits can be believed.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Unit {
    Macs,
    Latency,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Macs => "M multiply-adds",
            Unit::Latency => "ms",
        }
    }

    /// Of multiply-adds and of seconds.
    fn scale(self) -> f64 {
        match self {
            Unit::Macs => 1e-6,
            Unit::Latency => 1e3,
        }
    }
}

/// Samples in one run of the calibration.
const BATCH: usize = 32;

pub(in crate::cli) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    args.file.check_output(&args.output, cx)?;
    let rules = rules(&args.policy)?;
    let loaded = Loaded::new(args, cx)?;
    let data = Data::read(&args.data, &args.labels, &loaded.signature)?;
    let outputs = loaded.outputs(args, &data, cx)?;
    let unit = match (args.max_latency, args.max_macs) {
        (Some(_), _) => Unit::Latency,
        (_, Some(_)) => Unit::Macs,
        _ => args.cost,
    };
    let paths = loaded.paths(args, unit, cx)?;
    let exits: Vec<Tuned> = outputs
        .iter()
        .map(|logits| Tuned::new(logits, &data.labels, &rules, args.steps))
        .collect();
    let searched: Vec<Exit> = exits
        .iter()
        .map(|exit| Exit {
            right: exit.right.clone(),
            candidates: exit.candidates.iter().map(|c| c.leaves.clone()).collect(),
        })
        .collect();
    let path = |exits: &[usize]| paths.cost(exits) * unit.scale();
    let problem = Problem {
        samples: data.labels.len(),
        exits: &searched,
        path: &path,
    };
    let alone = searched.last().map_or(0, |exit| exit.right.count());
    let goal = args.goal(alone, data.labels.len());
    let Some(choice) = search::search(&problem, goal, args.nodes) else {
        let cheapest = (0..searched.len())
            .map(|e| path(&[e]))
            .fold(f64::INFINITY, f64::min);
        let message = format!(
            "no choice costs as little: the cheapest exit takes {cheapest:.4} {}",
            unit.name()
        );
        return Err(Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).into());
    };
    let front = front(&problem, &searched, args.nodes);
    let report = Report {
        args,
        unit,
        rules: &rules,
        exits: &exits,
        names: &loaded.names,
        samples: data.labels.len(),
        choice: &choice,
        full: [
            path(&[searched.len() - 1]),
            alone as f64 / data.labels.len() as f64,
        ],
    };
    let text = report.spec(&loaded)?;
    files::write_atomic(&args.output, |file| file.write_all(text.as_bytes()))?;
    cx.report("output", args.output.display().to_string());
    let held_out = match &args.test {
        Some(test) => {
            let data = Data::read(test, &args.labels, &loaded.signature)?;
            let tried = Tried::new(args, &loaded, &data, &choice, cx)?;
            Some(tried)
        }
        None => None,
    };
    report.tell(&front, &path, held_out.as_ref(), cx)
}

impl Args {
    fn goal(&self, alone: usize, samples: usize) -> Goal {
        if let Some(macs) = self.max_macs {
            return Goal::Best {
                cost: macs * Unit::Macs.scale(),
            };
        }
        if let Some(cost) = self.max_latency {
            return Goal::Best { cost };
        }
        let drop = self.max_accuracy_drop.unwrap_or(0.01);
        let least = alone as f64 - drop * samples as f64;
        Goal::Cheapest {
            right: (least - 1e-9).ceil().max(0.0) as usize,
        }
    }
}

/// Reads `top1` or `gbvsb:2,5`.
fn rules(names: &[String]) -> Result<Vec<Rule>, Failure> {
    let mut rules = Vec::new();
    for written in names {
        let fail = |message: String, help: &str| {
            Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).with_help(help)
        };
        let (name, numbers) = match written.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (written.as_str(), None),
        };
        let policy = policies::policy(name)
            .map_err(|error| fail(error.message, "`lepid list policies` names all"))?;
        if policy.numbers != ["threshold"] || !policy.kept.is_empty() {
            let message = format!(
                "`{name}` cannot be tuned: it has more than a threshold, or keeps something from exit to exit"
            );
            return Err(fail(message, "top1, margin, entropy and gbvsb can").into());
        }
        let mut settings = Settings {
            first: 1,
            last: 2,
            weight: 1.0,
            horizon: 1.0,
        };
        if let Some(numbers) = numbers {
            let pair = numbers.split_once(',');
            let pair = pair.and_then(|(m, n)| Some((m.parse().ok()?, n.parse().ok()?)));
            let Some((first, last)) = pair.filter(|(m, n)| 1 <= *m && m <= n) else {
                let message = format!("`{written}` does not say M and N");
                return Err(fail(message, "write it as `gbvsb:2,5`").into());
            };
            (settings.first, settings.last) = (first, last);
        }
        rules.push(Rule { policy, settings });
    }
    Ok(rules)
}

/// The model with all its exits.
struct Loaded {
    options: ModelOptions,
    spec: Spec,
    signature: Signature,
    /// The outputs of each exit.
    names: Vec<Vec<String>>,
}

impl Loaded {
    fn new(args: &Args, cx: &mut Cx<'_>) -> Result<Loaded, Diagnostics> {
        let options = args.file.options()?;
        let (spec, module) = cx
            .driver
            .load_exits(&args.file.model, &options, &mut cx.session)?;
        let func = main_function(&module, None)?;
        let names = spec.outputs().into_iter();
        let names = names.map(|exit| exit.into_iter().map(|(name, _)| name).collect());
        Ok(Loaded {
            signature: Signature::of(&module, func),
            names: names.collect(),
            options,
            spec,
        })
    }

    /// The same for so many samples.
    fn of_samples(
        &self,
        args: &Args,
        samples: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Module, Diagnostics> {
        let mut options = self.options.clone();
        let ty = self
            .signature
            .inputs
            .first()
            .and_then(|port| port.ty.as_tensor());
        match ty.and_then(|ty| ty.dims.first()) {
            Some(Dim::Sym(name)) => {
                options
                    .bindings
                    .dims
                    .insert(name.as_str().to_string(), samples as u64);
            }
            _ => {
                let message = "the first input has no named leading extent, for samples";
                return Err(vec![Diagnostic::error(Code::SPEC, Loc::Unknown, message)]);
            }
        }
        let (_, module) = cx
            .driver
            .load_exits(&args.file.model, &options, &mut cx.session)?;
        Ok(module)
    }

    /// What the exits say to the samples: the first output of each.
    fn outputs(
        &self,
        args: &Args,
        data: &Data,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<ExitLogits>, Failure> {
        let samples = data.labels.len();
        let batch = BATCH.min(samples);
        let module = self.of_samples(args, batch, cx)?;
        let mut executable = executable(args, module, cx)?;
        let mut logits: Vec<ExitLogits> = vec![ExitLogits::default(); self.names.len()];
        let progress = ProgressBar::new(samples as u64);
        for start in (0..samples).step_by(batch) {
            let chunk: Vec<Tensor> = data.inputs.iter().map(|t| rows(t, start, batch)).collect();
            let outputs = executable.run(&chunk)?;
            let mut outputs = outputs.iter();
            for (exit, names) in logits.iter_mut().zip(&self.names) {
                let of_exit: Vec<&Tensor> = outputs.by_ref().take(names.len()).collect();
                let Some(first) = of_exit.first().filter(|t| t.rank() == 2) else {
                    let message = format!("`{}` is not [N, classes]", names.join(", "));
                    return Err(Diagnostic::error(Code::SPEC, Loc::Unknown, message).into());
                };
                exit.classes = first.shape()[1];
                let values = first.to_f64s();
                let count = batch.min(samples - start) * exit.classes;
                exit.values.extend(&values[..count]);
            }
            progress.inc(batch as u64);
        }
        progress.finish_and_clear();
        Ok(logits)
    }

    fn paths(&self, args: &Args, unit: Unit, cx: &mut Cx<'_>) -> Result<Paths, Diagnostics> {
        let module = self.of_samples(args, 1, cx)?;
        let func = main_function(&module, None)?;
        let outputs: Vec<usize> = self.names.iter().map(Vec::len).collect();
        if unit == Unit::Macs {
            return Ok(Paths::new(&module, func, &outputs, multiply_adds));
        }
        let target = args.target.target(cx)?;
        let options = args.target.options(target)?;
        let costs = target.cost_model(&options)?;
        Ok(Paths::new(&module, func, &outputs, |op| {
            costs.seconds(op, 1)
        }))
    }
}

fn executable(
    args: &Args,
    module: Module,
    cx: &mut Cx<'_>,
) -> Result<Box<dyn Executable>, Failure> {
    let target = args.target.target(cx)?;
    let compiled = args.target.compile(module, None, &[], cx)?;
    let options = LoadOptions {
        threads: threads(args.threads),
        dynamic_bytes: cx.session.limits.memory,
        ..LoadOptions::default()
    };
    Ok(load_package(target, &compiled.package, &options)?)
}

#[derive(Clone, Default)]
struct ExitLogits {
    values: Vec<f64>,
    classes: usize,
}

/// Labelled samples.
struct Data {
    inputs: Vec<Tensor>,
    labels: Vec<usize>,
}

impl Data {
    fn read(path: &Path, name: &str, signature: &Signature) -> Result<Data, Diagnostics> {
        let mut arrays: BTreeMap<String, Tensor> = arrays::read_npz(path)
            .map_err(|error| vec![error])?
            .into_iter()
            .collect();
        let fail = |message: String| vec![Diagnostic::error(Code::INPUT, Loc::Unknown, message)];
        let missing = |what: &str| fail(format!("`{}` has no array `{what}`", path.display()));
        let labels = arrays.remove(name).ok_or_else(|| missing(name))?;
        let labels: Vec<usize> = labels
            .to_i64s()
            .iter()
            .map(|&l| l.max(0) as usize)
            .collect();
        let mut inputs = Vec::new();
        for port in &signature.inputs {
            let array = arrays
                .remove(&port.name)
                .ok_or_else(|| missing(&port.name))?;
            if array.shape().first() != Some(&labels.len()) {
                let ty = array.ty();
                return Err(fail(format!(
                    "`{}` is `{ty}`, but there are {} labels",
                    port.name,
                    labels.len()
                )));
            }
            let elem = port.ty.as_tensor().map_or(array.elem(), |ty| ty.elem);
            inputs.push(array.cast(elem));
        }
        match labels.is_empty() {
            false => Ok(Data { inputs, labels }),
            true => Err(fail("there are no labels".to_string())),
        }
    }
}

/// An exit with its temperature and what it may do.
struct Tuned {
    right: Bits,
    temperature: f64,
    bins: [[calibration::Bin; calibration::BINS]; 2],
    candidates: Vec<Candidate>,
}

impl Tuned {
    fn new(exit: &ExitLogits, labels: &[usize], rules: &[Rule], steps: usize) -> Tuned {
        let logits = Logits {
            values: &exit.values,
            classes: exit.classes,
            labels,
        };
        let temperature = calibration::temperature(&logits);
        let shape = [labels.len(), exit.classes];
        let values = Tensor::from_f64s(lepid_ir::core::Elem::F64, shape, exit.values.clone());
        let best = classes(&values);
        let mut all = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if rule.settings.last <= exit.classes {
                let scores = candidates::scores(rule, &exit.values, exit.classes, temperature);
                let negated = rule.policy.name == "entropy";
                all.extend(candidates::of_rule(number, &scores, negated, steps));
            }
        }
        Tuned {
            right: Bits::of(labels.len(), |i| best[i] == labels[i] as i64),
            temperature,
            bins: [1.0, temperature].map(|t| calibration::reliability(&logits, t)),
            candidates: all,
        }
    }
}

/// The best choices from the least accuracy of an exit to the most that any choice has.
fn front(problem: &Problem<'_>, exits: &[Exit], nodes: usize) -> Vec<[f64; 2]> {
    const POINTS: usize = 12;
    let right: Vec<usize> = exits.iter().map(|exit| exit.right.count()).collect();
    let (Some(&least), Some(&most)) = (right.iter().min(), right.iter().max()) else {
        return Vec::new();
    };
    let mut found: Vec<[f64; 2]> = Vec::new();
    for point in 0..=POINTS {
        let wanted = least + (most - least) * point / POINTS;
        let choice = search::search(problem, Goal::Cheapest { right: wanted }, nodes);
        let Some(choice) = choice else { continue };
        let point = [choice.cost, choice.right as f64 / problem.samples as f64];
        if found.last() != Some(&point) {
            found.push(point);
        }
    }
    found
}
