//! The op definitions that a compilation knows.

use std::collections::BTreeMap;

use crate::core::OpDef;

/// Op definitions by name. Registration is explicit; there is no global table.
#[derive(Default)]
pub struct Registry {
    ops: BTreeMap<&'static str, &'static dyn OpDef>,
}

impl Registry {
    /// Adds ops. Panics on a second op of the same name: that is a mistake in the program.
    pub fn add(&mut self, ops: &[&'static dyn OpDef]) {
        for &def in ops {
            let name = def.info().name;
            if self.ops.insert(name, def).is_some() {
                crate::bug!("op `{name}` is registered twice");
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&'static dyn OpDef> {
        self.ops.get(name).copied()
    }

    /// All ops, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn OpDef> + '_ {
        self.ops.values().copied()
    }

    /// The registered name that is nearest to `name`, if one is near enough to be meant.
    pub fn suggest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.ops.keys().copied())
    }
}

/// The candidate with the smallest edit distance to `name`, at most a third of its length.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    // Nobody mistypes a name that long, and the distance takes quadratic time.
    if length > 64 {
        return None;
    }
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.len() <= 4 * 64 && c.chars().count().abs_diff(length) <= limit)
        .map(|c| (edit_distance(name, c), c))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Optimal string alignment distance: a swap of neighbours counts as one edit.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j - 1] + cost)
                .min(rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["nn.relu", "nn.gelu", "tensor.add"];
        assert_eq!(nearest("nn.reul", names), Some("nn.relu"));
        assert_eq!(nearest("quant.view", names), None);
    }
}
