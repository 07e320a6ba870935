//! How far outputs are from a reference.

use lepid_ir::core::{Code, Diagnostic, Loc, Num, Tensor};

/// When two outputs count as equal.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Tolerance {
    /// Share of the largest magnitude of the reference.
    pub relative: f64,
    pub absolute: f64,
    pub scale: Scale,
}

/// What a relative tolerance is a share of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scale {
    /// The largest magnitude of the reference.
    Largest,
    /// The magnitude of each element of the reference; the absolute tolerance grows with the largest
    /// magnitude where that is above 1.
    Element,
}

impl Tolerance {
    /// How far an element may be off.
    fn bound(&self, expected: Num, largest: f64) -> f64 {
        match self.scale {
            Scale::Largest => self.absolute + self.relative * largest,
            Scale::Element => {
                let own = expected.as_f64().abs();
                let own = if own.is_finite() { own } else { 0.0 };
                self.absolute * largest.max(1.0) + self.relative * own
            }
        }
    }
}

/// One output beside its reference.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    pub output: String,
    /// The largest difference over the largest magnitude of the reference; infinite where the
    /// types differ or only one of the two is no number.
    pub max_rel_error: f64,
    pub max_abs_error: f64,
    pub ok: bool,
    /// The index of the largest difference.
    pub worst: Vec<usize>,
    pub found: Option<f64>,
    pub expected: Option<f64>,
}

/// Compares one output.
pub fn compare(name: &str, found: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Comparison {
    let mut comparison = Comparison {
        output: name.to_string(),
        max_rel_error: f64::INFINITY,
        max_abs_error: f64::INFINITY,
        ok: false,
        worst: Vec::new(),
        found: None,
        expected: None,
    };
    if !same_type(found, expected) {
        return comparison;
    }
    let (a, b) = (found.nums(), expected.nums());
    let scale = b.iter().map(|n| n.as_f64().abs());
    let scale = scale.filter(|x| x.is_finite()).fold(0.0, f64::max);
    let mut worst = (0.0, 0);
    comparison.ok = true;
    for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
        let error = distance(a, b);
        comparison.ok &= error <= tolerance.bound(b, scale);
        if error > worst.0 {
            worst = (error, i);
        }
    }
    let (error, at) = worst;
    comparison.max_abs_error = error;
    comparison.max_rel_error = match (error == 0.0, scale == 0.0) {
        (true, _) => 0.0,
        (false, true) => f64::INFINITY,
        (false, false) => error / scale,
    };
    if error > 0.0 {
        comparison.worst = unravel(at, found.shape());
        comparison.found = Some(a[at].as_f64());
        comparison.expected = Some(b[at].as_f64());
    }
    comparison
}

fn same_type(found: &Tensor, expected: &Tensor) -> bool {
    found.shape() == expected.shape() && found.elem() == expected.elem()
}

fn distance(a: Num, b: Num) -> f64 {
    if let (Num::Int(a), Num::Int(b)) = (a, b) {
        return a.abs_diff(b) as f64;
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let error = (a - b).abs();
    match error.is_nan() {
        true => f64::INFINITY,
        false => error,
    }
}

/// The index of an element by its place in row-major order.
pub fn unravel(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &extent) in index.iter_mut().zip(shape).rev() {
        *i = at % extent.max(1);
        at /= extent.max(1);
    }
    index
}

impl Comparison {
    /// Whether the largest difference is that one of both is no number.
    pub fn has_nan(&self) -> bool {
        let nan = |x: Option<f64>| x.is_some_and(f64::is_nan);
        nan(self.found) != nan(self.expected)
    }

    /// The message for an output that differs too much.
    pub fn mismatch(&self, found: &Tensor, expected: &Tensor) -> Diagnostic {
        if !same_type(found, expected) {
            let message = format!(
                "output `{}` is `{}`, the reference is `{}`",
                self.output,
                found.ty(),
                expected.ty()
            );
            return Diagnostic::error(Code::MISMATCH, Loc::Unknown, message);
        }
        let message = match self.has_nan() {
            true => format!(
                "output `{}` and the reference are not NaN at the same places",
                self.output
            ),
            false => format!(
                "output `{}` differs from the reference by {:.3e} of its largest magnitude",
                self.output, self.max_rel_error
            ),
        };
        let error = Diagnostic::error(Code::MISMATCH, Loc::Unknown, message);
        match (self.found, self.expected) {
            (Some(found), Some(expected)) => {
                let index: Vec<String> = self.worst.iter().map(usize::to_string).collect();
                let index = index.join(", ");
                error.with_note(format!("at [{index}]: found {found}, expected {expected}"))
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::Elem;

    use super::*;

    fn against(a: &[f64], b: &[f64], relative: f64) -> Comparison {
        let tensor = |x: &[f64]| Tensor::from_f64s(Elem::F64, [x.len()], x.iter().copied());
        let tolerance = Tolerance {
            relative,
            absolute: 0.0,
            scale: Scale::Largest,
        };
        compare("y", &tensor(a), &tensor(b), tolerance)
    }

    #[test]
    fn each_element_may_have_its_own_scale() {
        let tensor = |x: &[f64]| Tensor::from_f64s(Elem::F64, [x.len()], x.iter().copied());
        let tolerance = Tolerance {
            relative: 1e-3,
            absolute: 1e-5,
            scale: Scale::Element,
        };
        let ok = |a: &[f64], b: &[f64]| compare("y", &tensor(a), &tensor(b), tolerance).ok;
        assert!(ok(&[1.0009, 100.0], &[1.0, 100.0]));
        assert!(!ok(&[1.01, 100.0], &[1.0, 100.0]));
        assert!(ok(&[0.0009, 100.0], &[0.0, 100.0]));
        assert!(!ok(&[0.0009, 1.0], &[0.0, 1.0]));
        assert!(ok(&[f64::INFINITY], &[f64::INFINITY]));
        assert!(!ok(&[f64::NAN], &[0.0]));
    }

    #[test]
    fn error_is_relative_to_the_largest_magnitude() {
        let c = against(&[1.0, 9.9], &[1.0, 10.0], 0.02);
        assert!((c.max_rel_error - 0.01).abs() < 1e-9 && c.ok);
        assert_eq!(c.worst, [1]);
        assert!(!against(&[1.0, 9.9], &[1.0, 10.0], 0.001).ok);
    }

    #[test]
    fn only_equal_nans_and_infinities_are_equal() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert!(against(&[nan, inf], &[nan, inf], 0.0).ok);
        assert!(!against(&[nan, 1.0], &[1.0, 1.0], 1e9).ok);
        assert!(!against(&[inf, 1.0], &[-inf, 1.0], 1e9).ok);
    }

    #[test]
    fn other_shapes_never_match() {
        assert!(!against(&[1.0], &[1.0, 1.0], 1.0).ok);
    }
}
