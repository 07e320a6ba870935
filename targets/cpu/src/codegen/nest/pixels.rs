//! Nests over the pixels of images, of which others ask for some at a time.

use cranelift_codegen::ir::Value;

use super::piece::Piece;
use super::{Join, NestBody, NestIo};
use crate::codegen::function::Gen;

/// A pixelwise nest, of which any pixels can be computed by themselves.
pub(crate) struct PixelNest<'a> {
    nest: NestBody<'a>,
    pieces: Vec<Piece>,
    /// How many there are.
    pixels: i64,
}

impl<'a> PixelNest<'a> {
    pub(crate) fn new(io: NestIo<'a>) -> Result<PixelNest<'a>, String> {
        let nest = NestBody::new(io);
        let pieces = nest.map_pieces(Join::AllButLast)?;
        let pixels = nest.dims(nest.roots[0]).iter().rev().skip(1).product();
        Ok(PixelNest {
            nest,
            pieces,
            pixels,
        })
    }

    /// Computes pixels `first..end`, counted through all images, into `y`, where pixel 0 would be.
    pub(crate) fn emit(&self, g: &mut Gen<'_>, y: Value, first: Value, end: Value) {
        for piece in &self.pieces {
            let mut pointers = self.nest.pointers(g, piece);
            let result = &piece.accesses[piece.results[0]];
            pointers[piece.results[0]] = g.add_int(y, result.base * result.elem.bytes() as i64);
            // The loop over a single pixel is none, and the outermost is over its channels.
            let range = match self.pixels {
                1 => (g.int(0), g.int(piece.extents.first().map_or(1, |&n| n))),
                _ => (first, end),
            };
            self.nest.emit_map_piece(g, piece, pointers, Some(range));
        }
    }
}
