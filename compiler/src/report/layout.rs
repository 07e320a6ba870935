//! Places for the boxes of a graph in layers: from the top down, few crossings, straight edges.
//!
//! The usual four steps (Sugiyama): a layer for each box by the longest path; an order within each
//! layer by sweeps of means; positions along the layer that are as near to the neighbours' as the
//! order allows; edges through the layers that they pass. Networks have main paths, around which
//! short ones branch off and come back: a box stands below the one that a long edge comes from
//! rather than below the end of a branch.

use std::collections::BTreeMap;

/// A box to be placed.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

/// A placed graph.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Drawing {
    /// The middle of the upper edge of each box.
    pub boxes: Vec<(f64, f64)>,
    /// For each edge the points that it goes through, from the lower edge of a box to the upper
    /// edge of another.
    pub edges: Vec<Vec<(f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// Between boxes of a layer, and between layers.
const GAP_X: f64 = 24.0;
const GAP_Y: f64 = 34.0;
/// What an edge takes on its way through a layer.
const LANE: f64 = 10.0;
const SWEEPS: usize = 12;

/// Places boxes, of which `edges` lead from a lower number to a higher one.
pub fn place(sizes: &[Size], edges: &[(usize, usize)]) -> Drawing {
    let mut layered = Layered::new(sizes, edges);
    layered.sort();
    let x = layered.positions();
    layered.drawing(sizes, &x)
}

/// Boxes and lanes: a lane stands for an edge in a layer that it passes.
struct Layered {
    layers: Vec<Vec<usize>>,
    layer: Vec<usize>,
    width: Vec<f64>,
    up: Vec<Vec<usize>>,
    down: Vec<Vec<usize>>,
    /// For each edge what it goes through, its ends included.
    paths: Vec<Vec<usize>>,
    boxes: usize,
}

impl Layered {
    fn new(sizes: &[Size], edges: &[(usize, usize)]) -> Layered {
        let mut layer = layers_of(sizes.len(), edges);
        let mut width: Vec<f64> = sizes.iter().map(|s| s.width).collect();
        let mut paths = Vec::new();
        for &(from, to) in edges {
            let mut path = vec![from];
            for between in layer[from] + 1..layer[to] {
                path.push(layer.len());
                layer.push(between);
                width.push(LANE);
            }
            path.push(to);
            paths.push(path);
        }
        let count = layer.iter().max().map_or(0, |last| last + 1);
        let mut layers = vec![Vec::new(); count];
        for (item, &at) in layer.iter().enumerate() {
            layers[at].push(item);
        }
        let mut up = vec![Vec::new(); layer.len()];
        let mut down = vec![Vec::new(); layer.len()];
        for path in &paths {
            for pair in path.windows(2) {
                down[pair[0]].push(pair[1]);
                up[pair[1]].push(pair[0]);
            }
        }
        Layered {
            layers,
            layer,
            width,
            up,
            down,
            paths,
            boxes: sizes.len(),
        }
    }

    /// Sorts each layer by the mean place of its neighbours, down and up in turns; keeps the order
    /// with the fewest crossings.
    fn sort(&mut self) {
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

    /// The middle of each item: near to its neighbours, without overlap in its layer.
    fn positions(&self) -> Vec<f64> {
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
    fn pulls(&self) -> (Vec<Vec<(usize, f64)>>, Vec<Vec<(usize, f64)>>) {
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

    fn drawing(&self, sizes: &[Size], x: &[f64]) -> Drawing {
        let left = (0..x.len()).map(|i| x[i] - self.width[i] / 2.0);
        let left = left.fold(f64::INFINITY, f64::min) - GAP_X;
        let right = (0..x.len()).map(|i| x[i] + self.width[i] / 2.0);
        let right = right.fold(f64::NEG_INFINITY, f64::max) + GAP_X;
        let mut top = Vec::new();
        let mut height = Vec::new();
        let mut y = GAP_Y / 2.0;
        for layer in &self.layers {
            let heights = layer.iter().filter(|&&i| i < self.boxes);
            let tallest = heights.map(|&i| sizes[i].height).fold(0.0, f64::max);
            top.push(y);
            height.push(tallest);
            y += tallest + GAP_Y;
        }
        let upper = |item: usize| (x[item] - left, top[self.layer[item]]);
        let edges = self.paths.iter().map(|path| {
            let mut points = Vec::new();
            for (at, &item) in path.iter().enumerate() {
                let (px, py) = upper(item);
                match at {
                    0 => points.push((px, py + sizes[item].height)),
                    _ if item < self.boxes => points.push((px, py)),
                    _ => {
                        points.push((px, py));
                        points.push((px, py + height[self.layer[item]]));
                    }
                }
            }
            points
        });
        Drawing {
            boxes: (0..self.boxes).map(upper).collect(),
            edges: edges.collect(),
            width: if x.is_empty() { 0.0 } else { right - left },
            height: y - GAP_Y / 2.0,
        }
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
fn layers_of(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
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

    const BOX: Size = Size {
        width: 100.0,
        height: 40.0,
    };

    fn overlaps(drawing: &Drawing) -> bool {
        let boxes = &drawing.boxes;
        (0..boxes.len()).any(|i| {
            (0..i).any(|j| {
                let apart_x = (boxes[i].0 - boxes[j].0).abs() >= BOX.width;
                let apart_y = (boxes[i].1 - boxes[j].1).abs() >= BOX.height;
                !apart_x && !apart_y
            })
        })
    }

    #[test]
    fn inversions_are_counted() {
        assert_eq!(inversions(&[0, 1, 2]), 0);
        assert_eq!(inversions(&[2, 1, 0]), 3);
        assert_eq!(inversions(&[1, 0, 1, 0]), 3);
        assert_eq!(inversions(&[]), 0);
    }

    #[test]
    fn a_chain_is_straight() {
        let edges: Vec<(usize, usize)> = (0..9).map(|i| (i, i + 1)).collect();
        let drawing = place(&[BOX; 10], &edges);
        assert!(
            drawing
                .boxes
                .windows(2)
                .all(|w| w[0].0 == w[1].0 && w[0].1 < w[1].1)
        );
        assert!(drawing.width >= BOX.width && drawing.height > 10.0 * BOX.height);
    }

    #[test]
    fn edges_go_down_and_end_at_their_boxes() {
        let edges = [(0, 1), (1, 2), (0, 3), (2, 3), (3, 4), (0, 4)];
        let drawing = place(&[BOX; 5], &edges);
        for (points, (from, to)) in drawing.edges.iter().zip(edges) {
            assert!(points.windows(2).all(|w| w[0].1 <= w[1].1));
            assert_eq!(points[0].1, drawing.boxes[from].1 + BOX.height);
            assert_eq!(points.last(), Some(&drawing.boxes[to]));
        }
        assert!(!overlaps(&drawing));
    }

    #[test]
    fn random_graphs_have_no_overlap() {
        let mut random = lepid_ir::interp::random::Random::new(5);
        for _ in 0..40 {
            let count = 2 + random.below(30) as usize;
            let mut edges = Vec::new();
            for to in 1..count {
                for _ in 0..=random.below(2) {
                    edges.push((random.below(to as u64) as usize, to));
                }
            }
            let drawing = place(&vec![BOX; count], &edges);
            assert!(!overlaps(&drawing));
            let inside = |&(x, y): &(f64, f64)| {
                x >= 0.0 && y >= 0.0 && x <= drawing.width && y <= drawing.height
            };
            assert!(drawing.boxes.iter().all(inside));
        }
    }

    #[test]
    fn crossings_are_removed() {
        // Two pairs, given crosswise.
        let drawing = place(&[BOX; 4], &[(0, 3), (1, 2)]);
        let left_first = drawing.boxes[0].0 < drawing.boxes[1].0;
        assert_eq!(left_first, drawing.boxes[3].0 < drawing.boxes[2].0);
    }

    #[test]
    fn nothing_takes_no_place() {
        assert!(place(&[], &[]).boxes.is_empty());
    }
}
