//! Winograd convolution over NHWC, in blocks of tiles: inputs are transformed, then for some panels of columns at a
//! time the products of all tiles are made, one matrix product per point, and transformed into outputs.
//!
//! A block's transformed inputs and products are meant to stay in the second-level cache, so an image never goes
//! through memory transformed; the packed weights stream once per block. What the matrices are stands in
//! [`crate::winograd`].

use super::PANEL;
use super::epilogue::{Finish, activate, bound, finish};
use crate::args::{Epilogue, IgemmArgs, WinogradArgs, WinogradBlock};
use crate::vector::Vector;
use crate::winograd::{F2_POINT, F4_POINTS, Scheme};

/// The indirect matrix product of the same instruction set.
type Igemm = unsafe extern "C" fn(*const IgemmArgs);

/// Floats of a cache line. Points are a line further apart than they need be, as stores to all points of a channel
/// would else fall into one set of the cache.
const LINE: usize = 16;

/// Where the parts of a block lie in its scratch memory, in floats.
struct Layout {
    /// Between two tiles' transformed inputs.
    input_row: usize,
    /// Between two points' transformed inputs.
    input_point: usize,
    /// Between two tiles' products.
    product_row: usize,
    /// Between two points' products.
    product_point: usize,
    inputs: usize,
    products: usize,
    end: usize,
}

impl Layout {
    #[inline(always)]
    fn new(points: usize, channels: usize, block: WinogradBlock) -> Layout {
        let input_row = channels.next_multiple_of(8);
        let input_point = (block.tiles * input_row).next_multiple_of(LINE) + LINE;
        let product_row = block.panels * PANEL;
        let product_point = block.tiles * product_row + LINE;
        // Row pointers come first.
        let inputs = (block.tiles * size_of::<usize>() / size_of::<f32>()).next_multiple_of(LINE);
        let products = inputs + points * input_point;
        Layout {
            input_row,
            input_point,
            product_row,
            product_point,
            inputs,
            products,
            end: products + points * product_point,
        }
    }
}

impl WinogradBlock {
    /// Floats of scratch memory that a block needs.
    pub fn scratch_len(self, scheme: Scheme, channels: usize) -> usize {
        Layout::new(scheme.products(), channels, self).end
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`WinogradArgs`] says.
#[inline(always)]
pub(crate) unsafe fn convolve<V: Vector>(args: &WinogradArgs, igemm: Igemm) {
    // SAFETY: passed on from the caller.
    unsafe {
        match args.outputs {
            4 => blocks::<V, 4, 6>(args, igemm),
            _ => blocks::<V, 2, 4>(args, igemm),
        }
    }
}

/// All blocks; a tile has `OUT x OUT` outputs, `SIDE x SIDE` inputs, and as many products.
#[inline(always)]
unsafe fn blocks<V: Vector, const OUT: usize, const SIDE: usize>(
    args: &WinogradArgs,
    igemm: Igemm,
) {
    let layout = Layout::new(SIDE * SIDE, args.channels, args.block);
    let finish = finish::<V>(&args.epilogue);
    let size = even(args.tile_end - args.tile_begin, args.block.tiles);
    let mut first = args.tile_begin;
    while first < args.tile_end {
        let tiles = (args.tile_end - first).min(size);
        // SAFETY: the tiles and panels lie inside what the caller described, and so do the parts of the scratch memory.
        unsafe {
            let inputs = args.scratch.add(layout.inputs);
            let products = args.scratch.add(layout.products);
            for t in 0..tiles {
                let tile = place::<OUT>(args, first + t);
                input_tile::<V, OUT, SIDE>(args, &tile, inputs.add(t * layout.input_row), &layout);
            }
            let mut panel = args.panel_begin;
            while panel < args.panel_end {
                let end = (panel + args.block.panels).min(args.panel_end);
                let column = panel * PANEL;
                let columns = (end * PANEL).min(args.columns) - column;
                for point in 0..SIDE * SIDE {
                    multiply(args, igemm, &layout, point, tiles, column, columns);
                }
                for t in 0..tiles {
                    let tile = place::<OUT>(args, first + t);
                    let from = products.add(t * layout.product_row);
                    let columns = (column, columns);
                    output_tile::<V, OUT, SIDE>(args, &finish, &tile, from, columns, &layout);
                }
                panel = end;
            }
        }
        first += tiles;
    }
}

/// Tiles of a block, at most `most`, so that all blocks have about as many: the weights stream for a small rest, too.
#[inline(always)]
fn even(tiles: usize, most: usize) -> usize {
    let blocks = tiles.div_ceil(most).max(1);
    tiles.div_ceil(blocks).next_multiple_of(6).min(most)
}

/// A tile: its image and its first output pixel.
struct Tile {
    image: usize,
    y: usize,
    x: usize,
}

#[inline(always)]
fn place<const OUT: usize>(args: &WinogradArgs, tile: usize) -> Tile {
    let (rows, columns) = (args.geom.out_h.div_ceil(OUT), args.geom.out_w.div_ceil(OUT));
    Tile {
        image: tile / (rows * columns),
        y: tile / columns % rows * OUT,
        x: tile % columns * OUT,
    }
}

/// The products of one point for all tiles of a block and some columns.
#[inline(always)]
unsafe fn multiply(
    args: &WinogradArgs,
    igemm: Igemm,
    layout: &Layout,
    point: usize,
    tiles: usize,
    column: usize,
    columns: usize,
) {
    // SAFETY: the scratch memory holds `tiles` pointers, and that many rows of each point; column is that of a panel.
    unsafe {
        let table = args.scratch.cast::<*const f32>();
        let inputs = args.scratch.add(layout.inputs + point * layout.input_point);
        for t in 0..tiles {
            *table.add(t) = inputs.add(t * layout.input_row);
        }
        let matrix = args.columns.next_multiple_of(PANEL) * args.channels;
        igemm(&IgemmArgs {
            rows: tiles,
            taps: 1,
            k: args.channels,
            skip: 0,
            gather: std::ptr::null(),
            cold: 1,
            a: table,
            b: args.weights.add(point * matrix + column * args.channels),
            c: args
                .scratch
                .add(layout.products + point * layout.product_point),
            ldc: layout.product_row,
            n: columns,
            epilogue: Epilogue::NONE,
        });
    }
}

/// Transforms the inputs of one tile, `V::LANES` channels at a time.
#[inline(always)]
unsafe fn input_tile<V: Vector, const OUT: usize, const SIDE: usize>(
    args: &WinogradArgs,
    tile: &Tile,
    to: *mut f32,
    layout: &Layout,
) {
    let g = &args.geom;
    let image = args.input.wrapping_add(tile.image * g.image_stride);
    let mut pixels = [[args.zero; SIDE]; SIDE];
    for i in 0..SIDE {
        // Rows above the image wrap around to huge numbers, so one comparison covers both sides.
        let y = (tile.y + i).wrapping_sub(g.pad_top);
        for j in 0..SIDE {
            let x = (tile.x + j).wrapping_sub(g.pad_left);
            if y < g.in_h && x < g.in_w {
                pixels[i][j] = image.wrapping_add(y * g.row_stride + x * g.pixel_stride);
            }
        }
    }
    let mut channel = 0;
    // SAFETY: every pixel, and the zeros, have all channels; a row of the scratch memory has whole vectors.
    unsafe {
        while channel + V::LANES <= args.channels {
            input_vector::<V, SIDE, true>(&pixels, channel, V::LANES, to, layout.input_point);
            channel += V::LANES;
        }
        if channel < args.channels {
            let lanes = args.channels - channel;
            input_vector::<V, SIDE, false>(&pixels, channel, lanes, to, layout.input_point);
        }
    }
}

#[inline(always)]
unsafe fn input_vector<V: Vector, const SIDE: usize, const WHOLE: bool>(
    pixels: &[[*const f32; SIDE]; SIDE],
    channel: usize,
    lanes: usize,
    to: *mut f32,
    point_stride: usize,
) {
    let mut rows = [[V::splat(0.0); SIDE]; SIDE];
    // SAFETY: passed on from the caller.
    unsafe {
        for i in 0..SIDE {
            let mut row = [V::splat(0.0); SIDE];
            for j in 0..SIDE {
                let p = pixels[i][j].add(channel);
                row[j] = load::<V, WHOLE>(p, lanes);
            }
            rows[i] = to_points(row);
        }
        for j in 0..SIDE {
            let mut column = [V::splat(0.0); SIDE];
            for i in 0..SIDE {
                column[i] = rows[i][j];
            }
            let column = to_points(column);
            for i in 0..SIDE {
                column[i].store(to.add((i * SIDE + j) * point_stride + channel));
            }
        }
    }
}

/// A vector, or its first lanes.
///
/// # Safety
/// `p` points to `lanes` floats, and to all of a vector if `WHOLE`.
#[inline(always)]
unsafe fn load<V: Vector, const WHOLE: bool>(p: *const f32, lanes: usize) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        if WHOLE {
            V::load(p)
        } else {
            V::load_first(p, lanes)
        }
    }
}

/// `Bᵀ d` along one axis.
#[inline(always)]
fn to_points<V: Vector, const SIDE: usize>(d: [V; SIDE]) -> [V; SIDE] {
    let mut out = d;
    if SIDE == 4 {
        const P: f32 = F2_POINT;
        let square = V::splat(-P * P);
        out[0] = d[0].mul_add(square, d[2]);
        out[1] = d[1].mul_add(V::splat(P), d[2]);
        out[2] = d[1].mul_add(V::splat(-P), d[2]);
        out[3] = d[1].mul_add(square, d[3]);
    } else {
        const A: f32 = F4_POINTS[0];
        const B: f32 = F4_POINTS[1];
        let both = V::splat(A * A * B * B);
        let sum = V::splat(-(A * A + B * B));
        out[0] = d[0].mul_add(both, d[2].mul_add(sum, d[4]));
        out[5] = d[1].mul_add(both, d[3].mul_add(sum, d[5]));
        // The halves of the pair ±A: even and odd powers.
        let square = V::splat(-B * B);
        let (even, odd) = (d[2].mul_add(square, d[4]), d[1].mul_add(square, d[3]));
        out[1] = odd.mul_add(V::splat(A), even);
        out[2] = odd.mul_add(V::splat(-A), even);
        let square = V::splat(-A * A);
        let (even, odd) = (d[2].mul_add(square, d[4]), d[1].mul_add(square, d[3]));
        out[3] = odd.mul_add(V::splat(B), even);
        out[4] = odd.mul_add(V::splat(-B), even);
    }
    out
}

/// `Aᵀ m` along one axis.
#[inline(always)]
fn from_points<V: Vector, const OUT: usize, const SIDE: usize>(m: [V; SIDE]) -> [V; OUT] {
    let mut out = [m[0]; OUT];
    if SIDE == 4 {
        const P: f32 = F2_POINT;
        let (even, odd) = (m[1].add(m[2]), m[1].sub(m[2]));
        out[0] = m[0].add(even);
        out[1] = odd.mul_add(V::splat(P), m[3]);
    } else {
        const A: f32 = F4_POINTS[0];
        const B: f32 = F4_POINTS[1];
        let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]));
        out[0] = m[0].add(even_a).add(even_b);
        out[1] = odd_a.mul_add(V::splat(A), odd_b.mul(V::splat(B)));
        out[2] = even_a.mul_add(V::splat(A * A), even_b.mul(V::splat(B * B)));
        let odd = odd_b.mul_add(V::splat(B * B * B), m[5]);
        out[3] = odd_a.mul_add(V::splat(A * A * A), odd);
    }
    out
}

/// Transforms the products of one tile, `columns` (first and how many) of them, into finished outputs.
#[inline(always)]
unsafe fn output_tile<V: Vector, const OUT: usize, const SIDE: usize>(
    args: &WinogradArgs,
    finish: &Finish<V>,
    tile: &Tile,
    from: *const f32,
    columns: (usize, usize),
    layout: &Layout,
) {
    let g = &args.geom;
    let pixel = (tile.image * g.out_h + tile.y) * g.out_w + tile.x;
    let place = Pixels {
        pixel,
        row: g.out_w,
        rows: (g.out_h - tile.y).min(OUT),
        columns: (g.out_w - tile.x).min(OUT),
    };
    let (first, count) = columns;
    let mut at = 0;
    while at < count {
        let lanes = (count - at).min(V::LANES);
        // SAFETY: products lie in whole panels of the scratch memory; the pixels and columns are those of the output.
        unsafe {
            let sums = output_vector::<V, OUT, SIDE>(from.add(at), layout.product_point);
            if lanes == V::LANES {
                store::<V, OUT, true>(args, finish, &place, first + at, lanes, sums);
            } else {
                store::<V, OUT, false>(args, finish, &place, first + at, lanes, sums);
            }
        }
        at += V::LANES;
    }
}

#[inline(always)]
unsafe fn output_vector<V: Vector, const OUT: usize, const SIDE: usize>(
    from: *const f32,
    point_stride: usize,
) -> [[V; OUT]; OUT] {
    let mut rows = [[V::splat(0.0); OUT]; SIDE];
    for i in 0..SIDE {
        let mut row = [V::splat(0.0); SIDE];
        for j in 0..SIDE {
            // SAFETY: passed on from the caller.
            row[j] = unsafe { V::load(from.add((i * SIDE + j) * point_stride)) };
        }
        rows[i] = from_points(row);
    }
    let mut out = [[V::splat(0.0); OUT]; OUT];
    for s in 0..OUT {
        let mut column = [V::splat(0.0); SIDE];
        for i in 0..SIDE {
            column[i] = rows[i][s];
        }
        let column: [V; OUT] = from_points(column);
        for r in 0..OUT {
            out[r][s] = column[r];
        }
    }
    out
}

/// The pixels of a tile that lie inside the image.
struct Pixels {
    /// The first, counted over all images.
    pixel: usize,
    /// Pixels from one row to the next.
    row: usize,
    rows: usize,
    columns: usize,
}

/// Bias, residual and activation, and the stores.
#[inline(always)]
unsafe fn store<V: Vector, const OUT: usize, const WHOLE: bool>(
    args: &WinogradArgs,
    finish: &Finish<V>,
    place: &Pixels,
    column: usize,
    lanes: usize,
    mut sums: [[V; OUT]; OUT],
) {
    let e = &args.epilogue;
    // SAFETY: the caller vouches for the first `lanes` columns of every pixel of `place`.
    unsafe {
        if !e.bias.is_null() {
            let bias = load::<V, WHOLE>(e.bias.add(column), lanes);
            for r in 0..OUT {
                for s in 0..OUT {
                    sums[r][s] = sums[r][s].add(bias);
                }
            }
        }
        if !e.residual.is_null() {
            for r in 0..OUT {
                for s in 0..OUT {
                    if r < place.rows && s < place.columns {
                        let pixel = place.pixel + r * place.row + s;
                        let p = e.residual.add(pixel * e.ld_residual + column);
                        let x = load::<V, WHOLE>(p, lanes);
                        sums[r][s] = sums[r][s].add(x);
                    }
                }
            }
        }
        if finish.late.is_some() {
            let mut buffer = [[[0.0f32; 8]; OUT]; OUT];
            for r in 0..OUT {
                for s in 0..OUT {
                    sums[r][s].store(buffer[r][s].as_mut_ptr());
                }
            }
            activate(finish, buffer.as_mut_ptr().cast(), 8 * OUT * OUT);
            for r in 0..OUT {
                for s in 0..OUT {
                    sums[r][s] = V::load(buffer[r][s].as_ptr());
                }
            }
        }
        if finish.bounded {
            for r in 0..OUT {
                for s in 0..OUT {
                    sums[r][s] = bound(finish, sums[r][s]);
                }
            }
        }
        for r in 0..OUT {
            for s in 0..OUT {
                if r < place.rows && s < place.columns {
                    let pixel = place.pixel + r * place.row + s;
                    let p = args.output.add(pixel * args.out_pixel_stride + column);
                    if WHOLE {
                        sums[r][s].store(p);
                    } else {
                        sums[r][s].store_first(p, lanes);
                    }
                }
            }
        }
    }
}
