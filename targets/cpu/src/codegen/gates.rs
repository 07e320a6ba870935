//! Gates and joins: what the run time is told of them.

use std::mem::offset_of;

use cranelift_codegen::ir::{Value, types};

use crate::codegen::args::Args;
use crate::codegen::function::Gen;
use crate::gates::{GateArgs, Moved};
use crate::places::Place;
use crate::support::Support;

/// A gate, or the join behind the last stage.
pub(crate) struct GateTask {
    /// Not of a join.
    pub(crate) leaves: Option<Place>,
    pub(crate) exit: Place,
    pub(crate) exit_before: Place,
    /// Whether there is no gate before.
    pub(crate) first: bool,
    pub(crate) scores: Option<Scores>,
    pub(crate) stage: i64,
    /// The number of rows, if it is fixed.
    pub(crate) fixed: Option<usize>,
    /// Seconds that leaving one row out saves.
    pub(crate) saves: f64,
    pub(crate) taken: Vec<Carried>,
    pub(crate) hands_on: Vec<Carried>,
}

pub(crate) struct Scores {
    pub(crate) score: Place,
    pub(crate) best_before: Place,
    /// Not of a join.
    pub(crate) best: Option<Place>,
}

/// A value with a row per sample.
pub(crate) struct Carried {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) emitted: Option<Place>,
    pub(crate) row: usize,
}

impl GateTask {
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args {
            address: g.lend(size_of::<GateArgs>()),
        };
        let scores = self.scores.as_ref();
        let places = [
            (offset_of!(GateArgs, leaves), self.leaves),
            (offset_of!(GateArgs, exit), Some(self.exit)),
            (offset_of!(GateArgs, exit_before), Some(self.exit_before)),
            (offset_of!(GateArgs, score), scores.map(|s| s.score)),
            (
                offset_of!(GateArgs, best_before),
                scores.map(|s| s.best_before),
            ),
            (offset_of!(GateArgs, best), scores.and_then(|s| s.best)),
        ];
        for (at, place) in places {
            let address = address(g, place);
            args.set(g, at, address);
        }
        args.set_int(g, offset_of!(GateArgs, first), self.first.into());
        args.set_int(g, offset_of!(GateArgs, stage), self.stage);
        args.set_int(
            g,
            offset_of!(GateArgs, fixed),
            self.fixed.unwrap_or(0) as i64,
        );
        let saves = (1e9 * self.saves).to_bits() as i64;
        args.set_int(g, offset_of!(GateArgs, saves), saves);
        let lists = [
            (
                offset_of!(GateArgs, taken),
                offset_of!(GateArgs, taken_count),
                &self.taken,
            ),
            (
                offset_of!(GateArgs, hands_on),
                offset_of!(GateArgs, hands_on_count),
                &self.hands_on,
            ),
        ];
        for (at, count, values) in lists {
            let list = list(g, values);
            args.set(g, at, list);
            args.set_int(g, count, values.len() as i64);
        }
        let ctx = g.ctx;
        let left = g.support(
            offset_of!(Support, gate),
            &[ctx, args.address],
            &[types::I64],
        )[0];
        g.store(left, ctx, offset_of!(crate::abi::Ctx, going_on) as i32);
    }
}

fn address(g: &mut Gen<'_>, place: Option<Place>) -> Value {
    match place {
        Some(place) => g.address(place),
        None => g.int(0),
    }
}

fn list(g: &mut Gen<'_>, values: &[Carried]) -> Value {
    let list = Args {
        address: g.lend(size_of::<Moved>() * values.len()),
    };
    for (i, value) in values.iter().enumerate() {
        let at = size_of::<Moved>() * i;
        let places = [
            (offset_of!(Moved, from), Some(value.from)),
            (offset_of!(Moved, to), Some(value.to)),
            (offset_of!(Moved, emitted), value.emitted),
        ];
        for (field, place) in places {
            let address = address(g, place);
            list.set(g, at + field, address);
        }
        list.set_int(g, at + offset_of!(Moved, row), value.row as i64);
    }
    list.address
}
