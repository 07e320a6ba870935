//! The parts of a problem that share nothing.

use petgraph::unionfind::UnionFind;

use super::problem::Problem;

/// One problem per part, in the order of their first classes. What is paid or picked for sure stays
/// with the whole.
pub(super) fn parts(problem: &Problem) -> Vec<Problem> {
    let mut together = UnionFind::<u32>::new(problem.class_count);
    for candidate in &problem.candidates {
        for &child in &candidate.children {
            together.union(candidate.class, child);
        }
    }
    let labels = together.into_labeling();
    let mut part_of_label = vec![None; problem.class_count];
    let mut parts: Vec<Problem> = Vec::new();
    // The number of each class in its part.
    let mut numbers = Vec::with_capacity(problem.class_count);
    for &label in &labels {
        let part = *part_of_label[label as usize].get_or_insert_with(|| {
            parts.push(Problem::default());
            parts.len() - 1
        });
        numbers.push(parts[part].class_count as u32);
        parts[part].class_count += 1;
    }
    let part_of = |class: u32| part_of_label[labels[class as usize] as usize].expect("labelled");
    let number = |class: u32| numbers[class as usize];
    for candidate in &problem.candidates {
        let mut candidate = candidate.clone();
        let part = part_of(candidate.class);
        candidate.class = number(candidate.class);
        candidate.children.iter_mut().for_each(|child| *child = number(*child));
        parts[part].candidates.push(candidate);
    }
    for &class in &problem.needed {
        parts[part_of(class)].needed.push(number(class));
    }
    parts
}
