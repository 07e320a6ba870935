//! Packages of this target, loaded and run on tensors.

use std::sync::Arc;

use lepid_ir::core::{Bytes, Code, Diagnostic, Elem, Loc, Op, Tensor, Type};
use lepid_target_api::{
    Executable, LoadError, LoadOptions, OpTime, Package, Port, Program, Signature, TensorView,
    TensorViewMut, check_outputs, no_state,
};
use lepid_ukernels::{AlignedBuf, Pool};

use crate::engine::{Batch, CodePlace, Image, Instance, InstanceOptions, Meta, Refusal};

/// What kernels may ask of the address of weights, inputs and outputs at most.
const ALIGN: usize = 64;

/// A program in memory, shared by its sessions.
pub(crate) struct Loaded {
    signature: Signature,
    ops: Vec<Op>,
    /// Where each op that may be found at fault is from.
    sites: Vec<Loc>,
    image: Image,
    weights: Bytes,
}

pub(crate) fn load(package: &Package) -> Result<Loaded, LoadError> {
    let damaged = |what: &str| LoadError::Damaged(what.to_string());
    let section = |name: &str| {
        package
            .section(name)
            .ok_or_else(|| damaged(&format!("section `{name}` is missing")))
    };
    let meta: Meta = serde_json::from_slice(section("meta")?.as_slice())
        .map_err(|e| damaged(&format!("section `meta`: {e}")))?;
    let weights = section("weights")?;
    check_ports(&package.signature, &meta).map_err(damaged)?;
    let walk = package.module.walk();
    let sites = meta.sites.iter().map(|site| {
        let op = walk.get(site.op).copied()?;
        Some(package.module.loc(op).clone())
    });
    let sites: Option<Vec<Loc>> = sites.collect();
    let ops: Option<Vec<Op>> = meta.ops.iter().map(|&i| walk.get(i).copied()).collect();
    let image = Image::new(meta, CodePlace::Bytes(section("code")?.as_slice()));
    Ok(Loaded {
        signature: package.signature.clone(),
        ops: ops.ok_or_else(|| damaged("a task names an op that is not there"))?,
        sites: sites.ok_or_else(|| damaged("a fault names an op that is not there"))?,
        image: image.map_err(refused)?,
        weights: match is_aligned(weights.as_slice(), ALIGN) {
            true => weights.clone(),
            false => copied(weights.as_slice())?,
        },
    })
}

/// How the ports of a signature hold samples.
pub(crate) fn batch_of(signature: &Signature) -> Option<Batch> {
    let batch = signature.batch.as_ref()?;
    let one = signature.of_samples(1);
    let bytes = |ports: &[Port], rows: &[u64]| {
        let pairs = ports.iter().zip(rows);
        let bytes = pairs.map(|(port, &rows)| match rows {
            0 => 0,
            _ => byte_count(port.ty).unwrap_or(0),
        });
        bytes.collect()
    };
    Some(Batch {
        most: usize::try_from(batch.most).unwrap_or(usize::MAX),
        inputs: bytes(&one.inputs, &batch.inputs),
        outputs: bytes(&one.outputs, &batch.outputs),
    })
}

/// Inputs have a size, and outputs have one or are told by cells.
fn check_ports(signature: &Signature, meta: &Meta) -> Result<(), &'static str> {
    if batch_of(signature) != meta.batch {
        return Err("its batch does not fit its signature");
    }
    let signature = &signature.of_samples(1);
    if signature.inputs.iter().any(|p| byte_count(p.ty).is_none()) {
        return Err("an input has no size");
    }
    let states = signature.states.iter().map(|s| byte_count(s.ty));
    if !states.eq(meta.states.iter().map(|s| Some(s.bytes))) {
        return Err("its states are not those of its code");
    }
    let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
    for (i, state) in meta.states.iter().enumerate() {
        let twice = meta.states[..i]
            .iter()
            .any(|s| s.input == state.input || s.output == state.output);
        let count = meta.states.len();
        if twice || state.input >= inputs + count || state.output >= outputs + count {
            return Err("a state has no place");
        }
    }
    for (i, port) in signature.outputs.iter().enumerate() {
        let rank = port.ty.as_tensor().map(|t| t.rank());
        let first = meta.open_outputs.get(i).copied().flatten();
        let told = match (first, rank) {
            (Some(first), Some(rank)) => first.checked_add(rank).is_some_and(|n| n <= meta.cells),
            (None, _) | (_, None) => false,
        };
        if !told && byte_count(port.ty).is_none() {
            return Err("an output has no size");
        }
    }
    Ok(())
}

fn refused(refusal: Refusal) -> LoadError {
    match refusal {
        Refusal::OtherVersion => LoadError::OtherVersion(
            "its code was generated for other kernels than those of this one".to_string(),
        ),
        Refusal::Missing(what) => LoadError::MissingFeature(what),
        Refusal::Damaged(what) => LoadError::Damaged(what),
        Refusal::Memory(error) => LoadError::Memory(error),
    }
}

fn is_aligned(bytes: &[u8], align: usize) -> bool {
    (bytes.as_ptr() as usize).is_multiple_of(align)
}

/// The same bytes at an address that kernels may ask for.
fn copied(bytes: &[u8]) -> Result<Bytes, LoadError> {
    struct Owner(AlignedBuf);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    let Some(mut buffer) = AlignedBuf::try_new_zeroed(bytes.len()) else {
        let error = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        return Err(LoadError::Memory(error));
    };
    buffer.as_mut_slice().copy_from_slice(bytes);
    Ok(Bytes::from_owner(Arc::new(Owner(buffer)), 0..bytes.len()))
}

impl Program for Loaded {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn session(self: Arc<Self>, options: &LoadOptions) -> Result<Box<dyn Executable>, LoadError> {
        let start = || Arc::new(Pool::new(options.threads));
        let shared = options.workers.as_ref();
        let shared = shared.and_then(|workers| workers.get_or_start(start));
        let instance = InstanceOptions {
            pool: shared.unwrap_or_else(start),
            profile: options.profile,
            dynamic_bytes: options.dynamic_bytes,
        };
        let instance = Instance::new(&self.image, instance);
        Ok(Box::new(Session {
            instance: instance.map_err(refused)?,
            program: self,
            dynamic_bytes: options.dynamic_bytes,
            samples: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
        }))
    }
}

/// One user of a program.
struct Session {
    program: Arc<Loaded>,
    instance: Instance,
    /// What outputs of any number of samples may take together.
    dynamic_bytes: u64,
    /// How many samples `inputs` hold, if the program takes any number.
    samples: u64,
    /// Those of the last run that gave tensors, for running again.
    inputs: Vec<Tensor>,
    outputs: Vec<Vec<u64>>,
}

impl Session {
    fn execute(
        &mut self,
        inputs: &[*const u8],
        outputs: &[*mut u8],
        samples: u64,
    ) -> Result<(), Diagnostic> {
        let program = &self.program;
        let weights = program.weights.as_slice();
        let (instance, samples) = (&mut self.instance, samples as usize);
        // SAFETY: the weights are the program's and aligned; callers pass what its signature asks
        // for.
        let outcome = unsafe { instance.run(&program.image, weights, inputs, outputs, samples) };
        outcome.map_err(|report| {
            let site = &program.image.meta.sites[report.site];
            report.diagnostic(&site.name, program.sites[report.site].clone())
        })
    }

    fn execute_owned(&mut self) -> Result<(), Diagnostic> {
        let inputs: Vec<*const u8> = self.inputs.iter().map(|t| t.bytes().as_ptr()).collect();
        let mut held = std::mem::take(&mut self.outputs);
        let outputs: Vec<*mut u8> = held.iter_mut().map(|o| o.as_mut_ptr().cast()).collect();
        let outcome = self.execute(&inputs, &outputs, self.samples);
        self.outputs = held;
        outcome
    }

    /// Memory for the outputs whose extents are known.
    fn fresh_outputs(&self) -> Vec<Vec<u64>> {
        let signature = self.program.signature.of_samples(self.samples);
        let ports = signature.outputs.iter();
        ports
            .map(|port| match byte_count(port.ty) {
                Some(bytes) => vec![0; bytes.div_ceil(8).max(1)],
                None => Vec::new(),
            })
            .collect()
    }

    /// The outputs of the last run.
    fn take_outputs(&mut self) -> Vec<Tensor> {
        let fresh = self.fresh_outputs();
        let outputs = std::mem::replace(&mut self.outputs, fresh);
        let signature = self.program.signature.of_samples(self.samples);
        let ports = signature.outputs.iter().enumerate();
        let tensors = outputs.into_iter().zip(ports);
        tensors
            .map(|(words, (i, port))| match known_output(port.ty) {
                Some((elem, dims)) => tensor_of(elem, dims, words),
                None => self.open_output(i),
            })
            .collect()
    }

    /// A copy of an output that lies where the program put it, with extents that it found.
    fn open_output(&self, i: usize) -> Tensor {
        let program = &self.program;
        let ty = program.signature.outputs[i].ty.as_tensor();
        let found = ty.and_then(|ty| {
            let (from, dims) = self.instance.open_output(&program.image, i, ty.rank())?;
            Some((ty.elem, from, dims))
        });
        let Some((elem, from, dims)) = found else {
            lepid_ir::bug!("an output without extents was compiled");
        };
        let dims: Vec<usize> = dims.iter().map(|&n| n as usize).collect();
        let bytes = dims.iter().product::<usize>() * elem.bytes();
        let mut words = vec![0u64; bytes.div_ceil(8).max(1)];
        // SAFETY: the program says that a dense value of these extents lies there, in memory of
        // ours or in an input that is kept; `words` has room for it.
        unsafe { std::ptr::copy_nonoverlapping(from, words.as_mut_ptr().cast(), bytes) };
        tensor_of(elem, dims, words)
    }
}

/// The size of a tensor, if it has one that memory can have.
pub(crate) fn byte_count(ty: Type) -> Option<usize> {
    let ty = ty.as_tensor()?;
    let bytes = ty.element_count()?.checked_mul(ty.elem.bytes() as u64)?;
    usize::try_from(bytes)
        .ok()
        .filter(|&n| n <= isize::MAX as usize)
}

/// Element and extents of an output, if the caller makes room for it.
fn known_output(ty: Type) -> Option<(Elem, Vec<usize>)> {
    let ty = ty.as_tensor()?;
    Some((ty.elem, ty.known_dims()?))
}

/// A tensor over the first bytes of `words`.
fn tensor_of(elem: Elem, dims: Vec<usize>, words: Vec<u64>) -> Tensor {
    struct Words(Vec<u64>);
    impl AsRef<[u8]> for Words {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    let bytes = dims.iter().product::<usize>() * elem.bytes();
    let data = Bytes::from_owner(Arc::new(Words(words)), 0..bytes);
    Tensor::new(elem, dims, data)
}

impl Executable for Session {
    fn signature(&self) -> &Signature {
        &self.program.signature
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let signature = &self.program.signature;
        self.samples = signature.for_inputs(&types, self.dynamic_bytes)?.1;
        self.inputs = inputs.iter().map(aligned).collect();
        self.outputs = self.fresh_outputs();
        self.execute_owned()?;
        Ok(self.take_outputs())
    }

    fn run_into(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), Diagnostic> {
        let types: Vec<Type> = inputs.iter().map(TensorView::ty).collect();
        let signature = &self.program.signature;
        let (signature, samples) = signature.for_inputs(&types, self.dynamic_bytes)?;
        check_outputs(signature.outputs.iter().map(|p| p.ty), outputs)?;
        // What is not aligned for its element goes through memory of our own.
        let moved_in: Vec<Option<Vec<u64>>> = inputs
            .iter()
            .map(|view| {
                let fits = is_aligned(view.bytes(), view.elem().bytes());
                (!fits).then(|| words(view.bytes()))
            })
            .collect();
        let mut moved_out: Vec<Option<Vec<u64>>> = outputs
            .iter()
            .map(|room| {
                let fits = is_aligned(room.bytes(), room.elem().bytes());
                (!fits).then(|| vec![0; room.bytes().len().div_ceil(8)])
            })
            .collect();
        let from: Vec<*const u8> = inputs
            .iter()
            .zip(&moved_in)
            .map(|(view, moved)| match moved {
                Some(words) => words.as_ptr().cast(),
                None => view.bytes().as_ptr(),
            })
            .collect();
        let to: Vec<*mut u8> = outputs
            .iter_mut()
            .zip(&mut moved_out)
            .map(|(room, moved)| match moved {
                Some(words) => words.as_mut_ptr().cast(),
                None => room.bytes_mut().as_mut_ptr(),
            })
            .collect();
        self.execute(&from, &to, samples)?;
        for (room, moved) in outputs.iter_mut().zip(&moved_out) {
            if let Some(words) = moved {
                let bytes: &[u8] = bytemuck::cast_slice(words);
                let len = room.bytes().len();
                room.bytes_mut().copy_from_slice(&bytes[..len]);
            }
        }
        Ok(())
    }

    fn rerun(&mut self) -> Result<(), Diagnostic> {
        let signature = &self.program.signature;
        if self.outputs.is_empty() && !signature.outputs.is_empty() {
            let message = "nothing was run before";
            return Err(Diagnostic::error(Code::RUN_FAILED, Loc::Unknown, message));
        }
        self.execute_owned()
    }

    fn set_state(&mut self, state: usize, value: &TensorView<'_>) -> Result<(), Diagnostic> {
        let port = self.program.signature.states.get(state);
        port.ok_or_else(|| no_state(state))?.check(value.ty())?;
        let memory = self.instance.states.get_mut(state);
        memory
            .ok_or_else(|| no_state(state))?
            .copy_from_slice(value.bytes());
        Ok(())
    }

    fn state(&self, state: usize) -> Result<Tensor, Diagnostic> {
        let port = self.program.signature.states.get(state);
        let known = port.and_then(|port| known_output(port.ty));
        match (known, self.instance.states.get(state)) {
            (Some((elem, dims)), Some(bytes)) => Ok(tensor_of(elem, dims, words(bytes))),
            (None, _) | (_, None) => Err(no_state(state)),
        }
    }

    fn reset_states(&mut self) {
        self.instance.states.reset();
    }

    fn profile(&self) -> Vec<OpTime> {
        let mut ops: Vec<OpTime> = Vec::new();
        for (&(time, calls), &op) in self.instance.times().iter().zip(&self.program.ops) {
            match ops.last_mut() {
                // An op of several tasks: they follow each other.
                Some(last) if last.op == op => {
                    last.time += time;
                    last.calls = last.calls.max(calls);
                }
                _ => ops.push(OpTime { op, time, calls }),
            }
        }
        ops
    }
}

/// A copy that is aligned for any element.
fn words(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    let room: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    room[..bytes.len()].copy_from_slice(bytes);
    words
}

/// The same tensor with storage that is aligned for its element.
fn aligned(tensor: &Tensor) -> Tensor {
    match is_aligned(tensor.bytes(), tensor.elem().bytes()) {
        true => tensor.clone(),
        false => {
            let all = Bytes::from_vec(words(tensor.bytes()));
            let exact = all.slice(0..tensor.bytes().len());
            Tensor::new(tensor.elem(), tensor.shape().iter().copied(), exact)
        }
    }
}
