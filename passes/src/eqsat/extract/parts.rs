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
        candidate
            .children
            .iter_mut()
            .for_each(|child| *child = number(*child));
        parts[part].candidates.push(candidate);
    }
    for &class in &problem.needed {
        parts[part_of(class)].needed.push(number(class));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::tests::problem;
    use super::*;

    #[test]
    fn what_shares_nothing_falls_apart() {
        let mut whole = problem(&[
            &[(1.0, &[2])],
            &[(2.0, &[3]), (3.0, &[])],
            &[(4.0, &[])],
            &[(5.0, &[])],
        ]);
        whole.needed = vec![0, 1];
        let parts = parts(&whole);
        let shape = |part: &Problem| {
            (
                part.class_count,
                part.needed.clone(),
                part.costs().collect(),
            )
        };
        let shapes: Vec<(usize, Vec<u32>, Vec<u64>)> = parts.iter().map(shape).collect();
        assert_eq!(
            shapes,
            [(2, vec![0], vec![1, 4]), (2, vec![0], vec![2, 3, 5])]
        );
    }
}
