//! Attention: all ways through the kernel, against sums in double precision.

use lepid_ukernels::attention::{
    AttentionArgs, AttentionBlock, HeadExtents, HeadStrides, MaskStrides,
};

use crate::{Random, assert_close, on_each_isa};

const BATCH: usize = 2;
const HEADS: usize = 3;
const TILES: AttentionBlock = AttentionBlock {
    queries: 12,
    keys: 32,
};

/// Whether a mask has an extent of its own along an axis, or repeats.
#[derive(Clone, Copy)]
struct Mask {
    batch: bool,
    head: bool,
    query: bool,
    key: bool,
}

#[derive(Clone, Copy)]
struct Case {
    head: HeadExtents,
    /// How many keys the first query sees, if they are hidden from it.
    causal: Option<usize>,
    mask: Option<Mask>,
    scale: f32,
    /// Whether positions come before heads.
    by_position: bool,
    block: AttentionBlock,
}

const fn head(queries: usize, keys: usize, features: usize, outputs: usize) -> HeadExtents {
    HeadExtents {
        queries,
        keys,
        features,
        outputs,
    }
}

const PLAIN: Case = Case {
    head: head(17, 5, 24, 24),
    causal: None,
    mask: None,
    scale: 0.3,
    by_position: true,
    block: TILES,
};

const FULL: Mask = Mask {
    batch: true,
    head: true,
    query: true,
    key: true,
};

fn cases() -> Vec<Case> {
    let with = |head, causal, mask, scale| Case {
        head,
        causal,
        mask,
        scale,
        ..PLAIN
    };
    let padding = Mask {
        head: false,
        query: false,
        ..FULL
    };
    let rows = Mask {
        batch: false,
        key: false,
        ..FULL
    };
    let mut cases = vec![
        PLAIN,
        with(head(13, 100, 7, 33), None, None, 0.2),
        with(head(24, 64, 16, 16), None, Some(FULL), 0.25),
        with(head(25, 70, 9, 20), None, Some(padding), -0.25),
        with(head(7, 40, 8, 8), None, Some(rows), 0.5),
        with(head(30, 30, 12, 12), Some(1), None, 0.3),
        with(head(30, 77, 12, 40), Some(48), Some(FULL), 0.3),
        with(head(9, 33, 5, 3), Some(100), None, -0.3),
        with(head(9, 33, 5, 3), None, None, 0.0),
        with(head(5, 1, 1, 1), None, None, 1.0),
        // Few queries.
        with(head(1, 77, 64, 64), None, None, 0.1),
        with(head(2, 50, 70, 83), Some(49), None, 0.1),
        with(head(4, 9, 3, 5), Some(1), Some(FULL), -0.4),
    ];
    for i in 0..cases.len() {
        cases.push(Case {
            by_position: false,
            block: AttentionBlock::usual(cases[i].head.keys),
            ..cases[i]
        });
    }
    cases
}

/// A matrix per batch entry and head, with a gap after each row.
struct Matrices {
    strides: HeadStrides,
    values: Vec<f32>,
}

impl Matrices {
    fn new(random: &mut Random, rows: usize, columns: usize, by_position: bool) -> Matrices {
        let row = columns + 3;
        let strides = match by_position {
            true => HeadStrides {
                batch: rows * HEADS * row,
                head: row,
                row: HEADS * row,
            },
            false => HeadStrides {
                batch: HEADS * rows * row,
                head: rows * row,
                row,
            },
        };
        Matrices {
            strides,
            values: random.floats(BATCH * strides.batch),
        }
    }

    fn at(&self, entry: usize, head: usize, row: usize) -> usize {
        entry * self.strides.batch + head * self.strides.head + row * self.strides.row
    }

    fn row(&self, entry: usize, head: usize, row: usize) -> &[f32] {
        &self.values[self.at(entry, head, row)..]
    }
}

struct Problem {
    case: Case,
    q: Matrices,
    k: Matrices,
    v: Matrices,
    y: Matrices,
    mask: Vec<f32>,
    mask_strides: MaskStrides,
}

impl Problem {
    fn new(case: Case) -> Problem {
        let HeadExtents {
            queries,
            keys,
            features,
            outputs,
        } = case.head;
        let random = &mut Random((queries * keys + features) as u64);
        let own = case.mask.map(|m| [m.batch, m.head, m.query, m.key]);
        let extents: Vec<usize> = [BATCH, HEADS, queries, keys]
            .into_iter()
            .zip(own.unwrap_or([false; 4]))
            .map(|(n, own)| if own { n } else { 1 })
            .collect();
        let stride = |axis: usize| match extents[axis] {
            1 => 0,
            _ => extents[axis + 1..].iter().product(),
        };
        let mut mask = random.floats(extents.iter().product());
        for (i, x) in mask.iter_mut().enumerate() {
            *x = if i % 5 == 0 {
                f32::NEG_INFINITY
            } else {
                4.0 * *x
            };
        }
        // Nothing is seen of a whole row.
        if own == Some([true; 4]) {
            mask[keys..2 * keys].fill(f32::NEG_INFINITY);
        }
        Problem {
            case,
            q: Matrices::new(random, queries, features, case.by_position),
            k: Matrices::new(random, keys, features, case.by_position),
            v: Matrices::new(random, keys, outputs, case.by_position),
            y: Matrices::new(random, queries, outputs, case.by_position),
            mask,
            mask_strides: MaskStrides {
                queries: HeadStrides {
                    batch: stride(0),
                    head: stride(1),
                    row: stride(2),
                },
                key: stride(3),
            },
        }
    }

    fn tiles(&self) -> usize {
        BATCH * HEADS * self.case.block.tiles(self.case.head.queries)
    }

    fn args(&mut self, scratch: &mut [f32], tiles: std::ops::Range<usize>) -> AttentionArgs {
        let head = self.case.head;
        AttentionArgs {
            heads: HEADS,
            queries: head.queries,
            keys: head.keys,
            features: head.features,
            outputs: head.outputs,
            seen: self.case.causal.unwrap_or(head.keys),
            scale: self.case.scale,
            q: self.q.values.as_ptr(),
            q_strides: self.q.strides,
            k: self.k.values.as_ptr(),
            k_strides: self.k.strides,
            v: self.v.values.as_ptr(),
            v_strides: self.v.strides,
            y: self.y.values.as_mut_ptr(),
            y_strides: self.y.strides,
            mask: match self.case.mask {
                Some(_) => self.mask.as_ptr(),
                None => std::ptr::null(),
            },
            mask_strides: self.mask_strides,
            tile_begin: tiles.start,
            tile_end: tiles.end,
            block: self.case.block,
            scratch: scratch.as_mut_ptr(),
        }
    }

    /// A row of the output in double precision.
    fn expected(&self, entry: usize, head: usize, query: usize) -> Vec<f64> {
        let HeadExtents {
            keys,
            features,
            outputs,
            ..
        } = self.case.head;
        let seen = self.case.causal.map_or(keys, |seen| keys.min(query + seen));
        let scores: Vec<f64> = (0..seen)
            .map(|key| {
                let (q, k) = (self.q.row(entry, head, query), self.k.row(entry, head, key));
                let products = (0..features).map(|i| f64::from(q[i]) * f64::from(k[i]));
                let s = &self.mask_strides;
                let at = entry * s.queries.batch
                    + head * s.queries.head
                    + query * s.queries.row
                    + key * s.key;
                let mask = self.case.mask.map_or(0.0, |_| f64::from(self.mask[at]));
                products.sum::<f64>() * f64::from(self.case.scale) + mask
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let value = |key: usize, i: usize| f64::from(self.v.row(entry, head, key)[i]);
        let column = |i| {
            (0..seen)
                .map(|key| weights[key] * value(key, i))
                .sum::<f64>()
                / sum
        };
        (0..outputs).map(column).collect()
    }
}

#[test]
fn attention_in_tiles_and_parts() {
    on_each_isa(|t| {
        for (number, case) in cases().into_iter().enumerate() {
            let mut problem = Problem::new(case);
            let gaps = problem.y.values.clone();
            let len = case.block.scratch_len(case.head);
            // What is in the scratch before does not matter.
            let mut scratch = vec![f32::NAN; len];
            let tiles = problem.tiles();
            let args = problem.args(&mut scratch, 0..tiles);
            // SAFETY: the buffers have the sizes the arguments say.
            unsafe { (t.attention_f32)(&args) };
            let whole = problem.y.values.clone();
            problem.y.values.fill(0.5);
            for part in 0..3 {
                let range = tiles * part / 3..tiles * (part + 1) / 3;
                let args = problem.args(&mut scratch, range);
                // SAFETY: as before.
                unsafe { (t.attention_f32)(&args) };
            }
            let mut written = vec![false; whole.len()];
            for (entry, head) in (0..BATCH).flat_map(|e| (0..HEADS).map(move |h| (e, h))) {
                for query in 0..case.head.queries {
                    let at = problem.y.at(entry, head, query);
                    for (i, want) in problem.expected(entry, head, query).into_iter().enumerate() {
                        let what = format!("case {number} at ({entry}, {head}, {query}, {i})");
                        assert_close(whole[at + i], want, &what);
                        let parts = problem.y.values[at + i];
                        assert_eq!(parts.to_bits(), whole[at + i].to_bits(), "{what} in parts");
                        written[at + i] = true;
                    }
                }
            }
            for (i, written) in written.into_iter().enumerate() {
                assert!(
                    written || whole[i] == gaps[i],
                    "case {number} writes at {i}"
                );
            }
        }
    });
}
