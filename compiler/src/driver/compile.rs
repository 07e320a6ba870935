//! Compiling with what the driver knows, and with texts for messages.

use lepid_ir::core::{Diagnostics, Module};
use lepid_passes::core::{Observer, PIPELINE_FILE, Pipeline};
use lepid_target_api::{CompileEnv, CompileOptions, Compiled, Target, compile, pipeline_text};

use crate::driver::{Driver, Session, crash};

impl Driver {
    /// Compiles a function of the module for a target.
    pub fn compile(
        &self,
        target: &dyn Target,
        module: Module,
        options: &CompileOptions,
        observer: &mut dyn Observer,
        session: &mut Session,
    ) -> Result<Compiled, Diagnostics> {
        let text = pipeline_text(target, options)?;
        self.add_pipeline_texts(&text, session);
        crash::remember(format!("target `{}`", target.info().name), &module);
        let env = CompileEnv {
            ops: self.ops(),
            passes: self.passes(),
            aliases: self.aliases(),
            observer,
        };
        let options = CompileOptions {
            limits: session.limits,
            ..options.clone()
        };
        let compiled = compile(target, module, &options, env);
        crash::forget();
        let mut compiled = compiled?;
        session.diagnostics.append(&mut compiled.report.diagnostics);
        Ok(compiled)
    }

    /// Reads a pipeline; messages will point into its text.
    pub fn pipeline(&self, text: &str, session: &mut Session) -> Result<Pipeline, Diagnostics> {
        self.add_pipeline_texts(text, session);
        Pipeline::parse(text, self.passes(), self.aliases())
    }

    fn add_pipeline_texts(&self, text: &str, session: &mut Session) {
        session.add_text(PIPELINE_FILE, text);
        for alias in self.aliases() {
            session.add_text(&format!("alias {}", alias.name), alias.pipeline);
        }
    }
}
