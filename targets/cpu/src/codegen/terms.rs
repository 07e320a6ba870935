//! Calls of the microkernel that adds terms of products.

use std::mem::offset_of;

use lepid_ukernels::Table;
use lepid_ukernels::args::TermsArgs;

use cranelift_codegen::ir::types;

use crate::codegen::args::Args;
use crate::codegen::function::Gen;
use crate::codegen::product::offset;
use crate::places::Place;

/// `out[g, r] = sum[g, r] + Σ left · (right · z[columns])`, for the terms of one step.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) steps: usize,
    pub(crate) terms: usize,
    pub(crate) matrices: usize,
    pub(crate) rows: usize,
    pub(crate) keep: usize,
    pub(crate) sum: Place,
    pub(crate) z: Place,
    pub(crate) left: Place,
    pub(crate) right: Place,
    /// Offsets into `z`, unless every term keeps all of it in order.
    pub(crate) columns: Option<Place>,
    /// An `i64`.
    pub(crate) step: Place,
    pub(crate) out: Place,
}

impl Terms {
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<TermsArgs>(g);
        for (at, extent) in [
            (offset_of!(TermsArgs, terms), self.terms),
            (offset_of!(TermsArgs, matrices), self.matrices),
            (offset_of!(TermsArgs, rows), self.rows),
            (offset_of!(TermsArgs, keep), self.keep),
        ] {
            args.set_int(g, at, extent as i64);
        }
        let step = g.address(self.step);
        let step = g.load(types::I64, step, 0);
        let (first, last) = (g.int(0), g.int(self.steps as i64 - 1));
        let step = g.min(step, last);
        let step = g.max(step, first);
        let entries = self.terms * self.matrices;
        for (at, place, entry) in [
            (offset_of!(TermsArgs, left), Some(self.left), self.rows),
            (offset_of!(TermsArgs, right), Some(self.right), self.keep),
            (offset_of!(TermsArgs, columns), self.columns, self.keep),
        ] {
            let own = match place {
                Some(place) => {
                    let table = g.address(place);
                    offset(g, table, step, 4 * entries * entry)
                }
                None => g.int(0),
            };
            args.set(g, at, own);
        }
        for (at, place) in [
            (offset_of!(TermsArgs, sum), self.sum),
            (offset_of!(TermsArgs, z), self.z),
            (offset_of!(TermsArgs, out), self.out),
        ] {
            let address = g.address(place);
            args.set(g, at, address);
        }
        g.kernel(offset_of!(Table, terms_f32), &[args.address], &[]);
    }
}
