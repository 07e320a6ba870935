//! The whole program: a task per op, and the function that runs the tasks in order.

use std::mem::offset_of;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, InstBuilder, Value, types};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_frontend::FunctionBuilderContext;
use lepid_ir::core::{Block, Module, Op, Value as IrValue};
use lepid_ir::dialects::core::Func;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_passes::transform::memory_plan::storage;
use lepid_ukernels::Table;

use crate::abi::Ctx;
use crate::codegen::function::{Gen, task_signature};
use crate::codegen::lowering::{Task, lower};
use crate::codegen::nest::{self, NestIo};
use crate::places::{Place, Places};
use crate::support::Support;
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
    /// Cranelift's listing of every function, if asked for.
    pub(crate) listing: String,
}

/// What went wrong, and at which op.
pub(crate) struct EmitError {
    pub(crate) op: Op,
    pub(crate) message: String,
}

/// Generates the code of a function whose memory is planned.
pub(crate) fn generate(
    module: &Module,
    func: Op,
    isa: &OwnedTargetIsa,
    listing: bool,
) -> Result<Code, EmitError> {
    let mut emitter = Emitter {
        module,
        isa: isa.as_ref(),
        places: Places::new(module, func),
        frontend: FunctionBuilderContext::new(),
        context: Context::new(),
        want_listing: listing,
        code: Code {
            blob: Vec::new(),
            tasks: Vec::new(),
            main: 0,
            ops: Vec::new(),
            weights: Weights::default(),
            scratch_bytes: 0,
            zeros: 0,
            listing: String::new(),
        },
    };
    let block = Func::block(module.view(func));
    let steps = emitter.block(block)?;
    let copies = emitter.output_copies(func);
    emitter.main(func, &steps, &copies)?;
    Ok(emitter.code)
}

/// A step of the entry function.
enum Step {
    /// One task, alone or on all threads.
    Run { task: usize, parallel: bool },
    /// A task once per number from 0 up to `count`, which it finds in the step cell.
    Repeat {
        task: usize,
        count: usize,
        parallel: bool,
    },
    Copy {
        to: Place,
        from: Place,
        bytes: usize,
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
}

struct Emitter<'m> {
    module: &'m Module,
    isa: &'m dyn TargetIsa,
    places: Places<'m>,
    frontend: FunctionBuilderContext,
    context: Context,
    want_listing: bool,
    code: Code,
}

impl<'m> Emitter<'m> {
    fn place(&mut self, value: IrValue) -> Place {
        self.places.of(&mut self.code.weights, value)
    }

    /// Generates the tasks of a block, and the steps that run them.
    fn block(&mut self, block: Block) -> Result<Vec<Step>, EmitError> {
        let mut steps = Vec::new();
        for op in self.module.ops_in(block).collect::<Vec<Op>>() {
            let view = self.module.view(op);
            let computed = view
                .results()
                .iter()
                .all(|&r| is_constant_expression(self.module, r));
            match view.name() {
                "core.return" | "core.yield" | "tensor.reshape" => {}
                "tensor.if" => steps.push(self.branch(op)?),
                "tensor.while" => self.repeat(op, &mut steps)?,
                _ if computed && !view.results().is_empty() => {}
                _ => self.op(op, &mut steps)?,
            }
        }
        Ok(steps)
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
        let fail = |message: String| EmitError { op, message };
        let task = lower(module, op, &self.places, &mut self.code.weights).map_err(fail)?;
        let parallel = task.is_parallel(view);
        self.code.scratch_bytes = self.code.scratch_bytes.max(task.scratch_bytes());
        self.code.zeros = self.code.zeros.max(task.zeros());
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
                    count: r.steps,
                    parallel,
                });
                let end = self.function(op, |g| {
                    r.emit_end(g);
                    Ok(())
                })?;
                steps.push(Step::Run {
                    task: end,
                    parallel: false,
                });
            }
            _ => {
                let number = self.function(op, |g| {
                    match &task {
                        Task::Product(t) => t.emit(g),
                        Task::Depthwise(t) => t.emit(g),
                        Task::Pooling(t) => t.emit(g),
                        Task::Rows(t) => t.emit(g),
                        Task::Packing(t) => t.emit(g),
                        Task::Routine(t) => t.emit(g),
                        Task::Recurrence(_) => {}
                        Task::Nest { inputs, results } => {
                            let io = NestIo {
                                module,
                                op,
                                inputs,
                                results,
                            };
                            nest::emit(g, &io)?;
                        }
                    }
                    Ok(())
                })?;
                steps.push(Step::Run {
                    task: number,
                    parallel,
                });
            }
        }
        Ok(())
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
            steps.extend(self.copies(&yields, &results));
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
        steps.extend(self.copies(view.operands(), &results));
        let blocks: Vec<Block> = view
            .regions()
            .iter()
            .map(|&r| self.module.region_blocks(r)[0])
            .collect();
        let mut before = self.copies(&results, self.module.block_args(blocks[0]));
        before.extend(self.block(blocks[0])?);
        let condition = self.yields(blocks[0]);
        let condition = self.place(condition[0]);
        let mut body = self.copies(&results, self.module.block_args(blocks[1]));
        body.extend(self.block(blocks[1])?);
        let yields = self.yields(blocks[1]);
        body.extend(self.copies(&yields, &results));
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

    fn copies(&mut self, from: &[IrValue], to: &[IrValue]) -> Vec<Step> {
        let pairs = from.iter().zip(to);
        pairs
            .map(|(&from, &to)| Step::Copy {
                bytes: bytes(self.module, to),
                to: self.place(to),
                from: self.place(from),
            })
            .collect()
    }

    /// Results that are not computed where the caller wants them.
    fn output_copies(&mut self, func: Op) -> Vec<Step> {
        let returned = Func::returned(self.module.view(func)).to_vec();
        let mut steps = Vec::new();
        for (i, value) in returned.into_iter().enumerate() {
            if self.places.direct[i] != Some(storage(self.module, value))
                || self.places.direct[i].is_none()
            {
                steps.push(Step::Copy {
                    to: Place::Output(i),
                    from: self.place(value),
                    bytes: bytes(self.module, value),
                });
            }
        }
        steps
    }

    /// Compiles one task; gives its number.
    fn function(
        &mut self,
        op: Op,
        fill: impl FnOnce(&mut Gen<'_>) -> Result<(), String>,
    ) -> Result<usize, EmitError> {
        let offset = self.compile(op, fill)?;
        self.code.tasks.push(offset);
        self.code.ops.push(op);
        Ok(self.code.tasks.len() - 1)
    }

    fn compile(
        &mut self,
        op: Op,
        fill: impl FnOnce(&mut Gen<'_>) -> Result<(), String>,
    ) -> Result<usize, EmitError> {
        let call_conv = self.isa.default_call_conv();
        let mut function = Function::with_name_signature(
            cranelift_codegen::ir::UserFuncName::user(0, self.code.tasks.len() as u32),
            task_signature(call_conv),
        );
        let mut g = Gen::new(&mut function, &mut self.frontend, self.isa);
        fill(&mut g).map_err(|message| EmitError { op, message })?;
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
        self.code.main = self.compile(func, |g| {
            profile(g, None);
            emit_steps(g, steps);
            emit_steps(g, copies);
            Ok(())
        })?;
        Ok(())
    }
}

fn bytes(module: &Module, value: IrValue) -> usize {
    let count: i64 = nest::dims(module, value).iter().product();
    count as usize * nest::elem(module, value).bytes()
}

fn emit_steps(g: &mut Gen<'_>, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Run { task, parallel } => {
                emit_run(g, *task, *parallel);
                profile(g, Some(*task));
            }
            Step::Repeat {
                task,
                count,
                parallel,
            } => {
                let (zero, count) = (g.int(0), g.int(*count as i64));
                g.for_range(zero, count, 1, |g, i| {
                    let ctx = g.ctx;
                    g.store(i, ctx, offset_of!(Ctx, step) as i32);
                    emit_run(g, *task, *parallel);
                });
                profile(g, Some(*task));
            }
            Step::Copy { to, from, bytes } => {
                if to != from && *bytes > 0 {
                    let (to, from) = (g.address(*to), g.address(*from));
                    g.copy(to, from, *bytes);
                }
            }
            Step::If {
                condition,
                branches,
            } => {
                let address = g.address(*condition);
                let condition = g.load(types::I8, address, 0);
                let inverse = g.b.ins().icmp_imm_u(
                    cranelift_codegen::ir::condcodes::IntCC::Equal,
                    condition,
                    0,
                );
                g.when(condition, |g| emit_steps(g, &branches[0]));
                g.when(inverse, |g| emit_steps(g, &branches[1]));
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
                emit_steps(g, before);
                let address = g.address(*condition);
                let more = g.load(types::I8, address, 0);
                g.b.ins().brif(more, inside, &[], exit, &[]);
                g.b.switch_to_block(inside);
                g.b.seal_block(inside);
                emit_steps(g, body);
                g.b.ins().jump(header, &[]);
                g.b.seal_block(header);
                g.b.switch_to_block(exit);
                g.b.seal_block(exit);
            }
        }
    }
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
fn profile(g: &mut Gen<'_>, task: Option<usize>) {
    let profiler = g.ctx_pointer(offset_of!(Ctx, profiler));
    g.when(profiler, |g| {
        let number = g.int(task.map_or(-1, |t| t as i64));
        g.support(offset_of!(Support, tick), &[profiler, number], &[]);
    });
}
