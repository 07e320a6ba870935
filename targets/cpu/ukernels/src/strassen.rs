//! Strassen's product of matrices, one level of it: what it multiplies, what it costs in accuracy, and how its right side
//! is packed.
//!
//! Both sides and the result fall into quadrants, and seven products of sums of quadrants take the place of eight
//! (Strassen, *Gaussian Elimination is not Optimal*, Numerische Mathematik 13, 1969). His form of it has more sums than
//! Winograd's, but each product goes to at most two quadrants of the result, and the sums of the right side are made
//! beforehand.

use crate::kernels::PANEL;

/// A quadrant: 0 and 1 above, 2 and 3 below.
pub type Quadrant = usize;

/// `first + sign * other`, or `first` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub first: Quadrant,
    pub other: Option<(Sign, Quadrant)>,
}

/// Whether a term is added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Plus,
    Minus,
}

impl Sign {
    /// 1 or -1.
    pub const fn factor(self) -> f32 {
        match self {
            Sign::Plus => 1.0,
            Sign::Minus => -1.0,
        }
    }
}

/// A product of two sums, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub left: Sum,
    pub right: Sum,
    pub to: &'static [(Sign, Quadrant)],
}

const fn one(first: Quadrant) -> Sum {
    Sum { first, other: None }
}

const fn plus(first: Quadrant, other: Quadrant) -> Sum {
    Sum {
        first,
        other: Some((Sign::Plus, other)),
    }
}

const fn minus(first: Quadrant, other: Quadrant) -> Sum {
    Sum {
        first,
        other: Some((Sign::Minus, other)),
    }
}

/// The products, in an order in which the first and the last that goes to a quadrant is added.
pub const PRODUCTS: [Product; 7] = {
    use Sign::{Minus, Plus};
    const fn product(left: Sum, right: Sum, to: &'static [(Sign, Quadrant)]) -> Product {
        Product { left, right, to }
    }
    [
        product(plus(0, 3), plus(0, 3), &[(Plus, 0), (Plus, 3)]),
        product(plus(0, 1), one(3), &[(Minus, 0), (Plus, 1)]),
        product(one(0), minus(1, 3), &[(Plus, 1), (Plus, 3)]),
        product(plus(2, 3), one(0), &[(Plus, 2), (Minus, 3)]),
        product(one(3), minus(2, 0), &[(Plus, 0), (Plus, 2)]),
        product(minus(1, 3), plus(2, 3), &[(Plus, 0)]),
        product(minus(2, 0), plus(0, 1), &[(Plus, 3)]),
    ]
};

/// The product, counted in [`PRODUCTS`], that is the first to go to each quadrant.
pub(crate) const FIRST: [usize; 4] = [0, 1, 3, 0];
/// The product that is the last to go to each quadrant.
pub(crate) const LAST: [usize; 4] = [5, 2, 4, 6];

/// Whether `rows x k` times `k x columns` falls into quadrants of whole vectors and panels.
pub const fn suits(rows: usize, k: usize, columns: usize) -> bool {
    rows >= 2 && rows.is_multiple_of(2) && k > 0 && k.is_multiple_of(2 * PANEL) && {
        columns > 0 && columns.is_multiple_of(2 * PANEL)
    }
}

/// Floats of a packed right side `k x columns`: a packed matrix of half the rows and columns for each product.
pub const fn packed_len(k: usize, columns: usize) -> usize {
    PRODUCTS.len() * (k / 2) * (columns / 2)
}

/// How much larger than in a plain product the values are that rounding errors are relative to, measured at the result:
/// as [`crate::winograd::Scheme::growth`], the root of the sum of the variances of the products of a quadrant.
pub fn growth() -> f64 {
    let terms = |sum: Sum| 1.0 + f64::from(u8::from(sum.other.is_some()));
    let of_quadrant = |quadrant: Quadrant| {
        let to = PRODUCTS
            .iter()
            .filter(|p| p.to.iter().any(|&(_, q)| q == quadrant));
        to.map(|p| terms(p.left) * terms(p.right)).sum::<f64>()
    };
    // A product has half as many terms as the sums of a plain one.
    let variance = (0..4).map(of_quadrant).fold(0.0, f64::max) / 2.0;
    variance.sqrt()
}

/// Bounds the largest error of an element of the result, relative to the root mean square of all (before bias, residual
/// and activation): `λ u κ √(K / 4 + t)`, with the meaning that [`crate::winograd::Scheme::error_bound`] gives it. `κ` is
/// [`growth`]; a product has `K / 2` terms, and `t = 6` are the roundings of its sides and of what they are added to.
pub fn error_bound(k: usize) -> f64 {
    let unit = f64::from(f32::EPSILON) / 2.0 / 3f64.sqrt();
    crate::winograd::DEVIATIONS * unit * growth() * (k as f64 / 4.0 + 6.0).sqrt()
}

/// Packs the right side: panel `panel` of 16 columns of the left half and the panel as far behind the middle.
/// `read(i, column, row)` fills `row` with the elements of row `i` from a column on.
///
/// # Panics
/// If `packed` does not have [`packed_len`] elements.
pub fn pack_panel(
    k: usize,
    columns: usize,
    panel: usize,
    packed: &mut [f32],
    read: impl Fn(usize, usize, &mut [f32; PANEL]),
) {
    assert_eq!(packed.len(), packed_len(k, columns));
    let (half, matrix) = (k / 2, (k / 2) * (columns / 2));
    let column = panel * PANEL;
    let mut parts = packed.chunks_exact_mut(matrix);
    let mut parts: [&mut [f32]; PRODUCTS.len()] = std::array::from_fn(|_| {
        let part = parts.next().unwrap_or_default();
        &mut part[panel * half * PANEL..][..half * PANEL]
    });
    for i in 0..half {
        let mut quadrants = [[0.0; PANEL]; 4];
        for (quadrant, to) in quadrants.iter_mut().enumerate() {
            read(
                quadrant / 2 * half + i,
                quadrant % 2 * (columns / 2) + column,
                to,
            );
        }
        for (product, part) in PRODUCTS.iter().zip(&mut parts) {
            let to = &mut part[i * PANEL..][..PANEL];
            to.copy_from_slice(&quadrants[product.right.first]);
            if let Some((sign, other)) = product.right.other {
                for (to, x) in to.iter_mut().zip(quadrants[other]) {
                    *to += sign.factor() * x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The products of single elements, as symbols, make the product of 2 x 2 matrices.
    #[test]
    fn seven_products_make_eight() {
        let mut result = [[[0.0; 4]; 4]; 4];
        let coefficients = |sum: Sum| {
            let mut of = [0.0; 4];
            of[sum.first] = 1.0;
            if let Some((sign, other)) = sum.other {
                of[other] = sign.factor();
            }
            of
        };
        for product in &PRODUCTS {
            let (left, right) = (coefficients(product.left), coefficients(product.right));
            for &(sign, quadrant) in product.to {
                for (a, row) in result[quadrant].iter_mut().enumerate() {
                    for (b, x) in row.iter_mut().enumerate() {
                        *x += sign.factor() * left[a] * right[b];
                    }
                }
            }
        }
        for (quadrant, coefficients) in result.iter().enumerate() {
            for (a, row) in coefficients.iter().enumerate() {
                for (b, &x) in row.iter().enumerate() {
                    let wanted = a / 2 == quadrant / 2 && b % 2 == quadrant % 2 && a % 2 == b / 2;
                    assert_eq!(x, f32::from(u8::from(wanted)));
                }
            }
        }
    }

    #[test]
    fn first_and_last_products_are_added() {
        for quadrant in 0..4 {
            let to = |p: &Product| p.to.iter().find(|&&(_, q)| q == quadrant).copied();
            let numbers: Vec<usize> = (0..7).filter(|&n| to(&PRODUCTS[n]).is_some()).collect();
            assert_eq!(numbers.first(), Some(&FIRST[quadrant]));
            assert_eq!(numbers.last(), Some(&LAST[quadrant]));
            for end in [FIRST[quadrant], LAST[quadrant]] {
                assert_eq!(to(&PRODUCTS[end]), Some((Sign::Plus, quadrant)));
            }
        }
    }

    #[test]
    fn sums_are_two_and_a_half_times_as_large() {
        assert!((growth() - 6f64.sqrt()).abs() < 1e-12);
    }
}
