//! Where extents that only a run knows are kept: cells, numbered when the program is generated.
//!
//! The entry writes a cell before anything reads it; tasks read only. The number of samples of a batch
//! is the run's own, and stands in the context.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::offset_of;

use cranelift_codegen::ir::{Value, types};
use lepid_ir::core::{Elem, Module, Op, OpView, Value as IrValue};
use lepid_passes::batch::Samples;
use lepid_passes::transform::memory_plan::is_stretched;

use crate::abi::Ctx;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::nest;
use crate::places::Place;
use crate::routines::measure::{self, MEASURES};

/// Bytes of a cell.
const CELL: usize = 8;

/// An extent as it is known when the program is generated.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    Known(i64),
    /// The number of a cell.
    Cell(usize),
    /// So many for each sample of the batch.
    PerSample(usize),
}

/// A value that a task reads or writes.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) place: Place,
    pub(crate) elem: Elem,
    pub(crate) sizes: Vec<Size>,
    /// The extents of what lies there, if it is shorter and to be read over and over, aligned at
    /// the last axis.
    pub(crate) stretched: Option<Vec<Size>>,
}

/// How many rows there are: a product of extents.
#[derive(Clone, Debug)]
pub(crate) enum Count {
    Known(usize),
    /// So many for each of at most so many samples.
    Samples {
        each: usize,
        most: usize,
    },
    Open(Vec<Size>),
}

impl Count {
    /// The product of these extents.
    fn of(sizes: &[Size]) -> Count {
        let known = sizes.iter().map(|size| match size {
            Size::Known(n) => Some(*n as usize),
            Size::Cell(_) | Size::PerSample(_) => None,
        });
        match known.product::<Option<usize>>() {
            Some(count) => Count::Known(count),
            None => Count::Open(sizes.to_vec()),
        }
    }

    /// The most that there may be, if that is known.
    pub(crate) fn most(&self) -> Option<usize> {
        match *self {
            Count::Known(count) => Some(count),
            Count::Samples { each, most } => Some(each * most),
            Count::Open(_) => None,
        }
    }

    pub(crate) fn extent(&self, g: &mut Gen<'_>) -> Extent {
        match self {
            Count::Known(count) => Extent::Known(*count as i64),
            Count::Samples { each, .. } => Extent::Run(g.samples(*each)),
            Count::Open(sizes) => {
                let extents = g.read_sizes(sizes);
                g.extent_product(&extents)
            }
        }
    }
}

/// The cells of a program.
pub(crate) struct Cells {
    /// What holds samples of the batch, if the program is for any number of them.
    samples: Option<Samples>,
    /// The first cell of each value that has any: one per axis.
    first: RefCell<BTreeMap<IrValue, usize>>,
    /// The first cell of what a measure finds for each op that has one.
    figures: RefCell<BTreeMap<Op, usize>>,
    count: Cell<usize>,
}

impl Cells {
    pub(crate) fn new(samples: Option<Samples>) -> Cells {
        Cells {
            samples,
            first: RefCell::default(),
            figures: RefCell::default(),
            count: Cell::default(),
        }
    }

    /// How many samples there are at most, if a value holds samples.
    pub(crate) fn most_samples(&self, value: IrValue) -> Option<usize> {
        let samples = self.samples.as_ref().filter(|s| s.has(value));
        samples.map(|s| s.most() as usize)
    }

    /// `total` rows of a value, which begin with its leading axis.
    pub(crate) fn amount(&self, value: IrValue, total: usize) -> Count {
        match self.most_samples(value) {
            Some(most) => Count::Samples {
                each: total / most,
                most,
            },
            None => Count::Known(total),
        }
    }

    /// The product of a value's extents up to an axis.
    pub(crate) fn rows(&self, module: &Module, value: IrValue, end: usize) -> Count {
        match self.most_samples(value) {
            Some(_) => {
                let dims = nest::dims(module, value);
                self.amount(value, dims[..end].iter().product::<i64>() as usize)
            }
            None => Count::of(&self.sizes(module, value)[..end]),
        }
    }

    /// The extent of an axis.
    pub(crate) fn axis(&self, module: &Module, value: IrValue, axis: usize) -> Count {
        Count::of(&self.sizes(module, value)[axis..=axis])
    }

    /// How many cells there are.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Cells side by side.
    fn fresh(&self, count: usize) -> usize {
        let first = self.count.get();
        self.count.set(first + count);
        first
    }

    /// The first cell of a value: one per axis, also for the axes that are known.
    pub(crate) fn first(&self, module: &Module, value: IrValue) -> usize {
        let rank = module.value_type(value).as_tensor().map_or(0, |t| t.rank());
        let mut known = self.first.borrow_mut();
        *known.entry(value).or_insert_with(|| self.fresh(rank))
    }

    /// A value at its place.
    pub(crate) fn port(&self, module: &Module, value: IrValue, place: Place) -> Port {
        let broadcast = module.defining_op(value);
        let broadcast = broadcast.filter(|&op| is_stretched(module, op));
        Port {
            place,
            elem: nest::elem(module, value),
            sizes: self.sizes(module, value),
            stretched: broadcast.map(|op| self.sizes(module, module.operands(op)[0])),
        }
    }

    /// The first cell of the figures that a measure finds for an op; 0 if none does.
    pub(crate) fn figures(&self, view: OpView<'_>) -> usize {
        let Some(number) = measure::number(view.name()) else {
            return 0;
        };
        let mut known = self.figures.borrow_mut();
        let count = (MEASURES[number].figures)(view);
        *known.entry(view.op).or_insert_with(|| self.fresh(count))
    }

    /// The extents of a value.
    pub(crate) fn sizes(&self, module: &Module, value: IrValue) -> Vec<Size> {
        let Some(ty) = module.value_type(value).as_tensor() else {
            return Vec::new();
        };
        let dims = ty.dims.iter().enumerate();
        dims.map(
            |(axis, dim)| match (dim.known(), self.most_samples(value)) {
                (Some(n), Some(most)) if axis == 0 => Size::PerSample(n as usize / most),
                (Some(n), _) => Size::Known(n as i64),
                (None, _) => Size::Cell(self.first(module, value) + axis),
            },
        )
        .collect()
    }
}

impl Gen<'_> {
    /// The address of a cell.
    pub(crate) fn cell(&mut self, number: usize) -> Value {
        let cells = self.ctx_pointer(offset_of!(Ctx, cells));
        self.add_int(cells, (CELL * number) as i64)
    }

    pub(crate) fn read_cell(&mut self, number: usize) -> Value {
        let cells = self.ctx_pointer(offset_of!(Ctx, cells));
        self.load(types::I64, cells, (CELL * number) as i32)
    }

    pub(crate) fn write_cell(&mut self, number: usize, value: Value) {
        let cells = self.ctx_pointer(offset_of!(Ctx, cells));
        self.store(value, cells, (CELL * number) as i32);
    }

    /// So many for each sample of this run.
    pub(crate) fn samples(&mut self, each: usize) -> Value {
        let samples = self.ctx_pointer(offset_of!(Ctx, samples));
        self.mul_int(samples, each as i64)
    }

    /// Reads extents where they are not known.
    pub(crate) fn read_sizes(&mut self, sizes: &[Size]) -> Vec<Extent> {
        let sizes = sizes.iter();
        sizes
            .map(|&size| match size {
                Size::Known(n) => Extent::Known(n),
                Size::Cell(number) => Extent::Run(self.read_cell(number)),
                Size::PerSample(each) => Extent::Run(self.samples(each)),
            })
            .collect()
    }
}
