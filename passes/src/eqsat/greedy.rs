//! The choice of one node per class that costs least, shared work paid once.
//!
//! Each class keeps the cheapest set of nodes that is known to compute it; a set is made of a node
//! and the sets of its children, joined. Repeated until nothing becomes cheaper.

use std::collections::BTreeMap;

/// Classes of nodes, as extraction sees them.
#[derive(Default)]
pub(super) struct Choices {
    /// The nodes of each class, in order of preference at equal cost.
    pub(super) classes: Vec<Vec<usize>>,
    pub(super) nodes: Vec<Choosable>,
    pub(super) roots: Vec<usize>,
}

pub(super) struct Choosable {
    pub(super) class: usize,
    /// Without its children; infinite if it must not be chosen.
    pub(super) cost: f64,
    pub(super) children: Vec<usize>,
}

/// What a class is known to cost with all that it needs: the node of each class needed.
#[derive(Clone)]
struct Set {
    cost: f64,
    chosen: BTreeMap<usize, usize>,
}

/// The node of each class that the roots need; `None` if they cannot be computed.
pub(super) fn choose(choices: &Choices) -> Option<BTreeMap<usize, usize>> {
    let mut best: Vec<Option<Set>> = vec![None; choices.classes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); choices.classes.len()];
    for (i, node) in choices.nodes.iter().enumerate() {
        for &child in &node.children {
            readers[child].push(i);
        }
    }
    let mut todo: std::collections::BTreeSet<usize> = (0..choices.nodes.len()).collect();
    while let Some(at) = todo.pop_first() {
        let node = &choices.nodes[at];
        let Some(set) = set(choices, &best, at) else {
            continue;
        };
        let better = match &best[node.class] {
            // Rounding of sums must not make two sets better than each other in turn.
            Some(known) => set.cost < known.cost - 1e-9 * known.cost.abs(),
            None => true,
        };
        if better {
            best[node.class] = Some(set);
            todo.extend(&readers[node.class]);
        }
    }
    let mut all = BTreeMap::new();
    for &root in &choices.roots {
        for (&class, &node) in &best[root].as_ref()?.chosen {
            all.entry(class).or_insert(node);
        }
    }
    Some(all)
}

/// A node with the sets of its children; `None` if one is missing or needs the node's own class.
fn set(choices: &Choices, best: &[Option<Set>], at: usize) -> Option<Set> {
    let node = &choices.nodes[at];
    if node.cost.is_infinite() {
        return None;
    }
    let mut chosen = BTreeMap::from([(node.class, at)]);
    for &child in &node.children {
        let set = best[child].as_ref()?;
        if set.chosen.contains_key(&node.class) {
            return None;
        }
        for (&class, &node) in &set.chosen {
            chosen.entry(class).or_insert(node);
        }
    }
    let cost = chosen.values().map(|&n| choices.nodes[n].cost).sum();
    Some(Set { cost, chosen })
}
