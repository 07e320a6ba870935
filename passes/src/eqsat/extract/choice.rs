//! A choice of nodes, what it costs, and whether it is a program at all.

use std::fmt;

use cranelift_entity::SecondaryMap;

use super::graph::{ClassId, ExtractGraph, NEVER, NodeId};

/// Which node computes a class. A choice may say more than the roots need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice(SecondaryMap<ClassId, Option<NodeId>>);

impl Choice {
    pub fn get(&self, class: ClassId) -> Option<NodeId> {
        self.0[class]
    }

    /// Chooses `node` for its class.
    pub fn choose(&mut self, graph: &ExtractGraph, node: NodeId) {
        self.0[graph.node(node).class] = Some(node);
    }
}

/// What a valid choice comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The node of each class that the roots need, children before parents.
    pub nodes: Vec<NodeId>,
    /// The sum of their costs: each class is paid once, however often it is used.
    pub cost: f64,
}

/// Follows `choice` from the roots of `graph`.
pub fn check(graph: &ExtractGraph, choice: &Choice) -> Result<Program, Flaw> {
    let mut state = SecondaryMap::<ClassId, State>::new();
    let mut nodes = Vec::new();
    for &root in graph.roots() {
        // Depth first without recursion: graphs are deeper than stacks.
        let mut path: Vec<(NodeId, usize)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(class) = next.take() {
                match state[class] {
                    State::Done => {}
                    State::Open => return Err(Flaw::Cycle(class)),
                    State::New => {
                        let node = choice.get(class).ok_or(Flaw::Missing(class))?;
                        if graph.node(node).class != class {
                            return Err(Flaw::Foreign(class, node));
                        }
                        if graph.node(node).cost >= NEVER {
                            return Err(Flaw::Never(node));
                        }
                        state[class] = State::Open;
                        path.push((node, 0));
                    }
                }
            }
            let Some((node, seen)) = path.last_mut() else {
                break;
            };
            next = graph.node(*node).children.get(*seen).copied();
            *seen += 1;
            if next.is_none() {
                state[graph.node(*node).class] = State::Done;
                nodes.push(*node);
                path.pop();
            }
        }
    }
    // Summed in one order, so that equal choices have equal costs.
    let mut sorted = nodes.clone();
    sorted.sort_unstable();
    let cost = sorted.iter().map(|&node| graph.node(node).cost).sum();
    Ok(Program { nodes, cost })
}

/// The better of two choices, the first where they cost the same.
///
/// Extraction ends with this, given the program as it was before, so that it never makes one worse.
pub fn better(
    graph: &ExtractGraph,
    first: Choice,
    second: Choice,
) -> Result<(Choice, Program), Flaw> {
    match (check(graph, &first), check(graph, &second)) {
        (Ok(one), Ok(two)) if two.cost < one.cost => Ok((second, two)),
        (Ok(one), _) => Ok((first, one)),
        (Err(_), Ok(two)) => Ok((second, two)),
        (Err(flaw), Err(_)) => Err(flaw),
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    New,
    Open,
    Done,
}

/// Why a choice is no program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    /// The class is needed, and no node is chosen for it.
    Missing(ClassId),
    /// The node chosen for the class is in another one.
    Foreign(ClassId, NodeId),
    /// A node is chosen that must not be.
    Never(NodeId),
    /// The class is computed from itself.
    Cycle(ClassId),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Missing(class) => write!(f, "no node is chosen for `{class}`"),
            Flaw::Foreign(class, node) => {
                write!(f, "`{node}` is chosen for `{class}`, where it is not")
            }
            Flaw::Never(node) => write!(f, "`{node}` is chosen, which has no cost"),
            Flaw::Cycle(class) => write!(f, "`{class}` is computed from itself"),
        }
    }
}

impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root over a shared class: `root <- (left, right)`, both from `leaf`; two ways to have `left`.
    fn diamond() -> (ExtractGraph, [NodeId; 5], [ClassId; 4]) {
        let mut graph = ExtractGraph::default();
        let [root, left, right, leaf] = [(); 4].map(|()| graph.add_class());
        let nodes = [
            graph.add_node(root, 1.0, &[left, right]),
            graph.add_node(left, 2.0, &[leaf]),
            graph.add_node(right, 4.0, &[leaf]),
            graph.add_node(leaf, 8.0, &[]),
            graph.add_node(left, 0.0, &[root]),
        ];
        graph.add_root(root);
        graph.add_root(left);
        (graph, nodes, [root, left, right, leaf])
    }

    fn choose(graph: &ExtractGraph, nodes: &[NodeId]) -> Choice {
        let mut choice = Choice::default();
        nodes.iter().for_each(|&node| choice.choose(graph, node));
        choice
    }

    #[test]
    fn shared_classes_are_paid_once_and_come_first() {
        let (graph, nodes, _) = diamond();
        let program = check(&graph, &choose(&graph, &nodes[..4])).unwrap();
        assert_eq!(program.cost, 15.0);
        assert_eq!(program.nodes, [nodes[3], nodes[1], nodes[2], nodes[0]]);
    }

    #[test]
    fn flaws_are_told_apart() {
        let (mut graph, nodes, [root, left, right, _]) = diamond();
        let flaw = |graph: &ExtractGraph, nodes: &[NodeId]| check(graph, &choose(graph, nodes));
        assert_eq!(
            flaw(&graph, &nodes[..2]),
            Err(Flaw::Missing(ClassId::from_u32(3)))
        );
        assert_eq!(flaw(&graph, &[nodes[0], nodes[4]]), Err(Flaw::Cycle(root)));
        let never = graph.add_node(right, f64::INFINITY, &[]);
        let all = [nodes[0], nodes[1], never, nodes[3]];
        assert_eq!(flaw(&graph, &all), Err(Flaw::Never(never)));
        let mut foreign = choose(&graph, &nodes[..4]);
        foreign.0[left] = Some(nodes[2]);
        assert_eq!(check(&graph, &foreign), Err(Flaw::Foreign(left, nodes[2])));
    }

    #[test]
    fn the_better_of_two_is_the_baseline_unless_it_is_beaten() {
        let (mut graph, nodes, [_, left, ..]) = diamond();
        let equal = graph.add_node(left, 2.0, &[]);
        let cheap = graph.add_node(left, 1.0, &[]);
        let with = |left| choose(&graph, &[nodes[0], left, nodes[2], nodes[3]]);
        let (kept, _) = better(&graph, with(nodes[1]), with(equal)).unwrap();
        assert_eq!(kept, with(nodes[1]));
        let (kept, program) = better(&graph, with(nodes[1]), with(cheap)).unwrap();
        assert_eq!((kept, program.cost), (with(cheap), 14.0));
        let (kept, _) = better(&graph, with(nodes[1]), with(nodes[4])).unwrap();
        assert_eq!(kept, with(nodes[1]));
    }
}
