//! Ops whose reads or writes go where data says: gather and its kin. Each is one routine of ours,
//! called by generated code with a description of extents and the addresses of its operands.

use std::mem::offset_of;

use cranelift_codegen::ir::types;
use lepid_ir::core::OpView;
use lepid_ir::dialects::tensor;

use crate::codegen::function::Gen;
use crate::places::Place;
use crate::support::Support;

/// `routine(description, operands, results)`.
pub(crate) type Routine = unsafe extern "C" fn(*const i64, *const *const u8, *const *mut u8);

/// A call of one routine.
pub(crate) struct Indexed {
    /// Where the routine stands in the support table.
    pub(crate) routine: usize,
    pub(crate) description: Vec<i64>,
    pub(crate) operands: Vec<Place>,
    pub(crate) results: Vec<Place>,
}

impl Indexed {
    /// The call for an op, if there is a routine for it.
    pub(crate) fn of(
        view: OpView<'_>,
        operands: Vec<Place>,
        results: Vec<Place>,
    ) -> Option<Indexed> {
        let (routine, description) = match view.name() {
            "tensor.gather" => (offset_of!(Support, gather), describe_gather(view)?),
            _ => return None,
        };
        Some(Indexed {
            routine,
            description,
            operands,
            results,
        })
    }
}

/// Emits the call; the first part does it all.
pub(crate) fn emit(g: &mut Gen<'_>, call: &Indexed) {
    let description: Vec<_> = call.description.iter().map(|&n| g.int(n)).collect();
    let description = stack_list(g, &description);
    let operands: Vec<_> = call.operands.iter().map(|&p| g.address(p)).collect();
    let operands = stack_list(g, &operands);
    let results: Vec<_> = call.results.iter().map(|&p| g.address(p)).collect();
    let results = stack_list(g, &results);
    g.support(call.routine, &[description, operands, results], &[]);
}

fn stack_list(
    g: &mut Gen<'_>,
    values: &[cranelift_codegen::ir::Value],
) -> cranelift_codegen::ir::Value {
    let slot = g.stack(types::I64.bytes() as usize * values.len().max(1));
    let address = g.stack_address(slot);
    for (i, &value) in values.iter().enumerate() {
        g.store(value, address, 8 * i as i32);
    }
    address
}

fn describe_gather(view: OpView<'_>) -> Option<Vec<i64>> {
    let x = view.operand_tensor(0).known_dims()?;
    let indices = view.operand_tensor(1);
    let axis = tensor::Gather::axis(view) as usize;
    let outer: usize = x[..axis].iter().product();
    let inner: usize = x[axis + 1..].iter().product();
    Some(vec![
        outer as i64,
        x[axis] as i64,
        (inner * view.operand_tensor(0).elem.bytes()) as i64,
        indices.element_count()? as i64,
        indices.elem.bytes() as i64,
    ])
}

/// `description`: outer extent, extent of the axis, bytes of an entry, number of indices, bytes
/// of an index. Indices out of range are clamped.
pub(crate) unsafe extern "C" fn gather(
    description: *const i64,
    operands: *const *const u8,
    results: *const *mut u8,
) {
    // SAFETY: generated code passes five numbers, two operands and one result, whose sizes follow
    // from the numbers; every index is clamped to the axis before it is used.
    unsafe {
        let [outer, axis, entry, count, width] = *description.cast::<[i64; 5]>();
        let (x, indices, y) = (*operands, *operands.add(1), *results);
        for o in 0..outer {
            for i in 0..count {
                let index = match width {
                    8 => indices.cast::<i64>().add(i as usize).read_unaligned(),
                    _ => i64::from(indices.cast::<i32>().add(i as usize).read_unaligned()),
                };
                let from = (o * axis + index.clamp(0, axis - 1)) * entry;
                let to = (o * count + i) * entry;
                std::ptr::copy_nonoverlapping(
                    x.add(from as usize),
                    y.add(to as usize),
                    entry as usize,
                );
            }
        }
    }
}
