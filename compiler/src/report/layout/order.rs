//! The layer of each box, and the order within each layer.

use std::collections::BTreeMap;

use super::{Layered, SWEEPS};

impl Layered {
    /// Sorts each layer by the mean place of its neighbours, down and up in turns; keeps the order
    /// with the fewest crossings.
    pub(super) fn sort(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        let mut places = self.places();
        for sweep in 0..SWEEPS {
            let downwards = sweep % 2 == 0;
            let order: Vec<usize> = match downwards {
                true => (0..self.layers.len()).collect(),
                false => (0..self.layers.len()).rev().collect(),
            };
            for at in order {
                let neighbours = if downwards { &self.up } else { &self.down };
                let mean = |item: usize| {
                    let all = &neighbours[item];
                    let sum: f64 = all.iter().map(|&n| places[n]).sum();
                    match all.is_empty() {
                        true => places[item],
                        false => sum / all.len() as f64,
                    }
                };
                let mut keyed: Vec<(f64, usize)> =
                    self.layers[at].iter().map(|&i| (mean(i), i)).collect();
                // Stable, so that equal means keep their order.
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[at] = keyed.into_iter().map(|(_, item)| item).collect();
                spread(&self.layers[at], &mut places);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
            if best.0 == 0 {
                break;
            }
        }
        self.layers = best.1;
    }

    /// The place of each item within its layer, from 0 to 1.
    fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.layer.len()];
        for layer in &self.layers {
            spread(layer, &mut places);
        }
        places
    }

    fn crossings(&self) -> usize {
        let mut place = vec![0; self.layer.len()];
        for layer in &self.layers {
            for (at, &item) in layer.iter().enumerate() {
                place[item] = at;
            }
        }
        let mut count = 0;
        for layer in &self.layers {
            let mut ends: Vec<(usize, usize)> = layer
                .iter()
                .flat_map(|&item| self.down[item].iter().map(move |&to| (item, to)))
                .map(|(from, to)| (place[from], place[to]))
                .collect();
            ends.sort_unstable();
            let ends: Vec<usize> = ends.into_iter().map(|(_, to)| to).collect();
            count += inversions(&ends);
        }
        count
    }
}

/// States the places of a layer's items, from 0 to 1.
fn spread(layer: &[usize], places: &mut [f64]) {
    for (at, &item) in layer.iter().enumerate() {
        places[item] = (at as f64 + 0.5) / layer.len() as f64;
    }
}

/// The layer of each box: behind all that lead to it; what nothing leads to stands just before
/// what it leads to.
pub(super) fn layers_of(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; count];
    let mut by_start: Vec<(usize, usize)> = edges.to_vec();
    by_start.sort_unstable();
    for &(from, to) in &by_start {
        layer[to] = layer[to].max(layer[from] + 1);
    }
    let mut first_reader: BTreeMap<usize, usize> = BTreeMap::new();
    let mut is_read_from = vec![false; count];
    for &(from, to) in edges {
        let first = first_reader.entry(from).or_insert(layer[to]);
        *first = (*first).min(layer[to]);
        is_read_from[to] = true;
    }
    for (item, reader) in first_reader {
        if !is_read_from[item] {
            layer[item] = reader - 1;
        }
    }
    layer
}

/// Pairs that stand in the wrong order, counted while sorting.
fn inversions(numbers: &[usize]) -> usize {
    // A tree of counts: how many numbers so far are at most n.
    let size = numbers.iter().max().map_or(0, |&n| n + 1);
    let mut tree = vec![0usize; size + 1];
    let mut count = 0;
    for (seen, &number) in numbers.iter().enumerate() {
        let mut not_greater = 0;
        let mut at = number + 1;
        while at > 0 {
            not_greater += tree[at];
            at &= at - 1;
        }
        count += seen - not_greater;
        let mut at = number + 1;
        while at <= size {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_counted() {
        assert_eq!(inversions(&[0, 1, 2]), 0);
        assert_eq!(inversions(&[2, 1, 0]), 3);
        assert_eq!(inversions(&[1, 0, 1, 0]), 3);
        assert_eq!(inversions(&[]), 0);
    }
}
