//! Chooses Winograd's algorithms for convolutions, where they are faster and exact enough.
//!
//! ```text
//! kernel.conv(%x, %w) {…}   =>   kernel.conv(%x, %w) {algorithm = "winograd_f4", …}
//! ```
//!
//! What an algorithm costs, the target's cost model predicts from the extents. How exact it is
//! follows from its matrices and the number of channels ([`Scheme::error_bound`]).

use std::str::FromStr;

use lepid_ir::core::{Module, Op, OpView};
use lepid_ir::dialects::kernel;
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};
use lepid_target_api::{TargetInfo, TargetOptions};
use lepid_ukernels::winograd::Scheme;

use crate::choice::Positive;

pub(crate) const PASS: PassDef = PassDef {
    name: "winograd",
    summary: "Chooses Winograd's algorithms for convolutions where they are faster and exact enough.",
    values: Values::Within(1e-4),
    options: &[
        PassOption {
            name: "use",
            default: "auto",
            help: "Which: off, f2, f4, or auto.",
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
    let mut changed = Changed::No;
    let selection = Selection { wanted, error };
    for op in module.walk() {
        let view = module.view(op);
        let decided = kernel::is_inside_kernel(module, op);
        if decided || view.name() != "kernel.conv" || refusal(view).is_some() {
            continue;
        }
        let stated = scheme(view);
        if choose(module, op, &selection, cx.env.seconds) != stated {
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// Sets the algorithm of a convolution that suits Winograd's, and gives it.
fn choose(
    module: &mut Module,
    op: Op,
    selection: &Selection,
    seconds: &dyn Fn(OpView<'_>) -> f64,
) -> Option<Scheme> {
    let schemes = selection.schemes(module.view(op));
    let mut set = |scheme: Option<Scheme>| {
        module.set_attr(op, "algorithm", algorithm(scheme).into());
        seconds(module.view(op))
    };
    let direct = set(None);
    let enough = match selection.wanted {
        Use::Auto => WORTH_IT * direct,
        Use::Off | Use::One(_) => f64::INFINITY,
    };
    let timed = schemes.into_iter().map(|s| (s, set(Some(s))));
    let best = timed.min_by(|(_, a), (_, b)| a.total_cmp(b));
    let chosen = best.filter(|&(_, time)| time < enough).map(|(s, _)| s);
    set(chosen);
    chosen
}

/// The algorithm that a `kernel.conv` states, if it is Winograd's.
pub(crate) fn scheme(conv: OpView<'_>) -> Option<Scheme> {
    let stated = kernel::Conv::algorithm(conv);
    let mut all = Scheme::ALL.into_iter();
    all.find(|&scheme| algorithm(Some(scheme)) == stated)
}

/// The name of an algorithm in the IR.
fn algorithm(scheme: Option<Scheme>) -> &'static str {
    match scheme {
        None => "direct",
        Some(Scheme::F2) => "winograd_f2",
        Some(Scheme::F4) => "winograd_f4",
    }
}

/// What the user wants.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Use {
    Auto,
    Off,
    One(Scheme),
}

impl FromStr for Use {
    type Err = ();

    fn from_str(text: &str) -> Result<Use, ()> {
        match text {
            "auto" => Ok(Use::Auto),
            "off" => Ok(Use::Off),
            "f2" => Ok(Use::One(Scheme::F2)),
            "f4" => Ok(Use::One(Scheme::F4)),
            _ => Err(()),
        }
    }
}

/// What the options `winograd` and `winograd-error` say.
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
            wanted: text("winograd").parse().unwrap_or(Use::Auto),
            error: text("winograd-error").parse().map_or(1e-4, |Positive(e)| e),
        }
    }

    /// The schemes that may compute a convolution of `nn` or `kernel`.
    pub(crate) fn schemes(&self, conv: OpView<'_>) -> Vec<Scheme> {
        if refusal(conv).is_some() {
            return Vec::new();
        }
        let all = Scheme::ALL.into_iter();
        all.filter(|&scheme| self.refusal(conv, scheme).is_none())
            .collect()
    }

    /// Why a scheme may not compute a convolution that suits it.
    pub(crate) fn refusal(&self, conv: OpView<'_>, scheme: Scheme) -> Option<String> {
        let bound = error_bound(conv, scheme);
        match self.wanted {
            Use::Off => Some("switched off by `winograd`".into()),
            Use::One(one) if one != scheme => Some("switched off by `winograd`".into()),
            _ if bound > self.error => Some(format!(
                "its error bound {bound:.1e} exceeds `winograd-error`, {:.1e}",
                self.error
            )),
            _ => None,
        }
    }
}

/// The bound on the error of a scheme, relative to the root mean square of the layer.
pub(crate) fn error_bound(conv: OpView<'_>, scheme: Scheme) -> f64 {
    let channels = conv.operand_dims(1)[1].known().unwrap_or(1);
    scheme.error_bound(channels as usize)
}

/// Why no scheme suits a convolution.
pub(crate) fn refusal(conv: OpView<'_>) -> Option<String> {
    if conv.operand_dims(1).len() != 4 || !kernel::suits_winograd(conv) {
        return Some("Winograd's are for windows of 3 x 3 at stride, dilation and groups 1".into());
    }
    match conv.result_tensor(0).known_dims() {
        Some(_) => None,
        None => Some("its extents are known only at run time".into()),
    }
}

/// A smaller gain than this is worth neither other rounding nor larger weights.
const WORTH_IT: f64 = 0.9;

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Builder, Elem, Type};
    use lepid_ir::dialects::core::Func;
    use lepid_target_api::Target;

    use super::*;
    use crate::Cpu;
    use crate::cost::SHIPPED;

    /// What a convolution of an image of `size` x `size` gets under the shipped costs.
    fn chosen(
        size: usize,
        channels: usize,
        columns: usize,
        wanted: Use,
        error: f64,
    ) -> Option<Scheme> {
        let mut options = TargetOptions::default();
        options.values.insert("cost-model".into(), SHIPPED.into());
        let model = Cpu.cost_model(&options).ok()?;
        let mut module = Module::new();
        let types = [[1, size, size, channels], [columns, channels, 3, 3]];
        let types = types.map(|dims| Type::known_tensor(Elem::F32, &dims));
        let func = Func::create(&mut module, "main", &types, &[]).ok()?;
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let attrs = [
            ("stride", [1, 1].into()),
            ("dilation", [1, 1].into()),
            ("pad", [1, 1, 1, 1].into()),
        ];
        let op = b.create(&kernel::Conv, &args, &attrs).ok()?;
        let selection = Selection { wanted, error };
        choose(&mut module, op, &selection, &|op| model.seconds(op, 1))
    }

    #[test]
    fn layers_of_networks_get_what_was_measured_to_be_best() {
        let auto = |size, channels, columns| chosen(size, channels, columns, Use::Auto, 1e-4);
        // vgg19
        for (size, channels, columns) in [
            (224, 64, 64),
            (112, 128, 128),
            (56, 256, 256),
            (28, 512, 512),
            (14, 512, 512),
        ] {
            assert_eq!(auto(size, channels, columns), Some(Scheme::F4));
        }
        // resnet50
        assert_eq!(auto(56, 64, 64), Some(Scheme::F4));
        assert_eq!(auto(14, 256, 256), Some(Scheme::F4));
        assert_eq!(auto(7, 512, 512), Some(Scheme::F2));
        // squeezenet, densenet121
        assert_eq!(auto(55, 16, 64), Some(Scheme::F4));
        assert_eq!(auto(14, 128, 32), Some(Scheme::F4));
        assert_eq!(auto(7, 128, 32), Some(Scheme::F2));
        // One pixel needs one window.
        assert_eq!(auto(1, 256, 256), None);
    }

    #[test]
    fn a_tight_bound_asks_for_smaller_tiles() {
        let layer = |wanted, error| chosen(56, 256, 256, wanted, error);
        let bounds = Scheme::ALL.map(|scheme| scheme.error_bound(256));
        assert_eq!(layer(Use::Auto, bounds[1]), Some(Scheme::F4));
        assert_eq!(layer(Use::Auto, bounds[0]), Some(Scheme::F2));
        assert_eq!(layer(Use::Auto, bounds[0] / 2.0), None);
        assert_eq!(layer(Use::One(Scheme::F4), bounds[0]), None);
    }

    #[test]
    fn every_algorithm_of_the_dialect_is_known() {
        let all = [None, Some(Scheme::F2), Some(Scheme::F4)].map(algorithm);
        assert_eq!(all, kernel::ALGORITHMS);
    }
}
