//! Tasks whose extents are known only at run time: loops with computed bounds and strides.
//!
//! The general path beside `nest`, which has every bound and offset as a constant. Each value of a
//! body is asked for at an index, one coordinate per axis; ops that move elements change the index,
//! a concat or a pad branches. What does not change in the innermost loop is hoisted by Cranelift.

mod body;
mod contract;
mod loops;
mod moves;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::{Elem, Module, Op, OpView, Value as IrValue};
use lepid_ir::dialects::{kernel::Nest, tensor};

use self::body::Body;
use self::contract::{Products, Windows};
use self::loops::{Coord, Loops};
use crate::codegen::cells::Port;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::nest;
use crate::codegen::reduction::Reduction;
use crate::codegen::rules::{self, Check, Extents, NestExtents};
use crate::codegen::scalar::{self, Lanes};

/// A task of loops over extents that are known only at run time.
pub(crate) struct OpenTask {
    pub(crate) op: Op,
    pub(crate) operands: Vec<Port>,
    pub(crate) results: Vec<Port>,
    /// The first of the figures that a measure has found for the op.
    pub(crate) figures: usize,
}

/// An operand in generated code: where it begins and how far its neighbours are apart.
struct Input {
    base: Value,
    elem: Elem,
    extents: Extents,
    strides: Vec<Extent>,
    /// Whether each element is there once.
    is_dense: bool,
}

impl OpenTask {
    /// Whether there is code for an op.
    pub(crate) fn serves(name: &str) -> bool {
        matches!(
            name,
            "kernel.nest"
                | "tensor.contract"
                | "tensor.dyn_broadcast"
                | "tensor.dyn_iota"
                | "tensor.dyn_pad"
                | "tensor.dyn_slice"
                | "tensor.window"
        )
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>, module: &Module) -> Result<(), String> {
        let view = module.view(self.op);
        let inputs: Vec<Input> = self.operands.iter().map(|p| Input::of(g, p)).collect();
        let results: Vec<Extents> = self
            .results
            .iter()
            .map(|p| g.read_sizes(&p.sizes))
            .collect();
        match view.name() {
            "kernel.nest" => self.nest(g, view, inputs),
            "tensor.contract" => {
                let products = Products::new(view, inputs)?;
                self.run(g, &products.loops(&results[0]), &products)
            }
            "tensor.window" => {
                let windows = Windows::new(view, inputs)?;
                self.run(g, &windows.loops(&results[0]), &windows)
            }
            _ => {
                let extents: Vec<Extents> = inputs.iter().map(|i| i.extents.clone()).collect();
                let alone = NestExtents::alone(view, &extents, &results);
                let named = view.operands().iter().copied().zip(inputs).collect();
                let root = view.result(0);
                let mut body = Body::new(module, alone, named, root);
                body.prepare(g, self.op, self.figures)?;
                let loops = Loops {
                    kept: results[0].clone(),
                    reduced: Vec::new(),
                    fold: None,
                };
                self.run(g, &loops, &body)
            }
        }
    }

    fn nest(&self, g: &mut Gen<'_>, view: OpView<'_>, inputs: Vec<Input>) -> Result<(), String> {
        let module = view.module;
        let &[root] = Nest::yielded(view) else {
            return Err("a nest of unknown extents gives one value".into());
        };
        let extents: Vec<Extents> = inputs.iter().map(|i| i.extents.clone()).collect();
        let all = rules::nest_extents(g, view, &extents, Check::Done)?;
        let args = module.block_args(Nest::block(view)).iter().copied();
        let named = args.zip(inputs).collect();
        let reduce = module
            .defining_op(root)
            .filter(|&op| module.op_name(op) == "tensor.reduce");
        let (source, loops) = match reduce {
            None => {
                let loops = Loops {
                    kept: all.of(root),
                    reduced: Vec::new(),
                    fold: None,
                };
                (root, loops)
            }
            Some(op) => {
                let reduce = module.view(op);
                let source = reduce.operand(0);
                (source, reduction(reduce, &all.of(source))?)
            }
        };
        let mut body = Body::new(module, all, named, source);
        for op in module.ops_in(Nest::block(view)).collect::<Vec<Op>>() {
            body.prepare(g, op, self.figures)?;
        }
        match reduce {
            None => {
                let loops = match body.flatten(g) {
                    true => loops.flat(g),
                    false => loops,
                };
                self.run(g, &loops, &body)
            }
            Some(op) => {
                let axes = tensor::Reduce::axes(module.view(op));
                body.order_axes(&axes);
                self.run(g, &loops, &body)
            }
        }
    }

    fn run(
        &self,
        g: &mut Gen<'_>,
        loops: &Loops,
        source: &dyn loops::Source,
    ) -> Result<(), String> {
        let to = g.address(self.results[0].place);
        loops.emit(g, source, to, self.results[0].elem);
        Ok(())
    }
}

/// The loops of a reduction.
fn reduction(reduce: OpView<'_>, source: &Extents) -> Result<Loops, String> {
    let axes = tensor::Reduce::axes(reduce);
    let is_reduced = |axis: usize| axes.contains(&(axis as i64));
    let pick = |reduced: bool| -> Extents {
        let all = source.iter().enumerate();
        all.filter(|(a, _)| is_reduced(*a) == reduced)
            .map(|(_, &n)| n)
            .collect()
    };
    let kind = Reduction::from_name(tensor::Reduce::kind(reduce));
    Ok(Loops {
        kept: pick(false),
        reduced: pick(true),
        fold: Some(kind.ok_or("unknown kind of reduction")?),
    })
}

impl Input {
    fn of(g: &mut Gen<'_>, port: &Port) -> Input {
        let extents = g.read_sizes(&port.sizes);
        let strides = match &port.stretched {
            None => g.strides(&extents),
            Some(sizes) => {
                let from = g.read_sizes(sizes);
                stretched_strides(g, &from, extents.len())
            }
        };
        Input {
            base: g.address(port.place),
            elem: port.elem,
            strides,
            extents,
            is_dense: port.stretched.is_none(),
        }
    }

    /// Whether it is one element, read over and over.
    fn is_one(&self) -> bool {
        !self.is_dense && self.strides.iter().all(|&s| s == Extent::Known(0))
    }

    /// Whether reading it at these coordinates gives four neighbours or four times the same.
    fn is_vector(&self, at: &[loops::Step]) -> bool {
        let Some((last, outer)) = at.split_last() else {
            return self.elem == Elem::F32;
        };
        let known = matches!(self.strides.last(), Some(Extent::Known(0 | 1)));
        self.elem == Elem::F32
            && outer.iter().all(|s| *s == loops::Step::Fixed)
            && (*last == loops::Step::Fixed || *last == loops::Step::Unit && known)
    }

    fn load(&self, g: &mut Gen<'_>, at: &[Coord], lanes: Lanes) -> Value {
        let mut linear = Extent::Known(0);
        for (axis, coord) in at.iter().enumerate() {
            if self.extents[axis] != Extent::Known(1) && self.strides[axis] != Extent::Known(0) {
                let term = g.extent_mul(coord.place, self.strides[axis]);
                linear = g.extent_add(linear, term);
            }
        }
        let bytes = g.extent_mul(linear, Extent::Known(self.elem.bytes() as i64));
        let bytes = g.extent(bytes);
        let address = g.add(self.base, bytes);
        let moves = at.last().is_some_and(|c| c.step == loops::Step::Unit);
        let adjacent = moves && self.strides.last() != Some(&Extent::Known(0));
        match lanes {
            Lanes::One => scalar::load(g, self.elem, address),
            Lanes::Four => scalar::load_four(g, address, adjacent),
        }
    }
}

/// The distances in an operand that is read as if it had `rank` axes and greater extents: none
/// along an axis of 1.
fn stretched_strides(g: &mut Gen<'_>, from: &Extents, rank: usize) -> Vec<Extent> {
    let own = g.strides(from);
    let mut strides = vec![Extent::Known(0); rank - from.len()];
    for (&extent, stride) in from.iter().zip(own) {
        strides.push(match extent {
            Extent::Known(1) => Extent::Known(0),
            Extent::Known(_) => stride,
            Extent::Run(extent) => {
                let is_one = g.b.ins().icmp_imm_u(IntCC::Equal, extent, 1);
                let (zero, stride) = (g.int(0), g.extent(stride));
                Extent::Run(g.b.ins().select(is_one, zero, stride))
            }
        });
    }
    strides
}

/// The element of a value of the module.
fn elem(module: &Module, value: IrValue) -> Elem {
    nest::elem(module, value)
}
