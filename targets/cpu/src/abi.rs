//! What generated code and the run time share: the context that every generated function takes.
//!
//! Generated code has no relocations: data, kernels and other functions are all reached through
//! the context, so a program is one position-independent blob.

use std::time::Instant;

use lepid_ukernels::{Pool, Table};

use crate::engine::Profiler;
use crate::faults::FaultReport;
use crate::gates::Survivors;
use crate::slots::Slots;
use crate::support::Support;

/// The argument of every generated function. Generated code reads the fields by their offsets.
#[repr(C)]
pub(crate) struct Ctx {
    /// Intermediate values; offsets are stated by the memory plan.
    pub(crate) arena: *mut u8,
    /// Constants and packed weights.
    pub(crate) weights: *const u8,
    pub(crate) inputs: *const *const u8,
    /// The program itself writes where outputs are whose extents it finds.
    pub(crate) outputs: *mut *mut u8,
    /// Microkernels of the program's level.
    pub(crate) kernels: *const Table,
    /// Routines that no microkernel and no generated loop does.
    pub(crate) support: *const Support,
    /// Addresses of the generated tasks, by number.
    pub(crate) tasks: *const *const u8,
    pub(crate) pool: *const Pool,
    /// Per thread `scratch_stride` bytes.
    pub(crate) scratch: *mut u8,
    pub(crate) scratch_stride: usize,
    /// Zeros, as long as the widest row of a padded convolution.
    pub(crate) zeros: *const f32,
    /// How many samples of a batch there are in this run.
    pub(crate) samples: usize,
    /// Whose the rows are behind the gates of a cascade.
    pub(crate) survivors: *mut Survivors,
    /// How many samples have not left at the last gate; written by the program.
    pub(crate) going_on: usize,
    /// The number of the step that a repeated task is at; written by the program.
    pub(crate) step: usize,
    /// Null, or where `Support::tick` adds up times.
    pub(crate) profiler: *mut Profiler,
    /// Extents that are known only at run time; written by the program.
    pub(crate) cells: *mut i64,
    /// Addresses of the values that have such extents, by slot.
    pub(crate) slot_pointers: *const *mut u8,
    /// What makes room in the slots.
    pub(crate) slots: *mut Slots,
    /// What is at fault, if the entry says that something is.
    pub(crate) report: FaultReport,
    /// When the caller called; read by `Support::elapsed`.
    pub(crate) called: Instant,
}

/// The entry of a generated program: runs all tasks in order, as part 0 of 1. Gives 0, or the
/// number of the fault that ended the run.
pub(crate) type MainFn = unsafe extern "C" fn(ctx: *mut Ctx, part: usize, parts: usize) -> i64;
