//! Calls of routines: views of operands and results, made on the stack of generated code.

use std::mem::offset_of;

use cranelift_codegen::ir::{Value, types};
use lepid_ir::core::OpView;

use crate::codegen::args::Args;
use crate::codegen::cells::{Port, Size};
use crate::codegen::function::Gen;
use crate::routines::{self, ROUTINES, View};
use crate::support::Support;

/// A call of one routine.
pub(crate) struct RoutineCall {
    number: usize,
    attrs: Vec<i64>,
    operands: Vec<Port>,
    results: Vec<Port>,
}

impl RoutineCall {
    /// The call for an op, if there is a routine for it.
    pub(crate) fn of(
        view: OpView<'_>,
        operands: Vec<Port>,
        results: Vec<Port>,
    ) -> Option<RoutineCall> {
        let number = routines::number(view.name())?;
        Some(RoutineCall {
            number,
            attrs: (ROUTINES[number].describe)(view),
            operands,
            results,
        })
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        g.lend_anew();
        let attrs = stack_ints(g, &self.attrs);
        let operands = views(g, &self.operands);
        let results = views(g, &self.results);
        let offset = offset_of!(Support, routines) + size_of::<usize>() * self.number;
        let args = [attrs, operands, results, g.part, g.parts];
        g.support(offset, &args, &[]);
    }
}

/// A list of [`View`]s in lent memory.
pub(crate) fn views(g: &mut Gen<'_>, ports: &[Port]) -> Value {
    let views = Args {
        address: g.lend(size_of::<View>() * ports.len()),
    };
    for (i, port) in ports.iter().enumerate() {
        let at = size_of::<View>() * i;
        let (data, dims) = (g.address(port.place), stack_sizes(g, &port.sizes));
        views.set(g, at + offset_of!(View, data), data);
        views.set(g, at + offset_of!(View, dims), dims);
        views.set_int(g, at + offset_of!(View, rank), port.sizes.len() as i64);
        views.set_int(g, at + offset_of!(View, elem), port.elem as i64);
    }
    views.address
}

/// A list of integers in lent memory.
pub(crate) fn stack_ints(g: &mut Gen<'_>, values: &[i64]) -> Value {
    let sizes: Vec<Size> = values.iter().map(|&n| Size::Known(n)).collect();
    stack_sizes(g, &sizes)
}

/// A list of integers that may be known at run time only.
fn stack_sizes(g: &mut Gen<'_>, sizes: &[Size]) -> Value {
    let values = g.read_sizes(sizes);
    let list = Args {
        address: g.lend(types::I64.bytes() as usize * values.len()),
    };
    for (i, &value) in values.iter().enumerate() {
        let value = g.extent(value);
        list.set(g, types::I64.bytes() as usize * i, value);
    }
    list.address
}
