//! The interpreter as a target: the smallest use of the contract, and the one to compare with.
//!
//! Takes every op that has a reference evaluation, so its pipeline is empty and its package is
//! the module itself.

use std::sync::Arc;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Module, Op, OpView, Tensor};
use lepid_ir::dialects::core::Func;
use lepid_ir::interp;
use lepid_target_api::{
    EmitCx, Executable, Legality, LoadError, LoadOptions, Package, Program, Signature, Target,
    TargetInfo, TensorView, in_turns, no_state,
};

/// The target `reference`.
pub struct Reference;

static INFO: TargetInfo = TargetInfo {
    name: "reference",
    summary: "Runs the IR in the interpreter, the definition of every op.",
    options: &[],
    capabilities: &[
        ("execution", "interpreted"),
        ("extents", "symbolic"),
        ("states", "kept"),
    ],
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
        let mut states = package.signature.states.iter();
        if states.any(|s| s.ty.as_tensor().is_none_or(|ty| ty.known_dims().is_none())) {
            return Err(LoadError::Damaged("a state has no size".into()));
        }
        let main = package.module.funcs().find(|&func| {
            // `emit` keeps the module whole, so the ids in it are those of the signature.
            Signature::stepwise(&package.module, func) == package.signature
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
        let mut session = Session {
            program: self,
            inputs: Vec::new(),
            states: Vec::new(),
        };
        session.reset_states();
        Ok(Box::new(session))
    }
}

struct Session {
    program: Arc<Interpreted>,
    inputs: Vec<Tensor>,
    states: Vec<Tensor>,
}

impl Executable for Session {
    fn signature(&self) -> &Signature {
        self.program.signature()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        self.inputs = inputs.to_vec();
        let program = &self.program;
        if program.package.signature.batch.is_some() {
            return in_turns(&program.package.signature, inputs, |inputs| {
                interpreted(program, inputs)
            });
        }
        let (module, func) = (&program.package.module, program.func);
        let pairs = Func::state_pairs(module.view(func));
        // Arguments and results are in order; those of states stand among them.
        let mut ports = inputs.iter();
        let count = inputs.len() + pairs.len();
        let states = |i: usize| pairs.iter().position(|&(input, _)| input == i);
        let all = (0..count).map_while(|i| match states(i) {
            Some(state) => self.states.get(state).cloned(),
            None => ports.next().cloned(),
        });
        let all: Vec<Tensor> = all.collect();
        let results = interpreted(program, &all)?;
        let mut outputs = Vec::new();
        for (i, result) in results.into_iter().enumerate() {
            match pairs.iter().position(|&(_, output)| output == i) {
                Some(state) => self.states[state] = result,
                None => outputs.push(result),
            }
        }
        Ok(outputs)
    }

    fn set_state(&mut self, state: usize, value: &TensorView<'_>) -> Result<(), Diagnostic> {
        let port = self.program.package.signature.states.get(state);
        port.ok_or_else(|| no_state(state))?.check(value.ty())?;
        self.states[state] = value.to_tensor();
        Ok(())
    }

    fn state(&self, state: usize) -> Result<Tensor, Diagnostic> {
        let found = self.states.get(state).cloned();
        found.ok_or_else(|| no_state(state))
    }

    fn reset_states(&mut self) {
        let types = self.program.package.signature.states.iter();
        let zeros = types.filter_map(|port| {
            let ty = port.ty.as_tensor()?;
            Some(Tensor::zeros(ty.elem, &ty.known_dims()?))
        });
        self.states = zeros.collect();
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

/// Runs the function itself, states among arguments and results.
fn interpreted(program: &Interpreted, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
    let run = interp::run(&program.package.module, program.func, inputs);
    run.map_err(|error| Diagnostic {
        code: Code::RUN_FAILED,
        ..error
    })
}
