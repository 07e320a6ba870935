//! Recurrences: tasks for one step and for the end.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ukernels::Table;
use lepid_ukernels::args::{GruCellArgs, GruHalfArgs, LstmCellArgs};

use crate::codegen::args::Args;
use crate::codegen::function::Gen;
use crate::codegen::product::offset;
use crate::places::Place;

/// One direction of a recurrent layer.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Recurrence {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) hidden: usize,
    pub(crate) reverse: bool,
    /// 0 is none.
    pub(crate) clip: f32,
    pub(crate) gates: Place,
    pub(crate) h0: Place,
    pub(crate) y: Place,
    pub(crate) h: Place,
    pub(crate) cell: Cell,
}

/// What one step computes.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Cell {
    Lstm {
        weights: Place,
        c0: Place,
        c: Place,
        peephole: Option<Place>,
    },
    /// A GRU that resets the candidate's product.
    Gru { weights: Place, bias: Place },
    /// A GRU whose candidate multiplies the reset state: two tasks per step, since it reads that of
    /// all units.
    GruInHalves { gates: Place, candidate: Place },
}

/// Hidden units of one block of packed recurrent weights.
const BLOCK: usize = 8;

/// Where the fields stand that all cells have in their arguments.
struct Fields {
    rows: usize,
    hidden: usize,
    block_begin: usize,
    block_end: usize,
    x_proj: usize,
    ld_x_proj: usize,
    r: usize,
    h_prev: usize,
    ld_h_prev: usize,
    h: usize,
    ld_h: usize,
    clip: usize,
}

macro_rules! fields {
    ($args:ty) => {
        fields!($args: rows hidden block_begin block_end x_proj ld_x_proj r h_prev ld_h_prev h ld_h clip)
    };
    ($args:ty: $($field:ident)*) => {
        Fields { $($field: offset_of!($args, $field)),* }
    };
}

/// The step at hand.
struct Step {
    /// Whether it is the first.
    first: Value,
    x_proj: Value,
    h_prev: Value,
    h: Value,
}

impl Recurrence {
    /// How often the task of a step runs.
    pub(crate) fn runs(&self) -> usize {
        match self.cell {
            Cell::Lstm { .. } | Cell::Gru { .. } => self.steps,
            Cell::GruInHalves { .. } => 2 * self.steps,
        }
    }

    /// Run number `run` of the task, counted from 0 whatever the direction.
    pub(crate) fn emit_step(&self, g: &mut Gen<'_>, run: Value) {
        match self.cell {
            Cell::Lstm {
                weights,
                c0,
                c,
                peephole,
            } => {
                let step = self.step(g, run);
                let args = Args::new::<LstmCellArgs>(g);
                self.set(g, &args, &fields!(LstmCellArgs), &step, weights);
                let hidden = self.hidden as i64;
                args.set_int(g, offset_of!(LstmCellArgs, ld_c_prev), hidden);
                args.set_int(g, offset_of!(LstmCellArgs, ld_c), hidden);
                let peephole = match peephole {
                    Some(place) => g.address(place),
                    None => g.int(0),
                };
                args.set(g, offset_of!(LstmCellArgs, peephole), peephole);
                // The cell state is read and written in place.
                let (c, c0) = (g.address(c), g.address(c0));
                let c_prev = g.b.ins().select(step.first, c0, c);
                args.set(g, offset_of!(LstmCellArgs, c_prev), c_prev);
                args.set(g, offset_of!(LstmCellArgs, c), c);
                g.kernel(offset_of!(Table, lstm_cell_f32), &[args.address], &[]);
            }
            Cell::Gru { weights, bias } => {
                let step = self.step(g, run);
                let args = Args::new::<GruCellArgs>(g);
                self.set(g, &args, &fields!(GruCellArgs), &step, weights);
                let bias = g.address(bias);
                args.set(g, offset_of!(GruCellArgs, recurrent_bias), bias);
                g.kernel(offset_of!(Table, gru_cell_f32), &[args.address], &[]);
            }
            Cell::GruInHalves { gates, candidate } => {
                let number = g.b.ins().ushr_imm_u(run, 1);
                let half = g.b.ins().band_imm_u(run, 1);
                let step = self.step(g, number);
                let args = Args::new::<GruHalfArgs>(g);
                // The last state is made after all steps: until then its place is free, since no
                // result of an op lies on another one or on an operand.
                let reset = g.address(self.h);
                args.set(g, offset_of!(GruHalfArgs, reset), reset);
                args.set_int(g, offset_of!(GruHalfArgs, ld_reset), self.hidden as i64);
                let halves = [
                    (0, gates, offset_of!(Table, gru_gates_f32)),
                    (1, candidate, offset_of!(Table, gru_candidate_f32)),
                ];
                for (number, weights, kernel) in halves {
                    let mine = g.b.ins().icmp_imm_u(IntCC::Equal, half, number);
                    g.when(mine, |g| {
                        self.set(g, &args, &fields!(GruHalfArgs), &step, weights);
                        g.kernel(kernel, &[args.address], &[]);
                    });
                }
            }
        }
    }

    /// After the last step: the last hidden state, from where `y` has it.
    pub(crate) fn emit_end(&self, g: &mut Gen<'_>) {
        let last = match self.reverse {
            true => 0,
            false => self.steps - 1,
        };
        let y = g.address(self.y);
        let from = g.add_int(y, (last * self.state_bytes()) as i64);
        let to = g.address(self.h);
        g.copy(to, from, self.state_bytes());
    }

    fn state_bytes(&self) -> usize {
        4 * self.batch * self.hidden
    }

    fn gates(&self) -> usize {
        match self.cell {
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } | Cell::GruInHalves { .. } => 3,
        }
    }

    fn step(&self, g: &mut Gen<'_>, number: Value) -> Step {
        // The time that this step stands for, and the one whose output it reads.
        let (time, before) = match self.reverse {
            true => {
                let last = g.int(self.steps as i64 - 1);
                let time = g.b.ins().isub(last, number);
                (time, g.add_int(time, 1))
            }
            false => (number, g.add_int(number, -1)),
        };
        let zero = g.int(0);
        let first = g.b.ins().icmp(IntCC::Equal, number, zero);
        let (gates, y, h0) = (g.address(self.gates), g.address(self.y), g.address(self.h0));
        let earlier = offset(g, y, before, self.state_bytes());
        Step {
            first,
            x_proj: offset(g, gates, time, self.gates() * self.state_bytes()),
            h_prev: g.b.ins().select(first, h0, earlier),
            h: offset(g, y, time, self.state_bytes()),
        }
    }

    /// What the arguments of all cells hold.
    fn set(&self, g: &mut Gen<'_>, args: &Args, at: &Fields, step: &Step, weights: Place) {
        let hidden = self.hidden as i64;
        args.set_int(g, at.rows, self.batch as i64);
        args.set_int(g, at.hidden, hidden);
        args.set_int(g, at.ld_x_proj, self.gates() as i64 * hidden);
        args.set_int(g, at.ld_h_prev, hidden);
        args.set_int(g, at.ld_h, hidden);
        let clip = match self.clip > 0.0 {
            true => self.clip,
            false => f32::INFINITY,
        };
        args.set_f32(g, at.clip, clip);
        let weights = g.address(weights);
        args.set(g, at.r, weights);
        args.set(g, at.x_proj, step.x_proj);
        args.set(g, at.h_prev, step.h_prev);
        args.set(g, at.h, step.h);
        let blocks = self.hidden.div_ceil(BLOCK) as i64;
        let (begin, end) = g.share(blocks, 1);
        args.set(g, at.block_begin, begin);
        args.set(g, at.block_end, end);
    }
}
