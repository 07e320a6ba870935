//! Numbers: what constants are, and arithmetic with them.

use lepid_ir::core::{Attr, Elem, Num, Tensor};

use super::{Function, elem, float};
use crate::eqsat::facts::Facts;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "is",
        summary: "Whether all elements of a value are a number.",
        run: |a| Some(Attr::Bool(uniform(a[0])? == float(a[1])?)),
    },
    Function {
        name: "near",
        summary: "Whether all elements of a value are a number as exporters round it.",
        run: |a| {
            let (found, expected) = (uniform(a[0])?, float(a[1])?);
            Some(Attr::Bool(
                (found - expected).abs() <= 1e-4 * expected.abs(),
            ))
        },
    },
    Function {
        name: "uniform",
        summary: "Whether all elements of a value are one known number.",
        run: |a| Some(Attr::Bool(a[0].uniform.is_some())),
    },
    Function {
        name: "positive",
        summary: "Whether all elements of a value are one known number above zero.",
        run: |a| Some(Attr::Bool(uniform(a[0])? > 0.0)),
    },
    Function {
        name: "good-factor",
        summary: "Whether neither a uniform number nor its reciprocal is lost to rounding.",
        run: |a| Some(Attr::Bool(is_good_factor(uniform(a[0])?))),
    },
    Function {
        name: "fixed",
        summary: "Whether a value depends on constants alone.",
        run: |a| Some(Attr::Bool(a[0].fixed)),
    },
    Function {
        name: "varies",
        summary: "Whether a value depends on more than constants.",
        run: |a| Some(Attr::Bool(!a[0].fixed)),
    },
    Function {
        name: "is-float",
        summary: "Whether the elements of a value are floats.",
        run: |a| Some(Attr::Bool(elem(a[0])?.is_float())),
    },
    Function {
        name: "is-int",
        summary: "Whether the elements of a value are integers.",
        run: |a| Some(Attr::Bool(elem(a[0])?.is_int())),
    },
    Function {
        name: "scalar",
        summary: "The number that all elements of a value are, as a tensor of rank 0.",
        run: |a| scalar_of(a[0], a[0].uniform?),
    },
    Function {
        name: "scalar-like",
        summary: "A number as a tensor of rank 0 with the elements of a value.",
        run: |a| scalar(a[0], float(a[1])?),
    },
    Function {
        name: "negative",
        summary: "The negative of a uniform float, as a tensor of rank 0.",
        run: |a| scalar(a[0], -uniform_float(a[0])?),
    },
    Function {
        name: "reciprocal",
        summary: "The reciprocal of a uniform float that is a good factor, as a tensor of rank 0.",
        run: |a| {
            let number = uniform_float(a[0]).filter(|n| is_good_factor(*n))?;
            scalar(a[0], 1.0 / number)
        },
    },
    Function {
        name: "sum",
        summary: "The sum of two uniform floats, as a tensor of rank 0.",
        run: |a| scalar(a[0], uniform_float(a[0])? + uniform_float(a[1])?),
    },
    Function {
        name: "product",
        summary: "The product of two uniform floats if it is a good factor, as a tensor of rank 0.",
        run: |a| {
            let product = uniform_float(a[0])? * uniform_float(a[1])?;
            is_good_factor(product).then(|| scalar(a[0], product))?
        },
    },
    Function {
        name: "number",
        summary: "The number that all elements of a value are.",
        run: |a| Some(Attr::Float(uniform_float(a[0])?)),
    },
    Function {
        name: "greater",
        summary: "The greater of two numbers.",
        run: |a| Some(Attr::Float(float(a[0])?.max(float(a[1])?))),
    },
    Function {
        name: "smaller",
        summary: "The smaller of two numbers.",
        run: |a| Some(Attr::Float(float(a[0])?.min(float(a[1])?))),
    },
    Function {
        name: "at-most",
        summary: "Whether the first number is at most the second.",
        run: |a| Some(Attr::Bool(float(a[0])? <= float(a[1])?)),
    },
    Function {
        name: "equal",
        summary: "Whether two numbers are equal.",
        run: |a| Some(Attr::Bool(float(a[0])? == float(a[1])?)),
    },
    Function {
        name: "close",
        summary: "Whether a number is another as exporters round it.",
        run: |a| {
            let (found, expected) = (float(a[0])?, float(a[1])?);
            Some(Attr::Bool(
                (found - expected).abs() <= 1e-4 * expected.abs(),
            ))
        },
    },
    Function {
        name: "same-elem",
        summary: "Whether a value has these elements.",
        run: |a| Some(Attr::Bool(elem(a[0])? == named_elem(a[1])?)),
    },
    Function {
        name: "holds-all",
        summary: "Whether an element type holds every element of a value exactly.",
        run: |a| Some(Attr::Bool(holds_all(elem(a[0])?, named_elem(a[1])?))),
    },
    Function {
        name: "casts-alike",
        summary: "Whether a cast of a value by way of one element type to another is that to the other.",
        run: |a| {
            let (from, through, to) = (elem(a[0])?, named_elem(a[1])?, named_elem(a[2])?);
            // A float saturates where an integer wraps.
            let wraps = from.is_int() && through.is_float() && to.is_int();
            Some(Attr::Bool(
                holds_all(from, through) && (!wraps || holds_all(from, to)),
            ))
        },
    },
    Function {
        name: "covers",
        summary: "Whether the elements of a value all lie between two numbers.",
        run: |a| {
            let (low, high) = int_range(elem(a[0])?)?;
            Some(Attr::Bool(float(a[1])? <= low && high <= float(a[2])?))
        },
    },
    Function {
        name: "small-integer",
        summary: "Whether all elements of a value are one integer of at most 16 bits.",
        run: |a| {
            let number = uniform(a[0])?;
            Some(Attr::Bool(number.fract() == 0.0 && number.abs() <= 65536.0))
        },
    },
    Function {
        name: "small-elem",
        summary: "Whether the elements of a value have at most 16 bits and an element type holds all of 24.",
        run: |a| {
            let small = int_range(elem(a[0])?)?.1 <= 65535.0;
            Some(Attr::Bool(small && significand(named_elem(a[1])?)? >= 24))
        },
    },
];

fn uniform(facts: &Facts) -> Option<f64> {
    Some(facts.uniform?.as_f64())
}

fn uniform_float(facts: &Facts) -> Option<f64> {
    match facts.uniform? {
        Num::Float(x) => Some(x),
        Num::Int(_) => None,
    }
}

/// Neither the factor nor its reciprocal is rounded to zero or infinity in any element type.
fn is_good_factor(c: f64) -> bool {
    (1e-4..=1e4).contains(&c.abs())
}

fn scalar(like: &Facts, number: f64) -> Option<Attr> {
    scalar_of(like, Num::Float(number))
}

fn scalar_of(like: &Facts, number: Num) -> Option<Attr> {
    Some(Attr::Tensor(Tensor::scalar(elem(like)?, number)))
}

fn named_elem(facts: &Facts) -> Option<Elem> {
    match facts.as_attr()? {
        Attr::Elem(elem) => Some(*elem),
        _ => None,
    }
}

/// The least and the greatest number of an integer type.
fn int_range(elem: Elem) -> Option<(f64, f64)> {
    let bits = elem.bits() as i32;
    match elem {
        _ if elem.is_signed_int() => Some((-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0)),
        _ if elem.is_unsigned_int() => Some((0.0, 2f64.powi(bits) - 1.0)),
        Elem::Bool => Some((0.0, 1.0)),
        _ => None,
    }
}

/// Bits of the significand, the hidden one included.
fn significand(elem: Elem) -> Option<u32> {
    match elem {
        Elem::F64 => Some(53),
        Elem::F32 => Some(24),
        Elem::F16 => Some(11),
        Elem::BF16 => Some(8),
        _ => None,
    }
}

fn holds_all(from: Elem, to: Elem) -> bool {
    match (int_range(from), int_range(to), significand(to)) {
        _ if from == to => true,
        (Some((low, high)), Some((least, most)), _) => {
            // A truth value is not a number to which others are cast and back.
            to != Elem::Bool && least <= low && high <= most
        }
        (Some(_), None, Some(bits)) => from.bits() <= bits,
        (None, None, _) => matches!(
            (from, to),
            (_, Elem::F64) | (Elem::F16 | Elem::BF16, Elem::F32)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eqsat::functions::tests::{attr, call, splat, value};

    #[test]
    fn numbers_of_constants() {
        let (two, x) = (splat(2.0, "3xf32"), value("3xf32"));
        assert_eq!(call("is", &[&two, &attr("2.0")]), "true");
        assert_eq!(call("is", &[&x, &attr("2.0")]), "nothing");
        assert_eq!(
            call("near", &[&splat(0.16667, "f32"), &attr("0.16666667")]),
            "true"
        );
        assert_eq!(call("uniform", &[&x]), "false");
        assert_eq!(call("fixed", &[&two]), "true");
        assert_eq!(call("varies", &[&two]), "false");
        assert_eq!(call("positive", &[&two]), "true");
        assert_eq!(call("good-factor", &[&splat(1e6, "f32")]), "false");
        assert_eq!(call("number", &[&two]), "2.0");
        assert_eq!(call("number", &[&splat(2.0, "3xi32")]), "nothing");
    }

    #[test]
    fn arithmetic_gives_scalars() {
        let (two, four) = (splat(2.0, "3xf32"), splat(4.0, "3xf32"));
        assert_eq!(call("scalar", &[&two]), "dense<f32>[2.0]");
        let most = Tensor::splat(Elem::U64, &[3], Num::Int(i128::from(u64::MAX)));
        assert_eq!(
            call("scalar", &[&Facts::constant(most)]),
            "dense<u64>[18446744073709551615]"
        );
        assert_eq!(
            call("scalar-like", &[&value("3xi8"), &attr("1.0")]),
            "dense<i8>[1]"
        );
        assert_eq!(call("sum", &[&two, &four]), "dense<f32>[6.0]");
        assert_eq!(call("product", &[&two, &four]), "dense<f32>[8.0]");
        assert_eq!(call("negative", &[&two]), "dense<f32>[-2.0]");
        assert_eq!(call("reciprocal", &[&four]), "dense<f32>[0.25]");
        assert_eq!(call("reciprocal", &[&splat(0.0, "f32")]), "nothing");
        let (one, three) = (attr("1.0"), attr("3.0"));
        assert_eq!(call("greater", &[&one, &three]), "3.0");
        assert_eq!(call("smaller", &[&one, &three]), "1.0");
        assert_eq!(call("at-most", &[&one, &three]), "true");
        assert_eq!(call("equal", &[&one, &three]), "false");
        assert_eq!(call("close", &[&attr("0.1666"), &attr("0.16667")]), "false");
        assert_eq!(call("small-integer", &[&splat(3.0, "f32")]), "true");
        assert_eq!(call("small-integer", &[&splat(3.5, "f32")]), "false");
        assert_eq!(call("small-elem", &[&value("3xi8"), &attr("f32")]), "true");
        assert_eq!(
            call("small-elem", &[&value("3xi32"), &attr("f32")]),
            "false"
        );
    }

    #[test]
    fn element_types() {
        let (x, q) = (value("3xf32"), value("3xi8"));
        assert_eq!(call("is-float", &[&x]), "true");
        assert_eq!(call("is-int", &[&x]), "false");
        assert_eq!(call("same-elem", &[&q, &attr("i8")]), "true");
        assert_eq!(call("holds-all", &[&q, &attr("f32")]), "true");
        assert_eq!(call("holds-all", &[&value("3xi32"), &attr("f32")]), "false");
        assert_eq!(call("holds-all", &[&value("3xu8"), &attr("i8")]), "false");
        assert_eq!(call("holds-all", &[&value("3xf16"), &attr("f32")]), "true");
        let alike = |through: &str, to: &str| {
            let u8s = value("3xu8");
            call("casts-alike", &[&u8s, &attr(through), &attr(to)])
        };
        assert_eq!(alike("f32", "i8"), "false");
        assert_eq!(alike("f32", "i16"), "true");
        assert_eq!(alike("i16", "i8"), "true");
        assert_eq!(
            call("covers", &[&q, &attr("-128.0"), &attr("127.0")]),
            "true"
        );
        assert_eq!(
            call("covers", &[&q, &attr("-127.0"), &attr("127.0")]),
            "false"
        );
    }
}
