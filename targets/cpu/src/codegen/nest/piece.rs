//! A piece of a nest, free of branches: its loops, its accesses, and the points inside.

use std::collections::HashMap;

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use lepid_ir::core::Elem;

use super::affine::{Domain, Index};
use crate::codegen::function::Gen;
use crate::codegen::scalar::{self, Lanes};
use crate::places::Place;

/// A memory access of a piece: a pointer that moves by `coef` elements per step of each loop.
pub(super) struct Access {
    pub(super) place: Place,
    pub(super) elem: Elem,
    pub(super) base: i64,
    pub(super) coef: Vec<i64>,
}

/// A piece ready for emission: loops with extents, and the accesses under them.
pub(super) struct Piece {
    pub(super) extents: Vec<i64>,
    pub(super) accesses: Vec<Access>,
    /// Which access serves an argument at an index.
    pub(super) of: HashMap<(usize, Index), usize>,
    /// The access of each result.
    pub(super) results: Vec<usize>,
    /// The first value of each loop variable, before axes were dropped or joined.
    pub(super) domain: Domain,
    pub(super) uses_iota: bool,
    /// Whether the only result is its only input, moved.
    pub(super) is_copy: bool,
}

/// Shorter runs are copied by the loop itself.
pub(super) const LEAST_COPY_BYTES: i64 = 256;

impl Access {
    /// Where it begins in the arena, if it lies there.
    fn bytes(&self) -> Option<i64> {
        match self.place {
            Place::Arena(offset) => Some(offset as i64 + self.base * self.elem.bytes() as i64),
            _ => None,
        }
    }

    pub(super) fn copy(&self) -> Access {
        Access {
            coef: self.coef.clone(),
            ..*self
        }
    }
}

impl Piece {
    /// Whether the innermost loop is a copy of adjacent elements, and long enough for a call.
    pub(super) fn copies_rows(&self, level: usize) -> bool {
        let adjacent = |a: &Access| a.coef[level] == 1;
        self.is_copy
            && self.results.len() == 1
            && self.accesses.len() == 2
            && self.accesses.iter().all(adjacent)
            && self.accesses[0].elem == self.accesses[1].elem
            && self.extents[level] * self.accesses[0].elem.bytes() as i64 >= LEAST_COPY_BYTES
    }

    /// Whether it copies elements to where they are: nothing else that is read lies where the result
    /// does.
    pub(super) fn is_in_place(&self) -> bool {
        let [a, b] = self.accesses.as_slice() else {
            return false;
        };
        a.coef == b.coef && a.bytes().is_some_and(|at| Some(at) == b.bytes())
    }

    /// The axis whose elements the input has side by side, where the result has those of the last:
    /// the two are transposed.
    pub(super) fn transposed_axis(&self) -> Option<usize> {
        let [to, from] = match (self.results.as_slice(), self.accesses.len()) {
            (&[to], 2) if self.is_copy && !self.uses_iota => [to, 1 - to],
            _ => return None,
        };
        let (to, from) = (&self.accesses[to], &self.accesses[from]);
        let last = self.extents.len().checked_sub(1)?;
        let fits = to.elem == Elem::F32
            && from.elem == Elem::F32
            && to.coef[last] == 1
            && from.coef[last] > 1;
        let axis = (0..last).find(|&axis| from.coef[axis] == 1 && self.extents[axis] > 1)?;
        (fits && to.coef[axis] > 0).then_some(axis)
    }

    /// Drops axes of extent 1 and joins neighbours that every access walks as one. Axes before
    /// `boundary` never join those after it; gives the boundary among the axes that are left.
    pub(super) fn join_axes(&mut self, boundary: usize) -> usize {
        for access in &mut self.accesses {
            for (k, &(low, _)) in self.domain.iter().enumerate() {
                access.base += access.coef[k] * low;
            }
        }
        if self.uses_iota {
            // The loop variables must stay what the indices name.
            return boundary;
        }
        let mut left = boundary;
        let mut k = 0;
        while k < self.extents.len() {
            let next_joins = k + 1 < self.extents.len()
                && k + 1 != left
                && self
                    .accesses
                    .iter()
                    .all(|a| a.coef[k] == a.coef[k + 1] * self.extents[k + 1]);
            if self.extents[k] == 1 || next_joins {
                if next_joins {
                    self.extents[k + 1] *= self.extents[k];
                }
                self.extents.remove(k);
                for access in &mut self.accesses {
                    access.coef.remove(k);
                }
                if k < left {
                    left -= 1;
                }
            } else {
                k += 1;
            }
        }
        left
    }
}

/// The pointers and loop variables outside of the loop at hand.
pub(super) struct Outer {
    pub(super) pointers: Vec<Value>,
    pub(super) variables: Vec<Value>,
}

impl Outer {
    /// The same one loop further in, at `i`.
    pub(super) fn advanced(&self, g: &mut Gen<'_>, piece: &Piece, level: usize, i: Value) -> Outer {
        let mut pointers = Vec::with_capacity(self.pointers.len());
        for (access, &pointer) in piece.accesses.iter().zip(&self.pointers) {
            let step = access.coef[level] * access.elem.bytes() as i64;
            pointers.push(match step {
                0 => pointer,
                _ => {
                    let offset = g.mul_int(i, step);
                    g.add(pointer, offset)
                }
            });
        }
        let mut variables = self.variables.clone();
        if piece.uses_iota {
            variables[level] = g.add_int(i, piece.domain[level].0);
        }
        Outer {
            pointers,
            variables,
        }
    }

    pub(super) fn point(self, lanes: Lanes, lane_axis: usize) -> Point {
        Point {
            lane_axis,
            hoisted: vec![None; self.pointers.len()],
            pointers: self.pointers,
            variables: self.variables,
            lanes,
        }
    }
}

/// The innermost point of the loops: where to load and store, and how wide.
pub(super) struct Point {
    pub(super) pointers: Vec<Value>,
    pub(super) variables: Vec<Value>,
    /// Splats of what does not change in the innermost loop.
    pub(super) hoisted: Vec<Option<Value>>,
    pub(super) lanes: Lanes,
    /// The loop whose steps are the lanes.
    pub(super) lane_axis: usize,
}

impl Point {
    pub(super) fn scalar(pointers: &[Value], variables: &[Value]) -> Point {
        Point {
            lane_axis: 0,
            pointers: pointers.to_vec(),
            variables: variables.to_vec(),
            hoisted: vec![None; pointers.len()],
            lanes: Lanes::One,
        }
    }

    pub(super) fn load(&self, g: &mut Gen<'_>, piece: &Piece, access: usize) -> Value {
        let a = &piece.accesses[access];
        match (self.lanes, self.hoisted[access]) {
            (Lanes::Four, Some(splat)) => splat,
            (Lanes::Four, None) if a.coef[self.lane_axis] == 0 => {
                let x = g.load(types::F32, self.pointers[access], 0);
                g.b.ins().splat(types::F32X4, x)
            }
            (Lanes::Four, None) => g.load_four(self.pointers[access]),
            (Lanes::One, _) => scalar::load(g, a.elem, self.pointers[access]),
        }
    }

    pub(super) fn store(&self, g: &mut Gen<'_>, piece: &Piece, access: usize, value: Value) {
        let a = &piece.accesses[access];
        match self.lanes {
            Lanes::Four => {
                let flags = MemFlagsData::new().with_notrap();
                g.b.ins().store(flags, value, self.pointers[access], 0);
            }
            Lanes::One => scalar::store(g, a.elem, value, self.pointers[access]),
        }
    }
}
