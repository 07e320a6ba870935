//! The C interface, as `include/lepid.h` describes it.
//!
//! Nothing here panics for what a caller does; should a bug panic nevertheless, the process ends, as
//! the library is built without unwinding.

mod states;

use std::ffi::{CString, c_char, c_void};
use std::io::ErrorKind;

use lepid_ukernels::AlignedBuf;

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
    /// Whether the last run gave outputs.
    ran: bool,
    /// The message of the last call that failed.
    message: CString,
}

enum Input {
    Unset,
    Owned(AlignedBuf),
    Bound(*const u8),
}

struct Output {
    /// Made when it is first needed.
    owned: Option<AlignedBuf>,
    bound: Option<*mut u8>,
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
            threads,
            profile: false,
            dynamic_bytes: DYNAMIC_BYTES,
        };
        let instance = Instance::new(&image, instance)?;
        Ok(Session {
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

    fn set_input(&mut self, index: usize, data: *const u8, len: usize) -> Result<(), Failure> {
        check_data("input", self.program.inputs(), index, data, len)?;
        let mut buffer = match std::mem::replace(&mut self.inputs[index], Input::Unset) {
            Input::Owned(buffer) => buffer,
            Input::Unset | Input::Bound(_) => room(len)?,
        };
        if len > 0 {
            // SAFETY: the caller has `len` bytes there; the buffer was made for as many.
            unsafe { std::ptr::copy_nonoverlapping(data, buffer.as_mut_ptr(), len) };
        }
        self.inputs[index] = Input::Owned(buffer);
        Ok(())
    }

    fn bind_input(&mut self, index: usize, data: *const u8, len: usize) -> Result<(), Failure> {
        let info = check_data("input", self.program.inputs(), index, data, len)?;
        check_alignment(info, data)?;
        self.inputs[index] = Input::Bound(data);
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
        let info = check_data("output", infos, index, data, len)?;
        check_alignment(info, data)?;
        self.outputs[index].bound = Some(data);
        Ok(())
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.ran = false;
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (input, info) in self.inputs.iter().zip(self.program.inputs()) {
            inputs.push(match input {
                Input::Owned(buffer) => buffer.as_ptr(),
                Input::Bound(data) => *data,
                Input::Unset => {
                    let message = format!("input `{}` is not set", name(info));
                    return Err(argument(message));
                }
            });
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (output, info) in self.outputs.iter_mut().zip(self.program.outputs()) {
            outputs.push(match (output.bound, &mut output.owned) {
                (Some(data), _) => data,
                (None, Some(buffer)) => buffer.as_mut_ptr(),
                (None, owned @ None) => owned.insert(room(info.bytes as usize)?).as_mut_ptr(),
            });
        }
        // SAFETY: the weights are the object's, aligned by it; sizes and alignments were checked
        // when the places were set; callers vouch that they do not overlap.
        unsafe {
            let weights = slice(self.program.weights, self.program.weights_len);
            let outcome = self.instance.run(&self.image, weights, &inputs, &outputs);
            outcome.map_err(|report| {
                let site = self.image.meta.sites.get(report.site);
                let op = site.map_or("an op", |site| &site.name);
                Failure(Status::Run, report.message(op))
            })?;
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
            (Some(data), _) => data.cast_const(),
            (None, Some(buffer)) => buffer.as_ptr(),
            (None, None) => return Err(no_run()),
        };
        Ok(Found {
            data,
            bytes: info.bytes,
            dims: extents(info),
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

fn check_data(
    what: &str,
    infos: &'static [TensorInfo],
    index: usize,
    data: *const u8,
    len: usize,
) -> Result<&'static TensorInfo, Failure> {
    let Some(info) = infos.get(index) else {
        return Err(out_of_range(what, index, infos.len()));
    };
    if len as u64 != info.bytes {
        let (name, bytes) = (name(info), info.bytes);
        let message = format!("{what} `{name}` takes {bytes} bytes, {len} are given");
        return Err(argument(message));
    }
    if data.is_null() && len > 0 {
        return Err(argument(format!("{what} `{}` is NULL", name(info))));
    }
    Ok(info)
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
    unsafe { LinkedProgram::check(program) }.map_or(0, |p| p.inputs().len())
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_output_count(program: *const LinkedProgram) -> usize {
    // SAFETY: as the caller says.
    unsafe { LinkedProgram::check(program) }.map_or(0, |p| p.outputs().len())
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_input(
    program: *const LinkedProgram,
    index: usize,
) -> *const TensorInfo {
    // SAFETY: as the caller says.
    let found = unsafe { LinkedProgram::check(program) }.map(|p| p.inputs().get(index));
    found
        .ok()
        .flatten()
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
    let found = unsafe { LinkedProgram::check(program) }.map(|p| p.outputs().get(index));
    found
        .ok()
        .flatten()
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
