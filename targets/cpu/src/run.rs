//! Packages of this target, loaded and run on tensors.

use std::sync::Arc;

use lepid_ir::core::{Bytes, Code, Diagnostic, Loc, Op, Tensor, Type};
use lepid_target_api::{
    Executable, LoadError, LoadOptions, OpTime, Package, Program, Signature, TensorView,
    TensorViewMut, check_outputs,
};
use lepid_ukernels::AlignedBuf;

use crate::engine::{CodePlace, Image, Instance, Meta, Refusal};

/// What kernels may ask of the address of weights, inputs and outputs at most.
const ALIGN: usize = 64;

/// A program in memory, shared by its sessions.
pub(crate) struct Loaded {
    signature: Signature,
    ops: Vec<Op>,
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
    let ports = package
        .signature
        .inputs
        .iter()
        .chain(&package.signature.outputs);
    if ports.clone().any(|port| byte_count(port.ty).is_none()) {
        return Err(damaged("an input or output has no size"));
    }
    let walk = package.module.walk();
    let ops: Option<Vec<Op>> = meta.ops.iter().map(|&i| walk.get(i).copied()).collect();
    let image = Image::new(meta, CodePlace::Bytes(section("code")?.as_slice()));
    Ok(Loaded {
        signature: package.signature.clone(),
        ops: ops.ok_or_else(|| damaged("a task names an op that is not there"))?,
        image: image.map_err(refused)?,
        weights: match is_aligned(weights.as_slice(), ALIGN) {
            true => weights.clone(),
            false => copied(weights.as_slice())?,
        },
    })
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
        let instance = Instance::new(&self.image, options.threads, options.profile);
        Ok(Box::new(Session {
            instance: instance.map_err(refused)?,
            program: self,
            inputs: Vec::new(),
            outputs: Vec::new(),
        }))
    }
}

/// One user of a program.
struct Session {
    program: Arc<Loaded>,
    instance: Instance,
    /// Those of the last run that gave tensors, for running again.
    inputs: Vec<Tensor>,
    outputs: Vec<Vec<u64>>,
}

impl Session {
    fn execute(&mut self, inputs: &[*const u8], outputs: &[*mut u8]) {
        let program = &self.program;
        let weights = program.weights.as_slice();
        // SAFETY: the weights are the program's and aligned; callers pass what its signature asks
        // for.
        unsafe { self.instance.run(&program.image, weights, inputs, outputs) }
    }

    fn execute_owned(&mut self) {
        let inputs: Vec<*const u8> = self.inputs.iter().map(|t| t.bytes().as_ptr()).collect();
        let mut held = std::mem::take(&mut self.outputs);
        let outputs: Vec<*mut u8> = held.iter_mut().map(|o| o.as_mut_ptr().cast()).collect();
        self.execute(&inputs, &outputs);
        self.outputs = held;
    }

    fn fresh_outputs(&self) -> Vec<Vec<u64>> {
        let ports = self.program.signature.outputs.iter();
        ports
            .map(|port| vec![0; output_bytes(port.ty).div_ceil(8).max(1)])
            .collect()
    }

    fn check_inputs(&self, found: &[Type]) -> Result<(), Diagnostic> {
        let ports = &self.program.signature.inputs;
        if ports.iter().map(|p| p.ty).eq(found.iter().copied()) {
            return Ok(());
        }
        let expected: Vec<String> = ports
            .iter()
            .map(|p| format!("`{}`: `{}`", p.name, p.ty))
            .collect();
        let found: Vec<String> = found.iter().map(|ty| format!("`{ty}`")).collect();
        Err(Diagnostic::error(
            Code::INPUT,
            Loc::Unknown,
            format!(
                "expected inputs {}, found {}",
                expected.join(", "),
                found.join(", ")
            ),
        ))
    }
}

/// The size of a tensor, if it has one that memory can have.
fn byte_count(ty: Type) -> Option<usize> {
    let ty = ty.as_tensor()?;
    let bytes = ty.element_count()?.checked_mul(ty.elem.bytes() as u64)?;
    usize::try_from(bytes)
        .ok()
        .filter(|&n| n <= isize::MAX as usize)
}

fn output_bytes(ty: Type) -> usize {
    match byte_count(ty) {
        Some(bytes) => bytes,
        None => lepid_ir::bug!("an output of type {ty} was compiled"),
    }
}

impl Executable for Session {
    fn signature(&self) -> &Signature {
        &self.program.signature
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        self.check_inputs(&types)?;
        self.inputs = inputs.iter().map(aligned).collect();
        self.outputs = self.fresh_outputs();
        self.execute_owned();
        let fresh = self.fresh_outputs();
        let outputs = std::mem::replace(&mut self.outputs, fresh);
        let tensors = outputs.into_iter().zip(&self.program.signature.outputs);
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

    fn run_into(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), Diagnostic> {
        let types: Vec<Type> = inputs.iter().map(TensorView::ty).collect();
        self.check_inputs(&types)?;
        let ports = &self.program.signature.outputs;
        check_outputs(ports.iter().map(|p| p.ty), outputs)?;
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
        self.execute(&from, &to);
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
        self.execute_owned();
        Ok(())
    }

    fn profile(&self) -> Vec<OpTime> {
        let entries = self.instance.times().iter().zip(&self.program.ops);
        entries
            .map(|(&(time, calls), &op)| OpTime { op, time, calls })
            .collect()
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
