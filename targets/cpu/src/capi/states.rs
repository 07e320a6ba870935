//! What stays in sessions: the part of the C interface that sets, reads and resets states.

use std::ffi::{CStr, c_char, c_void};

use super::{Failure, Session, Status, argument, name, out_of_range, slice, with};
use crate::linked::{LinkedProgram, TensorInfo};

impl LinkedProgram {
    fn states(&self) -> &'static [TensorInfo] {
        // SAFETY: the object holds as many as it says.
        unsafe { slice(self.states, self.state_count) }
    }

    /// The same by the names of outputs.
    fn states_after(&self) -> &'static [TensorInfo] {
        // SAFETY: as above.
        unsafe { slice(self.states_after, self.state_count) }
    }
}

impl Session {
    fn set_state(&mut self, index: usize, data: *const u8, len: usize) -> Result<(), Failure> {
        let infos = self.program.states();
        let (Some(info), Some(memory)) = (infos.get(index), self.instance.states.get_mut(index))
        else {
            return Err(out_of_range("state", index, infos.len()));
        };
        let (name, bytes) = (name(info), memory.len());
        if len != bytes {
            let message = format!("state `{name}` takes {bytes} bytes, {len} are given");
            return Err(argument(message));
        }
        if data.is_null() && len > 0 {
            return Err(argument(format!("state `{name}` is NULL")));
        }
        if len > 0 {
            // SAFETY: the caller has `len` bytes there, which may be the state's own.
            unsafe { std::ptr::copy(data, memory.as_mut_ptr(), len) };
        }
        Ok(())
    }

    fn state(&self, index: usize) -> Result<&[u8], Failure> {
        let found = self.instance.states.get(index);
        found.ok_or_else(|| out_of_range("state", index, self.program.states().len()))
    }
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_state_count(program: *const LinkedProgram) -> usize {
    // SAFETY: as the caller says.
    unsafe { LinkedProgram::listed(program, LinkedProgram::states) }.len()
}

/// # Safety
/// The pointer is null or to a program.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_state(
    program: *const LinkedProgram,
    index: usize,
) -> *const TensorInfo {
    // SAFETY: as the caller says.
    let listed = unsafe { LinkedProgram::listed(program, LinkedProgram::states) };
    listed
        .get(index)
        .map_or(std::ptr::null(), std::ptr::from_ref)
}

/// # Safety
/// The pointers are null or valid, and the name ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_find_state(
    program: *const LinkedProgram,
    wanted: *const c_char,
) -> usize {
    // SAFETY: as the caller says.
    let Ok(program) = (unsafe { LinkedProgram::check(program) }) else {
        return usize::MAX;
    };
    if wanted.is_null() {
        return usize::MAX;
    }
    // SAFETY: as the caller says; names of an object end in a zero, too.
    let is_wanted =
        |info: &TensorInfo| unsafe { CStr::from_ptr(info.name) == CStr::from_ptr(wanted) };
    let (before, after) = (program.states(), program.states_after());
    let found = before.iter().position(is_wanted);
    found
        .or_else(|| after.iter().position(is_wanted))
        .unwrap_or(usize::MAX)
}

/// # Safety
/// The pointers are null or valid, and there are `bytes` bytes at `data`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_set_state(
    session: *mut Session,
    index: usize,
    data: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe { with(session, |s| s.set_state(index, data.cast(), bytes)) }
}

/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_get_state(
    session: *mut Session,
    index: usize,
    data: *mut *const c_void,
    bytes: *mut usize,
) -> Status {
    let get = |s: &mut Session| {
        let found = s.state(index)?;
        // SAFETY: as the caller says.
        let (data, bytes) = unsafe { (data.as_mut(), bytes.as_mut()) };
        let Some(data) = data else {
            return Err(argument("there is no place for the state's address"));
        };
        *data = found.as_ptr().cast();
        if let Some(bytes) = bytes {
            *bytes = found.len();
        }
        Ok(())
    };
    // SAFETY: as the caller says.
    unsafe { with(session, get) }
}

/// # Safety
/// The pointer is null or to a session that nothing else uses now.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lepid_reset_states(session: *mut Session) -> Status {
    // SAFETY: as the caller says.
    unsafe {
        with(session, |s| {
            s.instance.states.reset();
            Ok(())
        })
    }
}
