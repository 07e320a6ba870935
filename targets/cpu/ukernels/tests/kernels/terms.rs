//! Terms of products: values against a plain loop, in place and elsewhere.

use lepid_ukernels::args::TermsArgs;

use crate::{Random, assert_close, on_each_isa};

#[test]
fn terms_match_a_plain_loop() {
    for (terms, matrices, rows, keep, length) in [
        (1, 1, 1, 1, 1),
        (2, 4, 13, 5, 9),
        (3, 1, 40, 33, 33),
        (4, 4, 8, 64, 64),
        (1, 2, 7, 3, 50),
    ] {
        let mut random = Random(3);
        let entries = terms * matrices;
        let sum = random.floats(matrices * rows);
        let z = random.floats(length);
        let (left, right) = (random.floats(entries * rows), random.floats(entries * keep));
        let all: Vec<u32> = (0..entries * keep).map(|i| (i % keep) as u32).collect();
        let some: Vec<u32> = all.iter().map(|&j| (j * 7 + 3) % length as u32).collect();
        for (columns, given) in [(&some, true), (&all, true), (&all, false)] {
            on_each_isa(|t| {
                let mut out = sum.clone();
                let mut args = TermsArgs {
                    terms,
                    matrices,
                    rows,
                    keep,
                    sum: sum.as_ptr(),
                    z: z.as_ptr(),
                    left: left.as_ptr(),
                    right: right.as_ptr(),
                    columns: if given {
                        columns.as_ptr()
                    } else {
                        std::ptr::null()
                    },
                    out: out.as_mut_ptr(),
                };
                if !given && keep != length {
                    return;
                }
                // SAFETY: all buffers have the sizes that the arguments say.
                unsafe { (t.terms_f32)(&args) };
                let mut inside = sum.clone();
                (args.sum, args.out) = (inside.as_ptr(), inside.as_mut_ptr());
                // SAFETY: as above.
                unsafe { (t.terms_f32)(&args) };
                assert!(inside == out);
                for m in 0..matrices {
                    for r in 0..rows {
                        let mut want = f64::from(sum[m * rows + r]);
                        for n in 0..terms {
                            let at = n * matrices + m;
                            let kept = at * keep..(at + 1) * keep;
                            let products = kept
                                .map(|k| f64::from(right[k]) * f64::from(z[columns[k] as usize]));
                            want += f64::from(left[at * rows + r]) * products.sum::<f64>();
                        }
                        assert_close(out[m * rows + r], want, format_args!("{m} {r}"));
                    }
                }
            });
        }
    }
}
