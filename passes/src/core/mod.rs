//! What a pass is, pipelines of passes, and the manager that runs them.

mod cx;
mod manager;
mod pass;
mod pipeline;
mod registry;
pub mod rewrite;

pub use cx::{Legality, PassCx, PassEnv, estimate};
pub use manager::{Observer, PassManager, PassRun, Report, Silent};
pub use pass::{Changed, PassDef, PassOption, PassResult, Values};
pub use pipeline::{Alias, PIPELINE_FILE, Pipeline, Step};
pub use registry::PassRegistry;
