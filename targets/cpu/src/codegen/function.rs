//! One generated function under construction: addresses, loops, calls.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, BlockArg, Endianness, Function, InstBuilder, MemFlagsData, SigRef, Signature,
    StackSlot, StackSlotData, StackSlotKind, Type, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use crate::abi::Ctx;
use crate::codegen::extent::Extent;
use crate::faults::{Fault, FaultReport};
use crate::isa::Abilities;
use crate::places::Place;
use crate::support::Support;

/// Memory that the plan vouches for: aligned to its element, never trapping.
pub(crate) const MEMORY: MemFlagsData = MemFlagsData::trusted();

/// A function `(ctx, part, parts)` that is being built.
pub(crate) struct Gen<'f> {
    pub(crate) b: FunctionBuilder<'f>,
    pub(crate) ctx: Value,
    pub(crate) part: Value,
    pub(crate) parts: Value,
    pub(crate) abilities: Abilities,
    /// Stack memory that one call after the other uses, and how much of it the call at hand does.
    lent: Option<StackSlot>,
    lent_bytes: u32,
    call_conv: CallConv,
}

impl<'f> Gen<'f> {
    /// Starts a function in its entry block.
    pub(crate) fn new(
        func: &'f mut Function,
        frontend: &'f mut FunctionBuilderContext,
        isa: &dyn TargetIsa,
    ) -> Gen<'f> {
        let call_conv = isa.default_call_conv();
        let mut b = FunctionBuilder::new(func, frontend);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let params = b.block_params(entry).to_vec();
        Gen {
            b,
            ctx: params[0],
            part: params[1],
            parts: params[2],
            abilities: Abilities::of(isa),
            lent: None,
            lent_bytes: 0,
            call_conv,
        }
    }

    /// Ends the function; the entry says that nothing is at fault.
    pub(crate) fn finish(mut self, config: cranelift_codegen::isa::TargetFrontendConfig) {
        match self.b.func.signature.returns.is_empty() {
            true => self.b.ins().return_(&[]),
            false => {
                let fine = self.int(0);
                self.b.ins().return_(&[fine])
            }
        };
        self.b.finalize(config);
    }

    /// Ends the run if `condition` is not zero. Only the entry may say so.
    pub(crate) fn fault_if(
        &mut self,
        condition: Value,
        site: usize,
        fault: Fault,
        figures: [Value; 2],
    ) {
        let (fails, goes_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fails);
        self.b.ins().brif(condition, fails, &[], goes_on, &[]);
        self.b.switch_to_block(fails);
        self.b.seal_block(fails);
        let fault = self.int(fault as i64);
        let [a, b] = figures;
        for (field, value) in [
            (offset_of!(FaultReport, a), a),
            (offset_of!(FaultReport, b), b),
        ] {
            let ctx = self.ctx;
            self.store(value, ctx, (offset_of!(Ctx, report) + field) as i32);
        }
        self.return_fault(fault, site);
        self.b.switch_to_block(goes_on);
        self.b.seal_block(goes_on);
    }

    /// Ends the run if a support routine gave the number of a fault, whose figures it has stated.
    pub(crate) fn fault_of(&mut self, fault: Value, site: usize) {
        let (fails, goes_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fails);
        self.b.ins().brif(fault, fails, &[], goes_on, &[]);
        self.b.switch_to_block(fails);
        self.b.seal_block(fails);
        self.return_fault(fault, site);
        self.b.switch_to_block(goes_on);
        self.b.seal_block(goes_on);
    }

    fn return_fault(&mut self, fault: Value, site: usize) {
        let (ctx, site) = (self.ctx, self.int(site as i64));
        let report = offset_of!(Ctx, report);
        self.store(fault, ctx, (report + offset_of!(FaultReport, fault)) as i32);
        self.store(site, ctx, (report + offset_of!(FaultReport, site)) as i32);
        self.b.ins().return_(&[fault]);
    }

    pub(crate) fn int(&mut self, value: i64) -> Value {
        self.b.ins().iconst(types::I64, value)
    }

    pub(crate) fn f32(&mut self, value: f32) -> Value {
        self.b.ins().f32const(value)
    }

    pub(crate) fn add_int(&mut self, x: Value, offset: i64) -> Value {
        match offset {
            0 => x,
            _ => self.b.ins().iadd_imm_s(x, offset),
        }
    }

    pub(crate) fn add(&mut self, x: Value, y: Value) -> Value {
        self.b.ins().iadd(x, y)
    }

    pub(crate) fn mul_int(&mut self, x: Value, factor: i64) -> Value {
        match factor {
            1 => x,
            f if f > 0 && (f as u64).is_power_of_two() => {
                let shift = self.int(i64::from(f.trailing_zeros()));
                self.b.ins().ishl(x, shift)
            }
            _ => {
                let factor = self.int(factor);
                self.b.ins().imul(x, factor)
            }
        }
    }

    /// The smaller of two signed integers.
    pub(crate) fn min(&mut self, x: Value, y: Value) -> Value {
        let less = self.b.ins().icmp(IntCC::SignedLessThan, x, y);
        self.b.ins().select(less, x, y)
    }

    /// The larger of two signed integers.
    pub(crate) fn max(&mut self, x: Value, y: Value) -> Value {
        let less = self.b.ins().icmp(IntCC::SignedLessThan, x, y);
        self.b.ins().select(less, y, x)
    }

    pub(crate) fn load(&mut self, ty: Type, address: Value, offset: i32) -> Value {
        self.b.ins().load(ty, MEMORY, address, offset)
    }

    /// Four floats that need not be aligned.
    pub(crate) fn load_four(&mut self, address: Value) -> Value {
        let flags = MemFlagsData::new().with_notrap();
        match self.abilities.unaligned_operands {
            true => self.b.ins().load(types::F32X4, flags, address, 0),
            false => {
                // The change of type keeps the load an instruction of its own.
                let bits = self.b.ins().load(types::I32X4, flags, address, 0);
                let flags = MemFlagsData::new().with_endianness(Endianness::Little);
                self.b.ins().bitcast(types::F32X4, flags, bits)
            }
        }
    }

    pub(crate) fn store(&mut self, value: Value, address: Value, offset: i32) {
        self.b.ins().store(MEMORY, value, address, offset);
    }

    /// A pointer field of the context, by its offset.
    pub(crate) fn ctx_pointer(&mut self, field: usize) -> Value {
        let flags = MEMORY.with_readonly();
        self.b.ins().load(types::I64, flags, self.ctx, field as i32)
    }

    /// The address of the first byte of a place.
    pub(crate) fn address(&mut self, place: Place) -> Value {
        match place {
            Place::Arena(offset) => {
                let base = self.ctx_pointer(offset_of!(Ctx, arena));
                self.add_int(base, offset as i64)
            }
            Place::Weights(offset) => {
                let base = self.ctx_pointer(offset_of!(Ctx, weights));
                self.add_int(base, offset as i64)
            }
            Place::Input(index) => {
                let table = self.ctx_pointer(offset_of!(Ctx, inputs));
                self.load(types::I64, table, 8 * index as i32)
            }
            Place::Output(index) => {
                let table = self.ctx_pointer(offset_of!(Ctx, outputs));
                self.load(types::I64, table, 8 * index as i32)
            }
            Place::Slot(number) => {
                let table = self.ctx_pointer(offset_of!(Ctx, slot_pointers));
                self.load(types::I64, table, 8 * number as i32)
            }
            Place::Scratch(offset) => {
                let base = self.scratch();
                self.add_int(base, offset as i64)
            }
        }
    }

    /// This thread's scratch memory.
    pub(crate) fn scratch(&mut self) -> Value {
        let base = self.ctx_pointer(offset_of!(Ctx, scratch));
        let stride = self.ctx_pointer(offset_of!(Ctx, scratch_stride));
        let offset = self.b.ins().imul(stride, self.part);
        self.add(base, offset)
    }

    /// A block of stack memory, aligned to 16 bytes.
    pub(crate) fn stack(&mut self, bytes: usize) -> StackSlot {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4);
        self.b.create_sized_stack_slot(data)
    }

    /// Stack memory for the arguments of one call, aligned to 8 bytes. It is lent again once
    /// [`Gen::lend_anew`] says that the call is over: an entry with a thousand calls needs little.
    pub(crate) fn lend(&mut self, bytes: usize) -> Value {
        let slot = match self.lent {
            Some(slot) => slot,
            None => self.stack(0),
        };
        self.lent = Some(slot);
        let offset = self.lent_bytes;
        self.lent_bytes += (bytes as u32).next_multiple_of(8);
        let data = &mut self.b.func.sized_stack_slots[slot];
        data.size = data.size.max(self.lent_bytes);
        self.b.ins().stack_addr(types::I64, slot, offset as i32)
    }

    /// Ends the use of all that was lent.
    pub(crate) fn lend_anew(&mut self) {
        self.lent_bytes = 0;
    }

    pub(crate) fn stack_address(&mut self, slot: StackSlot) -> Value {
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// `for i in (start..end).step_by(step)`: `body` gets `i`.
    pub(crate) fn for_range(
        &mut self,
        start: Value,
        end: Value,
        step: i64,
        body: impl FnOnce(&mut Gen<'f>, Value),
    ) {
        self.fold_range(start, end, step, &[], |g, i, _| {
            body(g, i);
            Vec::new()
        });
    }

    /// A loop that carries values: `body` gets `i` and the values, and gives the next ones.
    pub(crate) fn fold_range(
        &mut self,
        start: Value,
        end: Value,
        step: i64,
        init: &[Value],
        body: impl FnOnce(&mut Gen<'f>, Value, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let (header, inside, exit) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let i = self.b.append_block_param(header, types::I64);
        let carried: Vec<Value> = init
            .iter()
            .map(|&v| {
                let ty = self.b.func.dfg.value_type(v);
                self.b.append_block_param(header, ty)
            })
            .collect();
        self.jump(header, start, init);
        self.b.switch_to_block(header);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, i, end);
        self.b.ins().brif(more, inside, &[], exit, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        let next = body(self, i, &carried);
        let after = self.b.ins().iadd_imm_s(i, step);
        self.jump(header, after, &next);
        self.b.seal_block(header);
        self.b.switch_to_block(exit);
        self.b.seal_block(exit);
        carried
    }

    fn jump(&mut self, to: cranelift_codegen::ir::Block, i: Value, values: &[Value]) {
        let args: Vec<BlockArg> = std::iter::once(&i)
            .chain(values)
            .map(|&v| BlockArg::Value(v))
            .collect();
        self.b.ins().jump(to, &args);
    }

    /// Runs `body` only if `condition` is not zero.
    pub(crate) fn when(&mut self, condition: Value, body: impl FnOnce(&mut Gen<'f>)) {
        let (inside, exit) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, inside, &[], exit, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        body(self);
        self.b.ins().jump(exit, &[]);
        self.b.switch_to_block(exit);
        self.b.seal_block(exit);
    }

    /// This part's share of `0..total` in whole units of `unit`: `[start, end)`.
    pub(crate) fn share(&mut self, total: i64, unit: i64) -> (Value, Value) {
        self.share_extent(Extent::Known(total), unit)
    }

    /// The same of a number that may be known at run time only.
    pub(crate) fn share_extent(&mut self, total: Extent, unit: i64) -> (Value, Value) {
        let units = match total {
            Extent::Known(total) => self.int(total.div_euclid(unit) + i64::from(total % unit != 0)),
            Extent::Run(total) => self.div_up(total, unit),
        };
        let total = self.extent(total);
        let bound = |g: &mut Gen<'f>, part: Value| {
            let scaled = g.b.ins().imul(units, part);
            let at = g.b.ins().udiv(scaled, g.parts);
            let at = g.mul_int(at, unit);
            g.min(at, total)
        };
        let next = self.b.ins().iadd_imm_s(self.part, 1);
        let start = bound(self, self.part);
        let end = bound(self, next);
        (start, end)
    }

    /// A signature of values in and out.
    pub(crate) fn signature(&mut self, params: &[Type], returns: &[Type]) -> SigRef {
        let mut signature = Signature::new(self.call_conv);
        signature.params = params.iter().map(|&t| AbiParam::new(t)).collect();
        signature.returns = returns.iter().map(|&t| AbiParam::new(t)).collect();
        self.b.import_signature(signature)
    }

    /// Calls a function pointer that stands at `offset` of the table in a field of the context.
    pub(crate) fn call_table(
        &mut self,
        table_field: usize,
        offset: usize,
        args: &[Value],
        returns: &[Type],
    ) -> Vec<Value> {
        let table = self.ctx_pointer(table_field);
        let flags = MEMORY.with_readonly();
        let callee = self.b.ins().load(types::I64, flags, table, offset as i32);
        let params: Vec<Type> = args
            .iter()
            .map(|&v| self.b.func.dfg.value_type(v))
            .collect();
        let signature = self.signature(&params, returns);
        let call = self.b.ins().call_indirect(signature, callee, args);
        self.b.inst_results(call).to_vec()
    }

    /// Whether a signed integer is above zero.
    pub(crate) fn is_positive(&mut self, x: Value) -> Value {
        let zero = self.int(0);
        self.b.ins().icmp(IntCC::SignedGreaterThan, x, zero)
    }

    /// Copies bytes; the places may overlap.
    pub(crate) fn copy(&mut self, to: Value, from: Value, bytes: usize) {
        let bytes = self.int(bytes as i64);
        self.copy_bytes(to, from, bytes);
    }

    /// Copies a number of bytes that is known at run time.
    pub(crate) fn copy_bytes(&mut self, to: Value, from: Value, bytes: Value) {
        self.support(offset_of!(Support, copy), &[to, from, bytes], &[]);
    }

    /// Calls a microkernel by its offset in the kernel table.
    pub(crate) fn kernel(&mut self, offset: usize, args: &[Value], returns: &[Type]) -> Vec<Value> {
        self.call_table(offset_of!(Ctx, kernels), offset, args, returns)
    }

    /// Calls a support routine by its offset in the support table.
    pub(crate) fn support(
        &mut self,
        offset: usize,
        args: &[Value],
        returns: &[Type],
    ) -> Vec<Value> {
        self.call_table(offset_of!(Ctx, support), offset, args, returns)
    }
}

/// `(ctx, part, parts)`, in the C convention.
pub(crate) fn task_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params = vec![AbiParam::new(types::I64); 3];
    signature
}

/// The same with a status: what the entry gives.
pub(crate) fn main_signature(call_conv: CallConv) -> Signature {
    let mut signature = task_signature(call_conv);
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}
