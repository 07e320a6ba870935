//! The whole program: a task per op, and the function that runs the tasks in order.

use std::collections::HashMap;
use std::mem::offset_of;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, Signature, types};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_frontend::FunctionBuilderContext;
use lepid_ir::core::{Block, Module, Op, OpView, Value as IrValue};
use lepid_ir::dialects::adapt::{GateParts, Join};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::kernel::Nest;
use lepid_ir::dialects::tensor::DimOf;
use lepid_passes::batch::Samples;
use lepid_passes::transform::gates::{Pairs, is_gate};
use lepid_passes::transform::joins::is_done_before;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_passes::transform::memory_plan::{is_open, is_view, storage};

use crate::abi::Ctx;
use crate::codegen::cells::{Cells, Count, Port};
use crate::codegen::function::{Gen, main_signature, task_signature};
use crate::codegen::gates::{Carried, GateTask, Scores};
use crate::codegen::lowering::{Task, is_open_op, lower};
use crate::codegen::nest::{self, NestIo};
use crate::codegen::steps::{
    EmitError, Measurement, Preparation, Sharing, Step, Target, emit_steps, profile,
};
use crate::places::{Place, Places};
use crate::routines::measure::{self, MEASURES};
use crate::weights::Weights;

/// A compiled program before it is packaged.
pub(crate) struct Code {
    pub(crate) blob: Vec<u8>,
    /// Byte offsets of the tasks, and of the entry.
    pub(crate) tasks: Vec<usize>,
    pub(crate) main: usize,
    /// The op of each task.
    pub(crate) ops: Vec<Op>,
    pub(crate) weights: Weights,
    pub(crate) scratch_bytes: usize,
    pub(crate) zeros: usize,
    /// Extents that are known only at run time, and buffers for values that have such extents.
    pub(crate) cells: usize,
    pub(crate) slots: usize,
    /// The ops that a run may find at fault.
    pub(crate) sites: Vec<Op>,
    /// For each output of unknown extents its first cell.
    pub(crate) open_outputs: Vec<Option<usize>>,
    /// Cranelift's listing of every function, if asked for.
    pub(crate) listing: String,
}

/// Generates the code of a function whose memory is planned. With `samples` it is for any number of
/// them up to the function's batch. `seconds` is what an op is said to take.
pub(crate) fn generate(
    module: &Module,
    func: Op,
    samples: Option<Samples>,
    isa: &OwnedTargetIsa,
    listing: bool,
    seconds: &dyn Fn(OpView<'_>) -> f64,
) -> Result<Code, EmitError> {
    let mut emitter = Emitter {
        module,
        seconds,
        isa: isa.as_ref(),
        places: Places::new(module, func),
        cells: Cells::new(samples),
        frontend: FunctionBuilderContext::new(),
        context: Context::new(),
        want_listing: listing,
        known_sites: HashMap::new(),
        code: Code {
            blob: Vec::new(),
            tasks: Vec::new(),
            main: 0,
            ops: Vec::new(),
            weights: Weights::default(),
            scratch_bytes: 0,
            zeros: 0,
            cells: 0,
            slots: 0,
            sites: Vec::new(),
            open_outputs: Vec::new(),
            listing: String::new(),
        },
    };
    let block = Func::block(module.view(func));
    let steps = emitter.block(block)?;
    let copies = emitter.output_copies(func);
    emitter.main(func, &steps, &copies)?;
    emitter.code.cells = emitter.cells.count();
    emitter.code.slots = emitter.places.slots;
    Ok(emitter.code)
}

struct Emitter<'m> {
    module: &'m Module,
    seconds: &'m dyn Fn(OpView<'_>) -> f64,
    isa: &'m dyn TargetIsa,
    places: Places<'m>,
    cells: Cells,
    frontend: FunctionBuilderContext,
    context: Context,
    want_listing: bool,
    /// Where in `code.sites` an op is.
    known_sites: HashMap<Op, usize>,
    code: Code,
}

impl<'m> Emitter<'m> {
    fn place(&mut self, value: IrValue) -> Place {
        self.places.of(&mut self.code.weights, value)
    }

    /// Generates the tasks of a block, and the steps that run them.
    fn block(&mut self, block: Block) -> Result<Vec<Step>, EmitError> {
        let mut steps = Vec::new();
        // What stands before each gate that no join has ended.
        let mut before: Vec<Vec<Step>> = Vec::new();
        let mut last_gate: Option<Op> = None;
        for op in self.module.ops_in(block).collect::<Vec<Op>>() {
            let view = self.module.view(op);
            let computed = view
                .results()
                .iter()
                .all(|&r| is_constant_expression(self.module, r));
            match view.name() {
                "core.return" | "core.yield" => {}
                "tensor.if" => steps.push(self.branch(op)?),
                "tensor.while" => self.repeat(op, &mut steps)?,
                "adapt.elapsed" => steps.push(Step::Elapsed {
                    to: self.place(view.result(0)),
                }),
                _ if computed && !view.results().is_empty() => {}
                _ if is_open_op(view) => self.open_op(op, &mut steps)?,
                "tensor.reshape" => {}
                "adapt.gate" => {
                    self.follows(op, last_gate.replace(op))?;
                    self.gate(op, &mut steps)?;
                    before.push(std::mem::take(&mut steps));
                }
                "adapt.join" => {
                    self.follows(op, last_gate.take())?;
                    self.gate(op, &mut steps)?;
                    steps = rejoined(&mut before, steps);
                }
                _ if is_done_before(self.module, op) => {}
                _ => self.op(op, &mut steps)?,
            }
        }
        Ok(match before.is_empty() {
            true => steps,
            false => rejoined(&mut before, steps),
        })
    }

    fn op(&mut self, op: Op, steps: &mut Vec<Step>) -> Result<(), EmitError> {
        let module = self.module;
        let view = module.view(op);
        // Nothing to compute: no element at all.
        if view
            .results()
            .iter()
            .all(|&r| nest::dims(module, r).contains(&0))
        {
            return Ok(());
        }
        let task = self.lowered(op)?;
        let most = view.results().first();
        let most = most.and_then(|&r| self.cells.most_samples(r));
        let sharing = Sharing::of(task.sharing(view), most);
        match &task {
            Task::Recurrence(r) => {
                let step = self.function(op, |g| {
                    let ctx = g.ctx;
                    let step = g.load(types::I64, ctx, offset_of!(Ctx, step) as i32);
                    r.emit_step(g, step);
                    Ok(())
                })?;
                steps.push(Step::Repeat {
                    task: step,
                    count: r.runs(),
                    sharing,
                });
                let end = self.function(op, |g| {
                    r.emit_end(g);
                    Ok(())
                })?;
                steps.push(Step::Run {
                    task: end,
                    sharing: Sharing::Never,
                });
            }
            _ => {
                let number = self.task(op, &task)?;
                steps.push(Step::Run {
                    task: number,
                    sharing,
                });
            }
        }
        Ok(())
    }

    fn lowered(&mut self, op: Op) -> Result<Task, EmitError> {
        let task = lower(
            self.module,
            op,
            &self.places,
            &self.cells,
            &mut self.code.weights,
        )
        .map_err(|message| EmitError { op, message })?;
        // Each thread's part begins on a cache line.
        let scratch = task.scratch_bytes().next_multiple_of(64);
        self.code.scratch_bytes = self.code.scratch_bytes.max(scratch);
        self.code.zeros = self.code.zeros.max(task.zeros());
        Ok(task)
    }

    /// Compiles a task that is one function; gives its number.
    fn task(&mut self, op: Op, task: &Task) -> Result<usize, EmitError> {
        let module = self.module;
        self.function(op, |g| {
            match task {
                Task::Product(t) => t.emit(g),
                Task::EightBits(t) => t.emit(g),
                Task::Winograd(t) => t.emit(g),
                Task::Strassen(t) => t.emit(g),
                Task::Terms(t) => t.emit(g),
                Task::Depthwise(t) => t.emit(g),
                Task::Strips(t) => t.emit(g, module)?,
                Task::Pooling(t) => t.emit(g),
                Task::Rows(t) => t.emit(g),
                Task::Packing(t) => t.emit(g),
                Task::Attention(t) => t.emit(g),
                Task::Routine(t) => t.emit(g),
                Task::Open(t) => t.emit(g, module)?,
                Task::Recurrence(_) => {}
                Task::Nest {
                    inputs,
                    results,
                    samples,
                } => {
                    let io = NestIo {
                        module,
                        op,
                        inputs,
                        results,
                        samples: *samples,
                    };
                    nest::emit(g, io)?;
                }
            }
            Ok(())
        })
    }

    /// An op whose extents are known only at run time: first they are worked out and room is made
    /// for the results.
    fn open_op(&mut self, op: Op, steps: &mut Vec<Step>) -> Result<(), EmitError> {
        let view = self.module.view(op);
        if view.name() == "tensor.dim" {
            let axis = DimOf::axis(view) as usize;
            steps.push(Step::Extent {
                to: self.place(view.result(0)),
                size: self.cells.sizes(self.module, view.operand(0))[axis],
            });
            return Ok(());
        }
        let preparation = self.preparation(op);
        let mut work = Vec::new();
        for port in preparation.operands.iter() {
            work.push(port.sizes.clone());
        }
        for target in &preparation.results {
            work.push(target.port.sizes.clone());
        }
        steps.push(Step::Prepare(preparation));
        if is_view(self.module, op) {
            return Ok(());
        }
        let task = self.lowered(op)?;
        let number = self.task(op, &task)?;
        steps.push(Step::RunSized { task: number, work });
        Ok(())
    }

    fn preparation(&mut self, op: Op) -> Preparation {
        let view = self.module.view(op);
        let measure = measure::number(view.name()).map(|number| {
            let def = &MEASURES[number];
            Measurement {
                number,
                attrs: (def.describe)(view),
                figures: self.cells.figures(view),
                count: (def.figures)(view),
            }
        });
        Preparation {
            op,
            site: self.site(op),
            operands: self.ports(view.operands()),
            results: self.targets(view.results()),
            measure,
        }
    }

    /// The number of an op among those that may be found at fault; behind a nest stand the ops of
    /// its body.
    fn site(&mut self, op: Op) -> usize {
        let sites = &mut self.code.sites;
        if let Some(&known) = self.known_sites.get(&op) {
            return known;
        }
        let number = sites.len();
        sites.push(op);
        let view = self.module.view(op);
        if view.name() == "kernel.nest" {
            sites.extend(self.module.ops_in(Nest::block(view)));
        }
        let numbers = (number..).zip(&sites[number..]);
        self.known_sites.extend(numbers.map(|(i, &op)| (op, i)));
        number
    }

    fn port(&mut self, value: IrValue) -> Port {
        let place = self.place(value);
        self.cells.port(self.module, value, place)
    }

    fn ports(&mut self, values: &[IrValue]) -> Vec<Port> {
        values.iter().map(|&v| self.port(v)).collect()
    }

    fn targets(&mut self, values: &[IrValue]) -> Vec<Target> {
        values.iter().map(|&v| self.target(v)).collect()
    }

    fn target(&mut self, value: IrValue) -> Target {
        let port = self.port(value);
        let own = storage(self.module, value) == value;
        Target {
            cells: is_open(self.module, value).then(|| self.cells.first(self.module, value)),
            slot: match port.place {
                Place::Slot(slot) if own => Some(slot),
                Place::Slot(_)
                | Place::Arena(_)
                | Place::Weights(_)
                | Place::Input(_)
                | Place::Output(_)
                | Place::Scratch(_) => None,
            },
            port,
        }
    }

    /// A cascade must end before another one begins: what stands behind a gate is done only for who
    /// goes on there.
    fn follows(&self, op: Op, before: Option<Op>) -> Result<(), EmitError> {
        let view = self.module.view(op);
        let exit = match GateParts::of(view, view.operands()) {
            Ok(parts) => parts.exit,
            Err(error) => lepid_ir::bug!("a gate passed the verifier: {error}"),
        };
        let found = self.module.defining_op(exit);
        match before.is_none() || found == before {
            true => Ok(()),
            false => Err(EmitError {
                op,
                message: "another cascade begins before this one has ended".to_string(),
            }),
        }
    }

    /// A gate, or a join.
    fn gate(&mut self, op: Op, steps: &mut Vec<Step>) -> Result<(), EmitError> {
        let module = self.module;
        let view = module.view(op);
        let parts = match GateParts::of(view, view.operands()) {
            Ok(parts) => parts,
            Err(error) => lepid_ir::bug!("a gate passed the verifier: {error}"),
        };
        let pairs = Pairs::of(module, op);
        let all = nest::dims(module, parts.exit)[0] as usize;
        let rows = |value| bytes(module, value) / all.max(1);
        let mut carried = |[from, to]: [IrValue; 2], emitted: Option<IrValue>| Carried {
            from: self.place(from),
            to: self.place(to),
            emitted: emitted.map(|v| self.place(v)),
            row: rows(to),
        };
        let emits = parts.emits.iter().map(|&v| Some(v));
        let taken = pairs.taken.iter().zip(emits);
        let taken = taken.map(|(&pair, v)| carried(pair, v)).collect();
        let hands_on = pairs
            .hands_on
            .iter()
            .map(|&pair| carried(pair, None))
            .collect();
        let before = module.defining_op(parts.exit);
        let task = GateTask {
            leaves: parts.leaves.map(|v| self.place(v)),
            exit: self.place(pairs.exit[1]),
            exit_before: self.place(parts.exit),
            first: before.is_none_or(|before| !is_gate(module, before)),
            scores: parts.scores.map(|[score, best]| Scores {
                score: self.place(score),
                best_before: self.place(best),
                best: pairs.best.map(|[_, best]| self.place(best)),
            }),
            stage: parts.stage as i64,
            fixed: self
                .cells
                .most_samples(pairs.exit[1])
                .is_none()
                .then_some(all),
            saves: self.seconds_behind(op) / all.max(1) as f64,
            taken,
            hands_on,
        };
        let number = self.function(op, |g| {
            task.emit(g);
            Ok(())
        })?;
        steps.push(Step::Run {
            task: number,
            sharing: Sharing::Never,
        });
        Ok(())
    }

    /// What all ops behind a gate take, up to the join.
    fn seconds_behind(&self, gate: Op) -> f64 {
        let block = self.module.op_block(gate);
        let ops = block
            .into_iter()
            .flat_map(|block| self.module.ops_in(block));
        let behind = ops.skip_while(|&op| op != gate);
        let stage = behind.take_while(|&op| self.module.op_name(op) != Join::INFO.name);
        stage.map(|op| (self.seconds)(self.module.view(op))).sum()
    }

    fn branch(&mut self, op: Op) -> Result<Step, EmitError> {
        let view = self.module.view(op);
        let condition = self.place(view.operand(0));
        let results = view.results().to_vec();
        let mut branches = Vec::new();
        for &region in view.regions() {
            let block = self.module.region_blocks(region)[0];
            let mut steps = self.block(block)?;
            let yields = self.yields(block);
            steps.extend(self.copies(op, &yields, &results));
            branches.push(steps);
        }
        match <[Vec<Step>; 2]>::try_from(branches) {
            Ok(branches) => Ok(Step::If {
                condition,
                branches,
            }),
            Err(_) => lepid_ir::bug!("`tensor.if` has two regions"),
        }
    }

    /// Carried values lie in the places of the loop's results; each block reads copies in the
    /// places of its arguments, so that a body may exchange two of them.
    fn repeat(&mut self, op: Op, steps: &mut Vec<Step>) -> Result<(), EmitError> {
        let view = self.module.view(op);
        let results = view.results().to_vec();
        steps.extend(self.copies(op, view.operands(), &results));
        let blocks: Vec<Block> = view
            .regions()
            .iter()
            .map(|&r| self.module.region_blocks(r)[0])
            .collect();
        let mut before = self.copies(op, &results, self.module.block_args(blocks[0]));
        before.extend(self.block(blocks[0])?);
        let condition = self.yields(blocks[0]);
        let condition = self.place(condition[0]);
        let mut body = self.copies(op, &results, self.module.block_args(blocks[1]));
        body.extend(self.block(blocks[1])?);
        let yields = self.yields(blocks[1]);
        body.extend(self.copies(op, &yields, &results));
        steps.push(Step::While {
            before,
            condition,
            body,
        });
        Ok(())
    }

    fn yields(&self, block: Block) -> Vec<IrValue> {
        match self.module.terminator(block) {
            Some(end) => self.module.operands(end).to_vec(),
            None => Vec::new(),
        }
    }

    /// Copies of what an op with regions hands on.
    fn copies(&mut self, op: Op, from: &[IrValue], to: &[IrValue]) -> Vec<Step> {
        let pairs = from.iter().zip(to);
        pairs
            .map(|(&from, &to)| match is_open(self.module, to) {
                true => Step::Assign {
                    to: self.target(to),
                    from: self.port(from),
                    site: self.site(op),
                },
                false => Step::Copy {
                    bytes: self.bytes(to),
                    to: self.place(to),
                    from: self.place(from),
                },
            })
            .collect()
    }

    /// Results that are not computed where the caller wants them.
    fn output_copies(&mut self, func: Op) -> Vec<Step> {
        let returned = Func::returned(self.module.view(func)).to_vec();
        let mut steps = Vec::new();
        for (i, value) in returned.into_iter().enumerate() {
            let open = is_open(self.module, value);
            let cells = open.then(|| self.cells.first(self.module, value));
            self.code.open_outputs.push(cells);
            if open {
                steps.push(Step::Publish {
                    output: i,
                    from: self.place(value),
                });
            } else if self.places.direct[i] != Some(storage(self.module, value))
                || self.places.direct[i].is_none()
            {
                steps.push(Step::Copy {
                    to: Place::Output(i),
                    from: self.place(value),
                    bytes: self.output_bytes(func, i, value),
                });
            }
        }
        steps
    }

    /// The bytes of a value, for the samples of a run.
    fn bytes(&self, value: IrValue) -> Count {
        self.cells.amount(value, bytes(self.module, value))
    }

    /// The bytes of a result, which may be constants that are the same for each sample.
    fn output_bytes(&self, func: Op, output: usize, value: IrValue) -> Count {
        let total = bytes(self.module, value);
        let view = self.module.view(func);
        match Func::batch_outputs(view).contains(&(output as i64)) {
            true => {
                let most = Func::batch(view) as usize;
                Count::Samples {
                    each: total / most,
                    most,
                }
            }
            false => Count::Known(total),
        }
    }

    /// Compiles one task; gives its number.
    fn function(
        &mut self,
        op: Op,
        fill: impl FnOnce(&mut Gen<'_>) -> Result<(), String>,
    ) -> Result<usize, EmitError> {
        let signature = task_signature(self.isa.default_call_conv());
        let fill = |g: &mut Gen<'_>| fill(g).map_err(|message| EmitError { op, message });
        let offset = self.compile(op, signature, fill)?;
        self.code.tasks.push(offset);
        self.code.ops.push(op);
        Ok(self.code.tasks.len() - 1)
    }

    fn compile(
        &mut self,
        op: Op,
        signature: Signature,
        fill: impl FnOnce(&mut Gen<'_>) -> Result<(), EmitError>,
    ) -> Result<usize, EmitError> {
        let mut function = Function::with_name_signature(
            cranelift_codegen::ir::UserFuncName::user(0, self.code.tasks.len() as u32),
            signature,
        );
        let mut g = Gen::new(&mut function, &mut self.frontend, self.isa);
        fill(&mut g)?;
        g.finish(self.isa.frontend_config());
        self.context.clear();
        self.context.func = function;
        self.context.set_disasm(self.want_listing);
        let compiled = self
            .context
            .compile(self.isa, &mut ControlPlane::default())
            .map_err(|e| EmitError {
                op,
                message: format!("{:?}", e.inner),
            })?;
        if !compiled.buffer.relocs().is_empty() {
            lepid_ir::bug!(
                "generated code of `{}` has relocations",
                self.module.op_name(op)
            );
        }
        let blob = &mut self.code.blob;
        // Functions begin on a cache line; between them stand breakpoints, not code.
        blob.resize(blob.len().next_multiple_of(64), 0xcc);
        let offset = blob.len();
        blob.extend_from_slice(compiled.code_buffer());
        if let Some(text) = &compiled.vcode {
            let name = self.module.op_name(op);
            self.code.listing += &format!("; {offset:#x}: {name}\n{text}\n");
        }
        Ok(offset)
    }

    /// The entry: runs the steps.
    fn main(&mut self, func: Op, steps: &[Step], copies: &[Step]) -> Result<(), EmitError> {
        let module = self.module;
        let signature = main_signature(self.isa.default_call_conv());
        self.code.main = self.compile(func, signature, |g| {
            profile(g, None);
            emit_steps(g, module, steps)?;
            emit_steps(g, module, copies)
        })?;
        Ok(())
    }
}

/// All steps of a cascade: what stands behind each gate is done only if samples go on there.
fn rejoined(before: &mut Vec<Vec<Step>>, mut steps: Vec<Step>) -> Vec<Step> {
    while let Some(mut outer) = before.pop() {
        outer.push(Step::GoOn(steps));
        steps = outer;
    }
    steps.push(Step::Rejoin);
    steps
}

fn bytes(module: &Module, value: IrValue) -> usize {
    let count: i64 = nest::dims(module, value).iter().product();
    count as usize * nest::elem(module, value).bytes()
}
