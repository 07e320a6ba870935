//! A target that is the interpreter but for planted faults, to be found and shrunk.

use std::sync::Arc;

use lepid_ir::core::{Builder, Diagnostics, Module, OpDef, OpView, Registry};
use lepid_ir::dialects::tensor;
use lepid_passes::core::rewrite::{At, is, replace};
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassRegistry, PassResult, Values};
use lepid_passes::eqsat::rules::{self, RuleDef};
use lepid_passes::eqsat::{self, Options};
use lepid_target_api::{EmitCx, Legality, LoadError, Package, Program, Target, TargetInfo};
use lepid_target_reference::Reference;

/// Where the fault is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// A pass exchanges the operands of subtractions, and says that it changed nothing.
    Pass,
    /// The code of `tensor.exp` is that of `tensor.neg`.
    Code,
    /// Two rules turn `tensor.exp` into nothing, neither of them without the other.
    Rules,
    /// Compiling `tensor.exp` fails.
    Refusal,
    /// Compiling `tensor.exp` panics.
    Panic,
}

pub(crate) struct Faulty(pub(crate) Fault);

static INFO: TargetInfo = TargetInfo {
    name: "faulty",
    summary: "The interpreter with a planted fault.",
    options: &[],
    capabilities: &[],
};

static SWAP_SUB: PassDef = PassDef {
    name: "swap-sub",
    summary: "Exchanges the operands of subtractions, which is wrong.",
    values: Values::Exact,
    options: &[],
    run: swap_sub,
};

fn swap_sub(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    for op in module.walk() {
        if is(module, op, &tensor::Sub) {
            let operands: Vec<_> = module.operands(op).iter().rev().copied().collect();
            module.set_operands(op, &operands);
        }
    }
    Ok(Changed::No)
}

static WRONG_RULES: PassDef = PassDef {
    name: "wrong-rules",
    summary: "The rules of `eqsat`, and planted ones.",
    values: Values::Exact,
    options: &[PassOption {
        name: "rules",
        default: "all",
        help: "Rules with blanks between, `-name` to leave one out, or `all`.",
    }],
    run: wrong_rules,
};

/// By itself, the first is right, the second has nothing to match, and the third is innocent.
static PLANTED: [RuleDef; 3] = [
    planted(
        "exp-to-abs",
        "(tensor.exp ?x)",
        "(tensor.abs (tensor.exp ?x))",
    ),
    planted("abs-exp-to-nothing", "(tensor.abs (tensor.exp ?x))", "?x"),
    planted(
        "tanh-twice-negated",
        "(tensor.tanh ?x)",
        "(tensor.neg (tensor.neg (tensor.tanh ?x)))",
    ),
];

const fn planted(name: &'static str, left: &'static str, right: &'static str) -> RuleDef {
    RuleDef {
        name,
        summary: "Planted.",
        left,
        right,
        conditions: &[],
        values: Values::Exact,
        samples: "",
    }
}

fn wrong_rules(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let list: String = cx.option("rules")?;
    let words: Vec<&str> = list.split_whitespace().collect();
    let is_chosen = |rule: &&'static RuleDef| {
        let named = words.contains(&"all") || words.contains(&rule.name);
        named && !words.contains(&format!("-{}", rule.name).as_str())
    };
    let all = rules::all().map(|(_, rule)| rule).chain(&PLANTED);
    let options = Options {
        rules: all.filter(is_chosen).collect(),
        ..Options::default()
    };
    cx.rules = eqsat::optimize(module, cx.env, &options)?.fired;
    Ok(Changed::Yes)
}

/// The module with other ops in place of exponentials.
fn without_exp(module: &Module) -> Result<Module, Diagnostics> {
    let mut module = module.clone();
    let other: &'static dyn OpDef = &tensor::Neg;
    for op in module.walk() {
        if is(&module, op, &tensor::Exp) {
            let (loc, x) = (module.loc(op).clone(), module.operands(op)[0]);
            let y = Builder::before(&mut module, op)
                .one(other, &[x], &[])
                .at(&loc)?;
            replace(&mut module, op, &[y]).at(&loc)?;
        }
    }
    Ok(module)
}

impl Target for Faulty {
    fn info(&self) -> &TargetInfo {
        &INFO
    }

    fn legality(&self, op: OpView<'_>) -> Legality {
        match (self.0, op.name()) {
            (Fault::Refusal, "tensor.exp") => Legality::Unsupported("planted".into()),
            _ => Legality::Native,
        }
    }

    fn pipeline(&self) -> &str {
        match self.0 {
            Fault::Pass => "expand,cse,canonicalize,swap-sub,dead-ops,fold",
            Fault::Rules => "cse,wrong-rules,dead-ops",
            Fault::None | Fault::Code | Fault::Refusal | Fault::Panic => "cse,canonicalize,fold",
        }
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        let has_exp = module.walk().iter().any(|&op| is(module, op, &tensor::Exp));
        assert!(self.0 != Fault::Panic || !has_exp, "a planted panic");
        match self.0 {
            Fault::Code => Reference.emit(&without_exp(module)?, cx),
            Fault::None | Fault::Pass | Fault::Rules | Fault::Refusal | Fault::Panic => {
                Reference.emit(module, cx)
            }
        }
    }

    fn register(&self, _ops: &mut Registry, passes: &mut PassRegistry) {
        passes.add(&[&SWAP_SUB, &WRONG_RULES]);
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        Reference.program(package)
    }
}
