//! The cases, by family.

mod adapt;
mod control;
mod graphs;
mod nests;
mod nn;
mod open;
mod shapes;
mod tensor;
mod variants;

use crate::case::{Case, Row};

/// Makes the cases of a family.
pub(crate) type Family = fn() -> Vec<Case>;

/// Every family with its cases.
pub const FAMILIES: &[(&str, Family)] = &[
    ("unary", || build(tensor::unary())),
    ("binary", || build(tensor::binary())),
    ("logic", || build(tensor::logic())),
    ("nest", nests::cases),
    ("shape", || build(shapes::shape())),
    ("fold", || build(tensor::fold())),
    ("contract", || build(tensor::contract())),
    ("index", || build(shapes::index())),
    ("sort", || build(shapes::sort())),
    ("dynamic", || build(shapes::dynamic())),
    ("control", control::cases),
    ("activation", || build(nn::activation())),
    ("conv", || both(nn::conv(), variants::conv())),
    ("pool", || both(nn::pool(), variants::pool())),
    ("norm", || both(nn::norm(), variants::norm())),
    ("product", || both(nn::product(), variants::product())),
    ("recurrent", || both(nn::recurrent(), variants::recurrent())),
    ("resize", || both(nn::resize(), variants::resize())),
    ("adapt", || build(adapt::adapt())),
    ("graph", graphs::cases),
    ("open", open::cases),
    ("opened", opened),
];

/// Uses of ops whose extents are known, with one that is not. A resize states a size for each axis,
/// so that none of its axes can be open.
fn opened() -> Vec<Case> {
    let tables = [
        tensor::fold(),
        tensor::contract(),
        shapes::shape(),
        shapes::index(),
        shapes::sort(),
        shapes::dynamic(),
        nn::activation(),
        nn::conv(),
        nn::pool(),
        nn::norm(),
        nn::product(),
        nn::recurrent(),
    ];
    tables.into_iter().flat_map(open::opened).collect()
}

/// The cases of one family. Panics on an unknown name.
pub fn family(name: &str) -> Vec<Case> {
    match FAMILIES.iter().find(|(n, _)| *n == name) {
        Some((_, make)) => make(),
        None => panic!("there is no family `{name}`"),
    }
}

/// All cases.
pub fn cases() -> Vec<Case> {
    FAMILIES.iter().flat_map(|(_, make)| make()).collect()
}

fn build(rows: Vec<Row>) -> Vec<Case> {
    rows.iter().map(Row::case).collect()
}

/// What models have, and what they may.
fn both(usual: Vec<Row>, variants: Vec<Row>) -> Vec<Case> {
    [build(usual), build(variants)].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lepid_ir::dialects;

    use super::*;

    #[test]
    fn every_op_has_a_case() {
        let mut used = BTreeSet::new();
        for case in cases() {
            for op in case.module.walk() {
                used.insert(case.module.op_name(op));
            }
        }
        let ops = dialects::registry();
        let all = ops.iter().map(|def| def.info());
        let ours = all.filter(|info| ["nn", "tensor"].contains(&info.dialect()));
        let missing: Vec<&str> = ours
            .map(|info| info.name)
            .filter(|name| !used.contains(name))
            .collect();
        assert!(missing.is_empty(), "without a case: {missing:?}");
    }
}
