//! Calls of the microkernel for Winograd's convolutions: one per thread, which walks its share of
//! the tiles or of the panels.

use std::mem::offset_of;

use lepid_ir::dialects::kernel::PANEL;
use lepid_ukernels::Table;
use lepid_ukernels::args::{WinogradArgs, WinogradBlock};
use lepid_ukernels::winograd::Scheme;

use crate::abi::Ctx;
use crate::codegen::args::{Args, Geometry, Tail};
use crate::codegen::cells::Count;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::places::Place;

/// A convolution of a 3 x 3 window at stride 1 on channels-last images.
#[derive(Clone, Debug)]
pub(crate) struct Winograd {
    pub(crate) scheme: Scheme,
    pub(crate) window: Geometry,
    pub(crate) images: Count,
    pub(crate) channels: usize,
    pub(crate) columns: usize,
    /// Elements between two pixels of the result.
    pub(crate) pitch: usize,
    pub(crate) x: Place,
    pub(crate) weights: Place,
    pub(crate) y: Place,
    pub(crate) tail: Tail,
}

/// Each thread streams all weights if threads share the tiles, so it should have many of them.
const SHARED_TILES: usize = 96;

impl Winograd {
    fn tiles_of_image(&self) -> usize {
        let tiles = |n: usize| n.div_ceil(self.scheme.outputs());
        self.window.output.map(tiles).iter().product()
    }

    /// Tiles of all images that there may be.
    fn tiles(&self) -> usize {
        self.images.most().unwrap_or(1) * self.tiles_of_image()
    }

    fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    fn block(&self) -> WinogradBlock {
        self.scheme.block(self.tiles(), self.channels, self.columns)
    }

    pub(crate) fn flops(&self) -> f64 {
        let products = self.tiles() * self.scheme.products();
        2.0 * (products * self.channels * self.columns) as f64
    }

    /// Scratch for the transformed values of one block.
    pub(crate) fn scratch_bytes(&self) -> usize {
        4 * self.block().scratch_len(self.scheme, self.channels)
    }

    /// Zeros that stand for padding.
    pub(crate) fn zeros(&self) -> usize {
        self.channels
    }

    /// Whether threads share the tiles; else they share the panels, and each transforms all inputs.
    fn splits_tiles(&self) -> bool {
        self.tiles() >= SHARED_TILES || self.panels() < 4
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<WinogradArgs>(g);
        self.window.set(g, &args, offset_of!(WinogradArgs, geom));
        let block = self.block();
        let block_at = offset_of!(WinogradArgs, block);
        for (at, value) in [
            (offset_of!(WinogradArgs, outputs), self.scheme.outputs()),
            (offset_of!(WinogradArgs, channels), self.channels),
            (offset_of!(WinogradArgs, columns), self.columns),
            (offset_of!(WinogradArgs, out_pixel_stride), self.pitch),
            (block_at + offset_of!(WinogradBlock, tiles), block.tiles),
            (block_at + offset_of!(WinogradBlock, panels), block.panels),
        ] {
            args.set_int(g, at, value as i64);
        }
        for (at, place) in [
            (offset_of!(WinogradArgs, input), self.x),
            (offset_of!(WinogradArgs, weights), self.weights),
            (offset_of!(WinogradArgs, output), self.y),
        ] {
            let address = g.address(place);
            args.set(g, at, address);
        }
        let zeros = g.ctx_pointer(offset_of!(Ctx, zeros));
        args.set(g, offset_of!(WinogradArgs, zero), zeros);
        let scratch = g.scratch();
        args.set(g, offset_of!(WinogradArgs, scratch), scratch);
        let at = offset_of!(WinogradArgs, epilogue);
        self.tail.set(g, &args, at, self.pitch);
        let zero = g.int(0);
        self.tail.set_pointers(g, &args, at, zero, zero);
        let images = self.images.extent(g);
        let all_tiles = g.extent_mul(images, Extent::Known(self.tiles_of_image() as i64));
        let all_panels = self.panels() as i64;
        let (tiles, panels) = match self.splits_tiles() {
            true => (g.share_extent(all_tiles, 1), (zero, g.int(all_panels))),
            false => ((zero, g.extent(all_tiles)), g.share(all_panels, 1)),
        };
        for (at, value) in [
            (offset_of!(WinogradArgs, tile_begin), tiles.0),
            (offset_of!(WinogradArgs, tile_end), tiles.1),
            (offset_of!(WinogradArgs, panel_begin), panels.0),
            (offset_of!(WinogradArgs, panel_end), panels.1),
        ] {
            args.set(g, at, value);
        }
        let width = cranelift_codegen::ir::InstBuilder::isub(g.b.ins(), panels.1, panels.0);
        let some = g.is_positive(width);
        g.when(some, |g| {
            g.kernel(offset_of!(Table, winograd_f32), &[args.address], &[]);
        });
    }
}
