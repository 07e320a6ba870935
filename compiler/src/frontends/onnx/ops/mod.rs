//! The operators: one sorted table per family, one row per operator.

mod attention;
mod border;
mod contrib;
mod conv;
mod cut;
mod deform;
mod determinant;
mod elementwise;
mod flex_attention;
mod found;
mod index;
mod loss;
mod matmul;
mod maxima;
mod misc;
mod norm;
mod patch;
mod quant;
mod rearrange;
mod recurrence;
mod recurrent;
mod reduce;
mod region;
mod region_pool;
mod resize;
mod sample;
mod sequence;
mod shape;
mod signal;
mod steps;
mod turns;
mod walk;

pub(super) use sequence::reads_handles;

use lepid_ir::core::{OpResult, Value};

use super::cx::Cx;
use super::graph::{Opsets, domain};
use super::proto::NodeProto;

/// Builds what one node computes; gives the values of its outputs.
pub(super) type Lower = fn(&mut Cx<'_, '_, '_, '_>) -> OpResult<Vec<Value>>;

/// An operator of the default domain, or `domain::Name` of another.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The first version of the operator set in which we read it; what differs between later
    /// versions is decided by `cx.opset`.
    pub(super) since: i64,
    pub(super) lower: Lower,
}

/// A row.
const fn row(name: &'static str, since: i64, lower: Lower) -> Row {
    Row { name, since, lower }
}

const FAMILIES: &[&[Row]] = &[
    attention::ROWS,
    border::ROWS,
    contrib::attention::ROWS,
    contrib::fused::ROWS,
    contrib::grouped::ROWS,
    contrib::low_bits::ROWS,
    contrib::norm::ROWS,
    contrib::qlinear::ROWS,
    contrib::standard::ROWS,
    conv::ROWS,
    cut::ROWS,
    deform::ROWS,
    determinant::ROWS,
    elementwise::ROWS,
    flex_attention::ROWS,
    found::ROWS,
    index::ROWS,
    loss::ROWS,
    matmul::ROWS,
    misc::ROWS,
    norm::ROWS,
    patch::ROWS,
    quant::ROWS,
    rearrange::ROWS,
    recurrence::ROWS,
    recurrent::ROWS,
    reduce::ROWS,
    region::ROWS,
    region_pool::ROWS,
    resize::ROWS,
    sample::ROWS,
    sequence::ROWS,
    shape::ROWS,
    signal::ROWS,
    turns::ROWS,
    walk::ROWS,
];

/// The row for a node, with the version that the node is written in.
pub(super) fn find(node: &NodeProto, opsets: &Opsets) -> Option<(&'static Row, i64)> {
    let opset = opsets.version(&node.domain)?;
    let row = lookup(domain(&node.domain), &node.op_type)?;
    (opset >= row.since).then_some((row, opset))
}

/// All operators with the first version in which each is read.
pub(super) fn all() -> impl Iterator<Item = (&'static str, i64)> {
    FAMILIES
        .iter()
        .copied()
        .flatten()
        .map(|row| (row.name, row.since))
}

/// The first version in which an operator is read.
pub(super) fn since(domain: &str, op: &str) -> Option<i64> {
    lookup(domain, op).map(|row| row.since)
}

fn lookup(domain: &str, op: &str) -> Option<&'static Row> {
    let qualified;
    let name = match domain {
        "" => op,
        domain => {
            qualified = format!("{domain}::{op}");
            &qualified
        }
    };
    FAMILIES.iter().find_map(|rows| {
        let at = rows.binary_search_by(|row| row.name.cmp(name)).ok()?;
        Some(&rows[at])
    })
}

/// A lowering with one output.
fn one(value: Value) -> OpResult<Vec<Value>> {
    Ok(vec![value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        let mut all: Vec<&str> = Vec::new();
        for rows in FAMILIES {
            assert!(rows.is_sorted_by(|a, b| a.name < b.name));
            all.extend(rows.iter().map(|r| r.name));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
