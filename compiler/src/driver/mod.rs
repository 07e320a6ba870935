//! What the binary does, as a library: registries, loading, compiling, data files, messages.
//!
//! ```
//! use lepid::driver::Driver;
//!
//! let driver = Driver::new();
//! assert!(driver.ops().get("nn.relu").is_some());
//! assert!(driver.targets().get("reference").is_some());
//! ```

mod aliases;
pub mod arrays;
mod binding;
pub mod bisect;
pub mod blame;
pub mod calibrate;
pub mod compare;
mod compile;
pub mod crash;
pub mod data;
pub mod diff;
pub mod dump;
pub mod files;
mod load;
pub mod matching;
pub mod observe;
pub mod per_op;
pub mod property;
pub mod render;
pub mod save;
mod session;
pub mod trial;

use std::process::ExitCode;

use lepid_ir::core::Registry;
use lepid_ir::dialects;
use lepid_passes::core::{Alias, PassRegistry};
use lepid_target_api::{Target, TargetRegistry};
use lepid_target_reference::Reference;

pub use crate::frontends::onnx::Constant;
pub use binding::{Bindings, Extent, bind_to_inputs, parse_extent, parse_shape};
pub use load::{ModelOptions, side_file_name};
pub use session::Session;

/// The ops, passes and targets that a program knows.
pub struct Driver {
    ops: Registry,
    passes: PassRegistry,
    targets: TargetRegistry,
}

impl Default for Driver {
    fn default() -> Driver {
        Driver::new()
    }
}

impl Driver {
    /// A driver with everything of this tree.
    pub fn new() -> Driver {
        let driver = Driver {
            ops: dialects::registry(),
            passes: lepid_passes::registry(),
            targets: TargetRegistry::default(),
        };
        let driver = driver.with_target(Reference);
        #[cfg(feature = "cpu")]
        let driver = driver.with_target(lepid_target_cpu::Cpu);
        driver
    }

    /// Adds a target with its ops and passes. Panics if one of its names is taken.
    pub fn with_target(mut self, target: impl Target + 'static) -> Driver {
        target.register(&mut self.ops, &mut self.passes);
        self.targets.add(Box::new(target));
        self
    }

    pub fn ops(&self) -> &Registry {
        &self.ops
    }

    pub fn passes(&self) -> &PassRegistry {
        &self.passes
    }

    pub fn targets(&self) -> &TargetRegistry {
        &self.targets
    }

    /// Names for pipelines.
    pub fn aliases(&self) -> &'static [Alias] {
        aliases::ALIASES
    }

    /// Runs the command line of the process.
    pub fn main(self) -> ExitCode {
        crate::cli::main(&self)
    }
}
