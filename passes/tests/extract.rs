//! Extraction against all choices there are, on random graphs, and on TENSAT's e-graphs.

use std::path::PathBuf;
use std::process::Command;

use lepid_passes::eqsat::extract::{
    Choice, ClassId, ExtractGraph, Flaw, GraphFile, Method, NoProgram, check, extract,
};
use proptest::prelude::*;

/// Sums in another order may differ by this much.
const ROUNDING: f64 = 1e-9;

/// A node before it is in a graph: cost and children, as numbers of classes.
type Plan = (f64, Vec<usize>);

fn graph(classes: &[Vec<Plan>], roots: &[usize]) -> ExtractGraph {
    let mut graph = ExtractGraph::default();
    let ids: Vec<ClassId> = classes.iter().map(|_| graph.add_class()).collect();
    for (class, nodes) in classes.iter().enumerate() {
        for (cost, children) in nodes {
            let children: Vec<ClassId> = children.iter().map(|&child| ids[child]).collect();
            graph.add_node(ids[class], *cost, &children);
        }
    }
    for &root in roots {
        graph.add_root(ids[root]);
    }
    graph
}

/// The cost of the best choice, by trying each node for each class that needs one.
fn best_of_all(graph: &ExtractGraph) -> Option<f64> {
    fn go(graph: &ExtractGraph, choice: &mut Choice, best: &mut Option<f64>) {
        // What is missing is asked for first, so that only needed classes are chosen for.
        let missing = match check(graph, choice) {
            Ok(program) => {
                *best = Some(best.map_or(program.cost, |best: f64| best.min(program.cost)));
                return;
            }
            Err(Flaw::Missing(class)) => class,
            Err(_) => return,
        };
        for &node in graph.members(missing) {
            let mut next = choice.clone();
            next.choose(graph, node);
            go(graph, &mut next, best);
        }
    }
    let mut best = None;
    go(graph, &mut Choice::default(), &mut best);
    best
}

/// Holds what every method must.
fn compare(graph: &ExtractGraph, best: Option<f64>) -> Result<usize, TestCaseError> {
    let methods = [
        Method::Exact { steps: 1_000_000 },
        Method::Exact { steps: 1 },
        Method::Greedy,
        Method::Tree,
    ];
    let [exact, short, greedy, tree] = methods.map(|method| extract(graph, method));
    let Some(best) = best else {
        for found in [exact, short, greedy, tree] {
            prop_assert_eq!(found, Err(NoProgram));
        }
        return Ok(0);
    };
    let [exact, short, greedy, tree] = [exact, short, greedy, tree].map(Result::unwrap);
    prop_assert!(exact.optimal);
    prop_assert!(
        (exact.program.cost - best).abs() < ROUNDING,
        "{exact:?}, best {best}"
    );
    for found in [&exact, &short, &greedy, &tree] {
        prop_assert_eq!(check(graph, &found.choice), Ok(found.program.clone()));
        prop_assert!(found.program.cost > best - ROUNDING);
        prop_assert!(
            found.lower_bound < best + ROUNDING,
            "{found:?}, best {best}"
        );
        prop_assert!(!found.optimal || found.program.cost < best + ROUNDING);
    }
    prop_assert!(greedy.program.cost < tree.program.cost + ROUNDING);
    prop_assert!(short.program.cost < greedy.program.cost + ROUNDING);
    prop_assert!(exact.program.cost < short.program.cost + ROUNDING);
    prop_assert!(exact.lower_bound > short.lower_bound - ROUNDING);
    prop_assert!(short.lower_bound > greedy.lower_bound - ROUNDING);
    Ok(exact.steps)
}

/// Costs with many ties and zeros.
fn cost() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        (1..6u8).prop_map(f64::from),
        0.0..4.0f64,
        Just(f64::INFINITY)
    ]
}

/// Any graph of up to eight classes, cycles and dead ends included.
fn any_graph() -> impl Strategy<Value = ExtractGraph> {
    (2..=8usize).prop_flat_map(|count| {
        let node = (cost(), prop::collection::vec(0..count, 0..=3));
        let class = prop::collection::vec(node, 1..=3);
        let roots = prop::collection::vec(0..count, 1..=2);
        (prop::collection::vec(class, count), roots)
            .prop_map(|(classes, roots)| graph(&classes, &roots))
    })
}

/// Classes that can all be computed alone, or from facilities that several of them may share: what
/// reducing leaves to the search. Facilities may rest on others. Returned with the best cost.
fn facilities() -> impl Strategy<Value = (ExtractGraph, f64)> {
    let alone = prop::collection::vec(20..40u32, 4..=7);
    let facility = (
        40..70u32,
        prop::collection::vec(any::<bool>(), 7),
        any::<bool>(),
    );
    let facilities = prop::collection::vec(facility, 3..=7);
    (alone, facilities).prop_map(|(alone, facilities)| {
        let count = alone.len();
        // The goal, then the classes, then the facilities.
        let mut classes = vec![vec![(0.0, (1..=count).collect())]];
        for (class, &cost) in alone.iter().enumerate() {
            let mut nodes: Vec<Plan> = vec![(f64::from(cost), vec![])];
            for (at, (_, serves, _)) in facilities.iter().enumerate() {
                if serves[class] {
                    nodes.push((0.0, vec![1 + count + at]));
                }
            }
            classes.push(nodes);
        }
        for (at, &(cost, _, on_next)) in facilities.iter().enumerate() {
            let below = (on_next && at + 1 < facilities.len()).then_some(2 + count + at);
            classes.push(vec![(f64::from(cost), below.into_iter().collect())]);
        }
        let open_cost = |open: usize| {
            let is_open = |at: usize| open >> at & 1 == 1;
            let mut cost = 0;
            for (at, &(own, _, on_next)) in facilities.iter().enumerate() {
                if is_open(at) {
                    let below = on_next && at + 1 < facilities.len();
                    if below && !is_open(at + 1) {
                        return u32::MAX;
                    }
                    cost += own;
                }
            }
            for (class, &alone) in alone.iter().enumerate() {
                let served = |at: usize| is_open(at) && facilities[at].1[class];
                if !(0..facilities.len()).any(served) {
                    cost += alone;
                }
            }
            cost
        };
        let best = (0..1 << facilities.len()).map(open_cost).min().unwrap();
        (graph(&classes, &[0]), f64::from(best))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_graph_is_extracted_at_the_best_cost(graph in any_graph()) {
        compare(&graph, best_of_all(&graph))?;
    }

    #[test]
    fn facilities_are_shared_at_the_best_cost((graph, best) in facilities()) {
        compare(&graph, Some(best))?;
    }

    #[test]
    fn the_file_of_a_graph_is_that_graph(graph in any_graph()) {
        let file = GraphFile::of(&graph, |node| format!("op of {node}")).unwrap();
        let text = serde_json::to_string(&file).unwrap();
        let read: GraphFile = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &file);
        // Every class has a node, and they are created in order: numbers are the same.
        prop_assert_eq!(read.graph().unwrap(), graph);
    }
}

/// What is known of one of TENSAT's graphs: the cost of the best choice, with its rounding.
const TENSAT: &[(&str, f64)] = &[
    ("bert", 0.704_719_977),
    ("bert_acyclic", 0.708_439_017),
    ("resnet50", 4.385_794_965),
    ("resnet50_acyclic", 4.415_993_008),
    ("vgg", 4.850_757_017),
    ("vgg_acyclic", 4.866_774_948),
];

#[allow(clippy::print_stderr, reason = "says what it skipped")]
#[test]
fn extracts_the_graphs_of_tensat() {
    let shared = std::env::var_os("LEPID_SHARED");
    let at_root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = shared.map_or(at_root, PathBuf::from).join("data/tensat");
    for &(name, best) in TENSAT {
        let path = folder.join(format!("{name}.json.gz"));
        let Some(graph) = unpacked(&path) else {
            eprintln!(
                "skipped {name}: needs gzip and {} (LEPID_SHARED names the folder)",
                path.display()
            );
            continue;
        };
        let methods = [Method::Tree, Method::Greedy, Method::Exact { steps: 1_000 }];
        let [tree, greedy, exact] = methods.map(|method| extract(&graph, method).unwrap());
        let [tree_cost, greedy_cost, cost] =
            [&tree, &greedy, &exact].map(|found| found.program.cost);
        assert!(
            exact.optimal,
            "{name}: between {} and {cost}",
            exact.lower_bound
        );
        assert!((cost - best).abs() < 1e-8, "{name}: {cost}, not {best}");
        assert!(
            exact.lower_bound <= cost && greedy.lower_bound <= cost,
            "{name}"
        );
        assert!(
            cost <= greedy_cost && greedy_cost <= 1.05 * cost,
            "{name}: {greedy_cost}"
        );
        assert!(
            greedy_cost <= tree_cost,
            "{name}: {greedy_cost} and {tree_cost}"
        );
        // The cheapest trees of the acyclic vgg are the best choice, too.
        assert!(greedy_cost < tree_cost || name == "vgg_acyclic", "{name}");
        for found in [tree, greedy, exact] {
            assert_eq!(check(&graph, &found.choice), Ok(found.program), "{name}");
        }
    }
}

fn unpacked(path: &PathBuf) -> Option<ExtractGraph> {
    path.exists().then_some(())?;
    let output = Command::new("gzip").arg("-dc").arg(path).output().ok()?;
    assert!(
        output.status.success(),
        "gzip cannot read {}",
        path.display()
    );
    let file: GraphFile = serde_json::from_slice(&output.stdout).unwrap();
    Some(file.graph().unwrap())
}
