//! The form of a program in an object file: what the object states and the C interface reads.

use std::ffi::c_char;

use lepid_ir::core::Elem;

/// The version of the C interface: `LEPID_ABI_VERSION` of `include/lepid.h`.
pub(crate) const ABI_VERSION: u32 = 1;

/// `LEPIDPRG`, read as a little-endian number.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"LEPIDPRG");

/// `struct lepid_program`: constant data of the object.
#[repr(C)]
pub(crate) struct LinkedProgram {
    pub(crate) magic: u64,
    pub(crate) abi_version: u64,
    /// [`crate::interface::INTERFACE`] of the compiler.
    pub(crate) interface: u64,
    /// [`crate::engine::Meta`] as JSON.
    pub(crate) meta: *const u8,
    pub(crate) meta_len: u64,
    pub(crate) code: *const u8,
    pub(crate) code_len: u64,
    pub(crate) weights: *const u8,
    pub(crate) weights_len: u64,
    pub(crate) inputs: *const TensorInfo,
    pub(crate) input_count: u64,
    pub(crate) outputs: *const TensorInfo,
    pub(crate) output_count: u64,
    /// What stays in sessions, by the names of inputs; then the same by the names of outputs.
    pub(crate) states: *const TensorInfo,
    pub(crate) state_count: u64,
    pub(crate) states_after: *const TensorInfo,
}

/// `struct lepid_tensor_info`.
#[repr(C)]
pub(crate) struct TensorInfo {
    pub(crate) name: *const c_char,
    pub(crate) elem: i32,
    pub(crate) rank: u32,
    pub(crate) dims: *const i64,
    pub(crate) bytes: u64,
}

/// The number of an element type in C, with its name there.
pub(crate) fn elem_number(elem: Elem) -> (i32, &'static str) {
    match elem {
        Elem::F64 => (1, "LEPID_F64"),
        Elem::F32 => (2, "LEPID_F32"),
        Elem::F16 => (3, "LEPID_F16"),
        Elem::BF16 => (4, "LEPID_BF16"),
        Elem::I64 => (5, "LEPID_I64"),
        Elem::I32 => (6, "LEPID_I32"),
        Elem::I16 => (7, "LEPID_I16"),
        Elem::I8 => (8, "LEPID_I8"),
        Elem::I4 => (9, "LEPID_I4"),
        Elem::U64 => (10, "LEPID_U64"),
        Elem::U32 => (11, "LEPID_U32"),
        Elem::U16 => (12, "LEPID_U16"),
        Elem::U8 => (13, "LEPID_U8"),
        Elem::U4 => (14, "LEPID_U4"),
        Elem::Bool => (15, "LEPID_BOOL"),
        Elem::I2 => (16, "LEPID_I2"),
        Elem::U2 => (17, "LEPID_U2"),
    }
}

/// The element type of a number in C.
pub(crate) fn elem_of(number: i32) -> Option<Elem> {
    Elem::ALL.into_iter().find(|&e| elem_number(e).0 == number)
}
