//! Packing of weights into the orders that the kernels stream.

use super::PANEL;
use crate::args::{PackBArgs, PackRecurrentArgs};

/// Hidden units of a block of packed recurrent weights.
pub(crate) const BLOCK: usize = 8;

/// Floats of a packed `k x n` matrix.
pub fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * PANEL * k
}

/// Floats of packed recurrent weights.
pub fn recurrent_packed_len(gates: usize, hidden: usize) -> usize {
    hidden.div_ceil(BLOCK) * BLOCK * gates * hidden
}

/// # Safety
/// The arguments describe memory that is there, as [`PackBArgs`] says.
pub(crate) unsafe extern "C" fn pack_b(args: *const PackBArgs) {
    // SAFETY: passed on from the caller.
    unsafe { panels(&*args) }
}

/// # Safety
/// The arguments describe memory that is there, as [`PackBArgs`] says.
#[inline(always)]
pub(crate) unsafe fn panels(args: &PackBArgs) {
    // SAFETY: the caller vouches for the arguments; all offsets stay inside `k x n` and the packed length.
    unsafe {
        for column in (0..args.n).step_by(PANEL) {
            let columns = (args.n - column).min(PANEL);
            let src = args.src.add(column * args.n_stride);
            let dst = args.dst.add(column * args.k);
            if columns < PANEL {
                std::ptr::write_bytes(dst, 0, args.k * PANEL);
            }
            if args.n_stride == 1 && columns == PANEL {
                for i in 0..args.k {
                    let row = src.add(i * args.k_stride).cast::<[f32; PANEL]>();
                    *dst.add(i * PANEL).cast::<[f32; PANEL]>() = *row;
                }
            } else if args.k_stride == 1 && columns == PANEL {
                transpose(src, args.n_stride, dst, args.k);
            } else {
                for i in 0..args.k {
                    for j in 0..columns {
                        *dst.add(i * PANEL + j) = *src.add(i * args.k_stride + j * args.n_stride);
                    }
                }
            }
        }
    }
}

/// One panel whose columns are contiguous in memory: blocks of 8 rows keep the reads within few cache lines.
#[inline(always)]
unsafe fn transpose(src: *const f32, n_stride: usize, dst: *mut f32, k: usize) {
    // SAFETY: the caller vouches for 16 columns of k floats and a panel of k rows.
    unsafe {
        let mut i = 0;
        while i + 8 <= k {
            let mut block = [[0.0f32; 8]; PANEL];
            for (j, column) in block.iter_mut().enumerate() {
                *column = *src.add(j * n_stride + i).cast::<[f32; 8]>();
            }
            for r in 0..8 {
                let mut row = [0.0f32; PANEL];
                for j in 0..PANEL {
                    row[j] = block[j][r];
                }
                *dst.add((i + r) * PANEL).cast::<[f32; PANEL]>() = row;
            }
            i += 8;
        }
        for i in i..k {
            for j in 0..PANEL {
                *dst.add(i * PANEL + j) = *src.add(j * n_stride + i);
            }
        }
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`PackRecurrentArgs`] says.
pub(crate) unsafe extern "C" fn pack_recurrent(args: *const PackRecurrentArgs) {
    // SAFETY: the caller vouches for the arguments; unit < hidden and i < hidden.
    unsafe {
        let args = &*args;
        let (gates, hidden) = (args.gates, args.hidden);
        let mut dst = args.dst;
        for block in 0..hidden.div_ceil(BLOCK) {
            for i in 0..hidden {
                for gate in 0..gates {
                    for lane in 0..BLOCK {
                        let unit = block * BLOCK + lane;
                        *dst = if unit < hidden {
                            *args.src.add((gate * hidden + unit) * hidden + i)
                        } else {
                            0.0
                        };
                        dst = dst.add(1);
                    }
                }
            }
        }
    }
}
