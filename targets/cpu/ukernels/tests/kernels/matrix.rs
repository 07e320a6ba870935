//! igemm, gemv, packing and GEMM pointer tables.

use lepid_ukernels::args::{
    Activation, Epilogue, GemmRowsArgs, GemvArgs, IgemmArgs, PackBArgs, TransposeArgs,
};
use lepid_ukernels::{Table, packed_len};

use crate::{ACTIVATIONS, Random, activate, assert_close, epilogue, on_each_isa};

fn pack(t: &Table, k: usize, n: usize, src: &[f32], k_stride: usize, n_stride: usize) -> Vec<f32> {
    let mut dst = vec![f32::NAN; packed_len(k, n)];
    let args = PackBArgs {
        k,
        n,
        src: src.as_ptr(),
        k_stride,
        n_stride,
        dst: dst.as_mut_ptr(),
    };
    // SAFETY: the buffers have the sizes the arguments say.
    unsafe { (t.pack_b_f32)(&args) };
    dst
}

/// A product with everything in it: strides, bias, residual, an activation.
struct Case {
    rows: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    act: Activation,
}

const PAD: usize = 3;

impl Case {
    fn new(rows: usize, n: usize, k: usize, act: Activation, with_extras: bool) -> Case {
        let mut random = Random((rows * 7919 + n * 31 + k) as u64);
        let extra = usize::from(with_extras);
        Case {
            rows,
            n,
            k,
            a: random.floats(rows * (k + PAD)),
            b: random.floats(k * n),
            bias: random.floats(n * extra),
            residual: random.floats(rows * (n + 1) * extra),
            act,
        }
    }

    fn epilogue(&self) -> Epilogue {
        epilogue(&self.bias, &self.residual, self.n + 1, self.act)
    }

    fn igemm(&self, t: &Table, row_begin: usize, row_end: usize, c: &mut [f32]) {
        let rows = row_end - row_begin;
        let packed = pack(t, self.k, self.n, &self.b, self.n, 1);
        let mut pointers = vec![std::ptr::null(); rows];
        let mut e = self.epilogue();
        if !e.residual.is_null() {
            e.residual = e.residual.wrapping_add(row_begin * (self.n + 1));
        }
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe {
            (t.gemm_rows)(&GemmRowsArgs {
                a: self.a.as_ptr().add(row_begin * (self.k + PAD)),
                lda: self.k + PAD,
                rows,
                out: pointers.as_mut_ptr(),
            });
            (t.igemm_f32)(&IgemmArgs {
                rows,
                taps: 1,
                k: self.k,
                skip: 0,
                gather: std::ptr::null(),
                cold: 0,
                a: pointers.as_ptr(),
                b: packed.as_ptr(),
                c: c.as_mut_ptr().add(row_begin * (self.n + 2)),
                ldc: self.n + 2,
                n: self.n,
                epilogue: e,
            });
        }
    }

    fn gemv(&self, t: &Table, c: &mut [f32]) {
        let packed = pack(t, self.k, self.n, &self.b, self.n, 1);
        let panels = self.n.div_ceil(16);
        for (panel_begin, panel_end) in [(0, panels / 2), (panels / 2, panels)] {
            // SAFETY: all buffers have the sizes the arguments say.
            unsafe {
                (t.gemv_f32)(&GemvArgs {
                    rows: self.rows,
                    k: self.k,
                    n: self.n,
                    a: self.a.as_ptr(),
                    lda: self.k + PAD,
                    b: packed.as_ptr(),
                    c: c.as_mut_ptr(),
                    ldc: self.n + 2,
                    panel_begin,
                    panel_end,
                    epilogue: self.epilogue(),
                });
            }
        }
    }

    fn check(&self, c: &[f32]) {
        for r in 0..self.rows {
            for j in 0..self.n {
                let mut sum = 0.0;
                for i in 0..self.k {
                    sum += f64::from(self.a[r * (self.k + PAD) + i])
                        * f64::from(self.b[i * self.n + j]);
                }
                if !self.bias.is_empty() {
                    sum += f64::from(self.bias[j]) + f64::from(self.residual[r * (self.n + 1) + j]);
                }
                let want = activate(self.act, 0.2, 0.7, sum);
                assert_close(
                    c[r * (self.n + 2) + j],
                    want,
                    format!("{}x{}x{} ({r}, {j})", self.rows, self.n, self.k),
                );
            }
            assert_eq!(
                &c[r * (self.n + 2) + self.n..][..2],
                [9.0, 9.0],
                "wrote past the columns"
            );
        }
    }

    fn output(&self) -> Vec<f32> {
        vec![9.0; self.rows * (self.n + 2)]
    }
}

#[test]
fn igemm_computes_products_of_all_shapes() {
    on_each_isa(|t| {
        for rows in (1..=14).chain([49]) {
            for n in [1, 7, 8, 9, 15, 16, 17, 31, 48] {
                for k in [1, 2, 5, 33] {
                    let case = Case::new(rows, n, k, Activation::Relu, (rows + n + k) % 2 == 0);
                    let mut c = case.output();
                    case.igemm(t, 0, rows, &mut c);
                    case.check(&c);
                }
            }
        }
    });
}

/// A sum over some elements behind each pointer is that over a matrix of those alone, bit by bit.
#[test]
fn igemm_skips_and_gathers() {
    on_each_isa(|t| {
        for (rows, n, k, skip) in [(13, 18, 5, 3), (6, 34, 34, 7), (1, 9, 2, 0)] {
            let wide = Case::new(rows, n, skip + 2 * k, Activation::None, true);
            let run = |offsets: &[u32], args: fn(&[u32], usize) -> (usize, *const u32)| {
                let (skip, gather) = args(offsets, skip);
                let pointers: Vec<*const f32> = wide
                    .a
                    .chunks_exact(wide.k + PAD)
                    .map(<[f32]>::as_ptr)
                    .collect();
                let packed = pack(t, k, n, &wide.b[..k * n], n, 1);
                let mut c = wide.output();
                // SAFETY: all buffers have the sizes the arguments say; all offsets lie in a row.
                unsafe {
                    (t.igemm_f32)(&IgemmArgs {
                        rows,
                        taps: 1,
                        k,
                        skip,
                        gather,
                        cold: 1,
                        a: pointers.as_ptr(),
                        b: packed.as_ptr(),
                        c: c.as_mut_ptr(),
                        ldc: n + 2,
                        n,
                        epilogue: wide.epilogue(),
                    });
                }
                c
            };
            let expected = |offsets: &[u32]| {
                let mut narrow = Case::new(rows, n, k, Activation::None, true);
                narrow.b = wide.b[..k * n].to_vec();
                narrow.bias.clone_from(&wide.bias);
                narrow.residual.clone_from(&wide.residual);
                for r in 0..rows {
                    for (i, &offset) in offsets.iter().enumerate() {
                        narrow.a[r * (k + PAD) + i] = wide.a[r * (wide.k + PAD) + offset as usize];
                    }
                }
                let mut c = narrow.output();
                narrow.igemm(t, 0, rows, &mut c);
                c
            };
            let run_of: Vec<u32> = (0..k).map(|i| (skip + i) as u32).collect();
            let skipped = run(&run_of, |_, skip| (skip, std::ptr::null()));
            assert_eq!(skipped, expected(&run_of));
            let spread: Vec<u32> = (0..k)
                .map(|i| ((7 * i + skip) % (skip + 2 * k)) as u32)
                .collect();
            let gathered = run(&spread, |offsets, _| (0, offsets.as_ptr()));
            assert_eq!(gathered, expected(&spread));
        }
    });
}

#[test]
fn transpose_moves_every_element() {
    on_each_isa(|t| {
        for (rows, columns) in [(1, 1), (3, 50), (8, 8), (9, 17), (20, 7), (5, 16)] {
            let (src_row, dst_row) = (columns + 2, rows + 3);
            let src = Random(7).floats(rows * src_row);
            let mut dst = vec![9.0; columns * dst_row];
            // SAFETY: both buffers have the sizes the arguments say.
            unsafe {
                (t.transpose_f32)(&TransposeArgs {
                    rows,
                    columns,
                    src: src.as_ptr(),
                    src_row,
                    dst: dst.as_mut_ptr(),
                    dst_row,
                });
            }
            for (place, value) in dst.iter().enumerate() {
                let (j, i) = (place / dst_row, place % dst_row);
                let want = if i < rows { src[i * src_row + j] } else { 9.0 };
                assert_eq!(*value, want, "{rows}x{columns} ({i}, {j})");
            }
        }
    });
}

#[test]
fn gemv_computes_products_of_all_shapes() {
    on_each_isa(|t| {
        for rows in 1..=4 {
            for n in [1, 8, 9, 16, 50] {
                for k in [1, 2, 3, 4, 7, 64] {
                    let case = Case::new(rows, n, k, Activation::Clamp, (rows + k) % 2 == 0);
                    let mut c = case.output();
                    case.gemv(t, &mut c);
                    case.check(&c);
                }
            }
        }
    });
}

#[test]
fn epilogues_apply_every_activation() {
    on_each_isa(|t| {
        for act in ACTIVATIONS {
            let case = Case::new(8, 37, 9, act, true);
            let mut c = case.output();
            case.igemm(t, 0, 8, &mut c);
            case.check(&c);
            let case = Case::new(3, 37, 9, act, true);
            let mut c = case.output();
            case.gemv(t, &mut c);
            case.check(&c);
        }
    });
}

#[test]
fn cutting_rows_keeps_every_bit() {
    on_each_isa(|t| {
        for act in [Activation::None, Activation::Gelu] {
            let case = Case::new(29, 40, 100, act, true);
            let mut whole = case.output();
            case.igemm(t, 0, 29, &mut whole);
            for cut in 1..29 {
                let mut parts = case.output();
                case.igemm(t, 0, cut, &mut parts);
                case.igemm(t, cut, 29, &mut parts);
                assert_eq!(whole, parts, "cut at {cut}");
            }
        }
    });
}

#[test]
fn nan_and_infinity_pass_through_bounds() {
    on_each_isa(|t| {
        let mut case = Case::new(3, 5, 4, Activation::Relu, false);
        case.a[0] = f32::NAN;
        case.a[4 + PAD] = f32::INFINITY;
        let mut c = case.output();
        case.igemm(t, 0, 3, &mut c);
        for j in 0..5 {
            assert!(c[j].is_nan());
            assert_eq!(c[7 + j], if case.b[j] > 0.0 { f32::INFINITY } else { 0.0 });
        }
    });
}

#[test]
fn packing_is_the_same_for_all_strides() {
    on_each_isa(|t| {
        for (k, n) in [(1, 1), (8, 16), (13, 16), (17, 35), (64, 32)] {
            let rows = Random(1).floats(k * n);
            let mut columns = vec![0.0; k * n];
            let mut sparse = vec![0.0; k * n * 2];
            for i in 0..k {
                for j in 0..n {
                    columns[j * k + i] = rows[i * n + j];
                    sparse[(i * n + j) * 2] = rows[i * n + j];
                }
            }
            let packed = pack(t, k, n, &rows, n, 1);
            assert_eq!(packed, pack(t, k, n, &columns, 1, k));
            assert_eq!(packed, pack(t, k, n, &sparse, 2 * n, 2));
            for (index, x) in packed.iter().enumerate() {
                let (panel, i, j) = (index / (16 * k), index / 16 % k, index % 16);
                let column = panel * 16 + j;
                assert_eq!(
                    *x,
                    if column < n {
                        rows[i * n + column]
                    } else {
                        0.0
                    }
                );
            }
        }
    });
}
