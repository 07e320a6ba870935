//! `lepid tune`: chooses exits, policies and thresholds on labelled samples.

mod data;
mod report;
mod tried;

use std::io::Write;
use std::path::PathBuf;

use indicatif::ProgressBar;
use lepid_ir::core::{Code, Diagnostic, Diagnostics, Dim, Elem, Loc, Module, Tensor};
use lepid_ir::dialects::adapt::policies::{self, Settings};
use lepid_target_api::{Executable, LoadOptions, Signature, main_function};

use crate::cli::accuracy::rows;
use crate::cli::args::{FileArgs, TargetArgs, load_package, thread_count, threads};
use crate::cli::{Cx, Failure, Outcome};
use crate::driver::{ModelOptions, files};
use crate::frontends::spec::Spec;
use crate::tune::calibration;
use crate::tune::candidates::{self, Candidate, Rule};
use crate::tune::measure::{Paths, multiply_adds};
use crate::tune::outputs::{self, Outputs};
use crate::tune::quality::{Metric, Quality, Sums, Truth};
use crate::tune::search::{self, Exit, Goal, Problem};
use data::Data;
use report::Report;
use tried::Tried;

/// Choose exits, heads, policies and thresholds for a model with several exits.
///
/// The spec names the exits; its policies are not read, and of exits at one point one is kept at
/// most. The model runs once over the calibration set with all exits. Temperatures are fitted, and
/// then the best choice is searched without running anything.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid tune exits.toml --data calibration.npz -o tuned.toml
  lepid tune exits.toml --data calibration.npz --max-macs 2e6 -o tuned.toml
  lepid tune exits.toml --data calibration.npz --test test.npz --html tuned.html -o tuned.toml
  lepid tune heads.toml --data scenes.npz --metric mean-iou --policy pixels:0.8 -o tuned.toml")]
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
    /// What answers are measured by [default: accuracy, or mean-iou for exits that label places].
    #[arg(long, value_name = "METRIC", value_enum)]
    metric: Option<Metric>,
    /// How much worse than those of the last exit alone the answers may be, as a share [default:
    /// 0.01].
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
    /// Policies that exits may have; `gbvsb:2,5` sets M and N, `pixels:0.9` how sure a pixel is to be
    /// [default: top1, margin, entropy, gbvsb:1,3; of places pixels:0.7, pixels:0.9].
    #[arg(long, value_name = "NAME")]
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
    let loaded = Loaded::new(args, cx)?;
    let data = Data::read(&args.data, &args.labels, &loaded.signature)?;
    let outputs = loaded.outputs(args, &data, cx)?;
    let places = outputs.iter().map(|exit| exit.places).max().unwrap_or(1);
    let rules = rules(&args.policy, places)?;
    let metric = match args.metric {
        Some(metric) => metric,
        None if places > 1 => Metric::MeanIou,
        None => Metric::Accuracy,
    };
    let unit = match (args.max_latency, args.max_macs) {
        (Some(_), _) => Unit::Latency,
        (_, Some(_)) => Unit::Macs,
        _ => args.cost,
    };
    let paths = loaded.paths(args, unit, cx)?;
    let truth = Truth::new(metric, &data.labels.values, data.labels.samples);
    let answers = outputs.iter().map(|exit| -> Vec<Sums> {
        let samples = 0..data.labels.samples;
        samples
            .map(|sample| truth.sums(sample, &exit.answers(sample)))
            .collect()
    });
    let answers = answers.collect();
    let quality = Quality::new(truth, answers);
    let progress = ProgressBar::new(outputs.len() as u64);
    let exits = outputs.iter().enumerate().map(|(number, outputs)| {
        let score = quality.alone(number);
        let tuned = Tuned::new(outputs, &data.labels.values, (&rules, args.steps), score);
        progress.inc(1);
        tuned
    });
    let exits: Vec<Tuned> = exits.collect();
    progress.finish_and_clear();
    let points = loaded.spec.points()?;
    let searched = exits.iter().zip(points).map(|(exit, point)| Exit {
        point,
        candidates: exit.candidates.iter().map(|c| c.leaves.clone()).collect(),
    });
    let searched: Vec<Exit> = searched.collect();
    let path = |exits: &[usize]| paths.cost(exits) * unit.scale();
    let problem = Problem {
        samples: data.labels.samples,
        exits: &searched,
        quality: &quality,
        path: &path,
    };
    let alone = exits.last().map_or(0.0, |exit| exit.score);
    let goal = args.goal(alone);
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
    let front = front(&problem, &exits, args.nodes);
    let report = Report {
        args,
        unit,
        rules: &rules,
        exits: &exits,
        names: &loaded.names,
        samples: data.labels.samples,
        metric,
        choice: &choice,
        full: [path(&[searched.len() - 1]), alone],
    };
    let text = report.spec(&loaded)?;
    files::write_atomic(&args.output, |file| file.write_all(text.as_bytes()))?;
    cx.report("output", args.output.display().to_string());
    let held_out = match &args.test {
        Some(test) => {
            let data = Data::read(test, &args.labels, &loaded.signature)?;
            let tried = Tried::new(args, &loaded, (&data, metric), &choice, cx)?;
            Some(tried)
        }
        None => None,
    };
    report.tell(&front, &path, held_out.as_ref(), cx)
}

impl Args {
    fn goal(&self, alone: f64) -> Goal {
        if let Some(macs) = self.max_macs {
            return Goal::Best {
                cost: macs * Unit::Macs.scale(),
            };
        }
        if let Some(cost) = self.max_latency {
            return Goal::Best { cost };
        }
        let drop = self.max_accuracy_drop.unwrap_or(0.01);
        Goal::Cheapest {
            score: alone - drop - 1e-9,
        }
    }
}

/// Policies of exits that label one place or several, if none are asked for.
const USUAL: [&[&str]; 2] = [
    &["top1", "margin", "entropy", "gbvsb:1,3"],
    &["pixels:0.7", "pixels:0.9"],
];

/// Reads `top1`, `gbvsb:2,5` or `pixels:0.9`.
fn rules(asked: &[String], places: usize) -> Result<Vec<Rule>, Failure> {
    let usual = USUAL[usize::from(places > 1)].iter();
    let names = match asked.is_empty() {
        true => usual.map(|name| name.to_string()).collect(),
        false => asked.to_vec(),
    };
    names.iter().map(|name| rule(name, places)).collect()
}

fn rule(written: &str, places: usize) -> Result<Rule, Failure> {
    let fail = |message: String, help: &str| {
        Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).with_help(help)
    };
    let (name, numbers) = written.split_once(':').unwrap_or((written, ""));
    let policy = policies::policy(name)
        .map_err(|error| fail(error.message, "`lepid list policies` names all"))?;
    let before = match policy.numbers.split_last() {
        Some((&"threshold", before)) if policy.kept.is_empty() => before,
        _ => {
            let message = format!(
                "`{name}` cannot be tuned: it has no threshold to be found, or keeps something from exit to exit"
            );
            let help = "top1, margin, entropy, gbvsb and pixels can";
            return Err(fail(message, help).into());
        }
    };
    if places > 1 && !policy.places {
        let message = format!("`{name}` is for exits that label one place, these label {places}");
        return Err(fail(message, "write `--policy pixels:0.9`").into());
    }
    let mut settings = Settings {
        first: 1,
        last: 2,
        weight: 1.0,
        horizon: 1.0,
    };
    if name == "gbvsb" && !numbers.is_empty() {
        let pair = numbers.split_once(',');
        let pair = pair.and_then(|(m, n)| Some((m.parse().ok()?, n.parse().ok()?)));
        let Some((first, last)) = pair.filter(|(m, n)| 1 <= *m && m <= n) else {
            let message = format!("`{written}` does not say M and N");
            return Err(fail(message, "write it as `gbvsb:2,5`").into());
        };
        (settings.first, settings.last) = (first, last);
        return Ok(Rule {
            policy,
            settings,
            numbers: Vec::new(),
        });
    }
    let given = numbers.split(',').filter(|text| !text.is_empty());
    let given: Option<Vec<f64>> = given.map(|text| text.parse().ok()).collect();
    match given.filter(|given| given.len() == before.len()) {
        Some(numbers) => Ok(Rule {
            policy,
            settings,
            numbers,
        }),
        None => {
            let message = format!("`{written}` is to say {} numbers", before.len());
            let help = match before.is_empty() {
                true => format!("write `{name}`: the threshold is what is searched"),
                false => format!("write `{name}:{}`", before.join(",").to_uppercase()),
            };
            Err(fail(message, &help).into())
        }
    }
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
    fn outputs(&self, args: &Args, data: &Data, cx: &mut Cx<'_>) -> Result<Vec<Outputs>, Failure> {
        let samples = data.labels.samples;
        let batch = BATCH.min(samples);
        let module = self.of_samples(args, batch, cx)?;
        let mut executable = executable(args, module, cx)?;
        let mut all: Vec<Outputs> = vec![Outputs::default(); self.names.len()];
        let progress = ProgressBar::new(samples as u64);
        for start in (0..samples).step_by(batch) {
            let chunk: Vec<Tensor> = data.inputs.iter().map(|t| rows(t, start, batch)).collect();
            let outputs = executable.run(&chunk)?;
            let mut outputs = outputs.iter();
            for (exit, names) in all.iter_mut().zip(&self.names) {
                let of_exit: Vec<&Tensor> = outputs.by_ref().take(names.len()).collect();
                let fail = |message: String| {
                    let message = format!("`{}`: {message}", names.join(", "));
                    Diagnostic::error(Code::INPUT, Loc::Unknown, message)
                };
                let Some(first) = of_exit.first() else {
                    return Err(fail("an exit emits one output at least".to_string()).into());
                };
                let classes = data.labels.classes(first.shape()).map_err(fail)?;
                if !classes.before && !data.labels.places.is_empty() {
                    let message =
                        "classes are to stand before the places, as [N, classes, places…]";
                    return Err(fail(message.to_string()).into());
                }
                exit.classes = classes.count;
                exit.places = data.labels.places.iter().product();
                let values = first.cast(Elem::F32);
                let values = values.values::<f32>();
                let count = batch.min(samples - start) * exit.classes * exit.places;
                exit.values.extend_from_slice(&values[..count]);
            }
            progress.inc(batch as u64);
        }
        progress.finish_and_clear();
        Ok(all)
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

/// An exit with its temperature and what it may do.
struct Tuned {
    /// Of its answers to all samples.
    score: f64,
    temperature: f64,
    bins: [[calibration::Bin; calibration::BINS]; 2],
    candidates: Vec<Candidate>,
}

impl Tuned {
    fn new(
        exit: &Outputs,
        labels: &[usize],
        (rules, steps): (&[Rule], usize),
        score: f64,
    ) -> Tuned {
        let rows = exit.rows(labels);
        let logits = outputs::logits(&rows, exit.classes);
        let temperature = calibration::temperature(&logits);
        let mut all = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if rule.settings.last <= exit.classes {
                let scores = candidates::scores(rule, exit, temperature);
                let negated = rule.policy.name == "entropy";
                all.extend(candidates::of_rule(number, &scores, negated, steps));
            }
        }
        Tuned {
            score,
            temperature,
            bins: [1.0, temperature].map(|t| calibration::reliability(&logits, t)),
            candidates: all,
        }
    }
}

/// The best choices from the least score of an exit alone to the greatest.
fn front(problem: &Problem<'_>, exits: &[Tuned], nodes: usize) -> Vec<[f64; 2]> {
    const POINTS: usize = 12;
    let scores = || exits.iter().map(|exit| exit.score);
    let (least, most) = (
        scores().fold(f64::INFINITY, f64::min),
        scores().fold(0.0, f64::max),
    );
    let mut found: Vec<[f64; 2]> = Vec::new();
    for point in 0..=POINTS {
        let wanted = least + (most - least) * point as f64 / POINTS as f64;
        let goal = Goal::Cheapest {
            score: wanted - 1e-9,
        };
        let choice = search::search(problem, goal, nodes);
        let Some(choice) = choice else { continue };
        let point = [choice.cost, choice.score];
        if found.last() != Some(&point) {
            found.push(point);
        }
    }
    found
}
