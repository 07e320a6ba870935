//! Extents in generated code: numbers where the compiler knows them, values where only a run does.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};

use crate::codegen::function::Gen;

/// The extent of an axis, or what is computed of extents.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extent {
    Known(i64),
    /// An `i64` of the function at hand.
    Run(Value),
}

use Extent::{Known, Run};

impl Gen<'_> {
    pub(crate) fn extent(&mut self, extent: Extent) -> Value {
        match extent {
            Known(n) => self.int(n),
            Run(value) => value,
        }
    }

    pub(crate) fn extent_add(&mut self, x: Extent, y: Extent) -> Extent {
        match (x, y) {
            (Known(x), Known(y)) => Known(x.wrapping_add(y)),
            (Known(0), e) | (e, Known(0)) => e,
            _ => {
                let (x, y) = (self.extent(x), self.extent(y));
                Run(self.b.ins().iadd(x, y))
            }
        }
    }

    pub(crate) fn extent_mul(&mut self, x: Extent, y: Extent) -> Extent {
        match (x, y) {
            (Known(x), Known(y)) => Known(x.wrapping_mul(y)),
            (Known(1), e) | (e, Known(1)) => e,
            (Known(n), Run(e)) | (Run(e), Known(n)) => Run(self.mul_int(e, n)),
            (Run(x), Run(y)) => Run(self.b.ins().imul(x, y)),
        }
    }

    pub(crate) fn extent_product(&mut self, extents: &[Extent]) -> Extent {
        extents
            .iter()
            .fold(Known(1), |product, &e| self.extent_mul(product, e))
    }

    /// `max(0, ceil((min(stop, n) - start) / step))` for numbers `start`, `stop` and `step`.
    pub(crate) fn extent_sliced(&mut self, n: Extent, start: i64, stop: i64, step: i64) -> Extent {
        match n {
            Known(n) => {
                let span = stop.min(n).saturating_sub(start).max(0);
                Known(span / step + i64::from(span % step != 0))
            }
            Run(_) if (start, step, stop) == (0, 1, i64::MAX) => n,
            Run(n) => {
                let stop = self.int(stop);
                let end = self.min(n, stop);
                // An extent is below 2^48 and a start is not negative, so nothing wraps that counts.
                let start = self.int(start);
                let span = self.b.ins().isub(end, start);
                let zero = self.int(0);
                let span = self.max(span, zero);
                Run(self.div_up(span, step))
            }
        }
    }

    /// `ceil(x / by)` for `x` from 0 up and a number `by` above 0.
    pub(crate) fn div_up(&mut self, x: Value, by: i64) -> Value {
        match by {
            1 => x,
            _ => {
                let less = self.b.ins().iadd_imm_s(x, -1);
                let by = self.int(by);
                let quotient = self.b.ins().sdiv(less, by);
                let more = self.b.ins().iadd_imm_s(quotient, 1);
                let none = self.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, x, 0);
                let zero = self.int(0);
                self.b.ins().select(none, zero, more)
            }
        }
    }

    /// The distance between neighbours along each axis of a dense value.
    pub(crate) fn strides(&mut self, extents: &[Extent]) -> Vec<Extent> {
        let mut out = vec![Known(1); extents.len()];
        for axis in (1..extents.len()).rev() {
            out[axis - 1] = self.extent_mul(out[axis], extents[axis]);
        }
        out
    }
}
