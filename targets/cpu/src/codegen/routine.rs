//! Calls of routines: views of operands and results, made on the stack of generated code.

use std::mem::offset_of;

use cranelift_codegen::ir::{Value, types};
use lepid_ir::core::{Elem, Module, OpView, Value as IrValue};

use crate::codegen::args::Args;
use crate::codegen::function::Gen;
use crate::codegen::nest;
use crate::places::Place;
use crate::routines::{self, ROUTINES, View};
use crate::support::Support;

/// A call of one routine.
pub(crate) struct RoutineCall {
    number: usize,
    attrs: Vec<i64>,
    operands: Vec<Port>,
    results: Vec<Port>,
}

/// A value that a routine reads or writes.
struct Port {
    place: Place,
    elem: Elem,
    dims: Vec<i64>,
}

impl RoutineCall {
    /// The call for an op, if there is a routine for it.
    pub(crate) fn of(
        view: OpView<'_>,
        mut place: impl FnMut(IrValue) -> Place,
    ) -> Option<RoutineCall> {
        let number = routines::number(view.name())?;
        let mut ports = |values: &[IrValue]| -> Vec<Port> {
            let ports = values.iter();
            ports
                .map(|&value| Port::of(view.module, value, place(value)))
                .collect()
        };
        Some(RoutineCall {
            number,
            attrs: (ROUTINES[number].describe)(view),
            operands: ports(view.operands()),
            results: ports(view.results()),
        })
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let attrs = stack_ints(g, &self.attrs);
        let operands = views(g, &self.operands);
        let results = views(g, &self.results);
        let offset = offset_of!(Support, routines) + size_of::<usize>() * self.number;
        let args = [attrs, operands, results, g.part, g.parts];
        g.support(offset, &args, &[]);
    }
}

impl Port {
    fn of(module: &Module, value: IrValue, place: Place) -> Port {
        Port {
            place,
            elem: nest::elem(module, value),
            dims: nest::dims(module, value),
        }
    }
}

/// A list of [`View`]s.
fn views(g: &mut Gen<'_>, ports: &[Port]) -> Value {
    let slot = g.stack(size_of::<View>() * ports.len().max(1));
    let views = Args {
        address: g.stack_address(slot),
    };
    for (i, port) in ports.iter().enumerate() {
        let at = size_of::<View>() * i;
        let (data, dims) = (g.address(port.place), stack_ints(g, &port.dims));
        views.set(g, at + offset_of!(View, data), data);
        views.set(g, at + offset_of!(View, dims), dims);
        views.set_int(g, at + offset_of!(View, rank), port.dims.len() as i64);
        views.set_int(g, at + offset_of!(View, elem), port.elem as i64);
    }
    views.address
}

fn stack_ints(g: &mut Gen<'_>, values: &[i64]) -> Value {
    let slot = g.stack(types::I64.bytes() as usize * values.len().max(1));
    let list = Args {
        address: g.stack_address(slot),
    };
    for (i, &value) in values.iter().enumerate() {
        list.set_int(g, types::I64.bytes() as usize * i, value);
    }
    list.address
}
