//! Chooses Winograd's algorithms for convolutions, where they are faster and exact enough.
//!
//! ```text
//! kernel.conv(%x, %w) {…}   =>   kernel.conv(%x, %w) {algorithm = "winograd_f4", …}
//! ```
//!
//! What an algorithm costs is a formula in the extents, fitted to measurements (see [`Cost`]), so
//! that a layer gets the same algorithm everywhere. How exact it is follows from its matrices and
//! the number of channels ([`Scheme::error_bound`]).

use std::str::FromStr;

use lepid_ir::core::{Module, OpView};
use lepid_ir::dialects::kernel;
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};
use lepid_ukernels::winograd::Scheme;

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
    for op in module.walk() {
        let view = module.view(op);
        if view.name() != "kernel.conv" || !kernel::suits_winograd(view) {
            continue;
        }
        let Some(layer) = Layer::of(view) else {
            continue;
        };
        let scheme = choose(wanted, error, &layer);
        if scheme != self::scheme(view) {
            module.set_attr(op, "algorithm", algorithm(scheme).into());
            changed = Changed::Yes;
        }
    }
    Ok(changed)
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

/// A positive number.
struct Positive(f64);

impl FromStr for Positive {
    type Err = ();

    fn from_str(text: &str) -> Result<Positive, ()> {
        let number: f64 = text.parse().map_err(|_| ())?;
        (number > 0.0).then_some(Positive(number)).ok_or(())
    }
}

/// A convolution with a window of 3 x 3 at stride 1.
#[derive(Copy, Clone, Debug)]
struct Layer {
    images: u64,
    /// Extents of the output.
    rows: u64,
    pixels: u64,
    channels: u64,
    columns: u64,
}

impl Layer {
    /// `None` if the extents are not known.
    fn of(conv: OpView<'_>) -> Option<Layer> {
        let y = conv.result_tensor(0).known_dims()?;
        let channels = conv.operand_dims(0).last()?.known()?;
        Some(Layer {
            images: y[0] as u64,
            rows: y[1] as u64,
            pixels: y[2] as u64,
            channels,
            columns: y[3] as u64,
        })
    }
}

fn choose(wanted: Use, error: f64, layer: &Layer) -> Option<Scheme> {
    let exact = |scheme: &Scheme| scheme.error_bound(layer.channels as usize) <= error;
    match wanted {
        Use::Off => None,
        Use::One(scheme) => Some(scheme).filter(exact),
        Use::Auto => {
            let enough = WORTH_IT * DIRECT.of(layer);
            let costs = COSTS.iter().filter(|(scheme, _)| exact(scheme));
            let costs = costs.map(|(scheme, cost)| (*scheme, cost.of(layer)));
            let best = costs.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
            Some(best.0).filter(|_| best.1 < enough)
        }
    }
}

/// A smaller gain than this is worth neither other rounding nor larger weights.
const WORTH_IT: f64 = 0.9;

/// What an algorithm costs, in multiply-adds at the rate of the machine's peak.
///
/// The figures are fitted by least squares to the times of the 21 layers in `ukbench` (vgg19,
/// resnet50, squeezenet, densenet121; one thread, AVX2), and meet those within 15 % where the
/// weights come from the caches. What they say, and what was measured: F(4 x 4) is 2.8 to 3.6 times
/// as fast as the direct convolution on images from 28 x 28 on with 64 channels and more, and 2.4
/// to 2.8 times with 16 and 32. At 14 x 14 it loses a quarter to what hangs over, and is 2.5 times
/// as fast. With three channels it only gets even. At 7 x 7 the weights, four times as large as the
/// direct ones, serve four tiles: F(4 x 4) is 2.0 to 2.4 times as fast as direct with memory that
/// keeps up, and slower with a processor twice as fast on the same memory; F(2 x 2) is 1.5 to 1.7
/// times as fast and stays so.
struct Cost {
    /// Outputs of a tile along one axis, and products per tile.
    outputs: u64,
    products: u64,
    /// What a multiply-add takes: the share of the peak that is reached, inverse.
    multiply_add: f64,
    /// What to begin and to finish a sum takes, the transform of an output in it.
    sum: f64,
    /// What the transform of an input takes, per product.
    input: f64,
}

/// A tile of the direct convolution is an output with its 9 taps, which are one sum.
const DIRECT: Cost = Cost {
    outputs: 1,
    products: 9,
    multiply_add: 1.06,
    sum: 14.0 / 9.0,
    input: 0.0,
};

/// In the order of [`Scheme::ALL`].
const COSTS: [(Scheme, Cost); 2] = [
    (
        Scheme::F2,
        Cost {
            outputs: 2,
            products: 16,
            multiply_add: 1.1,
            sum: 8.0,
            input: 2.2,
        },
    ),
    (
        Scheme::F4,
        Cost {
            outputs: 4,
            products: 36,
            multiply_add: 1.19,
            sum: 12.0,
            input: 1.0,
        },
    ),
];

/// Multiply-adds in the time that a byte of weights takes from memory: 20 to 50 billion a second
/// against 12 to 20 GB/s. The weights of a network are out of all caches when their turn comes.
const WEIGHT_BYTE: f64 = 2.0;

impl Cost {
    fn of(&self, layer: &Layer) -> f64 {
        let along = |n: u64| n.div_ceil(self.outputs);
        let tiles = (layer.images * along(layer.rows) * along(layer.pixels)) as f64;
        let (channels, columns) = (layer.channels as f64, layer.columns as f64);
        let sums = self.multiply_add * (channels + self.sum) * columns;
        let work = tiles * (sums + self.input * channels);
        let weights = 4.0 * channels * columns;
        self.products as f64 * (work + WEIGHT_BYTE * weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(size: u64, channels: u64, columns: u64) -> Layer {
        Layer {
            images: 1,
            rows: size,
            pixels: size,
            channels,
            columns,
        }
    }

    #[test]
    fn layers_of_networks_get_what_was_measured_to_be_best() {
        let auto =
            |size, channels, columns| choose(Use::Auto, 1e-4, &layer(size, channels, columns));
        // vgg19
        assert_eq!(auto(224, 3, 64), None);
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
        let layer = layer(56, 256, 256);
        let bounds = Scheme::ALL.map(|scheme| scheme.error_bound(256));
        assert_eq!(choose(Use::Auto, bounds[1], &layer), Some(Scheme::F4));
        assert_eq!(choose(Use::Auto, bounds[0], &layer), Some(Scheme::F2));
        assert_eq!(choose(Use::Auto, bounds[0] / 2.0, &layer), None);
        assert_eq!(choose(Use::One(Scheme::F4), bounds[0], &layer), None);
    }

    #[test]
    fn every_algorithm_of_the_dialect_is_known() {
        let all = [None, Some(Scheme::F2), Some(Scheme::F4)].map(algorithm);
        assert_eq!(all, kernel::ALGORITHMS);
    }
}
