//! The body of a nest at an index, and ops that stand alone as bodies of one op.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use lepid_ir::core::{Elem, Module, Op, OpView, Value as IrValue};
use lepid_ir::dialects::tensor::{self, PadMode};

use super::loops::{Coord, Source, Step};
use super::moves::{self, Padding, paddings};
use super::{Input, elem};
use crate::codegen::convert::convert;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::rules::NestExtents;
use crate::codegen::scalar::{self, Lanes};

/// What an op of the body does with the index; all that it needs is computed before the loops.
enum Kind {
    /// The operands are read at the same index.
    Pointwise,
    /// The only operand is read at a changed index.
    Moved(Vec<moves::Source>),
    /// The operand is read that begins last before the place along the axis.
    Concat {
        axis: usize,
        starts: Vec<Extent>,
    },
    Pad {
        axes: Vec<Padding>,
        mode: PadMode,
    },
    /// The place along an axis.
    Iota(usize),
    /// `start + place * delta`, in `f64` or in `i64`.
    Range {
        start: Value,
        delta: Value,
    },
    Constant,
}

/// A body whose inputs are known.
pub(super) struct Body<'m> {
    module: &'m Module,
    extents: NestExtents,
    inputs: BTreeMap<IrValue, Input>,
    root: IrValue,
    kinds: BTreeMap<Op, Kind>,
    /// For each axis of the root the number of its loop.
    order: Vec<usize>,
    /// Values that were computed for the point at hand.
    memo: RefCell<Memo>,
}

type Memo = HashMap<(IrValue, Vec<Coord>), Value>;

impl<'m> Body<'m> {
    pub(super) fn new(
        module: &'m Module,
        extents: NestExtents,
        inputs: BTreeMap<IrValue, Input>,
        root: IrValue,
    ) -> Body<'m> {
        Body {
            module,
            order: (0..extents.of(root).len()).collect(),
            extents,
            inputs,
            root,
            kinds: BTreeMap::new(),
            memo: RefCell::default(),
        }
    }

    /// Reads the root with the loops over `axes` inside of all others.
    pub(super) fn order_axes(&mut self, axes: &[i64]) {
        let rank = self.order.len();
        let is_inner = |a: &usize| axes.contains(&(*a as i64));
        let outer = (0..rank).filter(|a| !is_inner(a));
        let loops: Vec<usize> = outer.chain((0..rank).filter(is_inner)).collect();
        for (number, &axis) in loops.iter().enumerate() {
            self.order[axis] = number;
        }
    }

    /// Computes what an op needs before the loops begin.
    pub(super) fn prepare(
        &mut self,
        g: &mut Gen<'_>,
        op: Op,
        figures: usize,
    ) -> Result<(), String> {
        let view = self.module.view(op);
        let kind = match view.name() {
            "core.yield" | "tensor.reduce" => return Ok(()),
            "core.constant" => Kind::Constant,
            "tensor.iota" => Kind::Iota(tensor::Iota::axis(view) as usize),
            "tensor.dyn_iota" => self.range(g, view),
            "tensor.concat" => self.concat_kind(g, view),
            "tensor.pad" => Kind::Pad {
                axes: paddings(g, view, &self.extents.of(view.operand(0)), None),
                mode: PadMode::Constant,
            },
            "tensor.dyn_pad" => {
                let pads = self.inputs[&view.operand(1)].base;
                let mode = PadMode::parse(tensor::DynPad::mode(view)).map_err(|e| e.message)?;
                Kind::Pad {
                    axes: paddings(g, view, &self.extents.of(view.operand(0)), Some(pads)),
                    mode,
                }
            }
            _ if scalar::is_pointwise(view) => Kind::Pointwise,
            name => {
                let from = self.extents.of(view.operand(0));
                let to = self.extents.of(view.result(0));
                match moves::sources(g, view, &from, &to, figures) {
                    Some(sources) => Kind::Moved(sources),
                    None => return Err(format!("`{name}` cannot stand in an open nest")),
                }
            }
        };
        self.kinds.insert(op, kind);
        Ok(())
    }

    fn concat_kind(&self, g: &mut Gen<'_>, view: OpView<'_>) -> Kind {
        let axis = tensor::Concat::axis(view) as usize;
        let mut starts = vec![Extent::Known(0)];
        for (i, &operand) in view.operands().iter().enumerate() {
            let next = g.extent_add(starts[i], self.extents.of(operand)[axis]);
            starts.push(next);
        }
        Kind::Concat { axis, starts }
    }

    fn range(&self, g: &mut Gen<'_>, view: OpView<'_>) -> Kind {
        let ty = elem(self.module, view.operand(0));
        let wide = wide(ty);
        let mut load = |i: usize| {
            let x = self.inputs[&view.operand(i)].load(g, &[], Lanes::One);
            convert(g, x, ty, wide)
        };
        let (start, delta) = (load(0), load(2));
        Kind::Range { start, delta }
    }

    /// Makes one axis of all elements, if every op reads its operands at its own index.
    pub(super) fn flatten(&mut self, g: &mut Gen<'_>) -> bool {
        let flat = self
            .kinds
            .values()
            .all(|k| matches!(k, Kind::Pointwise | Kind::Constant))
            && self.inputs.values().all(|i| i.is_dense || i.is_one());
        if flat {
            for input in self.inputs.values_mut() {
                let step = Extent::Known(i64::from(!input.is_one()));
                input.extents = vec![g.extent_product(&input.extents)];
                input.strides = vec![step];
            }
            self.order = vec![0];
        }
        flat
    }

    fn at(&self, g: &mut Gen<'_>, value: IrValue, index: &[Coord], lanes: Lanes) -> Value {
        let key = (value, index.to_vec());
        if let Some(&known) = self.memo.borrow().get(&key) {
            return known;
        }
        let result = match self.inputs.get(&value) {
            Some(input) => input.load(g, index, lanes),
            None => self.computed(g, value, index, lanes),
        };
        self.memo.borrow_mut().insert(key, result);
        result
    }

    fn computed(&self, g: &mut Gen<'_>, value: IrValue, index: &[Coord], lanes: Lanes) -> Value {
        let view = match self.module.defining_op(value) {
            Some(op) => self.module.view(op),
            None => lepid_ir::bug!("a nest reads a value from outside"),
        };
        let ty = elem(self.module, value);
        match &self.kinds[&view.op] {
            Kind::Pointwise => {
                let operands = view.operands().iter();
                let args: Vec<Value> = operands.map(|&v| self.at(g, v, index, lanes)).collect();
                scalar::apply(g, view, &args, lanes)
            }
            Kind::Moved(sources) => {
                let inner: Vec<Coord> = sources.iter().map(|s| s.coord(g, index)).collect();
                self.at(g, view.operand(0), &inner, lanes)
            }
            Kind::Concat { axis, starts } => self.concat(g, view, (*axis, starts), 0, index, lanes),
            Kind::Pad { axes, mode } => self.pad(g, view, (axes, *mode), index, lanes),
            Kind::Iota(axis) => {
                let place = g.extent(index[*axis].place);
                scalar::from_index(g, place, ty)
            }
            Kind::Range { start, delta } => {
                let place = g.extent(index[0].place);
                let wide = wide(ty);
                let place = scalar::from_index(g, place, wide);
                let sum = match wide.is_float() {
                    true => {
                        let moved = g.b.ins().fmul(place, *delta);
                        g.b.ins().fadd(*start, moved)
                    }
                    false => {
                        let moved = g.b.ins().imul(place, *delta);
                        g.add(*start, moved)
                    }
                };
                convert(g, sum, wide, ty)
            }
            Kind::Constant => match self.module.constant_value(value) {
                Some(tensor) => scalar::constant(g, tensor, lanes),
                None => lepid_ir::bug!("a constant without a value"),
            },
        }
    }

    /// Operand `part` of a concat, or one of those after it.
    fn concat(
        &self,
        g: &mut Gen<'_>,
        view: OpView<'_>,
        (axis, starts): (usize, &[Extent]),
        part: usize,
        index: &[Coord],
        lanes: Lanes,
    ) -> Value {
        let read = |g: &mut Gen<'_>| {
            let mut inner = index.to_vec();
            let (place, start) = (g.extent(index[axis].place), g.extent(starts[part]));
            inner[axis].place = Extent::Run(g.b.ins().isub(place, start));
            self.at(g, view.operand(part), &inner, lanes)
        };
        if part + 1 == view.operands().len() {
            return read(g);
        }
        let (place, end) = (g.extent(index[axis].place), g.extent(starts[part + 1]));
        let here = g.b.ins().icmp(IntCC::SignedLessThan, place, end);
        self.choose(g, here, read, |g| {
            self.concat(g, view, (axis, starts), part + 1, index, lanes)
        })
    }

    fn pad(
        &self,
        g: &mut Gen<'_>,
        view: OpView<'_>,
        (axes, mode): (&[Padding], PadMode),
        index: &[Coord],
        lanes: Lanes,
    ) -> Value {
        let pairs = || axes.iter().zip(index);
        if mode != PadMode::Constant {
            let inner: Vec<Coord> = pairs().map(|(p, &at)| p.mirrored(g, at, mode)).collect();
            return self.at(g, view.operand(0), &inner, lanes);
        }
        let fill = fill(view);
        let mut inside = g.b.ins().iconst(types::I8, 1);
        for (padding, &at) in pairs().filter(|(p, _)| !p.none) {
            let here = padding.is_inside(g, at);
            inside = g.b.ins().band(inside, here);
        }
        self.choose(
            g,
            inside,
            |g| {
                let inner: Vec<Coord> = pairs().map(|(p, &at)| p.inside(g, at)).collect();
                self.at(g, view.operand(0), &inner, lanes)
            },
            |g| self.at(g, fill, &[], lanes),
        )
    }

    /// One of two values, of which only that one is computed.
    fn choose(
        &self,
        g: &mut Gen<'_>,
        condition: Value,
        yes: impl FnOnce(&mut Gen<'_>) -> Value,
        no: impl FnOnce(&mut Gen<'_>) -> Value,
    ) -> Value {
        // What a branch computes is not there in the other, nor after both.
        let before = self.memo.borrow().clone();
        let value = choose(
            g,
            condition,
            |g| {
                let value = yes(g);
                *self.memo.borrow_mut() = before.clone();
                value
            },
            no,
        );
        *self.memo.borrow_mut() = before;
        value
    }

    /// `known` holds what was asked before: a value may be read many times over.
    fn is_vector_at(
        &self,
        value: IrValue,
        steps: &[Step],
        known: &mut HashMap<(IrValue, Vec<Step>), bool>,
    ) -> bool {
        let key = (value, steps.to_vec());
        if let Some(&known) = known.get(&key) {
            return known;
        }
        let is_vector = self.is_vector_step(value, steps, known);
        known.insert(key, is_vector);
        is_vector
    }

    fn is_vector_step(
        &self,
        value: IrValue,
        steps: &[Step],
        known: &mut HashMap<(IrValue, Vec<Step>), bool>,
    ) -> bool {
        if let Some(input) = self.inputs.get(&value) {
            return input.is_vector(steps);
        }
        let Some(op) = self.module.defining_op(value) else {
            return false;
        };
        let view = self.module.view(op);
        let is_f32 = elem(self.module, value) == Elem::F32;
        let mut operands = view.operands().iter();
        match &self.kinds[&op] {
            Kind::Pointwise => {
                scalar::has_vector_form(view)
                    && operands.all(|&v| self.is_vector_at(v, steps, known))
            }
            Kind::Moved(sources) => {
                let inner: Vec<Step> = sources.iter().map(|s| s.step(steps)).collect();
                is_f32 && self.is_vector_at(view.operand(0), &inner, known)
            }
            Kind::Concat { axis, .. } => {
                is_f32
                    && steps[*axis] == Step::Fixed
                    && operands.all(|&v| self.is_vector_at(v, steps, known))
            }
            Kind::Pad { axes, mode } => {
                let pairs = axes.iter().zip(steps);
                is_f32
                    && pairs.into_iter().all(|(p, s)| p.none || *s == Step::Fixed)
                    && self.is_vector_at(view.operand(0), steps, known)
                    && (*mode != PadMode::Constant || self.is_vector_at(fill(view), &[], known))
            }
            Kind::Iota(_) | Kind::Range { .. } => false,
            Kind::Constant => is_f32,
        }
    }
}

impl Source for Body<'_> {
    fn elem(&self) -> Elem {
        elem(self.module, self.root)
    }

    fn value(&self, g: &mut Gen<'_>, at: &[Coord], lanes: Lanes) -> Value {
        self.memo.borrow_mut().clear();
        let index: Vec<Coord> = self.order.iter().map(|&number| at[number]).collect();
        self.at(g, self.root, &index, lanes)
    }

    fn is_vector(&self, steps: &[Step]) -> bool {
        let steps: Vec<Step> = self.order.iter().map(|&number| steps[number]).collect();
        self.is_vector_at(self.root, &steps, &mut HashMap::new())
    }
}

/// What a constant pad puts around its operand.
fn fill(view: OpView<'_>) -> IrValue {
    view.operand(view.operands().len() - 1)
}

/// The element that a range is computed in.
fn wide(ty: Elem) -> Elem {
    if ty.is_float() { Elem::F64 } else { Elem::I64 }
}

/// The value of one of two branches.
pub(super) fn choose(
    g: &mut Gen<'_>,
    condition: Value,
    yes: impl FnOnce(&mut Gen<'_>) -> Value,
    no: impl FnOnce(&mut Gen<'_>) -> Value,
) -> Value {
    let (taken, other) = (g.b.create_block(), g.b.create_block());
    let join = g.b.create_block();
    g.b.ins().brif(condition, taken, &[], other, &[]);
    g.b.switch_to_block(taken);
    g.b.seal_block(taken);
    let value = yes(g);
    let ty = g.b.func.dfg.value_type(value);
    let result = g.b.append_block_param(join, ty);
    g.b.ins().jump(join, &[BlockArg::Value(value)]);
    g.b.switch_to_block(other);
    g.b.seal_block(other);
    let value = no(g);
    g.b.ins().jump(join, &[BlockArg::Value(value)]);
    g.b.switch_to_block(join);
    g.b.seal_block(join);
    result
}
