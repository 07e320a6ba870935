//! A function as boxes and edges: what a person draws of a network.

use std::collections::BTreeMap;

use lepid_ir::core::{Cost, Module, Op, Value};
use lepid_ir::dialects::core::Func;

use crate::reduce::cut;

/// One box: an input, an output, or ops that follow each other.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub kind: Kind,
    /// What stands below the name: the type that comes out.
    pub ty: String,
    pub cost: Cost,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    Input(String),
    Output(String),
    /// Numbers of ops as [`ops`] gives them, the first one first.
    Ops(Vec<usize>),
}

/// Boxes with edges from lower to higher numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<(usize, usize)>,
}

/// The ops that are drawn: those of the function's own block that compute something from its
/// inputs.
pub fn ops(module: &Module, func: Op) -> Vec<Op> {
    cut::steps(module, func)
}

/// The work of an op; of one with regions, of what is inside, counted once.
pub fn cost(module: &Module, op: Op) -> Cost {
    let view = module.view(op);
    match view.regions().is_empty() {
        true => view.def().cost(view),
        false => {
            let inside = module.walk_inside(op).into_iter();
            inside
                .filter(|&o| module.regions(o).is_empty())
                .map(|o| module.def(o).cost(module.view(o)))
                .fold(Cost::default(), |a, b| a + b)
        }
    }
}

/// One box for each op.
pub fn whole(module: &Module, func: Op) -> Graph {
    let mut graph = Graph::default();
    let mut maker: BTreeMap<Value, usize> = BTreeMap::new();
    let view = module.view(func);
    for (&arg, name) in Func::args(view).iter().zip(Func::input_names(view)) {
        maker.insert(arg, graph.nodes.len());
        graph.nodes.push(Node {
            kind: Kind::Input(name),
            ty: module.value_type(arg).to_string(),
            cost: Cost::default(),
        });
    }
    for (number, op) in ops(module, func).into_iter().enumerate() {
        let this = graph.nodes.len();
        let read = cut::reads(module, op);
        graph.connect(read.iter().filter_map(|v| maker.get(v).copied()), this);
        let results = module.results(op);
        let types: Vec<String> = results
            .iter()
            .map(|&v| module.value_type(v).to_string())
            .collect();
        graph.nodes.push(Node {
            kind: Kind::Ops(vec![number]),
            ty: types.join(", "),
            cost: cost(module, op),
        });
        maker.extend(results.iter().map(|&v| (v, this)));
    }
    for (value, name) in Func::returned(view).iter().zip(Func::output_names(view)) {
        let this = graph.nodes.len();
        graph.connect(maker.get(value).copied(), this);
        graph.nodes.push(Node {
            kind: Kind::Output(name),
            ty: module.value_type(*value).to_string(),
            cost: Cost::default(),
        });
    }
    graph
}

impl Graph {
    fn connect(&mut self, from: impl IntoIterator<Item = usize>, to: usize) {
        for from in from {
            if !self.edges.contains(&(from, to)) {
                self.edges.push((from, to));
            }
        }
    }

    /// Chains as one box: an op joins the one before if nothing else reads that and it reads
    /// nothing else, up to so many ops in a box.
    pub fn folded(&self, most: usize) -> Graph {
        let mut readers = vec![0; self.nodes.len()];
        let mut sources: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for &(from, to) in &self.edges {
            readers[from] += 1;
            sources[to].push(from);
        }
        let mut graph = Graph::default();
        let mut place = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            let before = match sources[index][..] {
                [only] if readers[only] == 1 => Some(place[only]),
                _ => None,
            };
            if let Some(before) = before
                && graph.nodes[before].absorb(node, most)
            {
                place[index] = before;
                continue;
            }
            place[index] = graph.nodes.len();
            graph.nodes.push(node.clone());
        }
        for &(from, to) in &self.edges {
            if place[from] != place[to] {
                graph.connect([place[from]], place[to]);
            }
        }
        graph
    }
}

impl Node {
    /// Takes over the ops of the next box, if both have ops and there is room.
    fn absorb(&mut self, next: &Node, most: usize) -> bool {
        let (Kind::Ops(mine), Kind::Ops(more)) = (&mut self.kind, &next.kind) else {
            return false;
        };
        if mine.len() + more.len() > most {
            return false;
        }
        mine.extend(more);
        self.ty.clone_from(&next.ty);
        self.cost = self.cost + next.cost;
        true
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::{dialects, text};

    use super::*;

    #[test]
    fn chains_fold_and_forks_do_not() {
        let net = "\
func @main(%x: tensor<4xf32>) -> (tensor<4xf32>) {
  %a = nn.relu(%x) : tensor<4xf32>
  %b = tensor.neg(%a) : tensor<4xf32>
  %c = tensor.exp(%b) : tensor<4xf32>
  %d = tensor.add(%c, %b) : tensor<4xf32>
  return %d
}
";
        let (module, found) = text::parse(net, "net.lir", &dialects::registry(), None);
        assert!(found.is_empty());
        let func = Func::find(&module, "main").unwrap();
        let whole = whole(&module, func);
        assert_eq!(
            whole.edges,
            [(0, 1), (1, 2), (2, 3), (3, 4), (2, 4), (4, 5)]
        );
        let folded = whole.folded(8);
        let kinds: Vec<&Kind> = folded.nodes.iter().map(|n| &n.kind).collect();
        let (input, output) = (Kind::Input("arg0".into()), Kind::Output("result0".into()));
        let (ab, c, d) = (
            Kind::Ops(vec![0, 1]),
            Kind::Ops(vec![2]),
            Kind::Ops(vec![3]),
        );
        assert_eq!(kinds, [&input, &ab, &c, &d, &output]);
        assert_eq!(folded.edges, [(0, 1), (1, 2), (2, 3), (1, 3), (3, 4)]);
    }
}
