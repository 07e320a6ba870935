//! Routines that generated code calls where neither a loop of its own nor a microkernel fits:
//! conversions and functions that the instruction set lacks.

use half::{bf16, f16};

use crate::abi::Ctx;
use crate::gates::{self, GateArgs};
use crate::routines::measure::{MEASURE_ADDRESSES, MEASURES, Measure};
use crate::routines::{self, Routine};

/// The table of routines. Generated code reads the fields by their offsets.
#[repr(C)]
pub(crate) struct Support {
    pub(crate) f16_to_f32: extern "C" fn(u32) -> f32,
    pub(crate) f32_to_f16: extern "C" fn(f32) -> u32,
    pub(crate) f32_to_bf16: extern "C" fn(f32) -> u32,
    pub(crate) f64_to_f16: extern "C" fn(f64) -> u32,
    pub(crate) f64_to_bf16: extern "C" fn(f64) -> u32,
    /// One function of one or two `f64`; which one is the number of its row in [`FUNCTIONS`].
    pub(crate) function: extern "C" fn(u32, f64, f64) -> f64,
    pub(crate) pow_int: extern "C" fn(i64, i64) -> i64,
    pub(crate) pow_uint: extern "C" fn(u64, u64) -> u64,
    pub(crate) copy: unsafe extern "C" fn(*mut u8, *const u8, usize),
    pub(crate) tick: unsafe extern "C" fn(*mut crate::engine::Profiler, usize),
    /// Makes room for a value whose extents are known only now.
    pub(crate) make_room: unsafe extern "C" fn(*mut Ctx, isize, *const i64, usize, usize) -> i64,
    /// Lets samples leave a cascade, and gives how many go on.
    pub(crate) gate: unsafe extern "C" fn(*mut Ctx, *const GateArgs) -> usize,
    /// Brings back the samples that have left.
    pub(crate) rejoin: unsafe extern "C" fn(*mut Ctx),
    /// The milliseconds since the caller called.
    pub(crate) elapsed: unsafe extern "C" fn(*const Ctx) -> f32,
    /// In the order of [`MEASURES`].
    pub(crate) measures: [Measure; MEASURES.len()],
    /// In the order of [`routines::ROUTINES`].
    pub(crate) routines: [Routine; routines::ROUTINES.len()],
}

/// A function of one or two numbers; one of one ignores the second.
type Function = fn(f64, f64) -> f64;

/// The functions behind [`Support::function`].
pub(crate) const FUNCTIONS: &[(&str, Function)] = &[
    ("acos", |x, _| x.acos()),
    ("acosh", |x, _| x.acosh()),
    ("asin", |x, _| x.asin()),
    ("asinh", |x, _| x.asinh()),
    ("atan", |x, _| x.atan()),
    ("atan2", f64::atan2),
    ("atanh", |x, _| x.atanh()),
    ("cos", |x, _| x.cos()),
    ("cosh", |x, _| x.cosh()),
    ("erf", |x, _| libm::erf(x)),
    ("exp", |x, _| x.exp()),
    ("log", |x, _| x.ln()),
    ("pow", f64::powf),
    ("rem", |x, y| x % y),
    ("sin", |x, _| x.sin()),
    ("sinh", |x, _| x.sinh()),
    ("tan", |x, _| x.tan()),
    ("tanh", |x, _| x.tanh()),
];

/// The number of a function in [`FUNCTIONS`].
pub(crate) fn function_number(name: &str) -> Option<u32> {
    let at = FUNCTIONS.iter().position(|(n, _)| *n == name)?;
    Some(at as u32)
}

/// The only table.
pub(crate) static SUPPORT: Support = Support {
    f16_to_f32,
    f32_to_f16,
    f32_to_bf16,
    f64_to_f16,
    f64_to_bf16,
    function,
    pow_int,
    pow_uint,
    copy,
    tick: crate::engine::tick,
    make_room: crate::slots::make_room,
    gate: gates::gate,
    rejoin: gates::rejoin,
    elapsed,
    measures: MEASURE_ADDRESSES,
    routines: routines::ADDRESSES,
};

extern "C" fn f16_to_f32(bits: u32) -> f32 {
    f16::from_bits(bits as u16).to_f32()
}

extern "C" fn f32_to_f16(x: f32) -> u32 {
    u32::from(f16::from_f32(x).to_bits())
}

extern "C" fn f32_to_bf16(x: f32) -> u32 {
    u32::from(bf16::from_f32(x).to_bits())
}

extern "C" fn f64_to_f16(x: f64) -> u32 {
    u32::from(f16::from_f64(x).to_bits())
}

extern "C" fn f64_to_bf16(x: f64) -> u32 {
    u32::from(bf16::from_f64(x).to_bits())
}

extern "C" fn function(number: u32, x: f64, y: f64) -> f64 {
    (FUNCTIONS[number as usize].1)(x, y)
}

/// Wraps; a negative exponent gives 1 / xⁿ truncated, and 0 for x = 0.
extern "C" fn pow_int(x: i64, n: i64) -> i64 {
    match (x, n) {
        (_, 0..) => pow_uint(x as u64, n as u64) as i64,
        (1, _) => 1,
        (-1, n) => 1 - 2 * (n & 1),
        _ => 0,
    }
}

/// Wraps.
extern "C" fn pow_uint(mut base: u64, mut n: u64) -> u64 {
    let mut out = 1u64;
    while n > 0 {
        if n & 1 == 1 {
            out = out.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        n >>= 1;
    }
    out
}

unsafe extern "C" fn elapsed(ctx: *const Ctx) -> f32 {
    // SAFETY: generated code passes the context that it was called with.
    let called = unsafe { (*ctx).called };
    (1e3 * called.elapsed().as_secs_f64()) as f32
}

unsafe extern "C" fn copy(to: *mut u8, from: *const u8, bytes: usize) {
    // SAFETY: generated code passes two places of memory it has, which hold `bytes` each.
    unsafe { std::ptr::copy(from, to, bytes) }
}
