//! Terms of matrices that are stored as sums of pruned outer products.

use crate::args::TermsArgs;
use crate::vector::Vector;

/// Sums of a product that run beside each other.
const SUMS: usize = 4;

/// # Safety
/// The arguments describe memory that is there, as [`TermsArgs`] says.
#[inline(always)]
pub(crate) unsafe fn terms<V: Vector>(args: &TermsArgs) {
    let (rows, keep) = (args.rows, args.keep);
    // SAFETY: all offsets lie inside of what the caller describes.
    unsafe {
        for matrix in 0..args.matrices {
            let (from, to) = (args.sum.add(matrix * rows), args.out.add(matrix * rows));
            for term in 0..args.terms {
                let at = term * args.matrices + matrix;
                let scale = match args.columns.is_null() {
                    true => whole_product::<V>(args, at * keep),
                    false => product(args, at * keep),
                };
                let left = args.left.add(at * rows);
                // The first term reads the sums, the others what the one before wrote.
                let from = if term == 0 { from } else { to.cast_const() };
                let whole = rows / V::LANES * V::LANES;
                let factor = V::splat(scale);
                for r in (0..whole).step_by(V::LANES) {
                    let sum = V::load(left.add(r)).mul_add(factor, V::load(from.add(r)));
                    sum.store(to.add(r));
                }
                if whole < rows {
                    let rest = rows - whole;
                    let sum = V::load_first(left.add(whole), rest)
                        .mul_add(factor, V::load_first(from.add(whole), rest));
                    sum.store_first(to.add(whole), rest);
                }
            }
        }
    }
}

/// The product of a term's right side, which keeps all columns, with the vector.
#[inline(always)]
unsafe fn whole_product<V: Vector>(args: &TermsArgs, first: usize) -> f32 {
    let mut sums = [V::splat(0.0); SUMS];
    // SAFETY: passed on from the caller.
    unsafe {
        let (right, z) = (args.right.add(first), args.z);
        let (step, mut k) = (SUMS * V::LANES, 0);
        while k + step <= args.keep {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = k + i * V::LANES;
                *sum = V::load(right.add(at)).mul_add(V::load(z.add(at)), *sum);
            }
            k += step;
        }
        while k < args.keep {
            let count = (args.keep - k).min(V::LANES);
            let (x, y) = (
                V::load_first(right.add(k), count),
                V::load_first(z.add(k), count),
            );
            sums[0] = x.mul_add(y, sums[0]);
            k += count;
        }
    }
    (sums[0].add(sums[1])).add(sums[2].add(sums[3])).sum()
}

/// The product of a term's right side with the vector, in an order that depends on its length alone.
#[inline(always)]
unsafe fn product(args: &TermsArgs, first: usize) -> f32 {
    let mut sums = [0.0f32; SUMS];
    // SAFETY: passed on from the caller.
    unsafe {
        let (right, columns) = (args.right.add(first), args.columns.add(first));
        let whole = args.keep / SUMS * SUMS;
        for k in (0..whole).step_by(SUMS) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += *right.add(k + i) * *args.z.add(*columns.add(k + i) as usize);
            }
        }
        for k in whole..args.keep {
            sums[k - whole] += *right.add(k) * *args.z.add(*columns.add(k) as usize);
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}
