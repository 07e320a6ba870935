//! Running a program: what all its users share ([`Image`]), and what each has ([`Instance`]).
//!
//! Knows nothing of packages, tensors or Cranelift, so that the library that compiled programs are
//! linked with is this and the kernels.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lepid_ukernels::{AlignedBuf, Isa, Pool};
use serde::{Deserialize, Serialize};

use crate::abi::{Ctx, MainFn};
use crate::faults::FaultReport;
use crate::gates::Survivors;
use crate::interface::INTERFACE;
use crate::machine::{self, MACHINE};
use crate::slots::Slots;
use crate::states::{StateMeta, States};
use crate::support::SUPPORT;

/// What a program needs to know of itself: the section `meta` of a package, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// What the code was generated against.
    pub(crate) interface: u64,
    /// Architecture and calling convention.
    pub(crate) machine: String,
    /// The instruction set level that the code was made for.
    pub(crate) isa: String,
    /// Byte offsets of the tasks in the code.
    pub(crate) tasks: Vec<usize>,
    pub(crate) main: usize,
    pub(crate) arena_bytes: usize,
    pub(crate) scratch_bytes: usize,
    /// Zeros that padded convolutions read, as a count of `f32`.
    pub(crate) zeros: usize,
    /// For each task the number of its op in `Module::walk` order.
    pub(crate) ops: Vec<usize>,
    /// Extents that are known only at run time, and buffers for values that have such extents.
    pub(crate) cells: usize,
    pub(crate) slots: usize,
    /// Each op that a run may find at fault.
    pub(crate) sites: Vec<Site>,
    /// For each output of unknown extents its first cell.
    pub(crate) open_outputs: Vec<Option<usize>>,
    /// How inputs and outputs hold samples, if the program is for any number of them.
    pub(crate) batch: Option<Batch>,
    pub(crate) states: Vec<StateMeta>,
}

/// How inputs and outputs hold the samples of a batch: bytes of a sample, 0 where there are none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// How many samples are computed at a time at most.
    pub(crate) most: usize,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

/// An op that a run may find at fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Site {
    /// Its number in `Module::walk` order.
    pub(crate) op: usize,
    pub(crate) name: String,
}

/// Why a program cannot be run here.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It was made against other kernels.
    OtherVersion,
    /// It needs what this machine lacks.
    Missing(String),
    Damaged(String),
    Memory(std::io::Error),
}

/// Where the code of a program is.
pub(crate) enum CodePlace<'a> {
    /// It has to be brought into executable memory.
    Bytes(&'a [u8]),
    /// It is executable where it is.
    Linked(&'static [u8]),
}

/// A program in memory. It never changes.
pub(crate) struct Image {
    pub(crate) meta: Meta,
    tasks: Vec<*const u8>,
    main: *const u8,
    /// Keeps `tasks` and `main` alive, if they are ours.
    _code: Option<CodeMemory>,
    zeros: AlignedBuf,
    kernels: &'static lepid_ukernels::Table,
}

// SAFETY: the pointers are into code, which never changes and may be called from any thread.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    pub(crate) fn new(meta: Meta, code: CodePlace<'_>) -> Result<Image, Refusal> {
        let level = check(&meta)?;
        let kernels = lepid_ukernels::table(level)
            .ok_or_else(|| Refusal::Missing(format!("the kernels `{}`", meta.isa)))?;
        let bytes = match &code {
            CodePlace::Bytes(bytes) => bytes,
            CodePlace::Linked(bytes) => *bytes,
        };
        if meta
            .tasks
            .iter()
            .chain([&meta.main])
            .any(|&at| at >= bytes.len())
        {
            return Err(Refusal::Damaged(
                "a task is outside of the code".to_string(),
            ));
        }
        let memory = match code {
            CodePlace::Bytes(bytes) => Some(CodeMemory::new(bytes).map_err(Refusal::Memory)?),
            CodePlace::Linked(_) => None,
        };
        let base = memory.as_ref().map_or(bytes.as_ptr(), |m| m.base.cast());
        let zeros = buffer(meta.zeros.max(16).saturating_mul(4))?;
        Ok(Image {
            tasks: meta.tasks.iter().map(|&at| base.wrapping_add(at)).collect(),
            main: base.wrapping_add(meta.main),
            _code: memory,
            zeros,
            kernels,
            meta,
        })
    }
}

/// The level of a program that fits this run time and this machine.
fn check(meta: &Meta) -> Result<Isa, Refusal> {
    if meta.interface != INTERFACE {
        return Err(Refusal::OtherVersion);
    }
    if meta.machine != MACHINE {
        return Err(Refusal::Missing(format!("a machine `{}`", meta.machine)));
    }
    let Some(level) = Isa::ALL.into_iter().find(|isa| isa.name() == meta.isa) else {
        return Err(Refusal::Missing(format!("the level `{}`", meta.isa)));
    };
    match &machine::missing(level)[..] {
        [] => Ok(level),
        [one] => Err(Refusal::Missing(format!("the processor feature {one}"))),
        all => Err(Refusal::Missing(format!(
            "the processor features {}",
            all.join(", ")
        ))),
    }
}

pub(crate) fn buffer(bytes: usize) -> Result<AlignedBuf, Refusal> {
    AlignedBuf::try_new_zeroed(bytes).ok_or_else(|| {
        let message = format!("the system does not give {bytes} bytes");
        Refusal::Memory(std::io::Error::new(
            std::io::ErrorKind::OutOfMemory,
            message,
        ))
    })
}

/// What one run at a time needs.
pub(crate) struct Instance {
    arena: AlignedBuf,
    scratch: AlignedBuf,
    scratch_stride: usize,
    pool: Arc<Pool>,
    profiler: Option<Box<Profiler>>,
    cells: Vec<i64>,
    slots: Slots,
    survivors: Survivors,
    pub(crate) states: States,
    /// When the last run was called.
    called: Instant,
    /// Where all arguments and results of the last run lie, states among them.
    inputs: Vec<*const u8>,
    outputs: Vec<*mut u8>,
}

// SAFETY: the places of outputs are the caller's, or in slots and states, which move with the
// instance; those of inputs are read by a run alone, which writes them anew.
unsafe impl Send for Instance {}

/// What an instance is made for.
pub(crate) struct InstanceOptions {
    pub(crate) pool: Arc<Pool>,
    pub(crate) profile: bool,
    /// What values of unknown extents may take together.
    pub(crate) dynamic_bytes: u64,
}

impl Instance {
    pub(crate) fn new(image: &Image, options: InstanceOptions) -> Result<Instance, Refusal> {
        let InstanceOptions {
            pool,
            profile,
            dynamic_bytes,
        } = options;
        let scratch_stride = image.meta.scratch_bytes.max(64);
        let scratch_bytes = scratch_stride.saturating_mul(pool.threads());
        Ok(Instance {
            arena: buffer(image.meta.arena_bytes.max(64))?,
            scratch: buffer(scratch_bytes)?,
            scratch_stride,
            pool,
            profiler: profile.then(|| {
                Box::new(Profiler {
                    last: Instant::now(),
                    times: vec![(Duration::ZERO, 0); image.meta.tasks.len()],
                })
            }),
            cells: vec![0; image.meta.cells],
            slots: Slots::new(image.meta.slots, dynamic_bytes),
            survivors: Survivors::default(),
            states: States::new(&image.meta.states)?,
            called: Instant::now(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The bytes that values may take together whose extents only a run knows.
    pub(crate) fn set_dynamic_bytes(&mut self, limit: u64) {
        self.slots.set_limit(limit);
    }

    /// Time and number of calls of each task, if profiled.
    pub(crate) fn times(&self) -> &[(Duration, u64)] {
        self.profiler.as_ref().map_or(&[], |p| &p.times)
    }

    /// Where the last run has put an output of unknown extents, and its extents; `None` of others.
    /// It stays there until the next run, if it lies in an input as long as that.
    pub(crate) fn open_output(
        &self,
        image: &Image,
        output: usize,
        rank: usize,
    ) -> Option<(*const u8, &[i64])> {
        let first = image.meta.open_outputs.get(output).copied().flatten()?;
        let place = self.outputs.get(self.states.place_of_output(output))?;
        Some((place.cast_const(), self.cells.get(first..)?.get(..rank)?))
    }

    /// Runs the program on a number of samples: once, or in turns if they are more than it computes
    /// at a time. A program without a batch runs once. `Err` tells which op could not do its work on
    /// these inputs.
    ///
    /// # Safety
    /// `weights` are those of the program, aligned to 64 bytes; inputs and outputs are as many, as
    /// large and as aligned as its signature says for so many samples, and outputs overlap nothing.
    /// An output of unknown extents has no place: its pointer is not used. States are none of both:
    /// after an `Err`, those that change in place may be changed in part, the others are what they
    /// were.
    pub(crate) unsafe fn run(
        &mut self,
        image: &Image,
        weights: &[u8],
        inputs: &[*const u8],
        outputs: &[*mut u8],
        samples: usize,
    ) -> Result<(), FaultReport> {
        self.called = Instant::now();
        let Some(batch) = &image.meta.batch else {
            // SAFETY: as the caller says.
            return unsafe { self.run_once(image, weights, inputs, outputs, 0) };
        };
        let mut inputs = inputs.to_vec();
        let mut outputs = outputs.to_vec();
        let mut left = samples;
        while left > 0 {
            let now = left.min(batch.most);
            // SAFETY: as the caller says; the places of the samples done so far are stepped over.
            unsafe { self.run_once(image, weights, &inputs, &outputs, now)? };
            left -= now;
            for (place, bytes) in inputs.iter_mut().zip(&batch.inputs) {
                *place = place.wrapping_add(now * bytes);
            }
            for (place, bytes) in outputs.iter_mut().zip(&batch.outputs) {
                *place = place.wrapping_add(now * bytes);
            }
        }
        Ok(())
    }

    /// Runs the program once, on no more samples than it computes at a time.
    ///
    /// # Safety
    /// As for [`Instance::run`].
    unsafe fn run_once(
        &mut self,
        image: &Image,
        weights: &[u8],
        inputs: &[*const u8],
        outputs: &[*mut u8],
        samples: usize,
    ) -> Result<(), FaultReport> {
        self.states.inputs(inputs, &mut self.inputs);
        self.states.outputs(outputs, &mut self.outputs);
        let profiler = match &mut self.profiler {
            Some(profiler) => std::ptr::from_mut(profiler.as_mut()),
            None => std::ptr::null_mut(),
        };
        let mut ctx = Ctx {
            arena: self.arena.as_mut_ptr(),
            weights: weights.as_ptr(),
            inputs: self.inputs.as_ptr(),
            outputs: self.outputs.as_mut_ptr(),
            kernels: image.kernels,
            support: &SUPPORT,
            tasks: image.tasks.as_ptr(),
            pool: self.pool.as_ref(),
            scratch: self.scratch.as_mut_ptr(),
            scratch_stride: self.scratch_stride,
            zeros: image.zeros.as_ptr().cast(),
            samples,
            survivors: &mut self.survivors,
            going_on: 0,
            step: 0,
            profiler,
            cells: self.cells.as_mut_ptr(),
            slot_pointers: self.slots.pointers(),
            slots: &mut self.slots,
            report: FaultReport::default(),
            called: self.called,
        };
        // SAFETY: `main` is the program's entry; all memories have the sizes that the program was
        // generated for, and the caller vouches for inputs and outputs.
        let fault = unsafe {
            let main: MainFn = std::mem::transmute(image.main);
            main(&mut ctx, 0, 1)
        };
        match fault {
            0 => {
                self.states.advance();
                Ok(())
            }
            _ => Err(ctx.report),
        }
    }
}

/// Machine code in executable memory.
struct CodeMemory {
    base: *mut c_void,
    bytes: usize,
}

impl CodeMemory {
    fn new(code: &[u8]) -> std::io::Result<CodeMemory> {
        let bytes = code.len().max(1).next_multiple_of(4096);
        // SAFETY: a fresh private mapping; the copy stays within it; it is made executable, and
        // no longer writable, before anything can call it.
        unsafe {
            let base = libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if base == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            std::ptr::copy_nonoverlapping(code.as_ptr(), base.cast(), code.len());
            let memory = CodeMemory { base, bytes };
            match libc::mprotect(base, bytes, libc::PROT_READ | libc::PROT_EXEC) {
                0 => Ok(memory),
                _ => Err(std::io::Error::last_os_error()),
            }
        }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this size and nothing refers to it now.
        unsafe {
            libc::munmap(self.base, self.bytes);
        }
    }
}

/// Adds up times per task; generated code calls [`tick`] after each.
pub(crate) struct Profiler {
    last: Instant,
    times: Vec<(Duration, u64)>,
}

/// Books the time since the last call on a task; `usize::MAX` only starts the clock.
pub(crate) unsafe extern "C" fn tick(profiler: *mut Profiler, task: usize) {
    // SAFETY: the context holds a profiler of the instance that is running, which is exclusive
    // to it; generated code passes the numbers of its own tasks.
    let profiler = unsafe { &mut *profiler };
    let now = Instant::now();
    if let Some(entry) = profiler.times.get_mut(task) {
        entry.0 += now - profiler.last;
        entry.1 += 1;
    }
    profiler.last = Instant::now();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            interface: INTERFACE,
            machine: MACHINE.to_string(),
            isa: machine::best().name().to_string(),
            tasks: vec![0],
            main: 0,
            arena_bytes: 0,
            scratch_bytes: 0,
            zeros: 0,
            ops: vec![0],
            cells: 0,
            slots: 0,
            sites: Vec::new(),
            open_outputs: Vec::new(),
            batch: None,
            states: Vec::new(),
        }
    }

    fn refusal(meta: Meta) -> Refusal {
        match Image::new(meta, CodePlace::Bytes(&[0xcc; 64])) {
            Ok(_) => panic!("it is not refused"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn programs_for_other_machines_and_versions_are_refused() {
        assert!(Image::new(meta(), CodePlace::Bytes(&[0xcc; 64])).is_ok());
        let other = Meta {
            interface: INTERFACE ^ 1,
            ..meta()
        };
        assert!(matches!(refusal(other), Refusal::OtherVersion));
        for (machine, isa) in [("sparc", "scalar"), (MACHINE, "avx1024")] {
            let other = Meta {
                machine: machine.to_string(),
                isa: isa.to_string(),
                ..meta()
            };
            assert!(matches!(refusal(other), Refusal::Missing(_)));
        }
    }

    #[test]
    fn offsets_outside_of_the_code_are_refused() {
        for (main, task) in [(64, 0), (0, 64), (usize::MAX, 0), (0, usize::MAX)] {
            let other = Meta {
                main,
                tasks: vec![task],
                ..meta()
            };
            assert!(matches!(refusal(other), Refusal::Damaged(_)));
        }
    }

    #[test]
    fn absurd_sizes_are_errors() {
        let image = Image::new(
            Meta {
                arena_bytes: usize::MAX / 4,
                ..meta()
            },
            CodePlace::Bytes(&[0xcc; 64]),
        );
        let options = InstanceOptions {
            pool: Arc::new(Pool::new(1)),
            profile: false,
            dynamic_bytes: 0,
        };
        let instance = image.and_then(|image| Instance::new(&image, options));
        assert!(matches!(instance.map(drop), Err(Refusal::Memory(_))));
    }
}
