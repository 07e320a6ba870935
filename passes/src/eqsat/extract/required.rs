//! Which classes a class cannot do without.

use super::problem::{Index, Problem};

/// For each class the classes that are in every solution that has it, itself among them: those
/// that all its candidates require, one way or another.
pub(super) struct Required {
    /// Bits per row, in words.
    words: usize,
    rows: Vec<u64>,
}

impl Required {
    /// The largest solution of: a class requires itself and what each of its candidates does, a
    /// candidate what any child does.
    ///
    /// `order` is one in which most children come before their parents; it only saves rounds.
    pub(super) fn of(problem: &Problem, index: &Index, order: &[u32]) -> Required {
        let words = problem.class_count.div_ceil(64);
        let mut required = Required {
            words,
            rows: vec![u64::MAX; words * problem.class_count],
        };
        loop {
            let mut changed = false;
            for &class in order {
                let mut all = vec![u64::MAX; words];
                for &candidate in index.members.at(class) {
                    let any = required.of_candidate(problem, candidate);
                    all.iter_mut().zip(any).for_each(|(all, any)| *all &= any);
                }
                all[class as usize / 64] |= 1 << (class % 64);
                let row = &mut required.rows[class as usize * words..][..words];
                if *row != *all {
                    row.copy_from_slice(&all);
                    changed = true;
                }
            }
            if !changed {
                return required;
            }
        }
    }

    pub(super) fn row(&self, class: u32) -> &[u64] {
        &self.rows[class as usize * self.words..][..self.words]
    }

    /// Whether each solution with `class` has `other`.
    pub(super) fn has(&self, class: u32, other: u32) -> bool {
        has(self.row(class), other)
    }

    /// What `classes` require together.
    pub(super) fn of_all(&self, classes: &[u32]) -> Vec<u64> {
        let mut any = vec![0; self.words];
        for &class in classes {
            any.iter_mut()
                .zip(self.row(class))
                .for_each(|(any, row)| *any |= row);
        }
        any
    }

    pub(super) fn of_candidate(&self, problem: &Problem, candidate: u32) -> Vec<u64> {
        self.of_all(&problem.candidates[candidate as usize].children)
    }
}

pub(super) fn has(row: &[u64], class: u32) -> bool {
    row[class as usize / 64] >> (class % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::problem;
    use super::*;

    #[test]
    fn a_class_requires_what_all_its_candidates_do() {
        // 0 is had from 1 or from 2, which both need 3; 4 only serves one of them.
        let problem = problem(&[
            &[(0.0, &[1]), (0.0, &[2])],
            &[(0.0, &[3])],
            &[(0.0, &[3, 4])],
            &[(0.0, &[])],
            &[(0.0, &[])],
        ]);
        let index = problem.index();
        let required = Required::of(&problem, &index, &problem.bottom_up(&index));
        let of_root: Vec<u32> = (0..5).filter(|&class| required.has(0, class)).collect();
        assert_eq!(of_root, [0, 3]);
    }

    #[test]
    fn what_can_only_be_circular_requires_nothing_new() {
        // 1 and 2 can be had from one another, but one of them must begin with 3 or 4.
        let problem = problem(&[
            &[(0.0, &[1])],
            &[(0.0, &[2]), (0.0, &[3])],
            &[(0.0, &[1]), (0.0, &[4])],
            &[(0.0, &[5])],
            &[(0.0, &[5])],
            &[(0.0, &[])],
        ]);
        let index = problem.index();
        let required = Required::of(&problem, &index, &problem.bottom_up(&index));
        let of_root: Vec<u32> = (0..6).filter(|&class| required.has(0, class)).collect();
        assert_eq!(of_root, [0, 1, 5]);
    }
}
