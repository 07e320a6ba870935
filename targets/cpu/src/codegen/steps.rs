//! The steps of the entry function: which tasks run, in which order, on how many threads; and what
//! is to be said of extents before a task whose extents are known only at run time.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ir::core::{Module, Op};
use lepid_ukernels::Table;

use crate::abi::Ctx;
use crate::codegen::cells::{Count, Port, Size};
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::routine::{stack_ints, views};
use crate::codegen::rules::{self, Check, Extents};
use crate::places::Place;
use crate::routines::measure::MEASURES;
use crate::support::Support;

/// A step of the entry function.
pub(crate) enum Step {
    /// One task, alone or on all threads.
    Run { task: usize, sharing: Sharing },
    /// A task once per number from 0 up to `count`, which it finds in the step cell.
    Repeat {
        task: usize,
        count: usize,
        sharing: Sharing,
    },
    Copy {
        to: Place,
        from: Place,
        bytes: Count,
    },
    If {
        condition: Place,
        branches: [Vec<Step>; 2],
    },
    While {
        before: Vec<Step>,
        condition: Place,
        body: Vec<Step>,
    },
    /// Works out the extents of an op's results and makes room for them.
    Prepare(Preparation),
    /// One task, on all threads if there is enough to do: the greatest of these products.
    RunSized { task: usize, work: Vec<Vec<Size>> },
    /// Writes an extent as a scalar.
    Extent { to: Place, size: Size },
    /// Writes the milliseconds since the caller called.
    Elapsed { to: Place },
    /// Copies a value, its extents included.
    Assign { to: Target, from: Port, site: usize },
    /// What is done only if samples go on behind a gate.
    GoOn(Vec<Step>),
    /// All samples are there again, those that have left, too.
    Rejoin,
    /// Says where an output lies that the caller made no room for.
    Publish { output: usize, from: Place },
}

/// Whether threads share a task.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Sharing {
    Never,
    Always,
    /// If there are so many samples.
    From(usize),
}

impl Sharing {
    /// For a task of this many times the work that one thread should do alone, for all of `most`
    /// samples if it works through samples.
    pub(crate) fn of(times: f64, most: Option<usize>) -> Sharing {
        match most {
            _ if times <= 1.0 => Sharing::Never,
            Some(most) => Sharing::From((most as f64 / times).ceil() as usize),
            None => Sharing::Always,
        }
    }
}

/// A value whose extents a step settles.
pub(crate) struct Target {
    pub(crate) port: Port,
    /// The first cell, if an extent is not known.
    pub(crate) cells: Option<usize>,
    /// Where room is made, unless it lies in the place of another value.
    pub(crate) slot: Option<usize>,
}

/// What is done before a task whose extents are known only at run time.
pub(crate) struct Preparation {
    pub(crate) op: Op,
    pub(crate) site: usize,
    pub(crate) operands: Vec<Port>,
    pub(crate) results: Vec<Target>,
    pub(crate) measure: Option<Measurement>,
}

/// The call of a measure.
pub(crate) struct Measurement {
    pub(crate) number: usize,
    pub(crate) attrs: Vec<i64>,
    /// The first cell of the figures.
    pub(crate) figures: usize,
    pub(crate) count: usize,
}

/// What cannot be generated, and for which op.
pub(crate) struct EmitError {
    pub(crate) op: Op,
    pub(crate) message: String,
}

/// Work below this many elements is not worth a second thread.
const SERIAL_ELEMENTS: i64 = 20_000;

pub(crate) fn emit_steps(
    g: &mut Gen<'_>,
    module: &Module,
    steps: &[Step],
) -> Result<(), EmitError> {
    for step in steps {
        match step {
            Step::Prepare(preparation) => preparation.emit(g, module)?,
            Step::RunSized { task, work } => {
                emit_run_sized(g, *task, work);
                profile(g, Some(*task));
            }
            Step::Extent { to, size } => {
                let extent = g.read_sizes(&[*size])[0];
                let (to, extent) = (g.address(*to), g.extent(extent));
                g.store(extent, to, 0);
            }
            Step::Elapsed { to } => {
                let ctx = g.ctx;
                let at = offset_of!(Support, elapsed);
                let elapsed = g.support(at, &[ctx], &[types::F32])[0];
                let to = g.address(*to);
                g.store(elapsed, to, 0);
            }
            Step::Assign { to, from, site } => to.assign(g, from, *site),
            Step::Publish { output, from } => {
                let from = g.address(*from);
                let table = g.ctx_pointer(offset_of!(Ctx, outputs));
                g.store(from, table, 8 * *output as i32);
            }
            Step::GoOn(steps) => {
                let going_on = g.ctx_pointer(offset_of!(Ctx, going_on));
                let mut outcome = Ok(());
                g.when(going_on, |g| outcome = emit_steps(g, module, steps));
                outcome?;
            }
            Step::Rejoin => {
                let ctx = g.ctx;
                g.support(offset_of!(Support, rejoin), &[ctx], &[]);
            }
            Step::Run { task, sharing } => {
                emit_shared(g, *task, *sharing);
                profile(g, Some(*task));
            }
            Step::Repeat {
                task,
                count,
                sharing,
            } => {
                let (zero, count) = (g.int(0), g.int(*count as i64));
                g.for_range(zero, count, 1, |g, i| {
                    let ctx = g.ctx;
                    g.store(i, ctx, offset_of!(Ctx, step) as i32);
                    emit_shared(g, *task, *sharing);
                });
                profile(g, Some(*task));
            }
            Step::Copy { to, from, bytes } => {
                if to != from && bytes.most() != Some(0) {
                    let (to, from) = (g.address(*to), g.address(*from));
                    let bytes = bytes.extent(g);
                    let bytes = g.extent(bytes);
                    g.copy_bytes(to, from, bytes);
                }
            }
            Step::If {
                condition,
                branches,
            } => {
                let address = g.address(*condition);
                let condition = g.load(types::I8, address, 0);
                let inverse = g.b.ins().icmp_imm_u(IntCC::Equal, condition, 0);
                let mut outcomes = [Ok(()), Ok(())];
                g.when(condition, |g| {
                    outcomes[0] = emit_steps(g, module, &branches[0]);
                });
                g.when(inverse, |g| {
                    outcomes[1] = emit_steps(g, module, &branches[1]);
                });
                outcomes.into_iter().collect::<Result<(), EmitError>>()?;
            }
            Step::While {
                before,
                condition,
                body,
            } => {
                let (header, inside, exit) =
                    (g.b.create_block(), g.b.create_block(), g.b.create_block());
                g.b.ins().jump(header, &[]);
                g.b.switch_to_block(header);
                emit_steps(g, module, before)?;
                let address = g.address(*condition);
                let more = g.load(types::I8, address, 0);
                g.b.ins().brif(more, inside, &[], exit, &[]);
                g.b.switch_to_block(inside);
                g.b.seal_block(inside);
                emit_steps(g, module, body)?;
                g.b.ins().jump(header, &[]);
                g.b.seal_block(header);
                g.b.switch_to_block(exit);
                g.b.seal_block(exit);
            }
        }
    }
    Ok(())
}

impl Preparation {
    fn emit(&self, g: &mut Gen<'_>, module: &Module) -> Result<(), EmitError> {
        let view = module.view(self.op);
        let check = Check::At { site: self.site };
        let extents: Vec<Extents> = match &self.measure {
            Some(measure) => {
                let found = measure.emit(g, &self.operands, self.site);
                let rank = view.result_tensor(0).rank();
                let extents = (0..rank).map(|axis| Extent::Run(g.read_cell(found + axis)));
                let extents: Extents = extents.collect();
                vec![rules::stated(g, view, view.result(0), extents, check)]
            }
            None => {
                let operands: Vec<Extents> = self
                    .operands
                    .iter()
                    .map(|p| g.read_sizes(&p.sizes))
                    .collect();
                rules::results(g, view, &operands, check).map_err(|message| EmitError {
                    op: self.op,
                    message,
                })?
            }
        };
        for (result, extents) in self.results.iter().zip(extents) {
            result.settle(g, &extents, self.site);
        }
        Ok(())
    }
}

impl Measurement {
    /// Gives the first cell of the figures.
    fn emit(&self, g: &mut Gen<'_>, operands: &[Port], site: usize) -> usize {
        g.lend_anew();
        let counts = [self.attrs.len() as i64, self.count as i64];
        let attrs = stack_ints(g, &[&counts[..], &self.attrs[..]].concat());
        let operands = views(g, operands);
        let figures = g.cell(self.figures);
        debug_assert!(self.number < MEASURES.len());
        let offset = offset_of!(Support, measures) + size_of::<usize>() * self.number;
        let args = [g.ctx, attrs, operands, figures];
        let fault = g.support(offset, &args, &[types::I64])[0];
        g.fault_of(fault, site);
        self.figures
    }
}

impl Target {
    /// Writes down the extents and makes room.
    fn settle(&self, g: &mut Gen<'_>, extents: &[Extent], site: usize) {
        let Some(cells) = self.cells else {
            return;
        };
        for (axis, &extent) in extents.iter().enumerate() {
            let extent = g.extent(extent);
            g.write_cell(cells + axis, extent);
        }
        let args = [
            g.ctx,
            g.int(self.slot.map_or(-1, |slot| slot as i64)),
            g.cell(cells),
            g.int(extents.len() as i64),
            g.int(self.port.elem.bytes() as i64),
        ];
        let fault = g.support(offset_of!(Support, make_room), &args, &[types::I64])[0];
        g.fault_of(fault, site);
    }

    fn assign(&self, g: &mut Gen<'_>, from: &Port, site: usize) {
        let extents = g.read_sizes(&from.sizes);
        self.settle(g, &extents, site);
        if self.port.place != from.place {
            let count = g.extent_product(&extents);
            let bytes = g.extent_mul(count, Extent::Known(from.elem.bytes() as i64));
            let bytes = g.extent(bytes);
            let (to, from) = (g.address(self.port.place), g.address(from.place));
            g.copy_bytes(to, from, bytes);
        }
    }
}

fn emit_run_sized(g: &mut Gen<'_>, task: usize, work: &[Vec<Size>]) {
    let mut most = g.int(0);
    for sizes in work {
        let extents = g.read_sizes(sizes);
        let product = g.extent_product(&extents);
        let product = g.extent(product);
        most = g.max(most, product);
    }
    emit_run_from(g, task, most, SERIAL_ELEMENTS);
}

fn emit_shared(g: &mut Gen<'_>, task: usize, sharing: Sharing) {
    match sharing {
        Sharing::Never => emit_run(g, task, false),
        Sharing::Always => emit_run(g, task, true),
        Sharing::From(least) => {
            let samples = g.samples(1);
            emit_run_from(g, task, samples, least as i64);
        }
    }
}

/// Runs a task on all threads if `amount` is at least `least`.
fn emit_run_from(g: &mut Gen<'_>, task: usize, amount: Value, least: i64) {
    let least = g.int(least);
    let few = g.b.ins().icmp(IntCC::SignedLessThan, amount, least);
    let many =
        g.b.ins()
            .icmp(IntCC::SignedGreaterThanOrEqual, amount, least);
    g.when(few, |g| emit_run(g, task, false));
    g.when(many, |g| emit_run(g, task, true));
}

fn emit_run(g: &mut Gen<'_>, task: usize, parallel: bool) {
    let table = g.ctx_pointer(offset_of!(Ctx, tasks));
    let callee = g.load(types::I64, table, 8 * task as i32);
    let ctx = g.ctx;
    match parallel {
        true => {
            let pool = g.ctx_pointer(offset_of!(Ctx, pool));
            g.kernel(offset_of!(Table, parallel), &[pool, callee, ctx], &[]);
        }
        false => {
            let args: [Value; 3] = [ctx, g.int(0), g.int(1)];
            let signature = g.signature(&[types::I64; 3], &[]);
            g.b.ins().call_indirect(signature, callee, &args);
        }
    }
}

/// Books the time since the last booking on a task, if the run is profiled.
pub(crate) fn profile(g: &mut Gen<'_>, task: Option<usize>) {
    let profiler = g.ctx_pointer(offset_of!(Ctx, profiler));
    g.when(profiler, |g| {
        let number = g.int(task.map_or(-1, |t| t as i64));
        g.support(offset_of!(Support, tick), &[profiler, number], &[]);
    });
}
