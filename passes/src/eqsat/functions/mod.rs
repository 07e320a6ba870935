//! Functions of attributes and types, for right sides and side conditions of rules.
//!
//! One row per function. A function sees what is known of its arguments and gives an attribute, or
//! nothing: then the rule does not apply. A condition is a function that gives `true`.

use lepid_ir::core::{Attr, Dim, Elem, TensorType};

use super::facts::Facts;

mod attention;
mod movement;
mod numbers;
mod reductions;
mod rotary;
mod slices;
mod weights;

/// A function by the name that rules call it.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// What it gives, with the arguments in order.
    summary: &'static str,
    pub(super) run: fn(&[&Facts]) -> Option<Attr>,
}

const TABLES: &[&[Function]] = &[
    attention::FUNCTIONS,
    movement::FUNCTIONS,
    numbers::FUNCTIONS,
    reductions::FUNCTIONS,
    rotary::FUNCTIONS,
    slices::FUNCTIONS,
    weights::FUNCTIONS,
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    all().find(|f| f.name == name)
}

/// What the function of a name does.
pub fn summary_of_function(name: &str) -> Option<&'static str> {
    find(name).map(|f| f.summary)
}

pub(super) fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.iter().copied().flatten()
}

fn ints(facts: &Facts) -> Option<Vec<i64>> {
    let items = facts.as_attr()?.as_list()?.iter();
    items.map(Attr::as_int).collect()
}

fn axes(facts: &Facts) -> Option<Vec<usize>> {
    let axes = ints(facts)?.into_iter();
    axes.map(|a| usize::try_from(a).ok()).collect()
}

fn int(facts: &Facts) -> Option<i64> {
    facts.as_attr()?.as_int()
}

fn index(facts: &Facts) -> Option<usize> {
    usize::try_from(int(facts)?).ok()
}

fn float(facts: &Facts) -> Option<f64> {
    match facts.as_attr()? {
        Attr::Float(x) => Some(*x),
        Attr::Int(x) => Some(*x as f64),
        _ => None,
    }
}

fn tensor(facts: &Facts) -> Option<&'static TensorType> {
    facts.ty()?.as_tensor()
}

fn elem(facts: &Facts) -> Option<Elem> {
    facts.ty()?.elem()
}

/// The extents of a value, all of them numbers.
fn extents(facts: &Facts) -> Option<Vec<usize>> {
    tensor(facts)?.known_dims()
}

/// The extents of a shape attribute, all of them numbers.
fn extents_of(facts: &Facts) -> Option<Vec<usize>> {
    let dims = facts.as_attr()?.as_list()?.iter();
    dims.map(|d| usize::try_from(d.as_int()?).ok()).collect()
}

fn dims_attr(extents: impl IntoIterator<Item = usize>) -> Option<Attr> {
    let dims = extents.into_iter().map(|n| Dim::Known(n as u64));
    Some(Attr::dims(dims))
}

fn ints_attr(values: impl IntoIterator<Item = usize>) -> Option<Attr> {
    let values = values.into_iter().map(i64::try_from);
    Some(Attr::from(values.collect::<Result<Vec<i64>, _>>().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use lepid_ir::core::{Num, Tensor};
    use lepid_ir::dialects;

    use super::*;
    use crate::eqsat::notation::Term;

    pub(super) fn value(ty: &str) -> Facts {
        Facts::value(TensorType::parse(ty).unwrap().into())
    }

    pub(super) fn splat(number: f64, ty: &str) -> Facts {
        let ty = TensorType::parse(ty).unwrap();
        let shape = ty.known_dims().unwrap();
        Facts::constant(Tensor::splat(ty.elem, &shape, Num::Float(number)))
    }

    pub(super) fn attr(text: &str) -> Facts {
        match Term::parse(text, &dialects::registry()) {
            Ok(Term::Attr(leaf)) => Facts::leaf(leaf),
            _ => panic!("`{text}` is no attribute"),
        }
    }

    /// The text of what a function gives.
    pub(super) fn call(name: &str, arguments: &[&Facts]) -> String {
        let function = find(name).unwrap();
        (function.run)(arguments).map_or("nothing".to_string(), |attr| attr.to_string())
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = all().map(|f| f.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
