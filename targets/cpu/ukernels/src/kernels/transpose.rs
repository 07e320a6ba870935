//! Transposition of a matrix, in blocks whose rows and columns both fill vectors.

use crate::args::TransposeArgs;

/// Rows and columns of a block.
const BLOCK: usize = 8;

/// # Safety
/// The arguments describe memory that is there, as [`TransposeArgs`] says.
#[inline(always)]
pub(crate) unsafe fn transpose(args: &TransposeArgs) {
    let mut row = 0;
    while row < args.rows {
        let rows = (args.rows - row).min(BLOCK);
        // SAFETY: the rows from `row` on lie inside what the caller described.
        unsafe {
            let src = args.src.add(row * args.src_row);
            let dst = args.dst.add(row);
            match rows {
                8 => band::<8>(args, src, dst),
                7 => band::<7>(args, src, dst),
                6 => band::<6>(args, src, dst),
                5 => band::<5>(args, src, dst),
                4 => band::<4>(args, src, dst),
                3 => band::<3>(args, src, dst),
                2 => band::<2>(args, src, dst),
                _ => band::<1>(args, src, dst),
            }
        }
        row += rows;
    }
}

/// `ROWS` rows of the source, as many columns of the result.
#[inline(always)]
unsafe fn band<const ROWS: usize>(args: &TransposeArgs, src: *const f32, dst: *mut f32) {
    // SAFETY: the caller vouches for the rows; blocks stay inside of the columns.
    unsafe {
        let mut column = 0;
        while column + BLOCK <= args.columns {
            let mut block = [[0.0f32; BLOCK]; ROWS];
            for r in 0..ROWS {
                block[r] = src
                    .add(r * args.src_row + column)
                    .cast::<[f32; BLOCK]>()
                    .read_unaligned();
            }
            for c in 0..BLOCK {
                let mut out = [0.0f32; ROWS];
                for r in 0..ROWS {
                    out[r] = block[r][c];
                }
                dst.add((column + c) * args.dst_row)
                    .cast::<[f32; ROWS]>()
                    .write_unaligned(out);
            }
            column += BLOCK;
        }
        while column < args.columns {
            for r in 0..ROWS {
                *dst.add(column * args.dst_row + r) = *src.add(r * args.src_row + column);
            }
            column += 1;
        }
    }
}
