//! The C interface, as `include/lepid.h` describes it.
//!
//! Nothing here panics for what a caller does; should a bug panic nevertheless, the process ends, as
//! the library is built without unwinding.

mod states;

use std::ffi::{CString, c_char, c_void};
use std::io::ErrorKind;
use std::sync::Arc;

use lepid_ukernels::{AlignedBuf, Pool};

use crate::engine::{CodePlace, Image, Instance, InstanceOptions, Meta, Refusal};
use crate::interface::INTERFACE;
use crate::linked::{ABI_VERSION, LinkedProgram, MAGIC, TensorInfo, elem_of};

/// `lepid_status`.
#[repr(i32)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Ok = 0,
    Argument = 1,
    Version = 2,
    Machine = 3,
    Memory = 4,
    Run = 5,
}

/// What is wrong, for code and for people.
struct Failure(Status, String);

/// `lepid_session`.
pub(crate) struct Session {
    program: &'static LinkedProgram,
    image: Image,
    instance: Instance,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// How many samples a run computes, if the program takes any number.
    samples: usize,
    /// The extents of each output for so many samples.
    output_dims: Vec<Vec<i64>>,
    /// Whether the last run gave outputs.
    ran: bool,
    /// The message of the last call that failed.
    message: CString,
}

enum Input {
    Unset,
    /// The bytes of that many of the buffer.
    Owned(AlignedBuf, usize),
    Bound(*const u8, usize),
}

/// Inputs or outputs.
#[derive(Copy, Clone)]
enum Side {
    Input = 0,
    Output = 1,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Input => "input",
            Side::Output => "output",
        }
    }

    fn infos(self, program: &LinkedProgram) -> &'static [TensorInfo] {
        match self {
            Side::Input => program.inputs(),
            Side::Output => program.outputs(),
        }
    }
}

struct Output {
    /// Made when it is first needed, for that many bytes.
    owned: Option<(AlignedBuf, usize)>,
    bound: Option<(*mut u8, usize)>,
}

impl LinkedProgram {
    /// The program behind a pointer from C, if this library can run it.
    ///
    /// # Safety
    /// The pointer is null or to a program of an object file.
    unsafe fn check(program: *const LinkedProgram) -> Result<&'static LinkedProgram, Failure> {
        // SAFETY: as the caller says; programs are constants, so they live for ever.
        let Some(program) = (unsafe { program.as_ref() }) else {
            return Err(argument("the program is NULL"));
        };
        if program.magic != MAGIC {
            return Err(argument("this is not a program of lepid"));
        }
        if program.abi_version != u64::from(ABI_VERSION) || program.interface != INTERFACE {
            let message = "the program was compiled by another version of lepid than the library";
            return Err(Failure(Status::Version, message.to_string()));
        }
        Ok(program)
    }

    /// What a program from C lists, if this library can run it; nothing otherwise.
    ///
    /// # Safety
    /// As for [`LinkedProgram::check`].
    unsafe fn listed(
        program: *const LinkedProgram,
        list: fn(&LinkedProgram) -> &'static [TensorInfo],
    ) -> &'static [TensorInfo] {
        // SAFETY: as the caller says.
        unsafe { LinkedProgram::check(program) }.map_or(&[], list)
    }

    fn inputs(&self) -> &'static [TensorInfo] {
        // SAFETY: the object holds as many as it says.
        unsafe { slice(self.inputs, self.input_count) }
    }

    fn outputs(&self) -> &'static [TensorInfo] {
        // SAFETY: as above.
        unsafe { slice(self.outputs, self.output_count) }
    }
}

/// # Safety
/// There are `len` constants at the pointer.
unsafe fn slice<T>(start: *const T, len: u64) -> &'static [T] {
    match len {
        0 => &[],
        // SAFETY: as the caller says.
        _ => unsafe { std::slice::from_raw_parts(start, len as usize) },
    }
}

fn argument(message: impl Into<String>) -> Failure {
    Failure(Status::Argument, message.into())
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::OtherVersion => Failure(
                Status::Version,
                "the program was compiled by another version of lepid than the library".to_string(),
            ),
            Refusal::Missing(what) => {
                let message = format!("the program needs {what}, which this machine does not have");
                Failure(Status::Machine, message)
            }
            Refusal::Damaged(what) => argument(format!("the program is damaged: {what}")),
            Refusal::Memory(error) => {
                let status = match error.kind() {
                    ErrorKind::OutOfMemory => Status::Memory,
                    _ => Status::Machine,
                };
                Failure(status, error.to_string())
            }
        }
    }
}

/// What values may take whose extents depend on data, if the caller says nothing.
const DYNAMIC_BYTES: u64 = 4 << 30;

impl Session {
    fn new(program: &'static LinkedProgram, threads: usize) -> Result<Session, Failure> {
        // SAFETY: the object holds as many bytes as it says.
        let (meta, code) = unsafe {
            (
                slice(program.meta, program.meta_len),
                slice(program.code, program.code_len),
            )
        };
        let meta: Meta = serde_json::from_slice(meta)
            .map_err(|error| argument(format!("the program is damaged: {error}")))?;
        let image = Image::new(meta, CodePlace::Linked(code))?;
        let instance = InstanceOptions {
            pool: Arc::new(Pool::new(threads)),
            profile: false,
            dynamic_bytes: DYNAMIC_BYTES,
        };
        let instance = Instance::new(&image, instance)?;
        let samples = image.meta.batch.as_ref().map_or(0, |batch| batch.most);
        let output_dims = program.outputs().iter().map(|info| extents(info).to_vec());
        Ok(Session {
            samples,
            output_dims: output_dims.collect(),
            image,
            instance,
            ran: false,
            inputs: program.inputs().iter().map(|_| Input::Unset).collect(),
            outputs: program
                .outputs()
                .iter()
                .map(|_| Output {
                    owned: None,
                    bound: None,
                })
                .collect(),
            program,
            message: CString::default(),
        })
    }

    /// The bytes of a sample of each input and of each output; 0 where there are none.
    fn sample_bytes(&self) -> [&[usize]; 2] {
        match &self.image.meta.batch {
            Some(batch) => [&batch.inputs, &batch.outputs],
            None => [&[], &[]],
        }
    }

    /// Refuses data that is not as long as a port is: for whole samples, or in all.
    fn check_data(
        &self,
        side: Side,
        index: usize,
        data: *const u8,
        len: usize,
    ) -> Result<&'static TensorInfo, Failure> {
        let infos = side.infos(self.program);
        let Some(info) = infos.get(index) else {
            return Err(out_of_range(side.name(), index, infos.len()));
        };
        let sample = self.sample_bytes()[side as usize].get(index).copied();
        let (what, name) = (side.name(), name(info));
        match sample.filter(|&bytes| bytes > 0) {
            Some(bytes) if len.is_multiple_of(bytes) => {}
            Some(bytes) => {
                let message =
                    format!("{what} `{name}` takes {bytes} bytes for each sample, {len} are given");
                return Err(argument(message));
            }
            None if len as u64 == info.bytes => {}
            None => {
                let bytes = info.bytes;
                let message = format!("{what} `{name}` takes {bytes} bytes, {len} are given");
                return Err(argument(message));
            }
        }
        match data.is_null() && len > 0 {
            true => Err(argument(format!("{what} `{name}` is NULL"))),
            false => Ok(info),
        }
    }

    fn set_samples(&mut self, samples: usize) -> Result<(), Failure> {
        if self.image.meta.batch.is_none() {
            return Err(argument("the program is for a fixed number of samples"));
        }
        let most = self.sample_bytes().concat().into_iter().max().unwrap_or(0);
        if most
            .checked_mul(samples)
            .is_none_or(|bytes| bytes > isize::MAX as usize)
        {
            let message = format!("{samples} samples are more than memory can hold");
            return Err(argument(message));
        }
        self.samples = samples;
        self.ran = false;
        Ok(())
    }

    /// The bytes of a port for the samples of a run.
    fn bytes(&self, side: Side, index: usize) -> usize {
        match self.sample_bytes()[side as usize].get(index) {
            Some(&bytes) if bytes > 0 => bytes * self.samples,
            _ => side.infos(self.program)[index].bytes as usize,
        }
    }

    fn set_input(&mut self, index: usize, data: *const u8, len: usize) -> Result<(), Failure> {
        self.check_data(Side::Input, index, data, len)?;
        let mut buffer = match std::mem::replace(&mut self.inputs[index], Input::Unset) {
            Input::Owned(buffer, held) if held >= len => buffer,
            Input::Owned(..) | Input::Unset | Input::Bound(..) => room(len)?,
        };
        if len > 0 {
            // SAFETY: the caller has `len` bytes there; the buffer was made for as many.
            unsafe { std::ptr::copy_nonoverlapping(data, buffer.as_mut_ptr(), len) };
        }
        self.inputs[index] = Input::Owned(buffer, len);
        Ok(())
    }

    fn bind_input(&mut self, index: usize, data: *const u8, len: usize) -> Result<(), Failure> {
        let info = self.check_data(Side::Input, index, data, len)?;
        check_alignment(info, data)?;
        self.inputs[index] = Input::Bound(data, len);
        Ok(())
    }

    fn bind_output(&mut self, index: usize, data: *mut u8, len: usize) -> Result<(), Failure> {
        let infos = self.program.outputs();
        if data.is_null() && index < infos.len() {
            self.outputs[index].bound = None;
            return Ok(());
        }
        if infos.get(index).is_some_and(is_open) {
            let name = name(&infos[index]);
            let message = format!("the size of output `{name}` depends on data");
            return Err(argument(message));
        }
        let info = self.check_data(Side::Output, index, data, len)?;
        check_alignment(info, data)?;
        self.outputs[index].bound = Some((data, len));
        Ok(())
    }

    /// Refuses data that was set for another number of samples.
    fn check_samples(&self, side: Side, index: usize, len: usize) -> Result<(), Failure> {
        let wanted = self.bytes(side, index);
        if len == wanted {
            return Ok(());
        }
        let (what, name) = (side.name(), name(&side.infos(self.program)[index]));
        let samples = self.samples;
        let message = format!("{what} `{name}` has {len} bytes, {samples} samples take {wanted}");
        Err(argument(message))
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.ran = false;
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (i, input) in self.inputs.iter().enumerate() {
            let (data, len) = match input {
                Input::Owned(buffer, len) => (buffer.as_ptr(), *len),
                Input::Bound(data, len) => (*data, *len),
                Input::Unset => {
                    let message = format!("input `{}` is not set", name(&self.program.inputs()[i]));
                    return Err(argument(message));
                }
            };
            self.check_samples(Side::Input, i, len)?;
            inputs.push(data);
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for i in 0..self.outputs.len() {
            let bytes = self.bytes(Side::Output, i);
            if let Some((data, len)) = self.outputs[i].bound {
                self.check_samples(Side::Output, i, len)?;
                outputs.push(data);
                continue;
            }
            let owned = &mut self.outputs[i].owned;
            if owned.as_ref().is_none_or(|(_, held)| *held < bytes) {
                *owned = Some((room(bytes)?, bytes));
            }
            outputs.extend(owned.as_mut().map(|(buffer, _)| buffer.as_mut_ptr()));
        }
        // SAFETY: the weights are the object's, aligned by it; sizes and alignments were checked;
        // callers vouch that the places do not overlap.
        unsafe {
            let weights = slice(self.program.weights, self.program.weights_len);
            let (instance, image) = (&mut self.instance, &self.image);
            let outcome = instance.run(image, weights, &inputs, &outputs, self.samples);
            outcome.map_err(|report| {
                let site = self.image.meta.sites.get(report.site);
                let op = site.map_or("an op", |site| &site.name);
                Failure(Status::Run, report.message(op))
            })?;
        }
        if let Some(batch) = &self.image.meta.batch {
            let dims = self.output_dims.iter_mut().zip(self.program.outputs());
            for ((dims, info), &bytes) in dims.zip(&batch.outputs) {
                if let (Some(leading), 1..) = (dims.first_mut(), bytes) {
                    *leading = extents(info)[0] / batch.most as i64 * self.samples as i64;
                }
            }
        }
        self.ran = true;
        Ok(())
    }

    fn output(&self, index: usize) -> Result<Found<'_>, Failure> {
        let infos = self.program.outputs();
        let (Some(output), Some(info)) = (self.outputs.get(index), infos.get(index)) else {
            return Err(out_of_range("output", index, infos.len()));
        };
        let no_run = || argument("no run has given it: there was none, or the last one failed");
        if !self.ran {
            return Err(no_run());
        }
        if is_open(info) {
            let rank = info.rank as usize;
            let found = self.instance.open_output(&self.image, index, rank);
            let (data, dims) = found.ok_or_else(no_run)?;
            let size = elem_of(info.elem).map_or(1, |elem| elem.bytes());
            let bytes = dims.iter().map(|&n| n as u64).product::<u64>() * size as u64;
            return Ok(Found { data, bytes, dims });
        }
        let data = match (output.bound, &output.owned) {
            (Some((data, _)), _) => data.cast_const(),
            (None, Some((buffer, _))) => buffer.as_ptr(),
            (None, None) => return Err(no_run()),
        };
        Ok(Found {
            data,
            bytes: self.bytes(Side::Output, index) as u64,
            dims: &self.output_dims[index],
        })
    }
}

/// An output of the last run.
struct Found<'a> {
    data: *const u8,
    bytes: u64,
    dims: &'a [i64],
}

fn extents(info: &TensorInfo) -> &'static [i64] {
    // SAFETY: the object holds as many extents as it says.
    unsafe { slice(info.dims, u64::from(info.rank)) }
}

/// Whether the size depends on data.
fn is_open(info: &TensorInfo) -> bool {
    extents(info).iter().any(|&n| n < 0)
}

fn room(bytes: usize) -> Result<AlignedBuf, Failure> {
    AlignedBuf::try_new_zeroed(bytes.max(1)).ok_or_else(|| {
        let message = format!("the system does not give {bytes} bytes");
        Failure(Status::Memory, message)
    })
}

fn out_of_range(what: &str, index: usize, count: usize) -> Failure {
    argument(format!("there is no {what} {index}, but {count} in all"))
}

fn check_alignment(info: &TensorInfo, data: *const u8) -> Result<(), Failure> {
    let size = elem_of(info.elem).map_or(1, |elem| elem.bytes());
    match (data as usize).is_multiple_of(size) {
        true => Ok(()),
        false => {
            let message = format!("`{}` is not aligned to {size} bytes", name(info));
            Err(argument(message))
        }
    }
}

fn name(info: &TensorInfo) -> String {
    // SAFETY: names of an object end in a zero.
    let name = unsafe { std::ffi::CStr::from_ptr(info.name) };
    name.to_string_lossy().into_owned()
}

/// Runs a call on a session and keeps what is wrong with it.
///
/// # Safety
/// The pointer is null or to a session that nothing else uses now.
unsafe fn with(
    session: *mut Session,
    call: impl FnOnce(&mut Session) -> Result<(), Failure>,
) -> Status {
    // SAFETY: as the caller says.
    let Some(session) = (unsafe { session.as_mut() }) else {
        return Status::Argument;
    };
    match call(session) {
        Ok(()) => Status::Ok,
        Err(Failure(status, message)) => {
            session.message = c_string(message);
            status
        }
    }
}

fn c_string(message: String) -> CString {
    CString::new(message.replace('\0', "")).unwrap_or_default()
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn lepid_abi_version() -> u32 {
    ABI_VERSION
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn lepid_status_text(status: i32) -> *const c_char {
    let text = match status {
        0 => c"success",
        1 => c"an argument cannot be used",
        2 => c"program and library are of different versions of lepid",
        3 => c"the program is for another processor",
        4 => c"the system does not give the memory",
        5 => c"the run failed",
        _ => c"unknown status",
    };
    text.as_ptr()
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_input_count(program: *const LinkedProgram) -> usize {
    // SAFETY: as the caller says.
    unsafe { LinkedProgram::listed(program, LinkedProgram::inputs) }.len()
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_output_count(program: *const LinkedProgram) -> usize {
    // SAFETY: as the caller says.
    unsafe { LinkedProgram::listed(program, LinkedProgram::outputs) }.len()
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_input(
    program: *const LinkedProgram,
    index: usize,
) -> *const TensorInfo {
    // SAFETY: as the caller says.
    let listed = unsafe { LinkedProgram::listed(program, LinkedProgram::inputs) };
    listed
        .get(index)
        .map_or(std::ptr::null(), std::ptr::from_ref)
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_output(
    program: *const LinkedProgram,
    index: usize,
) -> *const TensorInfo {
    // SAFETY: as the caller says.
    let listed = unsafe { LinkedProgram::listed(program, LinkedProgram::outputs) };
    listed
        .get(index)
        .map_or(std::ptr::null(), std::ptr::from_ref)
}

/// # Safety
/// The pointers are null or valid; there is room for `capacity` bytes at `message`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_session_create(
    program: *const LinkedProgram,
    threads: usize,
    session: *mut *mut Session,
    message: *mut c_char,
    capacity: usize,
) -> Status {
    // SAFETY: as the caller says, for all blocks of this function.
    let made = unsafe { LinkedProgram::check(program) }.and_then(|p| Session::new(p, threads));
    if session.is_null() {
        return Status::Argument;
    }
    match made {
        Ok(made) => {
            // SAFETY: as above.
            unsafe { *session = Box::into_raw(Box::new(made)) };
            Status::Ok
        }
        Err(Failure(status, text)) => {
            // SAFETY: as above.
            unsafe {
                *session = std::ptr::null_mut();
                write_message(&text, message, capacity);
            }
            status
        }
    }
}

/// # Safety
/// The pointer is null, or there is room for `capacity` bytes.
unsafe fn write_message(text: &str, to: *mut c_char, capacity: usize) {
    let Some(most) = capacity.checked_sub(1).filter(|_| !to.is_null()) else {
        return;
    };
    let cut = &text.as_bytes()[..text.floor_char_boundary(most)];
    // SAFETY: `cut` and the final zero are no more than the capacity.
    unsafe {
        std::ptr::copy_nonoverlapping(cut.as_ptr().cast(), to, cut.len());
        to.add(cut.len()).write(0);
    }
}

/// # Safety
/// The pointer is null or to a session that nothing uses now or later.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_session_destroy(session: *mut Session) {
    if !session.is_null() {
        // SAFETY: as the caller says; it came from `lepid_session_create`.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// # Safety
/// The pointer is null or to a session.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_thread_count(session: *const Session) -> usize {
    // SAFETY: as the caller says.
    unsafe { session.as_ref() }.map_or(0, |s| s.instance.threads())
}

/// # Safety
/// The pointer is null or to a session.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_set_memory_limit(
    session: *mut Session,
    bytes: u64,
) -> Status {
    // SAFETY: as the caller says.
    unsafe {
        with(session, |s| {
            s.instance.set_dynamic_bytes(bytes);
            Ok(())
        })
    }
}

/// # Safety
/// The pointer is null or to a session.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_batch(session: *const Session) -> usize {
    // SAFETY: as the caller says.
    let session = unsafe { session.as_ref() };
    let batch = session.and_then(|s| s.image.meta.batch.as_ref());
    batch.map_or(0, |batch| batch.most)
}

/// # Safety
/// The pointer is null or to a session that nothing else uses now.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_set_samples(session: *mut Session, samples: usize) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, |s| s.set_samples(samples)) }
}

/// # Safety
/// The pointers are null or valid, and there are `bytes` bytes at `data`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_set_input(
    session: *mut Session,
    index: usize,
    data: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, |s| s.set_input(index, data.cast(), bytes)) }
}

/// # Safety
/// The pointers are null or valid, and there are `bytes` bytes at `data` until the input is set anew
/// or the session ends.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_bind_input(
    session: *mut Session,
    index: usize,
    data: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, |s| s.bind_input(index, data.cast(), bytes)) }
}

/// # Safety
/// As for `lepid_bind_input`; runs write there, and nothing else is there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_bind_output(
    session: *mut Session,
    index: usize,
    data: *mut c_void,
    bytes: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, |s| s.bind_output(index, data.cast(), bytes)) }
}

/// # Safety
/// The pointer is null or to a session that nothing else uses now; what was bound is still there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_run(session: *mut Session) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, Session::run) }
}

/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_get_output(
    session: *mut Session,
    index: usize,
    data: *mut *const c_void,
    bytes: *mut usize,
) -> Status {
    let get = |s: &mut Session| {
        let Found {
            data: found,
            bytes: len,
            ..
        } = s.output(index)?;
        // SAFETY: as the caller says.
        let (data, bytes) = unsafe { (data.as_mut(), bytes.as_mut()) };
        let Some(data) = data else {
            return Err(argument("there is no place for the output's address"));
        };
        *data = found.cast();
        if let Some(bytes) = bytes {
            *bytes = len as usize;
        }
        Ok(())
    };
    // SAFETY: as the caller says.
    unsafe { with(session, get) }
}

/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_get_output_dims(
    session: *mut Session,
    index: usize,
    dims: *mut *const i64,
) -> Status {
    let get = |s: &mut Session| {
        let found = s.output(index)?.dims.as_ptr();
        // SAFETY: as the caller says.
        let Some(dims) = (unsafe { dims.as_mut() }) else {
            return Err(argument("there is no place for the output's extents"));
        };
        *dims = found;
        Ok(())
    };
    // SAFETY: as the caller says.
    unsafe { with(session, get) }
}

/// # Safety
/// The pointer is null or to a session.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_last_error(session: *const Session) -> *const c_char {
    // SAFETY: as the caller says.
    match unsafe { session.as_ref() } {
        Some(session) => session.message.as_ptr(),
        None => c"there is no session".as_ptr(),
    }
}
