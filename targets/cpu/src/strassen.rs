//! Chooses Strassen's product for linear layers, where it is faster and exact enough.
//!
//! ```text
//! kernel.linear(%x, %w) {…}   =>   kernel.linear(%x, %w) {algorithm = "strassen", …}
//! ```
//!
//! It multiplies seven eighths as often, adds more, and its weights take 1.75 times the memory. What
//! that comes to, the target's cost model predicts from the extents. How exact it is follows from the
//! length of the sums ([`lepid_ukernels::strassen::error_bound`]).

use lepid_ir::core::{Module, Op, OpView};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::kernel;
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};
use lepid_target_api::{TargetInfo, TargetOptions};
use lepid_ukernels::strassen;

use crate::choice::{Positive, Use};

pub(crate) const PASS: PassDef = PassDef {
    name: "strassen",
    summary: "Chooses Strassen's product for linear layers where it is faster and exact enough.",
    values: Values::Within(1e-4),
    options: &[
        PassOption {
            name: "use",
            default: "auto",
            help: "Whether: off, on, or auto where it is faster.",
        },
        PassOption {
            name: "error",
            default: "1e-4",
            help: "Bounds the largest error, relative to the root mean square of a layer.",
        },
    ],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let wanted: Use = cx.option("use")?;
    let Positive(error) = cx.option("error")?;
    let selection = Selection { wanted, error };
    let mut changed = Changed::No;
    for op in module.walk() {
        let view = module.view(op);
        if view.name() != "kernel.linear" || kernel::Linear::quantised(view) > 0 {
            continue;
        }
        let stated = chosen(view);
        if choose(module, op, selection, cx.env.seconds) != stated {
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// Sets the algorithm of a `kernel.linear`; whether it is Strassen's.
fn choose(
    module: &mut Module,
    op: Op,
    selection: Selection,
    seconds: &dyn Fn(OpView<'_>) -> f64,
) -> bool {
    let refused = selection.refusal(module.view(op)).is_some();
    let mut set = |strassen: bool| {
        let algorithm = if strassen { "strassen" } else { "direct" };
        module.set_attr(op, "algorithm", algorithm.into());
        seconds(module.view(op))
    };
    let direct = set(false);
    let takes = !refused && selection.takes(direct, set(true));
    set(takes);
    takes
}

/// Whether a `kernel.linear` states Strassen's product.
pub(crate) fn chosen(linear: OpView<'_>) -> bool {
    kernel::Linear::algorithm(linear) == "strassen"
}

/// A smaller gain than this is worth neither other rounding nor larger weights.
const WORTH_IT: f64 = 0.95;

/// Whether an op is in a function for any number of samples.
fn is_of_any_number(op: OpView<'_>) -> bool {
    let module = op.module;
    let mut around = std::iter::successors(module.parent_op(op.op), |&op| module.parent_op(op));
    let func = around.find(|&op| module.op_name(op) == Func::INFO.name);
    func.is_some_and(|func| Func::batch(module.view(func)) > 0)
}

/// The bound on the error, relative to the root mean square of the layer.
pub(crate) fn error_bound(linear: OpView<'_>) -> f64 {
    match linear.operand_dims(1)[0].known() {
        Some(depth) => strassen::error_bound(depth as usize),
        None => f64::INFINITY,
    }
}

/// What the options `strassen` and `strassen-error` say.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Selection {
    wanted: Use,
    error: f64,
}

impl Selection {
    /// Options that do not parse have their defaults: the pass refuses them.
    pub(crate) fn of(info: &TargetInfo, options: &TargetOptions) -> Selection {
        let text = |name| options.get(info, name).unwrap_or_default();
        Selection {
            wanted: text("strassen").parse().unwrap_or(Use::Auto),
            error: text("strassen-error").parse().map_or(1e-4, |Positive(e)| e),
        }
    }

    /// Whether Strassen's product is taken, from the seconds of both.
    pub(crate) fn takes(self, direct: f64, strassen: f64) -> bool {
        self.wanted == Use::On || strassen < WORTH_IT * direct
    }

    /// Why a linear layer of `nn` or `kernel` may not be computed so.
    pub(crate) fn refusal(self, linear: OpView<'_>) -> Option<String> {
        let weights = linear.operand_dims(1);
        let known = |at: usize| weights.get(at).and_then(|d| d.known()).map(|n| n as usize);
        // In a function for any number of samples extents are those of the most.
        let rows = kernel::linear_rows(linear).filter(|_| !is_of_any_number(linear));
        let Some(rows) = rows else {
            return Some("its rows are known only at run time".into());
        };
        let (Some(k), Some(columns)) = (known(0), known(1)) else {
            return Some("the extents of its weights are known only at run time".into());
        };
        if !strassen::suits(rows as usize, k, columns) {
            return Some(
                "Strassen's is for an even number of rows and weights of multiples of 32".into(),
            );
        }
        let bound = error_bound(linear);
        match self.wanted {
            Use::Off => Some("switched off by `strassen`".into()),
            _ if bound > self.error => Some(format!(
                "its error bound {bound:.1e} exceeds `strassen-error`, {:.1e}",
                self.error
            )),
            Use::Auto | Use::On => None,
        }
    }
}
