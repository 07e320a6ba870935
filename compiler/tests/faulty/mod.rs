//! A target that is the interpreter but for planted faults, to be found and shrunk.

use std::sync::Arc;

use lepid_ir::core::{Builder, Diagnostics, Module, OpDef, OpView, Registry};
use lepid_ir::dialects::tensor;
use lepid_passes::core::rewrite::{At, is, replace};
use lepid_passes::core::{Changed, PassCx, PassDef, PassRegistry, PassResult, Values};
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
            Fault::None | Fault::Code | Fault::Refusal | Fault::Panic => "cse,canonicalize,fold",
        }
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        let has_exp = module.walk().iter().any(|&op| is(module, op, &tensor::Exp));
        assert!(self.0 != Fault::Panic || !has_exp, "a planted panic");
        match self.0 {
            Fault::Code => Reference.emit(&without_exp(module)?, cx),
            Fault::None | Fault::Pass | Fault::Refusal | Fault::Panic => Reference.emit(module, cx),
        }
    }

    fn register(&self, _ops: &mut Registry, passes: &mut PassRegistry) {
        passes.add(&[&SWAP_SUB]);
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        Reference.program(package)
    }
}
