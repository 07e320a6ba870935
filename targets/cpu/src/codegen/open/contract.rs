//! Folds that are not reductions of a body: products of two operands, and sliding windows.

use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ir::core::{Elem, OpView};
use lepid_ir::dialects::tensor::{self, ContractAxes};

use super::Input;
use super::body::choose;
use super::loops::{Coord, Loops, Source, Step};
use crate::codegen::convert::convert;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::reduction::{self, Reduction};
use crate::codegen::rules::Extents;
use crate::codegen::scalar::Lanes;

/// The products of a `tensor.contract`, at `[batch, free of x, free of y, contracted]`.
pub(super) struct Products {
    inputs: [Input; 2],
    /// For each axis of an operand the number of its loop.
    loops: [Vec<usize>; 2],
    reduced: Extents,
    elem: Elem,
}

impl Products {
    pub(super) fn new(view: OpView<'_>, inputs: Vec<Input>) -> Result<Products, String> {
        let axes = ContractAxes::of(view).map_err(|e| e.message)?;
        let (Ok(inputs), Some(elem)) = (<[Input; 2]>::try_from(inputs), view.result_type(0).elem())
        else {
            return Err("a contraction has two operands".into());
        };
        let (batch, mine) = (axes.batch_x.len(), axes.free_x.len());
        let kept = batch + mine + axes.free_y.len();
        let number = |rank: usize, parts: [(&[usize], usize); 3]| {
            let mut loops = vec![0; rank];
            for (list, first) in parts {
                for (i, &axis) in list.iter().enumerate() {
                    loops[axis] = first + i;
                }
            }
            loops
        };
        let of_x = [
            (&axes.batch_x[..], 0),
            (&axes.free_x[..], batch),
            (&axes.contract_x[..], kept),
        ];
        let of_y = [
            (&axes.batch_y[..], 0),
            (&axes.free_y[..], batch + mine),
            (&axes.contract_y[..], kept),
        ];
        let reduced = axes.contract_x.iter().map(|&a| inputs[0].extents[a]);
        Ok(Products {
            reduced: reduced.collect(),
            loops: [
                number(inputs[0].extents.len(), of_x),
                number(inputs[1].extents.len(), of_y),
            ],
            inputs,
            elem,
        })
    }

    pub(super) fn loops(&self, result: &Extents) -> Loops {
        Loops {
            kept: result.clone(),
            reduced: self.reduced.clone(),
            fold: Some(Reduction::Sum),
        }
    }
}

impl Source for Products {
    fn elem(&self) -> Elem {
        self.elem
    }

    fn value(&self, g: &mut Gen<'_>, at: &[Coord], lanes: Lanes) -> Value {
        let mut read = |i: usize| {
            let index: Vec<Coord> = self.loops[i].iter().map(|&number| at[number]).collect();
            let x = self.inputs[i].load(g, &index, lanes);
            convert(g, x, self.inputs[i].elem, self.elem)
        };
        let (x, y) = (read(0), read(1));
        match self.elem.is_float() {
            true => g.b.ins().fmul(x, y),
            false => g.b.ins().imul(x, y),
        }
    }

    fn is_vector(&self, steps: &[Step]) -> bool {
        self.elem == Elem::F32
            && self.inputs.iter().zip(&self.loops).all(|(input, loops)| {
                let steps: Vec<Step> = loops.iter().map(|&number| steps[number]).collect();
                input.is_vector(&steps)
            })
    }
}

/// The elements under the windows of a `tensor.window`, at `[places, positions in the window]`.
pub(super) struct Windows {
    input: Input,
    axes: Vec<tensor::shapes::WindowAxis>,
    fold: Reduction,
}

impl Windows {
    pub(super) fn new(view: OpView<'_>, inputs: Vec<Input>) -> Result<Windows, String> {
        let kind = Reduction::from_name(tensor::Window::kind(view));
        Ok(Windows {
            axes: tensor::Window::window_axes(view).map_err(|e| e.message)?,
            input: inputs.into_iter().next().ok_or("a window has an operand")?,
            fold: kind.ok_or("unknown kind of window")?,
        })
    }

    pub(super) fn loops(&self, result: &Extents) -> Loops {
        let sizes = self.axes.iter().map(|w| Extent::Known(w.size as i64));
        Loops {
            kept: result.clone(),
            reduced: sizes.collect(),
            fold: Some(self.fold),
        }
    }
}

impl Source for Windows {
    fn elem(&self) -> Elem {
        self.input.elem
    }

    fn value(&self, g: &mut Gen<'_>, at: &[Coord], lanes: Lanes) -> Value {
        let rank = self.axes.len();
        let mut inside = g.b.ins().iconst(types::I8, 1);
        let mut index = Vec::with_capacity(rank);
        for (axis, w) in self.axes.iter().enumerate() {
            let first = g.extent_mul(at[axis].place, Extent::Known(w.stride as i64));
            let further = g.extent_mul(at[rank + axis].place, Extent::Known(w.dilation as i64));
            let place = g.extent_add(first, further);
            let place = g.extent_add(place, Extent::Known(-(w.low as i64)));
            if (w.low, w.high) != (0, 0) {
                let (place, extent) = (g.extent(place), g.extent(self.input.extents[axis]));
                let here = g.b.ins().icmp(
                    cranelift_codegen::ir::condcodes::IntCC::UnsignedLessThan,
                    place,
                    extent,
                );
                inside = g.b.ins().band(inside, here);
            }
            index.push(Coord {
                place,
                step: at[axis].step,
            });
        }
        choose(
            g,
            inside,
            |g| self.input.load(g, &index, lanes),
            |g| reduction::neutral(g, self.fold, self.input.elem, lanes),
        )
    }

    /// Along the last axis, if its windows lie side by side and nothing stands around them.
    fn is_vector(&self, steps: &[Step]) -> bool {
        let rank = self.axes.len();
        let moving = |a: usize| steps[a] != Step::Fixed;
        let plain = |a: usize| {
            let w = &self.axes[a];
            !moving(a) || (w.stride, w.low, w.high) == (1, 0, 0)
        };
        (0..rank).all(|a| plain(a) && !moving(rank + a)) && self.input.is_vector(&steps[..rank])
    }
}
