//! One table of function pointers per instruction set: all that generated code needs of this crate.
#![allow(
    improper_ctypes_definitions,
    reason = "generated code passes four floats in one vector register, as the C ABI does"
)]

use crate::args::{
    ConvRowsArgs, DwconvArgs, EightBitArgs, GemmRowsArgs, GemvArgs, GruCellArgs, GruHalfArgs,
    IgemmArgs, LrnArgs, LstmCellArgs, NormArgs, PackBArgs, PackRecurrentArgs, PoolArgs, ReduceArgs,
    RowsArgs, StrassenArgs, TermsArgs, TransposeArgs, Unary, WinogradArgs,
};
use crate::attention::AttentionArgs;
use crate::isa;
use crate::pool::{Pool, Task};

/// Four floats as generated code passes them: one vector register.
#[cfg(target_arch = "x86_64")]
pub type F32x4 = std::arch::x86_64::__m128;
/// Four floats as generated code passes them: one vector register.
#[cfg(target_arch = "aarch64")]
pub type F32x4 = std::arch::aarch64::float32x4_t;
/// Four floats.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct F32x4(pub [f32; 4]);

/// Instruction sets with a table of their own.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Portable Rust; products are rounded before they are added.
    Scalar = 0,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2 = 1,
}

impl Isa {
    /// All instruction sets, weakest first.
    pub const ALL: [Isa; 2] = [Isa::Scalar, Isa::Avx2];

    /// The strongest instruction set that this machine runs.
    pub fn detect() -> Isa {
        if Isa::Avx2.available() {
            Isa::Avx2
        } else {
            Isa::Scalar
        }
    }

    /// Whether this machine runs it.
    pub fn available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 => false,
        }
    }

    /// The name used on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
        }
    }
}

/// The kernels of one instruction set, or nothing if this machine cannot run it.
pub fn table(isa: Isa) -> Option<&'static Table> {
    if !isa.available() {
        return None;
    }
    match isa {
        Isa::Scalar => Some(&isa::scalar::TABLE),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Some(&isa::avx2::TABLE),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 => None,
    }
}

/// The table of the strongest instruction set, for programs linked against the static library.
#[unsafe(no_mangle)]
pub extern "C" fn lepid_ukernels_table() -> *const Table {
    table(Isa::detect()).map_or(std::ptr::null(), std::ptr::from_ref)
}

/// The kernels of one instruction set. The order of the fields is part of the ABI: add at the end only.
///
/// # Safety
///
/// All functions trust their arguments; see the struct each takes.
#[repr(C)]
#[derive(Debug)]
pub struct Table {
    pub igemm_f32: unsafe extern "C" fn(*const IgemmArgs),
    pub gemv_f32: unsafe extern "C" fn(*const GemvArgs),
    pub gemm_rows: unsafe extern "C" fn(*const GemmRowsArgs),
    pub conv_rows: unsafe extern "C" fn(*const ConvRowsArgs),
    pub pack_b_f32: unsafe extern "C" fn(*const PackBArgs),
    pub dwconv_f32: unsafe extern "C" fn(*const DwconvArgs),
    pub pool_f32: unsafe extern "C" fn(*const PoolArgs),
    pub softmax_f32: unsafe extern "C" fn(*const RowsArgs),
    pub log_softmax_f32: unsafe extern "C" fn(*const RowsArgs),
    pub layer_norm_f32: unsafe extern "C" fn(*const NormArgs),
    pub rms_norm_f32: unsafe extern "C" fn(*const NormArgs),
    pub lrn_f32: unsafe extern "C" fn(*const LrnArgs),
    pub reduce_f32: unsafe extern "C" fn(*const ReduceArgs),
    /// `y[i] = op(x[i])` for a [`Unary`]; `y` may be `x`.
    pub unary_f32: unsafe extern "C" fn(op: u32, n: usize, x: *const f32, y: *mut f32),
    pub pack_recurrent_f32: unsafe extern "C" fn(*const PackRecurrentArgs),
    pub lstm_cell_f32: unsafe extern "C" fn(*const LstmCellArgs),
    pub gru_cell_f32: unsafe extern "C" fn(*const GruCellArgs),
    /// Runs `task(ctx, part, parts)` for every part; `parts` is the number of threads of the pool.
    pub parallel: unsafe extern "C" fn(pool: *const Pool, task: Task, ctx: *const std::ffi::c_void),
    /// `x^y`, as the C library's `powf`.
    pub pow_x1: unsafe extern "C" fn(f32, f32) -> f32,
    pub pow_x4: unsafe extern "C" fn(F32x4, F32x4) -> F32x4,
    /// One function per [`Unary`], on one float.
    pub unary_x1: [unsafe extern "C" fn(f32) -> f32; Unary::ALL.len()],
    /// One function per [`Unary`], on four floats in a vector register.
    pub unary_x4: [unsafe extern "C" fn(F32x4) -> F32x4; Unary::ALL.len()],
    /// `rounds * 24` vector FMAs that depend on nothing in memory; for [`crate::measure`].
    pub fma_loop: unsafe extern "C" fn(rounds: usize) -> f32,
    /// Sums `n` floats as fast as they stream; for [`crate::measure`].
    pub read_loop: unsafe extern "C" fn(n: usize, x: *const f32) -> f32,
    pub winograd_f32: unsafe extern "C" fn(*const WinogradArgs),
    pub transpose_f32: unsafe extern "C" fn(*const TransposeArgs),
    pub attention_f32: unsafe extern "C" fn(*const AttentionArgs),
    /// The first half of a step.
    pub gru_gates_f32: unsafe extern "C" fn(*const GruHalfArgs),
    /// The second half of a step.
    pub gru_candidate_f32: unsafe extern "C" fn(*const GruHalfArgs),
    pub gemv_i8: unsafe extern "C" fn(*const EightBitArgs),
    pub strassen_f32: unsafe extern "C" fn(*const StrassenArgs),
    pub terms_f32: unsafe extern "C" fn(*const TermsArgs),
}
