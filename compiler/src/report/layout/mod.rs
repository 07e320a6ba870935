//! Places for the boxes of a graph in layers: from the top down, few crossings, straight edges.
//!
//! The usual four steps (Sugiyama): a layer for each box by the longest path; an order within each
//! layer by sweeps of means; positions along the layer that are as near to the neighbours' as the
//! order allows; edges through the layers that they pass. Networks have main paths, around which
//! short ones branch off and come back: a box stands below the one that a long edge comes from
//! rather than below the end of a branch.

mod order;
mod positions;

use order::layers_of;

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
