//! The matrix product behind the reference evaluation of convolutions, linears and attention.
//!
//! Sums run in `f64` in the order of the inner index, so the result depends neither on how the
//! work is cut into tiles nor on the number of threads.

use std::ops::Range;

/// Columns of one tile.
const TILE_COLUMNS: usize = 64;
/// Rows of one tile.
const TILE_ROWS: usize = 128;
/// Steps of the inner index between two visits of an accumulator.
const TILE_DEPTH: usize = 256;
/// Rows and columns that one inner loop holds in registers.
const BLOCK: usize = 4;
/// Multiply-adds below which threads cost more than they give.
const SERIAL: usize = 1 << 19;

/// The extents of a product: `rows × depth` by `depth × columns`.
#[derive(Copy, Clone, Debug)]
pub(super) struct Extents {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
}

/// Writes a range of one column of the right operand.
pub(super) type ColumnFn<'a> = dyn Fn(usize, Range<usize>, &mut [f64]) + Sync + 'a;

/// The product in row-major order. `left` is row-major.
pub(super) fn product(extents: Extents, left: &[f64], column: &ColumnFn<'_>) -> Vec<f64> {
    let Extents {
        rows,
        columns,
        depth,
    } = extents;
    let row_tiles = rows.div_ceil(TILE_ROWS);
    let tiles = row_tiles * columns.div_ceil(TILE_COLUMNS);
    let tile_of = |index: usize| {
        let row = index % row_tiles * TILE_ROWS;
        let column = index / row_tiles * TILE_COLUMNS;
        let rows = row..(row + TILE_ROWS).min(rows);
        (rows, column..(column + TILE_COLUMNS).min(columns))
    };
    let compute = |index: usize| {
        let (r, c) = tile_of(index);
        tile(depth, left, r, c, column)
    };
    let values = match rows * columns * depth < SERIAL || tiles == 1 {
        true => (0..tiles).map(compute).collect(),
        false => in_threads(tiles, &compute),
    };
    let mut out = vec![0.0; rows * columns];
    for (index, values) in values.into_iter().enumerate() {
        let (r, c) = tile_of(index);
        for (row, values) in r.zip(values.chunks(c.len())) {
            out[row * columns + c.start..][..c.len()].copy_from_slice(values);
        }
    }
    out
}

/// The results for `0..count`, in order, computed by as many threads as there are processors.
fn in_threads<T: Send>(count: usize, compute: &(impl Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let each = count.div_ceil(threads.min(count));
    let mut out: Vec<Option<T>> = (0..count).map(|_| None).collect();
    std::thread::scope(|scope| {
        for (i, part) in out.chunks_mut(each).enumerate() {
            scope.spawn(move || {
                for (j, slot) in part.iter_mut().enumerate() {
                    *slot = Some(compute(i * each + j));
                }
            });
        }
    });
    out.into_iter().flatten().collect()
}

/// One tile of the result, row-major.
fn tile(
    depth: usize,
    left: &[f64],
    rows: Range<usize>,
    columns: Range<usize>,
    column: &ColumnFn<'_>,
) -> Vec<f64> {
    let width = columns.len();
    let blocks = width.div_ceil(BLOCK);
    let mut sums = vec![0.0; rows.len() * width];
    // Blocks of columns one after another; within a block, the inner index is outermost.
    let mut packed = vec![0.0; blocks * BLOCK * TILE_DEPTH];
    let mut one = [0.0; TILE_DEPTH];
    for start in (0..depth).step_by(TILE_DEPTH) {
        let run = start..(start + TILE_DEPTH).min(depth);
        for (i, c) in columns.clone().enumerate() {
            let one = &mut one[..run.len()];
            column(c, run.clone(), one);
            let block = &mut packed[i / BLOCK * BLOCK * TILE_DEPTH..];
            for (p, &value) in one.iter().enumerate() {
                block[p * BLOCK + i % BLOCK] = value;
            }
        }
        for first in (0..rows.len()).step_by(BLOCK) {
            let count = BLOCK.min(rows.len() - first);
            let row = |r: usize| &left[(rows.start + first + r) * depth..][run.clone()];
            for b in 0..blocks {
                let right = &packed[b * BLOCK * TILE_DEPTH..][..run.len() * BLOCK];
                let cols = BLOCK.min(width - b * BLOCK);
                let at = |r: usize| (first + r) * width + b * BLOCK;
                if count == BLOCK {
                    let four = [row(0), row(1), row(2), row(3)];
                    add_block(four, right, &mut sums, at, cols);
                } else {
                    for r in 0..count {
                        add_block([row(r)], right, &mut sums, |_| at(r), cols);
                    }
                }
            }
        }
    }
    sums
}

/// Adds `left · right` to a few rows of four columns of the sums.
#[inline]
fn add_block<const ROWS: usize>(
    left: [&[f64]; ROWS],
    right: &[f64],
    sums: &mut [f64],
    at: impl Fn(usize) -> usize,
    columns: usize,
) {
    let mut block = [[0.0; BLOCK]; ROWS];
    for (r, block) in block.iter_mut().enumerate() {
        block[..columns].copy_from_slice(&sums[at(r)..][..columns]);
    }
    for (p, right) in right.chunks_exact(BLOCK).enumerate() {
        for (block, left) in block.iter_mut().zip(&left) {
            let x = left[p];
            for (sum, y) in block.iter_mut().zip(right) {
                *sum += x * y;
            }
        }
    }
    for (r, block) in block.iter().enumerate() {
        sums[at(r)..][..columns].copy_from_slice(&block[..columns]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_plain_sum_at_odd_extents() {
        for (rows, columns, depth) in [
            (1, 1, 0),
            (1, 3, 5),
            (7, 67, 261),
            (130, 65, 300),
            (5, 129, 1),
        ] {
            let value = |i: usize| ((i * 37 + 11) % 101) as f64 - 50.0;
            let left: Vec<f64> = (0..rows * depth).map(value).collect();
            let right: Vec<f64> = (0..depth * columns).map(|i| value(i + 5)).collect();
            let extents = Extents {
                rows,
                columns,
                depth,
            };
            let got = product(extents, &left, &|c, run, out| {
                for (o, p) in out.iter_mut().zip(run) {
                    *o = right[p * columns + c];
                }
            });
            for (i, got) in got.iter().enumerate() {
                let (r, c) = (i / columns, i % columns);
                let sum: f64 = (0..depth)
                    .map(|p| left[r * depth + p] * right[p * columns + c])
                    .sum();
                assert_eq!(*got, sum, "{rows} {columns} {depth} at {r} {c}");
            }
        }
    }
}
