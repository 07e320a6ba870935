//! Equality saturation: finds many equal programs at once and keeps the cheapest.
//!
//! ```text
//! %1 = tensor.transpose(%0) {perm = [1, 0]}
//! %2 = nn.relu(%1)                               →    %1 = nn.relu(%0)
//! %3 = tensor.transpose(%2) {perm = [1, 0]}
//! ```
//!
//! Each block is cut into pieces of pure ops (`pieces`); a piece becomes an e-graph (`import`,
//! `language`, `facts`), in which rules (`rules`, `rewrite`) add what is equal until nothing is new or
//! a limit is met (`saturate`); the cheapest program under the target's costs (`cost`, `plan`) takes
//! the place of the piece (`replay`) and of all pieces like it. What costs no less than the input is
//! not taken.

mod cost;
mod dump;
pub mod extract;
mod facts;
mod functions;
mod hash;
mod import;
mod language;
mod notation;
mod pieces;
mod plan;
mod prove;
mod regular;
mod replay;
mod report;
mod rewrite;
pub mod rules;
mod saturate;
mod scratch;

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use indexmap::IndexMap;
use lepid_ir::core::{Block, Code, Diagnostic, Diagnostics, Loc, Module, Op, Value};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::kernel;

use crate::core::rewrite::is_effect_free;
use crate::core::{Changed, PassCx, PassDef, PassEnv, PassOption, PassResult, Values};
use cost::CostModel;
use dump::Dump;
use extract::Method;
use facts::{Analyzer, Graph};
pub use functions::summary_of_function;
use import::{Source, import, signature};
use pieces::{PieceSize, fixed_values, piece, pieces};
use plan::{Plan, cheapest, cost_of_piece, originals};
pub use prove::{Proof, ProofStep, Unproven, prove};
use regular::{Regular, regular_values};
use replay::replay;
pub use report::{Outcome, PieceReport, Report, Stop};
use rewrite::Rule;
use saturate::{Limits, saturate};

pub const PASS: PassDef = PassDef {
    name: "eqsat",
    summary: "Finds equal programs by rules and keeps the cheapest (equality saturation).",
    values: Values::Within(1e-4),
    options: &[
        PassOption {
            name: "rules",
            default: "all",
            help: "Families and rules with blanks between, `-name` to leave out; `none` switches the pass off.",
        },
        PassOption {
            name: "values",
            default: "within",
            help: "`exact` for the rules alone that move no bit.",
        },
        PassOption {
            name: "nodes",
            default: "3000",
            help: "The most nodes of the e-graph of a piece.",
        },
        PassOption {
            name: "iterations",
            default: "12",
            help: "How often all rules are applied at most.",
        },
        PassOption {
            name: "piece",
            default: "96",
            help: "The most ops of a piece.",
        },
        PassOption {
            name: "extract",
            default: "greedy",
            help: "How the cheapest program is found: `greedy`, or `exact` within `steps`.",
        },
        PassOption {
            name: "steps",
            default: "100000",
            help: "The most steps of an exact search, for each piece.",
        },
    ],
    run,
};

/// How to optimise.
#[derive(Clone, Debug)]
pub struct Options {
    pub rules: Vec<&'static rules::RuleDef>,
    pub nodes: usize,
    pub iterations: usize,
    /// The most ops of a piece.
    pub piece: usize,
    /// How the cheapest program of a piece is found.
    pub extract: Method,
}

impl Default for Options {
    /// As the pass has them by default.
    fn default() -> Options {
        Options {
            rules: rules::all().map(|(_, rule)| rule).collect(),
            nodes: 3_000,
            iterations: 12,
            piece: 96,
            extract: Method::Greedy,
        }
    }
}

impl Options {
    /// Reads the options of the pass.
    fn of(cx: &PassCx<'_>) -> Result<Options, Diagnostics> {
        let refuse =
            |message: String| vec![Diagnostic::error(Code::PASS_OPTION, Loc::Unknown, message)];
        let mut rules =
            rules::select(&cx.option::<String>("rules")?).map_err(|error| vec![error])?;
        match cx.option::<String>("values")?.as_str() {
            "within" => {}
            "exact" => rules.retain(|rule| rule.values == Values::Exact),
            other => {
                let message = format!("option `values` of pass `eqsat` cannot be `{other}`");
                return Err(refuse(message));
            }
        }
        let piece = cx.option("piece")?;
        if piece < 2 {
            let message =
                format!("option `piece` of pass `eqsat` is {piece}, but must be at least 2");
            return Err(refuse(message));
        }
        Ok(Options {
            rules,
            nodes: cx.option("nodes")?,
            iterations: cx.option("iterations")?,
            piece,
            extract: match cx.option::<String>("extract")?.as_str() {
                "greedy" => Method::Greedy,
                "exact" => Method::Exact {
                    steps: cx.option("steps")?,
                },
                other => {
                    let message = format!("option `extract` of pass `eqsat` cannot be `{other}`");
                    return Err(refuse(message));
                }
            },
        })
    }
}

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let options = Options::of(cx)?;
    if options.rules.is_empty() {
        cx.remarks
            .push("switched off: no rule is chosen\n".to_string());
        return Ok(Changed::No);
    }
    let report = optimize(module, cx.env, &options)?;
    let changed = report.pieces.iter().any(|p| p.outcome == Outcome::Replaced);
    cx.remarks.push(report.to_string());
    cx.rules = report.fired;
    Ok(changed.into())
}

/// Optimises all functions of a module.
pub fn optimize(
    module: &mut Module,
    env: &PassEnv<'_>,
    options: &Options,
) -> Result<Report, Diagnostics> {
    let mut optimizer = Optimizer::new(module, env, options);
    optimizer.module(module)?;
    Ok(optimizer.report)
}

/// The saturated e-graphs of a module in one, as egraph-serialize JSON.
pub fn dump(module: &Module, env: &PassEnv<'_>, options: &Options) -> Result<String, Diagnostics> {
    let mut optimizer = Optimizer::new(module, env, options);
    optimizer.dump = Some(Dump::default());
    optimizer.module(&mut module.clone())?;
    Ok(optimizer.dump.unwrap_or_default().finish())
}

/// The blocks inside an op, but those of kernels, which have been decided on.
fn blocks(module: &Module, op: Op) -> Vec<Block> {
    let mut all = Vec::new();
    for &region in module.regions(op) {
        for &block in module.region_blocks(region) {
            all.push(block);
            let nested = module
                .ops_in(block)
                .filter(|&op| !kernel::has_body(module, op));
            all.extend(nested.flat_map(|op| blocks(module, op)));
        }
    }
    all
}

/// Erases what defines values that nothing reads any more.
fn erase_dead(module: &mut Module, values: &[Value]) {
    let mut todo = values.to_vec();
    while let Some(value) = todo.pop() {
        let Some(op) = module
            .defining_op(value)
            .filter(|&op| module.op_block(op).is_some())
        else {
            continue;
        };
        let unused = module
            .results(op)
            .iter()
            .all(|&r| module.uses(r).is_empty());
        if unused && is_effect_free(module, op) {
            todo.extend(module.operands(op));
            module.erase(op);
        }
    }
}

struct Optimizer<'e> {
    rules: Vec<Rule>,
    model: CostModel<'e>,
    limits: Limits,
    size: PieceSize,
    method: Method,
    /// Values that depend on constants alone.
    fixed: HashSet<Value>,
    /// What is regular about values.
    regular: HashMap<Value, Regular>,
    /// What was decided for pieces by their signature: a plan, or to keep them; and the row of the
    /// report.
    plans: IndexMap<String, (Option<Rc<Plan>>, usize)>,
    report: Report,
    /// The graphs of all distinct pieces, where they are asked for.
    dump: Option<Dump>,
}

impl<'e> Optimizer<'e> {
    fn new(module: &Module, env: &'e PassEnv<'e>, options: &Options) -> Optimizer<'e> {
        let compiled = options.rules.iter().map(|def| Rule::compile(def, env.ops));
        let rules: Result<Vec<Rule>, String> = compiled.collect();
        Optimizer {
            rules: rules.unwrap_or_else(|error| lepid_ir::bug!("{error}")),
            model: CostModel::new(env),
            limits: Limits {
                nodes: options.nodes,
                iterations: options.iterations,
                matches: 2000,
            },
            size: PieceSize {
                // A piece that may be empty would never bring the run to its end.
                least: (options.piece / 4).max(1),
                most: options.piece.max(1),
            },
            method: options.extract,
            fixed: fixed_values(module),
            regular: regular_values(module),
            plans: IndexMap::new(),
            report: Report::default(),
            dump: None,
        }
    }

    fn module(&mut self, module: &mut Module) -> Result<(), Diagnostics> {
        for func in module.funcs().collect::<Vec<Op>>() {
            let name = Func::name(module.view(func)).to_string();
            for block in blocks(module, func) {
                self.block(module, &name, block)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, module: &mut Module, func: &str, block: Block) -> Result<(), Diagnostics> {
        for ops in pieces(module, block, &self.fixed, self.size) {
            let piece = piece(module, &ops);
            let Some(plan) = self.plan(module, func, &piece) else {
                continue;
            };
            let roots = replay(module, &piece, &plan)?;
            erase_dead(module, &piece.inputs);
            let pairs = piece.roots.iter().zip(&roots);
            let fixed = pairs.filter(|(old, _)| self.fixed.contains(old));
            let fixed: Vec<Value> = fixed.map(|(_, new)| *new).collect();
            self.fixed.extend(fixed);
            let kept = piece.roots.iter().zip(&roots);
            let kept = kept.filter_map(|(old, new)| Some((*new, *self.regular.get(old)?)));
            let kept: Vec<(Value, Regular)> = kept.collect();
            self.regular.extend(kept);
        }
        Ok(())
    }

    /// The plan for a piece, if there is a better one than itself.
    fn plan(&mut self, module: &Module, func: &str, piece: &pieces::Piece) -> Option<Rc<Plan>> {
        let fixed = |value: Value| self.fixed.contains(&value);
        let source = Source {
            module,
            fixed: &fixed,
            regular: &self.regular,
        };
        let signature = signature(&source, piece);
        if let Some((plan, row)) = self.plans.get(&signature) {
            self.report.pieces[*row].count += 1;
            return plan.clone();
        }
        let (row, plan) = self.decide(module, func, piece);
        let plan = plan.map(Rc::new);
        self.plans
            .insert(signature, (plan.clone(), self.report.pieces.len()));
        self.report.pieces.push(row);
        plan
    }

    fn decide(
        &mut self,
        module: &Module,
        func: &str,
        piece: &pieces::Piece,
    ) -> (PieceReport, Option<Plan>) {
        let fixed = |value: Value| self.fixed.contains(&value);
        let source = Source {
            module,
            fixed: &fixed,
            regular: &self.regular,
        };
        let mut row = PieceReport {
            func: func.to_string(),
            ops: piece.ops.len(),
            count: 1,
            classes: 0,
            nodes: 0,
            iterations: 0,
            stop: Stop::Saturated,
            before: 0.0,
            after: 0.0,
            outcome: Outcome::Refused,
        };
        let Some(mut imported) = import(&source, piece, Graph::new(Analyzer::default())) else {
            return (row, None);
        };
        row.before = cost_of_piece(&imported, &mut self.model);
        row.after = row.before;
        let originals = originals(&imported);
        let run = saturate(&mut imported.graph, &self.rules, self.limits);
        row.classes = imported.graph.number_of_classes();
        row.nodes = imported.graph.total_size();
        row.iterations = run.iterations;
        row.stop = run.stop;
        if let Some(dump) = &mut self.dump {
            dump.add(&imported, &mut self.model);
        }
        for (name, count) in run.fired {
            *self.report.fired.entry(name).or_default() += count;
        }
        let Some(mut plan) = cheapest(&imported, &originals, &mut self.model, self.method) else {
            row.outcome = Outcome::Cyclic;
            return (row, None);
        };
        // Sums are rounded; what is gained must be more than that.
        if plan.cost >= row.before * (1.0 - 1e-9) {
            row.outcome = Outcome::Best;
            return (row, None);
        }
        row.after = plan.cost;
        row.outcome = Outcome::Replaced;
        plan.trace(module, piece);
        (row, Some(plan))
    }
}
