//! The discrete Fourier transform.

use std::f64::consts::TAU;

use crate::core::{Cost, EvalCx, Num, OpDef, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::{kernel, shapes};
use crate::op;

op! {
    /// The discrete Fourier transform of `re + i im` along `axis`:
    /// `X[k] = sum_n x[n] exp(-2 pi i k n / N)`; with `inverse`, the sum has the opposite sign in the
    /// exponent and is divided by `N`. Any `N`.
    "tensor.fft" => Fft {
        operands: [re: FLOAT_TENSOR, im: FLOAT_TENSOR],
        attributes: [axis: Int, inverse: Bool = false],
        results: [out_re, out_im],
        traits: [Pure],
    }
}

impl OpDef for Fft {
    fn info(&self) -> &'static OpInfo {
        &Fft::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let elem = shapes::same_elem(op, 0..2)?;
        let dims = shapes::meet_all(op.operand_dims(0), op.operand_dims(1))?;
        shapes::axis("axis", Fft::axis(op), dims.len())?;
        Ok(vec![Type::tensor(elem, dims); 2])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        kernel::same_shape(&x[0], &x[1])?;
        let axis = shapes::axis("axis", Fft::axis(op), x[0].rank())?;
        Ok(transform(&x[0], &x[1], axis, Fft::inverse(op)))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let n = usize::try_from(Fft::axis(op)).ok();
        let n = n.and_then(|a| op.operand_dims(0).get(a)?.known());
        let n = n.unwrap_or(2).max(2) as f64;
        Cost::of(op, 5.0 * op.operand_elements(0) * n.log2())
    }
}

type Complex = (f64, f64);

/// `exp(-2πi k/n)`, `k < n`, as real and imaginary part: exact at quarters of the circle, so that
/// what cancels there leaves nothing.
pub fn root_of_unity(k: usize, n: usize) -> (f64, f64) {
    match (4 * k).checked_div(n) {
        Some(quarter) if 4 * k == quarter * n => {
            [(1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 1.0)][quarter % 4]
        }
        _ => {
            let angle = -TAU * k as f64 / n as f64;
            (libm::cos(angle), libm::sin(angle))
        }
    }
}

fn transform(re: &Tensor, im: &Tensor, axis: usize, inverse: bool) -> Vec<Tensor> {
    let shape = re.shape();
    let n = shape[axis];
    let lanes = kernel::Lanes::new(shape, axis);
    let (re_in, im_in) = (re.to_f64s(), im.to_f64s());
    let mut out = (vec![0.0; re_in.len()], vec![0.0; re_in.len()]);
    let roots: Vec<Complex> = (0..n)
        .map(|k| match (root_of_unity(k, n), inverse) {
            (root, false) => root,
            ((re, im), true) => (re, -im),
        })
        .collect();
    let scale = if inverse { 1.0 / n as f64 } else { 1.0 };
    for start in lanes.starts() {
        let lane: Vec<Complex> = (0..n)
            .map(|i| start + i * lanes.stride)
            .map(|at| (re_in[at], im_in[at]))
            .collect();
        for (i, (re, im)) in fourier(&lane, &roots).into_iter().enumerate() {
            out.0[start + i * lanes.stride] = re * scale;
            out.1[start + i * lanes.stride] = im * scale;
        }
    }
    [out.0, out.1]
        .map(|values| {
            let nums = values.into_iter().map(Num::Float);
            Tensor::from_nums(re.elem(), shape.iter().copied(), nums)
        })
        .into()
}

/// Cooley and Tukey's recursion by the smallest factor of the length; a prime length is summed
/// plainly. `roots` are the roots of unity of a multiple of the length.
fn fourier(x: &[Complex], roots: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    if n <= 1 {
        return x.to_vec();
    }
    let p = (2..)
        .find(|p| p * p > n || n.is_multiple_of(*p))
        .unwrap_or(n);
    let p = if n.is_multiple_of(p) { p } else { n };
    let m = n / p;
    let parts: Vec<Vec<Complex>> = (0..p)
        .map(|r| x.iter().copied().skip(r).step_by(p).collect::<Vec<_>>())
        .map(|part| fourier(&part, roots))
        .collect();
    let step = roots.len() / n;
    (0..n)
        .map(|k| {
            let mut sum = (0.0, 0.0);
            for (r, part) in parts.iter().enumerate() {
                let (a, b) = part[k % m];
                let (c, s) = roots[(r * k) % n * step];
                sum.0 += a * c - b * s;
                sum.1 += a * s + b * c;
            }
            sum
        })
        .collect()
}

pub(super) const OPS: &[&dyn OpDef] = &[&Fft];
