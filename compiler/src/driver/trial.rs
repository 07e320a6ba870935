//! Compiling a module and running it once: what comparing, bisecting and reducing do again and
//! again. Nothing of it reaches the session, as most of these modules are nobody's.

use std::collections::BTreeMap;

use lepid_ir::core::{Diagnostics, Limits, Loc, Module, Tensor, Value};
use lepid_ir::dialects::core::Func;
use lepid_passes::core::{Observer, PassManager, Pipeline, Report, Silent};
use lepid_passes::transform::memory_plan;
use lepid_target_api::{
    CompileOptions, Compiled, LoadOptions, Package, Target, main_function, pipeline, with_pass_env,
    withdraw_states,
};

use crate::driver::{Driver, Session};
use crate::reduce::{Seen, cut};

/// A target and how to run on it.
#[derive(Clone)]
pub struct Trial<'d> {
    pub driver: &'d Driver,
    pub target: &'d dyn Target,
    pub options: CompileOptions,
    pub load: LoadOptions,
    /// What a module may take.
    pub limits: Limits,
}

impl<'d> Trial<'d> {
    pub fn compile(&self, module: Module) -> Result<Package, Diagnostics> {
        Ok(self.compile_observed(module, &mut Silent)?.package)
    }

    /// Compiles while `observer` sees the module around each pass.
    pub fn compile_observed(
        &self,
        mut module: Module,
        observer: &mut dyn Observer,
    ) -> Result<Compiled, Diagnostics> {
        // It is run as a function, on states that are given.
        if let Ok(func) = main_function(&module, self.options.func.as_deref()) {
            withdraw_states(&mut module, func);
        }
        let mut session = Session::within(self.limits);
        let (driver, options) = (self.driver, &self.options);
        driver.compile(self.target, module, options, observer, &mut session)
    }

    /// The passes that compiling runs.
    pub fn pipeline(&self) -> Result<Pipeline, Diagnostics> {
        let driver = self.driver;
        pipeline(
            self.target,
            &self.options,
            driver.passes(),
            driver.aliases(),
        )
    }

    /// Runs passes as compiling does.
    pub fn run_passes(
        &self,
        module: &mut Module,
        pipeline: &Pipeline,
    ) -> Result<Report, Diagnostics> {
        with_pass_env(self.target, &self.options, self.driver.ops(), |env| {
            let mut manager = PassManager {
                env,
                verify_each: self.options.verify_each,
                observer: &mut Silent,
            };
            manager.run(module, pipeline)
        })?
    }

    /// Compiles and runs once.
    pub fn run(&self, module: Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostics> {
        let package = self.compile(module)?;
        self.execute(&package, inputs)
    }

    pub fn execute(
        &self,
        package: &Package,
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, Diagnostics> {
        let loaded = self.target.load(package, &self.load);
        let mut executable = loaded.map_err(|error| vec![error.diagnostic()])?;
        executable.run(inputs).map_err(|error| vec![error])
    }

    /// The same for modules that the target's pipeline has already been through.
    pub fn lowered(&self) -> Result<Trial<'d>, Diagnostics> {
        let whole = self.pipeline()?;
        // A plan states where each value lies, so it holds for one module only.
        let plan = memory_plan::PASS.name;
        let planned = whole.steps.iter().any(|s| s.pass.name == plan);
        let mut lowered = self.clone();
        lowered.options.pipeline = Some(if planned { plan } else { "" }.to_string());
        Ok(lowered)
    }

    /// What every op of a compiled function gave in one run: the function as it was emitted, made
    /// to return all of that. Only ops that the passes have left are seen.
    pub fn observe(&self, package: &Package, inputs: &[Tensor]) -> Result<Seen, Diagnostics> {
        let module = &package.module;
        let func = main_function(module, self.options.func.as_deref())?;
        let steps = cut::steps(module, func);
        let wanted: Vec<Value> = steps
            .iter()
            .flat_map(|&op| module.results(op))
            .copied()
            .collect();
        let all = cut::cut(module, func, &wanted, &[]);
        let all = all.map_err(|error| vec![error.at(Loc::Unknown)])?;
        let by_place: BTreeMap<Value, &Tensor> = Func::args(module.view(func))
            .iter()
            .copied()
            .zip(inputs)
            .collect();
        let used: Vec<Tensor> = all.args.iter().map(|v| by_place[v].clone()).collect();
        let mut outputs = self.lowered()?.run(all.module, &used)?.into_iter();
        let seen = steps.into_iter().map(|op| {
            let results = module.results(op).iter();
            (op, results.filter_map(|_| outputs.next()).collect())
        });
        Ok(seen.collect())
    }
}
