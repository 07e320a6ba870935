//! Makes a problem smaller without losing its best solution.
//!
//! | rule | what it uses |
//! |---|---|
//! | [`drop_useless`] | classes that cannot be computed, or are not reached |
//! | [`drop_circular`] | a candidate needs a class that cannot do without the candidate's own |
//! | [`drop_dominated`] | a candidate costs no less than another and requires all its children |
//! | [`need_required`] | what needed classes require is needed |
//! | [`cut_implied`] | a child that is needed anyway, or required by another child |
//! | [`pay_needed`] | a needed class costs at least its cheapest candidate |
//! | [`push_up`] | a class used by one other class costs what that pays for it |
//! | [`inline`] | a class with one free candidate is the classes below it |
//! | [`absorb`] | a class used by one candidate is part of it |
//!
//! Why nothing is lost, where it is not plain: a solution is a set of candidates that can be put in
//! an order in which children come first. Whatever derives a class before it is used may replace
//! another candidate of the class, so it is enough that what replaces costs no more.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::problem::{Candidate, Index, Problem, Ticks, sorted};
use super::required::{Required, has};

/// A problem has no solution.
#[derive(Debug, PartialEq)]
pub(super) struct Impossible;

/// Applies the rules until none of them finds anything.
pub(super) fn reduce(problem: &mut Problem) -> Result<(), Impossible> {
    loop {
        drop_useless(problem)?;
        while shorten(problem) {
            drop_useless(problem)?;
        }
        if !tighten(problem) {
            return Ok(());
        }
    }
}

/// The rules that look at one class and its users.
fn shorten(problem: &mut Problem) -> bool {
    let mut changed = pay_needed(problem);
    changed |= push_up(problem);
    changed |= inline(problem);
    changed | absorb(problem)
}

/// The rules that ask what classes require.
fn tighten(problem: &mut Problem) -> bool {
    if problem.class_count > REQUIRED_LIMIT {
        return false;
    }
    let index = problem.index();
    let required = Required::of(problem, &index, &problem.bottom_up(&index));
    let mut changed = need_required(problem, &required);
    // Candidates are only marked until all rules have run, so that `index` stays true.
    let mut dropped = vec![false; problem.candidates.len()];
    drop_circular(problem, &required, &mut dropped);
    drop_dominated(problem, &index, &required, &mut dropped);
    changed |= cut_implied(problem, &required);
    changed |= dropped.contains(&true);
    drop_marked(problem, &dropped);
    changed
}

/// What each class requires takes bits in the square of the number of classes: 50 MB here.
const REQUIRED_LIMIT: usize = 20_000;

/// Drops classes that cannot be computed or are not reached, and numbers the others anew.
fn drop_useless(problem: &mut Problem) -> Result<(), Impossible> {
    let index = problem.index();
    let mut computed = vec![false; problem.class_count];
    for class in problem.bottom_up(&index) {
        computed[class as usize] = true;
    }
    if problem
        .needed
        .iter()
        .any(|&class| !computed[class as usize])
    {
        return Err(Impossible);
    }
    let possible = |candidate: &Candidate| {
        let children = candidate.children.iter();
        children.copied().all(|child| computed[child as usize])
    };
    let mut reached = vec![false; problem.class_count];
    let mut waiting = problem.needed.clone();
    while let Some(class) = waiting.pop() {
        if !std::mem::replace(&mut reached[class as usize], true) {
            let members = index.members.at(class).iter();
            let candidates = members.map(|&at| &problem.candidates[at as usize]);
            for candidate in candidates.filter(|candidate| possible(candidate)) {
                waiting.extend(&candidate.children);
            }
        }
    }
    problem
        .candidates
        .retain(|candidate| reached[candidate.class as usize] && possible(candidate));
    problem.keep_classes(&reached);
    Ok(())
}

/// Takes what each needed class costs at least out of its candidates.
fn pay_needed(problem: &mut Problem) -> bool {
    let index = problem.index();
    let mut paid = 0;
    for &class in &problem.needed {
        paid += discount(&mut problem.candidates, index.members.at(class));
    }
    problem.paid += paid;
    paid > 0
}

/// Makes the candidates cheaper by what all of them cost, and says how much that is.
fn discount(candidates: &mut [Candidate], members: &[u32]) -> Ticks {
    let costs = members.iter().map(|&at| candidates[at as usize].cost);
    let least = costs.min().unwrap_or(0);
    for &at in members {
        candidates[at as usize].cost -= least;
    }
    least
}

/// Lets a class whose users are all in one class, which chooses one of them, pay in its stead.
fn push_up(problem: &mut Problem) -> bool {
    let index = problem.index();
    let needed = problem.is_needed();
    let mut changed = false;
    for class in problem.bottom_up(&index) {
        let users = index.uses.at(class);
        let users_class = |at: u32| problem.candidates[at as usize].class;
        let one = users
            .windows(2)
            .all(|pair| users_class(pair[0]) == users_class(pair[1]));
        if one && !needed[class as usize] {
            let least = discount(&mut problem.candidates, index.members.at(class));
            for &user in users {
                problem.candidates[user as usize].cost += least;
            }
            changed |= least > 0;
        }
    }
    changed
}

/// Replaces each class that has one candidate, which is free, by the children of that.
///
/// A cycle through the class is one through its children, and a candidate that would now be its own
/// child was part of one.
fn inline(problem: &mut Problem) -> bool {
    let index = problem.index();
    let mut below: Vec<Option<Vec<u32>>> = vec![None; problem.class_count];
    let mut changed = false;
    for class in problem.bottom_up(&index) {
        if let &[only] = index.members.at(class)
            && problem.candidates[only as usize].cost == 0
        {
            let candidate = &problem.candidates[only as usize];
            below[class as usize] = Some(replaced(&candidate.children, &below));
            problem.picks.extend(&candidate.picks);
            changed = true;
        }
    }
    if changed {
        problem
            .candidates
            .retain(|candidate| below[candidate.class as usize].is_none());
        for candidate in &mut problem.candidates {
            candidate.children = replaced(&candidate.children, &below);
        }
        problem
            .candidates
            .retain(|candidate| !candidate.children.contains(&candidate.class));
        problem.needed = replaced(&problem.needed, &below);
    }
    changed
}

/// `classes` with those replaced that have something below them.
fn replaced(classes: &[u32], below: &[Option<Vec<u32>>]) -> Vec<u32> {
    if classes.iter().all(|&class| below[class as usize].is_none()) {
        return classes.to_vec();
    }
    sorted(
        classes
            .iter()
            .flat_map(|class| match &below[*class as usize] {
                Some(below) => below.as_slice(),
                None => std::slice::from_ref(class),
            })
            .copied(),
    )
}

/// Makes a class that one candidate uses, and nothing else, part of that: one candidate for each of
/// the class.
fn absorb(problem: &mut Problem) -> bool {
    let index = problem.index();
    let needed = problem.is_needed();
    let mut touched = vec![false; problem.class_count];
    let mut dropped = vec![false; problem.candidates.len()];
    let mut fresh = Vec::new();
    for class in 0..problem.class_count as u32 {
        let &[user] = index.uses.at(class) else {
            continue;
        };
        let parts = index.members.at(class);
        let outer = &problem.candidates[user as usize];
        let size = index.members.at(outer.class).len() + parts.len() - 1;
        if needed[class as usize]
            || size > ABSORB_LIMIT
            || touched[class as usize]
            || touched[outer.class as usize]
        {
            continue;
        }
        for &part in parts {
            dropped[part as usize] = true;
            let part = &problem.candidates[part as usize];
            let others = outer.children.iter().filter(|&&child| child != class);
            let children = sorted(others.chain(&part.children).copied());
            if !children.contains(&outer.class) {
                fresh.push(Candidate {
                    class: outer.class,
                    cost: outer.cost + part.cost,
                    children,
                    picks: [&*outer.picks, &*part.picks].concat(),
                });
            }
        }
        dropped[user as usize] = true;
        touched[class as usize] = true;
        touched[outer.class as usize] = true;
    }
    drop_marked(problem, &dropped);
    problem.candidates.extend(fresh);
    problem.candidates.sort_by_key(|candidate| candidate.class);
    touched.contains(&true)
}

/// No class grows to more candidates than this by absorbing.
const ABSORB_LIMIT: usize = 8;

/// Needs what needed classes require.
fn need_required(problem: &mut Problem, required: &Required) -> bool {
    let row = required.of_all(&problem.needed);
    let before = problem.needed.len();
    problem.needed = (0..problem.class_count as u32)
        .filter(|&class| has(&row, class))
        .collect();
    problem.needed.len() > before
}

/// Marks candidates with a child that requires their class.
fn drop_circular(problem: &Problem, required: &Required, dropped: &mut [bool]) {
    for (candidate, dropped) in problem.candidates.iter().zip(dropped) {
        let mut children = candidate.children.iter();
        *dropped |= children.any(|&child| required.has(child, candidate.class));
    }
}

/// Marks candidates for which another of the class would do: it costs no more, and its children are
/// there already.
fn drop_dominated(problem: &Problem, index: &Index, required: &Required, dropped: &mut [bool]) {
    for class in 0..problem.class_count as u32 {
        let members = index.members.at(class);
        // The last first, so that the first of equals remains.
        for &at in members.iter().rev().filter(|_| members.len() > 1) {
            let candidate = &problem.candidates[at as usize];
            let row = required.of_all(&candidate.children);
            let better = |&other: &u32| {
                let other_candidate = &problem.candidates[other as usize];
                other != at
                    && !dropped[other as usize]
                    && other_candidate.cost <= candidate.cost
                    && other_candidate
                        .children
                        .iter()
                        .all(|&child| has(&row, child))
            };
            dropped[at as usize] |= members.iter().any(better);
        }
    }
}

/// Forgets children that the solution has anyway and that cannot be part of a cycle: needed ones
/// that do not reach the candidate. And children that another child requires: a cycle through
/// them is one through that child.
fn cut_implied(problem: &mut Problem, required: &Required) -> bool {
    let component = components(problem);
    let needed = problem.is_needed();
    let mut changed = false;
    for candidate in &mut problem.candidates {
        let class = candidate.class;
        let children = std::mem::take(&mut candidate.children);
        let implied = |child: u32| {
            let apart = component[child as usize] != component[class as usize];
            let mut others = children.iter().filter(|&&other| other != child);
            needed[child as usize] && apart || others.any(|&other| required.has(other, child))
        };
        candidate.children = children
            .iter()
            .copied()
            .filter(|&child| !implied(child))
            .collect();
        changed |= candidate.children.len() < children.len();
    }
    changed
}

/// For each class which strongly connected component it is in: the classes that it could be on a
/// cycle with.
fn components(problem: &Problem) -> Vec<usize> {
    let edges = problem.candidates.iter().flat_map(|candidate| {
        let children = candidate.children.iter();
        children.map(move |&child| (candidate.class, child))
    });
    let mut graph = DiGraph::<(), ()>::from_edges(edges);
    while graph.node_count() < problem.class_count {
        graph.add_node(());
    }
    let mut component = vec![0; problem.class_count];
    for (number, classes) in kosaraju_scc(&graph).into_iter().enumerate() {
        for class in classes {
            component[class.index()] = number;
        }
    }
    component
}

fn drop_marked(problem: &mut Problem, dropped: &[bool]) {
    let mut marks = dropped.iter();
    problem.candidates.retain(|_| marks.next() != Some(&true));
}

#[cfg(test)]
mod tests {
    use super::super::tests::problem;
    use super::*;

    #[test]
    fn what_has_no_choice_is_paid_and_picked() {
        let mut problem = problem(&[&[(1.0, &[1, 2])], &[(2.0, &[2])], &[(4.0, &[])]]);
        assert_eq!(reduce(&mut problem), Ok(()));
        assert_eq!(
            (problem.paid, problem.class_count, problem.picks.len()),
            (7, 0, 3)
        );
    }

    #[test]
    fn what_costs_more_and_needs_more_is_dropped() {
        // The second way to 0 needs 1, and so all that the first does.
        let mut problem = problem(&[
            &[(1.0, &[2]), (1.0, &[1])],
            &[(0.0, &[2, 3])],
            &[(2.0, &[])],
            &[(0.0, &[])],
        ]);
        assert_eq!(reduce(&mut problem), Ok(()));
        assert_eq!((problem.paid, problem.class_count), (3, 0));
    }

    #[test]
    fn a_candidate_on_top_of_its_own_class_is_dropped() {
        // 2 cannot do without 1.
        let mut problem = problem(&[
            &[(0.0, &[1])],
            &[(0.0, &[2]), (5.0, &[])],
            &[(1.0, &[1, 3])],
            &[(0.0, &[])],
        ]);
        assert_eq!(reduce(&mut problem), Ok(()));
        assert_eq!((problem.paid, problem.class_count), (5, 0));
    }

    #[test]
    fn a_choice_remains_where_sharing_decides() {
        let mut problem = problem(&[
            &[(0.0, &[1, 2])],
            &[(6.0, &[]), (0.0, &[3])],
            &[(6.0, &[]), (0.0, &[3])],
            &[(10.0, &[])],
        ]);
        assert_eq!(reduce(&mut problem), Ok(()));
        assert_eq!((problem.paid, problem.candidates.len()), (0, 5));
    }

    #[test]
    fn what_needs_itself_is_impossible() {
        let mut problem = problem(&[&[(0.0, &[1])], &[(0.0, &[2])], &[(0.0, &[1])]]);
        assert_eq!(reduce(&mut problem), Err(Impossible));
    }
}
