//! The discrete Fourier transform of any length in O(n log n): passes of small radices that sort
//! themselves (Stockham), and for a length with a large prime factor Bluestein's convolution.
//! Computed in `f64`.

use lepid_ir::core::{Native, Num, OpView};
use lepid_ir::dialects::tensor::{self, root_of_unity};
use lepid_ir::with_native;

use super::{Body, Call, Lanes};

/// `tensor.fft`.
pub(super) struct Fft;

impl Body for Fft {
    const COUNTS: [usize; 3] = [2, 2, 2];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let inverse = tensor::Fft::inverse(op);
        vec![tensor::Fft::axis(op), i64::from(inverse)]
    }

    fn run(call: &Call<'_>) {
        with_native!(call.results[0].elem(), T => fft::<T>(call))
    }
}

fn fft<T: Native>(call: &Call<'_>) {
    let (axis, inverse) = (call.size(0), call.flag(1));
    let lanes = Lanes::new(&call.operands[0].shape(), axis);
    let mine = call.share(lanes.len());
    if mine.is_empty() {
        return;
    }
    // Swapping the parts before and after gives the transform with the opposite sign.
    let [re, im] = match inverse {
        true => [1, 0],
        false => [0, 1],
    };
    let (re_in, im_in) = (
        call.operands[re].values::<T>(),
        call.operands[im].values::<T>(),
    );
    let (re_out, im_out) = (call.results[re].cells::<T>(), call.results[im].cells::<T>());
    let scale = if inverse {
        1.0 / lanes.count as f64
    } else {
        1.0
    };
    let to_f64 = |x: T| x.to_num().as_f64();
    let plan = Plan::new(lanes.count);
    let mut x = Signal::zeros(lanes.count);
    let mut scratch = plan.scratch();
    for lane in mine {
        let places = (0..lanes.count).map(|i| lanes.start(lane) + i * lanes.stride);
        for (i, at) in places.clone().enumerate() {
            (x.re[i], x.im[i]) = (to_f64(re_in[at]), to_f64(im_in[at]));
        }
        plan.run(&mut x, &mut scratch);
        for (i, at) in places.enumerate() {
            re_out[at].set(T::from_num(Num::Float(x.re[i] * scale)));
            im_out[at].set(T::from_num(Num::Float(x.im[i] * scale)));
        }
    }
}

type Complex = (f64, f64);

fn mul(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// Complex numbers, real and imaginary parts apart.
#[derive(Clone)]
struct Signal {
    re: Vec<f64>,
    im: Vec<f64>,
}

impl Signal {
    fn zeros(n: usize) -> Signal {
        Signal {
            re: vec![0.0; n],
            im: vec![0.0; n],
        }
    }

    fn get(&self, i: usize) -> Complex {
        (self.re[i], self.im[i])
    }

    fn set(&mut self, i: usize, (re, im): Complex) {
        (self.re[i], self.im[i]) = (re, im);
    }
}

/// Passes of a radix above this cost more than a convolution.
const MAX_RADIX: usize = 31;

/// How to transform a length.
enum Plan {
    Passes(Passes),
    Convolution(Box<Convolution>),
}

impl Plan {
    fn new(n: usize) -> Plan {
        let radices = radices(n);
        match radices.iter().all(|&r| r <= MAX_RADIX) {
            true => Plan::Passes(Passes::new(n, radices)),
            false => Plan::Convolution(Box::new(Convolution::new(n))),
        }
    }

    /// Memory that `run` needs.
    fn scratch(&self) -> [Signal; 2] {
        match self {
            Plan::Passes(passes) => [Signal::zeros(passes.roots.re.len()), Signal::zeros(0)],
            Plan::Convolution(c) => {
                let n = c.passes.roots.re.len();
                [Signal::zeros(n), Signal::zeros(n)]
            }
        }
    }

    fn run(&self, x: &mut Signal, scratch: &mut [Signal; 2]) {
        match self {
            Plan::Passes(passes) => passes.run(x, &mut scratch[0]),
            Plan::Convolution(convolution) => convolution.run(x, scratch),
        }
    }
}

/// Factors whose product is `n`, fours first.
fn radices(mut n: usize) -> Vec<usize> {
    let mut out = Vec::new();
    while n.is_multiple_of(4) && n > 0 {
        out.push(4);
        n /= 4;
    }
    let mut p = 2;
    while n > 1 {
        // What has no factor up to its root is prime.
        if p * p > n {
            p = n;
        }
        while n.is_multiple_of(p) {
            out.push(p);
            n /= p;
        }
        p += 1;
    }
    out
}

/// One pass per radix.
struct Passes {
    radices: Vec<usize>,
    /// `exp(-2 pi i k / n)` for each `k` below the length `n`.
    roots: Signal,
}

impl Passes {
    fn new(n: usize, radices: Vec<usize>) -> Passes {
        let mut roots = Signal::zeros(n);
        for k in 0..n {
            roots.set(k, root_of_unity(k, n));
        }
        Passes { radices, roots }
    }

    fn run(&self, x: &mut Signal, scratch: &mut Signal) {
        let (mut left, mut step) = (self.roots.re.len(), 1);
        for &radix in &self.radices {
            left /= radix;
            let pass = Pass {
                roots: &self.roots,
                blocks: left,
                step,
            };
            match radix {
                2 => pass.two(x, scratch),
                4 => pass.four(x, scratch),
                _ => pass.any(radix, x, scratch),
            }
            std::mem::swap(x, scratch);
            step *= radix;
        }
    }
}

/// A pass: for each of `blocks` blocks and each of `step` places in it a transform of the radix.
struct Pass<'a> {
    roots: &'a Signal,
    blocks: usize,
    step: usize,
}

impl Pass<'_> {
    /// The factor of output `j` of block `p`.
    fn twiddle(&self, p: usize, j: usize) -> Complex {
        self.roots.get(p * j * self.step)
    }

    fn two(&self, x: &Signal, y: &mut Signal) {
        let s = self.step;
        for p in 0..self.blocks {
            let w = self.twiddle(p, 1);
            for q in 0..s {
                let [a, b] = [0, 1].map(|k| x.get(q + s * (p + self.blocks * k)));
                y.set(q + s * (2 * p), (a.0 + b.0, a.1 + b.1));
                y.set(q + s * (2 * p + 1), mul((a.0 - b.0, a.1 - b.1), w));
            }
        }
    }

    fn four(&self, x: &Signal, y: &mut Signal) {
        let s = self.step;
        for p in 0..self.blocks {
            let w = [1, 2, 3].map(|j| self.twiddle(p, j));
            for q in 0..s {
                let [a, b, c, d] = [0, 1, 2, 3].map(|k| x.get(q + s * (p + self.blocks * k)));
                let (even, odd) = ((a.0 + c.0, a.1 + c.1), (b.0 + d.0, b.1 + d.1));
                let (low, high) = ((a.0 - c.0, a.1 - c.1), (b.0 - d.0, b.1 - d.1));
                let out = |j: usize| q + s * (4 * p + j);
                y.set(out(0), (even.0 + odd.0, even.1 + odd.1));
                y.set(out(1), mul((low.0 + high.1, low.1 - high.0), w[0]));
                y.set(out(2), mul((even.0 - odd.0, even.1 - odd.1), w[1]));
                y.set(out(3), mul((low.0 - high.1, low.1 + high.0), w[2]));
            }
        }
    }

    fn any(&self, radix: usize, x: &Signal, y: &mut Signal) {
        let s = self.step;
        // The radix divides the length, so its roots are among those of the length.
        let every = self.roots.re.len() / radix;
        for p in 0..self.blocks {
            for q in 0..s {
                for j in 0..radix {
                    let mut sum = (0.0, 0.0);
                    for k in 0..radix {
                        let x = x.get(q + s * (p + self.blocks * k));
                        let term = mul(x, self.roots.get(j * k % radix * every));
                        sum = (sum.0 + term.0, sum.1 + term.1);
                    }
                    y.set(q + s * (radix * p + j), mul(sum, self.twiddle(p, j)));
                }
            }
        }
    }
}

/// A transform as a convolution with a chirp, which runs at a length that is a power of two.
struct Convolution {
    passes: Passes,
    /// `exp(-pi i k² / n)`.
    chirp: Signal,
    /// The transform of the conjugate chirp in both directions, divided by its length.
    kernel: Signal,
}

impl Convolution {
    fn new(n: usize) -> Convolution {
        let size = (2 * n - 1).next_power_of_two();
        let passes = Passes::new(size, radices(size));
        let (mut chirp, mut kernel) = (Signal::zeros(n), Signal::zeros(size));
        for k in 0..n {
            // The square is taken modulo the period, or its digits would be lost.
            let square = (k as u128 * k as u128 % (2 * n as u128)) as usize;
            let (re, im) = root_of_unity(square, 2 * n);
            chirp.set(k, (re, im));
            for at in [k, (size - k) % size] {
                kernel.set(at, (re / size as f64, -im / size as f64));
            }
        }
        passes.run(&mut kernel, &mut Signal::zeros(size));
        Convolution {
            passes,
            chirp,
            kernel,
        }
    }

    fn run(&self, x: &mut Signal, [a, scratch]: &mut [Signal; 2]) {
        let n = x.re.len();
        a.re.fill(0.0);
        a.im.fill(0.0);
        for k in 0..n {
            a.set(k, mul(x.get(k), self.chirp.get(k)));
        }
        self.passes.run(a, scratch);
        for k in 0..a.re.len() {
            // The parts are exchanged, so that the same passes transform back.
            let (re, im) = mul(a.get(k), self.kernel.get(k));
            a.set(k, (im, re));
        }
        self.passes.run(a, scratch);
        for k in 0..n {
            let (im, re) = a.get(k);
            x.set(k, mul((re, im), self.chirp.get(k)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plainly(x: &Signal) -> Signal {
        let n = x.re.len();
        let mut out = Signal::zeros(n);
        for k in 0..n {
            let sum = (0..n).fold((0.0, 0.0), |sum: Complex, i| {
                let term = mul(x.get(i), root_of_unity(i * k % n, n));
                (sum.0 + term.0, sum.1 + term.1)
            });
            out.set(k, sum);
        }
        out
    }

    #[test]
    fn every_length_agrees_with_the_sum() {
        for n in (1..=130).chain([251, 256, 331, 360, 509, 961, 1000]) {
            let mut x = Signal::zeros(n);
            for i in 0..n {
                x.set(i, ((i as f64 * 1.7).sin(), (i as f64 * i as f64).cos()));
            }
            let expected = plainly(&x);
            let plan = Plan::new(n);
            plan.run(&mut x, &mut plan.scratch());
            let far = (0..n).map(|i| {
                let (a, b) = (x.get(i), expected.get(i));
                (a.0 - b.0).abs().max((a.1 - b.1).abs())
            });
            let far = far.fold(0.0, f64::max);
            assert!(far < 1e-12 * n as f64, "{n}: {far}");
        }
    }

    #[test]
    fn large_primes_are_convolved() {
        assert!(matches!(Plan::new(2 * 37), Plan::Convolution(_)));
        assert!(matches!(Plan::new(2 * 31), Plan::Passes(_)));
        assert_eq!(radices(360), [4, 2, 3, 3, 5]);
    }
}
