//! The interpreter as a target: the smallest use of the contract, and the one to compare with.
//!
//! Takes every op that has a reference evaluation, so its pipeline is empty and its package is
//! the module itself.

use std::sync::Arc;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Module, Op, OpView, Tensor};
use lepid_ir::interp;
use lepid_target_api::{
    EmitCx, Executable, Legality, LoadError, LoadOptions, Package, Program, Signature, Target,
    TargetInfo, in_turns,
};

/// The target `reference`.
pub struct Reference;

static INFO: TargetInfo = TargetInfo {
    name: "reference",
    summary: "Runs the IR in the interpreter, the definition of every op.",
    options: &[],
    capabilities: &[("execution", "interpreted"), ("extents", "symbolic")],
};

impl Target for Reference {
    fn info(&self) -> &TargetInfo {
        &INFO
    }

    fn legality(&self, _op: OpView<'_>) -> Legality {
        Legality::Native
    }

    fn pipeline(&self) -> &str {
        ""
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        Ok(Package::new(INFO.name, module, cx.func))
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        let main = package.module.funcs().find(|&func| {
            // `emit` keeps the module whole, so the ids in it are those of the signature.
            Signature::of(&package.module, func) == package.signature
        });
        match main {
            Some(func) => Ok(Arc::new(Interpreted {
                package: package.clone(),
                func,
            })),
            None => Err(LoadError::Damaged("no function fits the signature".into())),
        }
    }
}

struct Interpreted {
    package: Package,
    func: Op,
}

impl Program for Interpreted {
    fn signature(&self) -> &Signature {
        &self.package.signature
    }

    fn session(self: Arc<Self>, _options: &LoadOptions) -> Result<Box<dyn Executable>, LoadError> {
        Ok(Box::new(Session {
            program: self,
            inputs: Vec::new(),
        }))
    }
}

struct Session {
    program: Arc<Interpreted>,
    inputs: Vec<Tensor>,
}

impl Executable for Session {
    fn signature(&self) -> &Signature {
        self.program.signature()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        self.inputs = inputs.to_vec();
        let program = &self.program;
        in_turns(&program.package.signature, inputs, |inputs| {
            let run = interp::run(&program.package.module, program.func, inputs);
            run.map_err(|error| Diagnostic {
                code: Code::RUN_FAILED,
                ..error
            })
        })
    }

    fn rerun(&mut self) -> Result<(), Diagnostic> {
        if self.inputs.len() != self.signature().inputs.len() {
            let message = "nothing was run before";
            return Err(Diagnostic::error(Code::RUN_FAILED, Loc::Unknown, message));
        }
        let inputs = std::mem::take(&mut self.inputs);
        self.run(&inputs).map(|_| ())
    }
}
