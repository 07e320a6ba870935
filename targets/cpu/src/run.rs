//! Loading and running a program.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lepid_ir::core::{Bytes, Code, Diagnostic, Loc, Op, Tensor};
use lepid_target_api::{Executable, LoadError, LoadOptions, OpTime, Package, Signature};
use lepid_ukernels::{AlignedBuf, Isa, Pool};
use serde::{Deserialize, Serialize};

use crate::abi::{Ctx, MainFn};
use crate::support::SUPPORT;

/// What the program needs to know of itself: the section `meta`, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
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
}

/// Machine code in executable memory.
struct CodeMemory {
    base: *mut c_void,
    bytes: usize,
}

// SAFETY: the memory is read-only and executable from its making until its end.
unsafe impl Send for CodeMemory {}
// SAFETY: as above.
unsafe impl Sync for CodeMemory {}

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

    fn address(&self, offset: usize) -> *const u8 {
        self.base.cast::<u8>().wrapping_add(offset)
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
    // SAFETY: the context holds a profiler of the executable that is running, which is exclusive
    // to it; generated code passes the numbers of its own tasks.
    let profiler = unsafe { &mut *profiler };
    let now = Instant::now();
    if let Some(entry) = profiler.times.get_mut(task) {
        entry.0 += now - profiler.last;
        entry.1 += 1;
    }
    profiler.last = Instant::now();
}

/// A program in memory, ready to run.
pub(crate) struct Program {
    signature: Signature,
    ops: Vec<Op>,
    meta: Meta,
    code: CodeMemory,
    tasks: Vec<*const u8>,
    weights: Bytes,
    arena: AlignedBuf,
    scratch: AlignedBuf,
    zeros: AlignedBuf,
    kernels: &'static lepid_ukernels::Table,
    pool: Box<Pool>,
    profiler: Option<Box<Profiler>>,
    inputs: Vec<Tensor>,
    outputs: Vec<Vec<u64>>,
}

// SAFETY: the raw pointers are into `code`, which moves with the program and may be called from
// any thread.
unsafe impl Send for Program {}

pub(crate) fn load(package: &Package, options: &LoadOptions) -> Result<Program, LoadError> {
    let damaged = |what: &str| LoadError::Damaged(what.to_string());
    let section = |name: &str| {
        package
            .section(name)
            .ok_or_else(|| damaged(&format!("section `{name}` is missing")))
    };
    let meta: Meta = serde_json::from_slice(section("meta")?.as_slice())
        .map_err(|e| damaged(&format!("section `meta`: {e}")))?;
    let isa = match meta.isa.as_str() {
        "avx2" => Isa::Avx2,
        "scalar" => Isa::Scalar,
        other => return Err(LoadError::MissingFeature(other.to_string())),
    };
    let kernels =
        lepid_ukernels::table(isa).ok_or_else(|| LoadError::MissingFeature(meta.isa.clone()))?;
    let code = section("code")?;
    let end = code.as_slice().len();
    if meta.tasks.iter().chain([&meta.main]).any(|&at| at >= end) {
        return Err(damaged("a task is outside of the code"));
    }
    let code = CodeMemory::new(code.as_slice())?;
    let threads = options.threads.max(1);
    let walk = package.module.walk();
    let ops: Option<Vec<Op>> = meta.ops.iter().map(|&i| walk.get(i).copied()).collect();
    Ok(Program {
        signature: package.signature.clone(),
        ops: ops.ok_or_else(|| damaged("a task names an op that is not there"))?,
        tasks: meta.tasks.iter().map(|&at| code.address(at)).collect(),
        weights: section("weights")?.clone(),
        arena: AlignedBuf::new_zeroed(meta.arena_bytes.max(64)),
        scratch: AlignedBuf::new_zeroed(meta.scratch_bytes.max(64) * threads),
        zeros: AlignedBuf::new_zeroed(4 * meta.zeros.max(16)),
        kernels,
        pool: Box::new(Pool::new(threads)),
        profiler: options.profile.then(|| {
            Box::new(Profiler {
                last: Instant::now(),
                times: vec![(Duration::ZERO, 0); meta.tasks.len()],
            })
        }),
        code,
        meta,
        inputs: Vec::new(),
        outputs: Vec::new(),
    })
}

impl Program {
    fn execute(&mut self) {
        let inputs: Vec<*const u8> = self.inputs.iter().map(|t| t.bytes().as_ptr()).collect();
        let outputs: Vec<*mut u8> = self
            .outputs
            .iter_mut()
            .map(|o| o.as_mut_ptr().cast())
            .collect();
        let profiler = match &mut self.profiler {
            Some(profiler) => std::ptr::from_mut(profiler.as_mut()),
            None => std::ptr::null_mut(),
        };
        let mut ctx = Ctx {
            arena: self.arena.as_mut_slice().as_mut_ptr(),
            weights: self.weights.as_slice().as_ptr(),
            inputs: inputs.as_ptr(),
            outputs: outputs.as_ptr(),
            kernels: self.kernels,
            support: &SUPPORT,
            tasks: self.tasks.as_ptr(),
            pool: self.pool.as_ref(),
            scratch: self.scratch.as_mut_slice().as_mut_ptr(),
            scratch_stride: self.meta.scratch_bytes.max(64),
            zeros: self.zeros.as_slice().as_ptr().cast(),
            step: 0,
            profiler,
        };
        // SAFETY: `main` is the offset of the program's entry, made for this signature; all
        // memories have the sizes that the program was generated for, and inputs and outputs the
        // types of its signature.
        unsafe {
            let main: MainFn = std::mem::transmute(self.code.address(self.meta.main));
            main(&mut ctx, 0, 1);
        }
    }

    fn fresh_outputs(&self) -> Vec<Vec<u64>> {
        let ports = self.signature.outputs.iter();
        ports
            .map(|port| vec![0; output_bytes(port.ty).div_ceil(8).max(1)])
            .collect()
    }
}

fn output_bytes(ty: lepid_ir::core::Type) -> usize {
    let tensor = ty.as_tensor().and_then(|t| Some((t.known_dims()?, t.elem)));
    match tensor {
        Some((dims, elem)) => dims.iter().product::<usize>() * elem.bytes(),
        None => lepid_ir::bug!("an output of type {ty} was compiled"),
    }
}

impl Executable for Program {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        let ports = &self.signature.inputs;
        let fits = inputs.len() == ports.len()
            && inputs.iter().zip(ports).all(|(t, port)| t.ty() == port.ty);
        if !fits {
            let expected: Vec<String> = ports
                .iter()
                .map(|p| format!("`{}`: `{}`", p.name, p.ty))
                .collect();
            let found: Vec<String> = inputs.iter().map(|t| format!("`{}`", t.ty())).collect();
            return Err(Diagnostic::error(
                Code::INPUT,
                Loc::Unknown,
                format!(
                    "expected inputs {}, found {}",
                    expected.join(", "),
                    found.join(", ")
                ),
            ));
        }
        self.inputs = inputs.iter().map(aligned).collect();
        self.outputs = self.fresh_outputs();
        self.execute();
        let fresh = self.fresh_outputs();
        let outputs = std::mem::replace(&mut self.outputs, fresh);
        let tensors = outputs.into_iter().zip(&self.signature.outputs);
        Ok(tensors
            .map(|(words, port)| {
                let bytes = output_bytes(port.ty);
                let (elem, dims) = match port
                    .ty
                    .as_tensor()
                    .and_then(|t| Some((t.elem, t.known_dims()?)))
                {
                    Some(found) => found,
                    None => lepid_ir::bug!("an output of type {} was compiled", port.ty),
                };
                struct Words(Vec<u64>);
                impl AsRef<[u8]> for Words {
                    fn as_ref(&self) -> &[u8] {
                        bytemuck::cast_slice(&self.0)
                    }
                }
                Tensor::new(
                    elem,
                    dims,
                    Bytes::from_owner(Arc::new(Words(words)), 0..bytes),
                )
            })
            .collect())
    }

    fn rerun(&mut self) -> Result<(), Diagnostic> {
        if self.outputs.is_empty() && !self.signature.outputs.is_empty() {
            let message = "nothing was run before";
            return Err(Diagnostic::error(Code::RUN_FAILED, Loc::Unknown, message));
        }
        self.execute();
        Ok(())
    }

    fn profile(&self) -> Vec<OpTime> {
        let times = self.profiler.as_ref().map(|p| p.times.as_slice());
        let entries = times.unwrap_or_default().iter().zip(&self.ops);
        entries
            .map(|(&(time, calls), &op)| OpTime { op, time, calls })
            .collect()
    }
}

/// The same tensor with storage that is aligned for its element.
fn aligned(tensor: &Tensor) -> Tensor {
    let size = tensor.elem().bytes();
    match (tensor.bytes().as_ptr() as usize).is_multiple_of(size) {
        true => tensor.clone(),
        false => {
            let mut words = vec![0u64; tensor.bytes().len().div_ceil(8)];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            bytes[..tensor.bytes().len()].copy_from_slice(tensor.bytes());
            let all = Bytes::from_vec(words);
            let exact = Bytes::from_owner(Arc::new(Slice(all)), 0..tensor.bytes().len());
            Tensor::new(tensor.elem(), tensor.shape().iter().copied(), exact)
        }
    }
}

struct Slice(Bytes);
impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}
