//! Affine indices: what an op asks of its operands, as functions of the loop variables.

/// `base + Σ coef[k] * loop variable k`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Affine {
    pub(super) coef: Vec<i64>,
    pub(super) base: i64,
}

impl Affine {
    pub(super) fn axis(axes: usize, axis: usize) -> Affine {
        let mut coef = vec![0; axes];
        coef[axis] = 1;
        Affine { coef, base: 0 }
    }

    pub(super) fn constant(axes: usize, base: i64) -> Affine {
        Affine {
            coef: vec![0; axes],
            base,
        }
    }

    pub(super) fn scaled(&self, factor: i64, offset: i64) -> Affine {
        Affine {
            coef: self.coef.iter().map(|c| c * factor).collect(),
            base: self.base * factor + offset,
        }
    }

    /// The one axis that it depends on.
    pub(super) fn only_axis(&self) -> Option<(usize, i64)> {
        let found = self.coef.iter().position(|&c| c != 0)?;
        Some((found, self.coef[found]))
    }

    /// The smallest value over a domain.
    pub(super) fn least(&self, domain: &Domain) -> i64 {
        let terms = self.coef.iter().zip(domain);
        let sum: i64 = terms
            .map(|(&c, &(low, high))| if c < 0 { c * (high - 1) } else { c * low })
            .sum();
        self.base + sum
    }
}

/// One affine index per axis of a value.
pub(super) type Index = Vec<Affine>;

/// Half-open ranges of the loop variables.
pub(super) type Domain = Vec<(i64, i64)>;

pub(super) fn linear_index(shape: &[i64], index: &Index, axes: usize) -> Affine {
    let mut out = Affine::constant(axes, 0);
    let mut stride = 1;
    for (n, i) in shape.iter().zip(index).rev() {
        out.base += stride * i.base;
        for (sum, c) in out.coef.iter_mut().zip(&i.coef) {
            *sum += stride * c;
        }
        stride *= n;
    }
    out
}
