//! Where the items of a layer stand, once their order is settled.

use super::{GAP_X, Layered, SWEEPS};

/// For each box others with how much each counts.
type Pulls = Vec<Vec<(usize, f64)>>;

impl Layered {
    /// The middle of each item: near to its neighbours, without overlap in its layer.
    pub(super) fn positions(&self) -> Vec<f64> {
        let mut x = vec![0.0; self.layer.len()];
        for layer in &self.layers {
            let desired = vec![0.0; layer.len()];
            self.settle(layer, &desired, &mut x);
        }
        let (from, to) = self.pulls();
        // What nothing leads to is placed by the sweeps upwards; the last one goes down.
        for sweep in 0..=SWEEPS {
            let downwards = sweep % 2 == 0;
            let (pulls, next) = match downwards {
                true => (&from, &self.up),
                false => (&to, &self.down),
            };
            let desired = |item: usize, x: &[f64]| {
                let (sum, weights) = match pulls.get(item) {
                    Some(all) => all.iter().fold((0.0, 0.0), |(s, w), &(i, weight)| {
                        (s + weight * x[i], w + weight)
                    }),
                    // A lane goes on straight.
                    None => (
                        next[item].iter().map(|&i| x[i]).sum(),
                        next[item].len() as f64,
                    ),
                };
                match weights > 0.0 {
                    true => sum / weights,
                    false => x[item],
                }
            };
            let mut order: Vec<usize> = (0..self.layers.len()).collect();
            if !downwards {
                order.reverse();
            }
            for at in order {
                let layer = &self.layers[at];
                let desired: Vec<f64> = layer.iter().map(|&i| desired(i, &x)).collect();
                self.settle(layer, &desired, &mut x);
            }
        }
        x
    }

    /// For each box the boxes that edges come from, and those that they lead to, with how much each
    /// counts: more at the end of a long edge, less where many edges begin.
    fn pulls(&self) -> (Pulls, Pulls) {
        let mut from = vec![Vec::new(); self.boxes];
        let mut to = vec![Vec::new(); self.boxes];
        for path in &self.paths {
            let (first, last) = (path[0], path[path.len() - 1]);
            let length = (path.len() - 1).min(6) as f64;
            let fan = (self.down[first].len() as f64).powf(1.5);
            // Inputs that many read are beside the main path.
            let input = if self.up[first].is_empty() { 0.1 } else { 1.0 };
            from[last].push((first, input * length * length / fan));
            to[first].push((last, 1.0));
        }
        (from, to)
    }

    /// The positions nearest to the desired ones that keep the order and the gaps: neighbours that
    /// would overlap move as one group to the mean of what they want.
    fn settle(&self, layer: &[usize], desired: &[f64], x: &mut [f64]) {
        struct Group {
            first: usize,
            /// What is wanted of the group's start, by the weights of its items.
            sum: f64,
            weight: f64,
        }
        let mut offsets = Vec::with_capacity(layer.len());
        let mut offset = 0.0;
        for (at, &item) in layer.iter().enumerate() {
            if at > 0 {
                let between = (self.width[layer[at - 1]] + self.width[item]) / 2.0;
                offset += between + GAP_X;
            }
            offsets.push(offset);
        }
        let mut groups: Vec<Group> = Vec::new();
        for (at, &item) in layer.iter().enumerate() {
            // Lanes give way; those that go on from a lane a little less.
            let beside = |other: &usize| *other < self.boxes;
            let weight = match item < self.boxes {
                true => 1.0,
                false if self.up[item].iter().any(beside) => 0.001,
                false => 0.1,
            };
            groups.push(Group {
                first: at,
                sum: weight * (desired[at] - offsets[at]),
                weight,
            });
            while let [.., before, last] = &groups[..]
                && before.sum / before.weight > last.sum / last.weight
            {
                let (sum, weight) = (last.sum, last.weight);
                groups.pop();
                if let Some(before) = groups.last_mut() {
                    before.sum += sum;
                    before.weight += weight;
                }
            }
        }
        for (index, group) in groups.iter().enumerate() {
            let end = groups.get(index + 1).map_or(layer.len(), |g| g.first);
            for at in group.first..end {
                x[layer[at]] = group.sum / group.weight + offsets[at];
            }
        }
    }
}
