//! Winograd's convolutions F(m x m, 3 x 3): their matrices, what they cost in accuracy, and how their weights are packed.
//!
//! A tile of `m x m` outputs is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of the window `g` and the `(m + 2)²` inputs `d` under it
//! (Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016). The matrices follow from the points
//! at which the underlying polynomials are evaluated; ours are `0`, pairs `±x`, and infinity, so that rows come in pairs
//! that share their even and odd halves.

use crate::args::WinogradBlock;
use crate::kernels::PANEL;

/// Which of Winograd's convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// F(2 x 2, 3 x 3): 16 products for 4 outputs, 2.25 times fewer than a direct convolution has.
    F2,
    /// F(4 x 4, 3 x 3): 36 products for 16 outputs, 4 times fewer than a direct convolution has.
    F4,
}

/// Taps of a window, along one axis.
const WINDOW: usize = 3;

/// The finite points of F(2, 3), without 0: one pair.
pub(crate) const F2_POINT: f32 = 1.0;

/// The finite points of F(4, 3), without 0: two pairs. Of all pairs of sixteenths these have nearly the smallest
/// [`Scheme::growth`], 7.5 against 31.4 of the usual 1 and 2; and their products are exact in `f32`.
pub(crate) const F4_POINTS: [f32; 2] = [0.6875, 1.5];

/// The matrices of a scheme along one axis, row by row; `sides` rows or columns each.
#[derive(Clone, Debug)]
pub struct Matrices {
    /// `Aᵀ`, `outputs` rows: from products to outputs.
    pub output: Vec<Vec<f64>>,
    /// `G`, rows of 3: from the window to factors.
    pub window: Vec<Vec<f64>>,
    /// `Bᵀ`: from inputs to factors.
    pub input: Vec<Vec<f64>>,
}

impl Scheme {
    /// All schemes, the smallest tile first.
    pub const ALL: [Scheme; 2] = [Scheme::F2, Scheme::F4];

    /// Outputs of a tile along one axis.
    pub const fn outputs(self) -> usize {
        match self {
            Scheme::F2 => 2,
            Scheme::F4 => 4,
        }
    }

    /// Inputs and products of a tile along one axis.
    pub const fn side(self) -> usize {
        self.outputs() + WINDOW - 1
    }

    /// Products of a tile.
    pub const fn products(self) -> usize {
        self.side() * self.side()
    }

    /// Floats of packed weights: for each product of a tile a packed `channels x columns` matrix.
    pub fn packed_len(self, channels: usize, columns: usize) -> usize {
        self.products() * crate::packed_len(channels, columns)
    }

    fn points(self) -> Vec<f64> {
        let pair = |x: f32| [f64::from(x), f64::from(-x)];
        let pairs: &[f32] = match self {
            Scheme::F2 => &[F2_POINT],
            Scheme::F4 => &F4_POINTS,
        };
        std::iter::once(0.0)
            .chain(pairs.iter().copied().flat_map(pair))
            .collect()
    }

    /// The matrices, exact up to the rounding of `f64`.
    pub fn matrices(self) -> Matrices {
        let points = self.points();
        let side = self.side();
        let mut m = Matrices {
            output: vec![vec![0.0; side]; self.outputs()],
            window: vec![vec![0.0; WINDOW]; side],
            input: vec![vec![0.0; side]; side],
        };
        for (i, &x) in points.iter().enumerate() {
            let others: Vec<f64> = points.iter().copied().filter(|&y| y != x).collect();
            let scale: f64 = others.iter().map(|y| x - y).product();
            for (k, row) in m.output.iter_mut().enumerate() {
                row[i] = x.powi(k as i32);
            }
            for (k, w) in m.window[i].iter_mut().enumerate() {
                *w = x.powi(k as i32) / scale;
            }
            m.input[i][..side - 1].copy_from_slice(&with_roots(&others));
        }
        // The point at infinity sees leading coefficients only.
        m.output[self.outputs() - 1][side - 1] = 1.0;
        m.window[side - 1][WINDOW - 1] = 1.0;
        m.input[side - 1] = with_roots(&points);
        m
    }

    /// How much larger than in a direct convolution the values are that rounding errors are relative to, measured at
    /// the output: `max over r of sum over i of A[r][i]² ‖B[i]‖² ‖G[i]‖² / 3`.
    ///
    /// This is the root mean square over both axes, so the square root along one axis, squared. It assumes
    /// independent inputs and weights: product `i` then has the variance `‖B[i]‖² ‖G[i]‖²` of an input times a
    /// weight, and output `r` adds them up with the weights `A[r][i]²`.
    pub fn growth(self) -> f64 {
        let m = self.matrices();
        let square = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
        let variances: Vec<f64> = m
            .input
            .iter()
            .zip(&m.window)
            .map(|(b, g)| square(b) * square(g))
            .collect();
        let rows = m.output.iter().map(|row| {
            let terms = row.iter().zip(&variances);
            terms.map(|(a, v)| a * a * v).sum::<f64>() / WINDOW as f64
        });
        rows.fold(0.0, f64::max)
    }

    /// Bounds the largest error of an output, relative to the root mean square of all outputs (before bias, residual
    /// and activation): `λ u κ √(C / 2 + t)`.
    ///
    /// `κ` is [`Scheme::growth`], `C` the channels, `u = 2⁻²⁴ / √3` the deviation of one rounding, `t` the roundings of
    /// the transforms, and `λ = 6` the deviations that the largest error may lie from none. The form (norms of the
    /// matrices times the length of the sums) is that of the worst case in Barabasz, Anderson, Soodhalter and Gregg,
    /// *Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks* (ACM TOMS 46(4),
    /// 2020), with Frobenius norms and the root of the length, as roundings are as good as independent (Higham and
    /// Mary, *A New Approach to Probabilistic Rounding Error Analysis*, SIAM J. Sci. Comput. 41(5), 2019). So it is no
    /// worst case: inputs chosen against it can exceed it. A sum of C terms has C roundings, each relative to the sum
    /// so far, hence C / 2.
    pub fn error_bound(self, channels: usize) -> f64 {
        let unit = f64::from(f32::EPSILON) / 2.0 / 3f64.sqrt();
        // Per value: one rounding of the weight; up to four per axis in the input's transform, as many in the output's.
        let transforms = 1.0 + 8.0 + 8.0;
        DEVIATIONS * unit * self.growth() * (channels as f64 / 2.0 + transforms).sqrt()
    }

    /// How much to transform at a time, of `tiles` tiles.
    ///
    /// All weights stream once per block. Those that the second-level cache holds may do so often, and leave the block
    /// room there; others come from further away, and a block of twice as many tiles hides that. Measured on layers of
    /// common networks, half and twice as many tiles or panels change the time by less than a tenth.
    pub fn block(self, tiles: usize, channels: usize, columns: usize) -> WinogradBlock {
        let near = 4 * self.packed_len(channels, columns) <= NEAR_BYTES;
        let values = if near { 36 * 36 } else { 2 * 36 * 36 };
        WinogradBlock {
            tiles: (values / self.products() / 6 * 6).min(tiles),
            panels: 4.min(columns.div_ceil(PANEL)),
        }
    }

    /// Transforms the weights `[columns][channels][3][3]` and packs them, `[product][panel][channel][16]`; the last
    /// panel is filled up with zeros.
    ///
    /// # Panics
    /// If a slice does not have the length that this says.
    pub fn pack(self, weights: &[f32], channels: usize, columns: usize, packed: &mut [f32]) {
        assert_eq!(weights.len(), columns * channels * WINDOW * WINDOW);
        let packing = Packing::new(self, channels, columns);
        let panels = weights.chunks(PANEL * channels * WINDOW * WINDOW);
        for (panel, weights) in panels.enumerate() {
            packing.pack_panel(panel, weights, packed);
        }
    }
}

/// Packs weights panel by panel, so that no more than one of them need be there at a time.
pub struct Packing {
    scheme: Scheme,
    window: Vec<Vec<f64>>,
    channels: usize,
    columns: usize,
}

impl Packing {
    pub fn new(scheme: Scheme, channels: usize, columns: usize) -> Packing {
        Packing {
            scheme,
            window: scheme.matrices().window,
            channels,
            columns,
        }
    }

    /// Packs the weights of one panel, at most 16 columns, to their places among the [`Scheme::packed_len`] floats of
    /// all.
    ///
    /// # Panics
    /// If a slice does not have the length that this says.
    pub fn pack_panel(&self, panel: usize, weights: &[f32], packed: &mut [f32]) {
        let lanes = (self.columns - panel * PANEL).min(PANEL);
        assert_eq!(weights.len(), lanes * self.channels * WINDOW * WINDOW);
        assert_eq!(
            packed.len(),
            self.scheme.packed_len(self.channels, self.columns)
        );
        match self.scheme {
            Scheme::F2 => self.transform::<4>(panel, weights, packed),
            Scheme::F4 => self.transform::<6>(panel, weights, packed),
        }
    }

    fn transform<const SIDE: usize>(&self, panel: usize, weights: &[f32], packed: &mut [f32]) {
        const TAPS: usize = WINDOW * WINDOW;
        let product_len = crate::packed_len(self.channels, self.columns);
        for channel in 0..self.channels {
            let mut taps = [[0.0; PANEL]; TAPS];
            for (lane, column) in weights.chunks_exact(self.channels * TAPS).enumerate() {
                for (tap, &w) in taps.iter_mut().zip(&column[channel * TAPS..][..TAPS]) {
                    tap[lane] = f64::from(w);
                }
            }
            // G g, then (G g) Gᵀ, both in double precision: a weight is rounded once.
            let mut rows = [[[0.0; PANEL]; WINDOW]; SIDE];
            for (row, factors) in rows.iter_mut().zip(&self.window) {
                for (x, sum) in row.iter_mut().enumerate() {
                    for (y, &factor) in factors.iter().enumerate() {
                        add_scaled(sum, factor, &taps[y * WINDOW + x]);
                    }
                }
            }
            for (i, row) in rows.iter().enumerate() {
                for (j, factors) in self.window.iter().enumerate() {
                    let mut sum = [0.0; PANEL];
                    for (tap, &factor) in row.iter().zip(factors) {
                        add_scaled(&mut sum, factor, tap);
                    }
                    let at =
                        (i * SIDE + j) * product_len + (panel * self.channels + channel) * PANEL;
                    for (to, &x) in packed[at..][..PANEL].iter_mut().zip(&sum) {
                        *to = x as f32;
                    }
                }
            }
        }
    }
}

/// Bytes of weights that come from near enough to stream often.
const NEAR_BYTES: usize = 1 << 20;

/// Deviations from its mean that the largest error of a layer may have.
pub(crate) const DEVIATIONS: f64 = 6.0;

/// The coefficients of the monic polynomial with these roots, the lowest first.
fn with_roots(roots: &[f64]) -> Vec<f64> {
    let mut out = vec![1.0];
    for root in roots {
        let mut next = vec![0.0; out.len() + 1];
        for (k, c) in out.iter().enumerate() {
            next[k] -= root * c;
            next[k + 1] += c;
        }
        out = next;
    }
    out
}

/// One value for each column of a panel.
type Lanes = [f64; PANEL];

/// `y += factor * x`
fn add_scaled(y: &mut Lanes, factor: f64, x: &Lanes) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `F(m, 3)` of all unit vectors is the correlation, which defines the matrices.
    #[test]
    fn matrices_make_a_correlation() {
        for scheme in Scheme::ALL {
            let m = scheme.matrices();
            for tap in 0..WINDOW {
                for at in 0..scheme.side() {
                    for r in 0..scheme.outputs() {
                        let products = (0..scheme.side())
                            .map(|i| m.output[r][i] * m.window[i][tap] * m.input[i][at]);
                        let want = if r + tap == at { 1.0 } else { 0.0 };
                        assert!((products.sum::<f64>() - want).abs() < 1e-12);
                    }
                }
            }
        }
    }

    #[test]
    fn points_beat_the_usual_ones() {
        assert!((Scheme::F2.growth() - 1.67).abs() < 0.01);
        assert!((Scheme::F4.growth() - 7.48).abs() < 0.01);
    }

    #[test]
    fn a_bound_grows_with_the_sums() {
        for scheme in Scheme::ALL {
            assert!(scheme.error_bound(64) < scheme.error_bound(512));
        }
        assert!(Scheme::F2.error_bound(64) < Scheme::F4.error_bound(64));
    }
}
