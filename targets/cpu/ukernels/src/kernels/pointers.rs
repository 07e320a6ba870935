//! Tables of row pointers for the indirect matrix product.

use crate::args::{ConvRowsArgs, GemmRowsArgs};

/// The tile heights that `rows` rows are cut into: sixes, and such that no tile has fewer than 3 rows if that can be.
///
/// 49 rows become seven sixes, a four and a three.
pub fn row_tiles(rows: usize) -> impl Iterator<Item = usize> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let size = next_tile(left);
        left -= size;
        (size > 0).then_some(size)
    })
}

/// The height of the next tile when `left` rows are left.
#[inline(always)]
pub(crate) fn next_tile(left: usize) -> usize {
    match left {
        0..=5 => left,
        7 | 8 => 4,
        _ => 6,
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`GemmRowsArgs`] says.
pub(crate) unsafe extern "C" fn gemm_rows(args: *const GemmRowsArgs) {
    // SAFETY: the caller vouches for the arguments; with one tap, tiles lie one after another in row order.
    unsafe {
        let args = &*args;
        for r in 0..args.rows {
            *args.out.add(r) = args.a.wrapping_add(r * args.lda);
        }
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`ConvRowsArgs`] says.
pub(crate) unsafe extern "C" fn conv_rows(args: *const ConvRowsArgs) {
    // SAFETY: the caller vouches for the arguments.
    let args = unsafe { &*args };
    let geom = &args.geom;
    let image_pixels = geom.out_h * geom.out_w;
    let mut image = args.first / image_pixels;
    let mut y = args.first % image_pixels / geom.out_w;
    let mut x = args.first % geom.out_w;
    let taps = geom.kh * geom.kw;
    let mut out = args.out;
    for size in row_tiles(args.rows) {
        for r in 0..size {
            let base = args.input.wrapping_add(image * geom.image_stride);
            let mut slot = out.wrapping_add(r);
            for ky in 0..geom.kh {
                // Rows above the image wrap around to huge numbers, so one comparison covers both sides.
                let iy = (y * geom.stride_h + ky * geom.dil_h).wrapping_sub(geom.pad_top);
                let row = base.wrapping_add(iy.wrapping_mul(geom.row_stride));
                for kx in 0..geom.kw {
                    let ix = (x * geom.stride_w + kx * geom.dil_w).wrapping_sub(geom.pad_left);
                    let inside = iy < geom.in_h && ix < geom.in_w;
                    let p = row.wrapping_add(ix.wrapping_mul(geom.pixel_stride));
                    // SAFETY: the table has taps * rows entries, and this is entry (tile, tap, r).
                    unsafe { *slot = if inside { p } else { args.zero } };
                    slot = slot.wrapping_add(size);
                }
            }
            x += 1;
            if x == geom.out_w {
                x = 0;
                y += 1;
                if y == geom.out_h {
                    y = 0;
                    image += 1;
                }
            }
        }
        out = out.wrapping_add(taps * size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_all_rows_and_avoid_short_ones() {
        for rows in 0..200 {
            let tiles: Vec<usize> = row_tiles(rows).collect();
            assert_eq!(tiles.iter().sum::<usize>(), rows);
            assert!(
                rows < 3 || tiles.iter().all(|&t| (3..=6).contains(&t)),
                "{rows}: {tiles:?}"
            );
        }
        assert_eq!(
            row_tiles(49).collect::<Vec<_>>(),
            [6, 6, 6, 6, 6, 6, 6, 4, 3]
        );
    }
}
