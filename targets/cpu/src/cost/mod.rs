//! What kernels cost: amounts of work (`work`) times nanoseconds from a table (`table`), which is
//! fitted (`fit`) to the times of models made for it (`probes`).

mod fit;
mod probes;
mod table;
mod work;

use lepid_ir::core::{Diagnostics, OpView};
use lepid_ir::dialects::kernel::{self, Strips};
use lepid_passes::core::estimate;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_target_api::{
    Calibration, Choice, CostModel, Fitted, Probe, Sample, TargetInfo, TargetOptions,
};

use self::table::Table;
pub(crate) use self::table::{AUTO, SHIPPED};
use self::work::{Work, by_quadrants, direct, tiled};
use crate::choice::Use;
use crate::eight_bits::{self, EightBits, Scaled};
use crate::strassen;
use crate::winograd::{self, Selection};

/// The kernels' costs on one machine, and what the options say of the choice among them.
pub(crate) struct KernelCosts {
    table: Table,
    selection: Selection,
    strassen: strassen::Selection,
    quantised: Use,
}

impl KernelCosts {
    pub(crate) fn of(
        info: &TargetInfo,
        options: &TargetOptions,
    ) -> Result<KernelCosts, Diagnostics> {
        let name = options.get(info, "cost-model").unwrap_or_default();
        Ok(KernelCosts {
            table: Table::named(name)?,
            selection: Selection::of(info, options),
            strassen: strassen::Selection::of(info, options),
            quantised: eight_bits::wanted(info, options),
        })
    }
}

impl CostModel for KernelCosts {
    fn seconds(&self, op: OpView<'_>, threads: usize) -> f64 {
        if op.name() == Strips::INFO.name {
            let convs = work::strips(op).into_iter();
            return convs.map(|work| self.table.seconds(&work, threads)).sum();
        }
        let Some(work) = Work::of(op) else {
            return estimate(op) / threads as f64;
        };
        let own = self.table.seconds(&work, threads);
        // Before kernels are chosen, the best that is possible counts.
        match op.name() {
            "nn.conv" => self
                .selection
                .schemes(op)
                .into_iter()
                .fold(own, |best, scheme| {
                    let tiled = tiled(op, scheme).map(|work| self.table.seconds(&work, threads));
                    best.min(tiled.unwrap_or(f64::INFINITY))
                }),
            "nn.linear" if self.strassen.refusal(op).is_none() => {
                let quadrants = self.table.seconds(&by_quadrants(op), threads);
                match self.strassen.takes(own, quadrants) {
                    true => quadrants,
                    false => own,
                }
            }
            _ => own,
        }
    }

    fn choices(&self, op: OpView<'_>) -> Vec<Choice> {
        // What constants alone decide is evaluated while weights are packed.
        let mut results = op.results().iter();
        if results.all(|&value| is_constant_expression(op.module, value)) {
            return Vec::new();
        }
        if op.name() == Strips::INFO.name {
            return vec![Choice {
                kernel: "strips",
                seconds: Some(self.seconds(op, 1)),
                reason: "what is between its steps stays in the second-level cache".into(),
            }];
        }
        let Some(work) = Work::of(op).filter(|work| work.kernel != "none") else {
            return Vec::new();
        };
        let seconds = self.table.seconds(&work, 1);
        let taken = |reason: String| Choice {
            kernel: work.kernel,
            seconds: Some(seconds),
            reason,
        };
        if op.name() == "kernel.linear" && Scaled::of(op).is_some() {
            return self.quantised_choices(op);
        }
        if op.name() == "kernel.linear" {
            return self.linear_choices(op);
        }
        let conv = op.name() == "kernel.conv";
        let refused = conv.then(|| winograd::refusal(op)).flatten();
        if !conv || refused.is_some() {
            let others = refused.map(|reason| Choice {
                kernel: "winograd",
                seconds: None,
                reason,
            });
            let taken = taken(reason(work.kernel).to_string());
            return std::iter::once(taken).chain(others).collect();
        }
        let mut others = Vec::new();
        let chosen = winograd::scheme(op);
        for scheme in std::iter::once(None).chain(lepid_ukernels::winograd::Scheme::ALL.map(Some)) {
            if scheme == chosen {
                continue;
            }
            let work = match scheme {
                None => Some(direct(op)),
                Some(scheme) => tiled(op, scheme),
            };
            let Some(work) = work else { continue };
            let refused = scheme.and_then(|scheme| self.selection.refusal(op, scheme));
            let other = self.table.seconds(&work, 1);
            others.push(Choice {
                kernel: work.kernel,
                seconds: refused.is_none().then_some(other),
                reason: refused.unwrap_or_else(|| format!("{:.2} times the time", other / seconds)),
            });
        }
        let reason = match chosen {
            Some(scheme) => format!(
                "the least predicted time; error at most {:.1e} of the layer's root mean square",
                winograd::error_bound(op, scheme)
            ),
            None => "nothing else is faster by a tenth".to_string(),
        };
        let mut all = vec![taken(reason)];
        all.append(&mut others);
        all
    }
}

impl KernelCosts {
    /// Products with weights in floats: whole, or by quadrants.
    fn linear_choices(&self, op: OpView<'_>) -> Vec<Choice> {
        let (whole, quadrants) = (work::in_floats(op), by_quadrants(op));
        let seconds = [&whole, &quadrants].map(|work| self.table.seconds(work, 1));
        let chosen = strassen::chosen(op);
        let refused = self.strassen.refusal(op).filter(|_| !chosen);
        let of_whole = Choice {
            kernel: whole.kernel,
            seconds: Some(seconds[0]),
            reason: match chosen {
                true => format!("{:.2} times the time", seconds[0] / seconds[1]),
                false => reason(whole.kernel).to_string(),
            },
        };
        let of_quadrants = Choice {
            kernel: quadrants.kernel,
            seconds: refused.is_none().then_some(seconds[1]),
            reason: match (chosen, refused) {
                (true, _) => format!(
                    "{}; error at most {:.1e} of the layer's root mean square",
                    match seconds[1] < seconds[0] {
                        true => "the least predicted time",
                        false => "switched on by `strassen`",
                    },
                    strassen::error_bound(op)
                ),
                (false, Some(reason)) => reason,
                (false, None) => format!("{:.2} times the time", seconds[1] / seconds[0]),
            },
        };
        match chosen {
            true => vec![of_quadrants, of_whole],
            false => vec![of_whole, of_quadrants],
        }
    }

    /// Products with quantised weights: floats are made of them, or not.
    fn quantised_choices(&self, op: OpView<'_>) -> Vec<Choice> {
        let floats = match strassen::chosen(op) {
            true => by_quadrants(op),
            false => work::in_floats(op),
        };
        let bits = work::eight_bits(op);
        let [in_floats, in_bits] = [&floats, &bits].map(|work| self.table.seconds(work, 1));
        let rows = match kernel::linear_rows(op) {
            Some(1) => "1 row".to_string(),
            Some(rows) => format!("{rows} rows"),
            None => "unknown rows".to_string(),
        };
        let against = |mine: f64, other: f64| {
            let (mine, other) = (1e3 * mine, 1e3 * other);
            format!("{rows}, predicted {mine:.3} ms against {other:.3} ms")
        };
        let kept = kernel::Linear::quantised(op) > 0;
        let misfit = match eight_bits::refusal(op, self.quantised) {
            _ if kept => None,
            Some(reason) => Some(reason),
            None if in_bits >= eight_bits::WORTH_IT * in_floats && self.quantised != Use::On => {
                None
            }
            None => EightBits::of(op.module, op.operand(1))
                .err()
                .map(String::from),
        };
        let of_bits = Choice {
            kernel: bits.kernel,
            seconds: misfit.is_none().then_some(in_bits),
            reason: match (kept, misfit) {
                (true, _) => format!("kept in eight bits: {}", against(in_bits, in_floats)),
                (false, Some(reason)) => reason,
                (false, None) => format!("{:.2} times the time", in_bits / in_floats),
            },
        };
        let of_floats = Choice {
            kernel: floats.kernel,
            seconds: Some(in_floats),
            reason: match (kept, of_bits.seconds) {
                (true, _) => format!("{:.2} times the time", in_floats / in_bits),
                (false, Some(_)) => format!("kept in f32: {}", against(in_floats, in_bits)),
                (false, None) => reason(floats.kernel).to_string(),
            },
        };
        match kept {
            true => vec![of_bits, of_floats],
            false => vec![of_floats, of_bits],
        }
    }
}

/// Why a kernel is the one, where an op has no other.
fn reason(kernel: &str) -> &'static str {
    match kernel {
        "attention" => "tiles of scores stay in the cache: none are stored whole",
        "conv.depthwise" => "vectors of channels, several pixels at once: no sums over channels",
        "conv.grouped" => "pixels as rows of a product, group by group",
        "conv.pointwise" => "pixels as rows of a product",
        "conv.window" => "rows of pointers into the image: windows are not copied",
        "matvec" => "fewer rows than a tile: bound by the weights' way from memory",
        "linear" => "rows by packed panels of weights",
        "matmul" => "both sides are computed: the right one is packed before",
        "pack" => "brings the right side of a product into panels",
        "lstm" | "gru" => "all steps in one kernel, recurrent weights packed",
        "map" => "a generated loop nest: elementwise ops in one pass",
        "move" => "a generated loop nest: elements are only moved",
        "transpose" => "blocks whose rows and columns both fill vectors",
        "reduce" => "a generated loop nest: reduces rows",
        "rows" => "one row at a time, in the first-level cache",
        "pool" => "windows over channels-last rows",
        "routine" => "reads or writes where data says",
        _ => "the only kernel of this op",
    }
}

/// How the table is fitted to this machine.
pub(crate) struct Calibrate;

impl Calibration for Calibrate {
    fn machine(&self) -> String {
        table::machine()
    }

    fn probes(&self) -> Vec<Probe> {
        probes::all()
    }

    fn fit(&self, samples: &[Sample<'_>]) -> Fitted {
        fit::fit(samples)
    }
}
