//! The interpreter as a target is held to the cases of every target, and so is what `expand` makes
//! of `nn` for a target that has nothing but `tensor`.

use std::sync::Arc;

use lepid_ir::core::{Diagnostics, Module, OpView};
use lepid_target_api::{EmitCx, Legality, LoadError, Package, Program, Target, TargetInfo};
use lepid_target_reference::Reference;

lepid_target_conformance::tests!(Reference, unsupported: []);

static INFO: TargetInfo = TargetInfo {
    name: "reference",
    summary: "The interpreter without the ops of `nn`.",
    options: &[],
    capabilities: &[("extents", "symbolic")],
};

/// The interpreter without the ops of `nn`.
struct Primitive;

impl Target for Primitive {
    fn info(&self) -> &TargetInfo {
        &INFO
    }

    fn legality(&self, op: OpView<'_>) -> Legality {
        match op.info().dialect() {
            "nn" => Legality::Expand,
            _ => Legality::Native,
        }
    }

    fn pipeline(&self) -> &str {
        ""
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        Reference.emit(module, cx)
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        Reference.program(package)
    }
}

mod expanded {
    use super::Primitive;

    lepid_target_conformance::tests!(Primitive, unsupported: []);
}
