//! What ops cost on a target: predicted times, and the choices behind them.

use std::path::PathBuf;

use lepid_ir::core::{Module, OpView};
use lepid_passes::core::estimate;
use serde::{Deserialize, Serialize};

/// Predicts what ops cost on a target.
pub trait CostModel {
    /// Seconds that an op takes by itself, with so many threads. Unknown extents count as 1.
    fn seconds(&self, op: OpView<'_>, threads: usize) -> f64;

    /// The ways in which the target could compute an op that `emit` takes, the chosen one first.
    /// Empty: there is only one, or the op is nothing that the target computes.
    fn choices(&self, _op: OpView<'_>) -> Vec<Choice> {
        Vec::new()
    }
}

/// A way to compute an op.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Choice {
    /// The kernel, as the target names it.
    pub kernel: &'static str,
    /// Predicted, on one thread; `None` if it cannot be used.
    pub seconds: Option<f64>,
    /// Why it is taken, or why not.
    pub reason: String,
}

/// The cost model of targets without one: each op's own estimate, on a machine of round numbers.
pub struct Estimate;

impl CostModel for Estimate {
    fn seconds(&self, op: OpView<'_>, threads: usize) -> f64 {
        estimate(op) / threads as f64
    }
}

/// An op that was timed, in a module as `emit` took it.
#[derive(Copy, Clone)]
pub struct Sample<'m> {
    pub op: OpView<'m>,
    pub threads: usize,
    pub seconds: f64,
}

/// A target whose cost model is fitted to the machine by measuring.
pub trait Calibration: Sync {
    /// What a stored calibration is for, as a file name: the processor.
    fn machine(&self) -> String;

    /// Models whose compiled ops are timed: all kinds of kernel, in the extents that networks have.
    fn probes(&self) -> Vec<Probe>;

    /// Fits a cost model to timed ops.
    fn fit(&self, samples: &[Sample<'_>]) -> Fitted;
}

/// A model that is timed.
pub struct Probe {
    pub module: Module,
    /// Options of the target to compile it with.
    pub options: Vec<(&'static str, &'static str)>,
}

/// A fitted cost model.
pub struct Fitted {
    /// What the option `cost-model` of the target reads back: JSON.
    pub text: String,
    pub kernels: Vec<FittedKernel>,
}

/// How well the fit meets the samples of one kernel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FittedKernel {
    pub kernel: String,
    pub samples: usize,
    /// The median of `|predicted / measured - 1|`.
    pub median_error: f64,
}

/// The folder of stored calibrations: `LEPID_CALIBRATION`, or `lepid` in the user's folder for
/// settings.
pub fn calibration_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let settings = || set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    set("LEPID_CALIBRATION").or_else(|| Some(settings()?.join("lepid")))
}
