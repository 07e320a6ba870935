//! Which values of a function are live at the same time.

use lepid_ir::core::{Module, Op, Value};
use petgraph::graphmap::UnGraphMap;

use crate::core::{Analysis, Liveness};

/// An edge between each two values whose live ranges overlap.
pub struct Interference {
    pub graph: UnGraphMap<Value, ()>,
}

impl Analysis for Interference {
    fn compute(module: &Module, func: Op) -> Interference {
        let live = Liveness::compute(module, func);
        let mut graph = UnGraphMap::new();
        // `values` is sorted by start, so only the still open ones can overlap with the next.
        let mut open: Vec<Value> = Vec::new();
        for &value in &live.values {
            graph.add_node(value);
            let range = live.range(value);
            open.retain(|&v| live.range(v).end >= range.start);
            for &other in &open {
                graph.add_edge(other, value, ());
            }
            open.push(value);
        }
        Interference { graph }
    }
}
