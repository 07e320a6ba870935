//! All kernels, instantiated once per instruction set.
#![allow(
    improper_ctypes_definitions,
    reason = "generated code passes four floats in one vector register, as the C ABI does"
)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub(crate) mod scalar;

/// Entry points and table of one instruction set: `wide` is the vector of the kernels, `quad` and `single` those of the
/// `x4` and `x1` functions; the attributes carry the target features.
macro_rules! instantiate {
    (wide: $wide:ty, quad: $quad:ty, single: $single:ty, attributes: { $(#[$attribute:meta])* }) => {
        use crate::args::*;
        use crate::attention::AttentionArgs;
        use crate::kernels::{attention, dwconv, eight_bits, gemv, igemm, norms, pack, pointers, pool, recurrent, reduce, strassen, streams, terms, transpose, winograd};
        use crate::math;
        use crate::table::{F32x4, Table};
        use crate::vector::Vector;

        instantiate!(@kernels $wide, { $(#[$attribute])* },
            igemm_f32 = igemm::igemm(IgemmArgs),
            gemv_f32 = gemv::gemv(GemvArgs),
            gemv_i8 = eight_bits::gemv(EightBitArgs),
            dwconv_f32 = dwconv::dwconv(DwconvArgs),
            pool_f32 = pool::pool(PoolArgs),
            softmax_f32 = norms::softmax(RowsArgs),
            log_softmax_f32 = norms::log_softmax(RowsArgs),
            layer_norm_f32 = norms::layer_norm(NormArgs),
            rms_norm_f32 = norms::rms_norm(NormArgs),
            lrn_f32 = norms::lrn(LrnArgs),
            reduce_f32 = reduce::reduce(ReduceArgs),
            lstm_cell_f32 = recurrent::lstm_cell(LstmCellArgs),
            gru_cell_f32 = recurrent::gru_cell(GruCellArgs),
            gru_gates_f32 = recurrent::gru_gates(GruHalfArgs),
            strassen_f32 = strassen::strassen(StrassenArgs),
            terms_f32 = terms::terms(TermsArgs),
            gru_candidate_f32 = recurrent::gru_candidate(GruHalfArgs),
        );

        $(#[$attribute])*
        unsafe extern "C" fn winograd_f32(args: *const WinogradArgs) {
            // SAFETY: passed on from the caller; the products are this instruction set's own.
            unsafe {
                let args = *args;
                winograd::convolve::<$wide>(&args, igemm_f32)
            }
        }

        $(#[$attribute])*
        unsafe extern "C" fn attention_f32(args: *const AttentionArgs) {
            // SAFETY: passed on from the caller; the products are this instruction set's own.
            unsafe {
                let args = *args;
                attention::attention::<$wide>(&args, igemm_f32)
            }
        }

        $(#[$attribute])*
        unsafe extern "C" fn transpose_f32(args: *const TransposeArgs) {
            // SAFETY: passed on from the caller.
            unsafe {
                let args = *args;
                transpose::transpose(&args)
            }
        }

        $(#[$attribute])*
        unsafe extern "C" fn unary_f32(op: u32, n: usize, x: *const f32, y: *mut f32) {
            // SAFETY: passed on from the caller.
            unsafe { streams::unary::<$wide>(op, n, x, y) }
        }

        $(#[$attribute])*
        unsafe extern "C" fn unary_x1<const OP: usize>(x: f32) -> f32 {
            math::apply(Unary::ALL[OP], <$single>::splat(x)).first()
        }

        $(#[$attribute])*
        unsafe extern "C" fn unary_x4<const OP: usize>(x: F32x4) -> F32x4 {
            math::apply(Unary::ALL[OP], <$quad>::from_x4(x)).to_x4()
        }

        $(#[$attribute])*
        unsafe extern "C" fn pow_x1(x: f32, y: f32) -> f32 {
            <$single>::splat(x).zip_lanes(<$single>::splat(y), f32::powf).first()
        }

        $(#[$attribute])*
        unsafe extern "C" fn pow_x4(x: F32x4, y: F32x4) -> F32x4 {
            <$quad>::from_x4(x).zip_lanes(<$quad>::from_x4(y), f32::powf).to_x4()
        }

        $(#[$attribute])*
        unsafe extern "C" fn fma_loop(rounds: usize) -> f32 {
            streams::fma_loop::<$wide>(rounds)
        }

        $(#[$attribute])*
        unsafe extern "C" fn read_loop(n: usize, x: *const f32) -> f32 {
            // SAFETY: passed on from the caller.
            unsafe { streams::read_loop::<$wide>(n, x) }
        }

        pub(crate) static TABLE: Table = Table {
            igemm_f32,
            gemv_f32,
            gemm_rows: pointers::gemm_rows,
            conv_rows: pointers::conv_rows,
            pack_b_f32: pack::pack_b,
            dwconv_f32,
            pool_f32,
            softmax_f32,
            log_softmax_f32,
            layer_norm_f32,
            rms_norm_f32,
            lrn_f32,
            reduce_f32,
            unary_f32,
            pack_recurrent_f32: pack::pack_recurrent,
            lstm_cell_f32,
            gru_cell_f32,
            parallel: crate::pool::parallel,
            pow_x1,
            pow_x4,
            unary_x1: instantiate!(@all unary_x1),
            unary_x4: instantiate!(@all unary_x4),
            fma_loop,
            read_loop,
            winograd_f32,
            transpose_f32,
            attention_f32,
            gru_gates_f32,
            gru_candidate_f32,
            gemv_i8,
            strassen_f32,
            terms_f32,
        };
    };
    (@kernels $wide:ty, $attributes:tt, $($name:ident = $module:ident :: $kernel:ident ($args:ty),)*) => {
        $(instantiate!(@kernel $wide, $attributes, $name, $module, $kernel, $args);)*
    };
    (@kernel $wide:ty, { $(#[$attribute:meta])* }, $name:ident, $module:ident, $kernel:ident, $args:ty) => {
        $(#[$attribute])*
        unsafe extern "C" fn $name(args: *const $args) {
            // SAFETY: the caller passes arguments that hold what their struct's docs ask.
            unsafe {
                // A copy that no pointer reaches: stores to the output cannot change it, so its fields stay in registers.
                let args = *args;
                $module::$kernel::<$wide>(&args)
            }
        }
    };
    (@all $f:ident) => {
        [
            $f::<0>, $f::<1>, $f::<2>, $f::<3>, $f::<4>, $f::<5>, $f::<6>, $f::<7>, $f::<8>, $f::<9>, $f::<10>, $f::<11>,
            $f::<12>, $f::<13>, $f::<14>, $f::<15>, $f::<16>, $f::<17>, $f::<18>, $f::<19>, $f::<20>, $f::<21>, $f::<22>,
        ]
    };
}
use instantiate;
