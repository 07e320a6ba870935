//! From an op of the module to what is emitted for it.

use std::collections::HashMap;

use lepid_ir::core::{Module, Op, OpView, Value};
use lepid_ir::dialects::kernel::{self, PANEL};
use lepid_ir::dialects::nn;
use lepid_ir::interp;
use lepid_passes::transform::joins::joined;
use lepid_passes::transform::memory_plan::is_open;
use lepid_passes::transform::states::is_in_place;
use lepid_ukernels::args::PoolKind;

use crate::codegen::args::{Geometry, Tail};
use crate::codegen::attention::Attention;
use crate::codegen::cells::{Cells, Count, Port};
use crate::codegen::eight_bits::EightBitProduct;
use crate::codegen::layers::{Depthwise, Packing, Pooling, RowKernel, RowMap};
use crate::codegen::nest;
use crate::codegen::open::OpenTask;
use crate::codegen::product::{Product, Rows};
use crate::codegen::recurrence::{Cell, Recurrence};
use crate::codegen::routine::RoutineCall;
use crate::codegen::strassen::Strassen;
use crate::codegen::strips::{Kernel, Stage, Strips};
use crate::codegen::terms::Terms;
use crate::codegen::winograd::Winograd;
use crate::places::{Place, Places};
use crate::routines::measure;
use crate::strassen;
use crate::strips;
use crate::weights::{Layout, Weights};
use crate::winograd;

/// What is emitted for one op.
pub(crate) enum Task {
    Product(Product),
    EightBits(EightBitProduct),
    Winograd(Winograd),
    Strassen(Strassen),
    Terms(Terms),
    Depthwise(Depthwise),
    Strips(Strips),
    Pooling(Pooling),
    Rows(RowMap),
    Packing(Packing),
    Attention(Attention),
    Recurrence(Recurrence),
    Nest {
        inputs: Vec<Place>,
        results: Vec<Place>,
        /// Samples along the leading axis, if that is what it counts.
        samples: Option<usize>,
    },
    Routine(RoutineCall),
    Open(OpenTask),
}

/// Work below this many elements or operations is not worth a second thread.
const SERIAL_WORK: f64 = 60_000.0;

impl Task {
    /// Whether several threads should share it: the work is this many times as much as one should
    /// do alone, for all samples that there may be.
    pub(crate) fn sharing(&self, view: OpView<'_>) -> f64 {
        match self {
            Task::Product(p) => p.flops() / (8.0 * SERIAL_WORK),
            Task::EightBits(p) => p.flops() / (8.0 * SERIAL_WORK),
            Task::Winograd(w) => w.flops() / (8.0 * SERIAL_WORK),
            Task::Strassen(s) => s.flops() / (8.0 * SERIAL_WORK),
            Task::Recurrence(r) => (r.batch * r.hidden * r.hidden) as f64 / SERIAL_WORK,
            Task::Routine(_) if is_in_place(view.module, view.op) => {
                view.operand_elements(2) / SERIAL_WORK
            }
            Task::Depthwise(_)
            | Task::Strips(_)
            | Task::Pooling(_)
            | Task::Rows(_)
            | Task::Packing(_)
            | Task::Attention(_)
            | Task::Terms(_)
            | Task::Routine(_)
            | Task::Open(_)
            | Task::Nest { .. } => {
                let cost = view.def().cost(view);
                (cost.flops + cost.bytes / 4.0) / SERIAL_WORK
            }
        }
    }

    /// Scratch that each thread needs.
    pub(crate) fn scratch_bytes(&self) -> usize {
        match self {
            Task::Product(p) => p.scratch_bytes(),
            Task::Winograd(w) => w.scratch_bytes(),
            Task::Strassen(s) => s.scratch_bytes(),
            Task::Strips(s) => s.scratch_bytes(),
            Task::Attention(a) => a.scratch_bytes(),
            _ => 0,
        }
    }

    /// Zeros that stand for padding, as a count of `f32`.
    pub(crate) fn zeros(&self) -> usize {
        match self {
            Task::Product(p) => p.zeros(),
            Task::Winograd(w) => w.zeros(),
            Task::Strips(s) => s.zeros(),
            _ => 0,
        }
    }
}

/// Chooses what to emit for an op; asks for the weights it needs.
pub(crate) fn lower(
    module: &Module,
    op: Op,
    places: &Places<'_>,
    cells: &Cells,
    weights: &mut Weights,
) -> Result<Task, String> {
    let view = module.view(op);
    let mut cx = Lowering {
        module,
        places,
        cells,
        weights,
        inner: HashMap::new(),
    };
    match view.name() {
        "kernel.attention" => {
            let operands = cx.all(view.operands());
            let result = cx.place(view.result(0));
            let most = cells.most_samples(view.result(0));
            Ok(Task::Attention(Attention::of(
                view, &operands, result, most,
            )))
        }
        "kernel.conv" => Ok(cx.conv(view)),
        "kernel.strips" => Ok(cx.strips(view)),
        "nn.add_terms" => Ok(cx.terms(view)),
        "kernel.linear" if kernel::Linear::quantised(view) > 0 => cx.eight_bits(view),
        "kernel.linear" => Ok(cx.linear(view)),
        "kernel.matmul" => Ok(cx.matmul(view)),
        "kernel.pack" => Ok(cx.pack(view)),
        "kernel.lstm" | "kernel.gru" => Ok(cx.recurrence(view)),
        name if is_open_op(view) && OpenTask::serves(name) => Ok(cx.open(view)),
        "kernel.nest" => Ok(Task::Nest {
            inputs: cx.all(view.operands()),
            results: cx.all(view.results()),
            samples: cells.most_samples(view.result(0)),
        }),
        "nn.max_pool" | "nn.avg_pool" => Ok(cx.pool(view)),
        "nn.softmax" | "nn.log_softmax" | "nn.layer_norm" | "nn.rms_norm" | "nn.lrn" => {
            Ok(cx.row_map(view))
        }
        name => {
            let (operands, results) = (cx.ports(view.operands()), cx.ports(view.results()));
            match RoutineCall::of(view, operands, results) {
                Some(call) => Ok(Task::Routine(call)),
                None => Err(format!("`{name}` has no code")),
            }
        }
    }
}

/// Whether the extents of an op are known only at run time, or follow from values.
pub(crate) fn is_open_op(view: OpView<'_>) -> bool {
    let mut values = view.operands().iter().chain(view.results());
    values.any(|&v| is_open(view.module, v))
        || measure::number(view.name()).is_some()
        || view.name() == "tensor.dim"
}

struct Lowering<'a, 'm> {
    module: &'m Module,
    places: &'a Places<'m>,
    cells: &'a Cells,
    weights: &'a mut Weights,
    /// Places of what a body computes.
    inner: HashMap<Value, Place>,
}

impl Lowering<'_, '_> {
    fn place(&mut self, value: Value) -> Place {
        match self.inner.get(&value) {
            Some(&place) => place,
            None => self
                .places
                .of(self.weights, kernel::outside(self.module, value)),
        }
    }

    /// The place of weights that are packed for a microkernel.
    fn packed(&mut self, value: Value, layout: Layout) -> Place {
        let value = kernel::outside(self.module, value);
        Place::Weights(self.weights.place(self.module, value, layout))
    }

    fn all(&mut self, values: &[Value]) -> Vec<Place> {
        values.iter().map(|&v| self.place(v)).collect()
    }

    fn ports(&mut self, values: &[Value]) -> Vec<Port> {
        let ports = values.iter();
        ports
            .map(|&value| {
                let place = self.place(value);
                self.cells.port(self.module, value, place)
            })
            .collect()
    }

    fn open(&mut self, view: OpView<'_>) -> Task {
        Task::Open(OpenTask {
            op: view.op,
            operands: self.ports(view.operands()),
            results: self.ports(view.results()),
            figures: self.cells.figures(view),
        })
    }

    /// The product of a value's extents up to an axis, which need not be known.
    fn rows(&self, value: Value, end: usize) -> Count {
        self.cells.rows(self.module, value, end)
    }

    /// What an op computes of these, if they begin with the leading axis of its result.
    fn count(&self, view: OpView<'_>, total: usize) -> Count {
        self.cells.amount(view.result(0), total)
    }

    fn dims(&self, value: Value) -> Vec<usize> {
        let dims = nest::dims(self.module, value);
        dims.iter().map(|&d| d as usize).collect()
    }

    fn tail(&mut self, view: OpView<'_>) -> Tail {
        let extras = kernel::extras(view);
        let bias = extras.bias.map(|v| self.place(v));
        let residual = extras.residual.map(|v| self.place(v));
        Tail::of(self.module, view.op, bias, residual)
    }

    fn conv(&mut self, view: OpView<'_>) -> Task {
        let x = self.dims(view.operand(0));
        let w = self.dims(view.operand(1));
        let y = self.dims(view.result(0));
        let groups = kernel::Conv::groups(view) as usize;
        let window = self.window(view);
        let tail = self.tail(view);
        let places = (self.place(view.operand(0)), self.place(view.result(0)));
        if kernel::is_depthwise(view) {
            return Task::Depthwise(Depthwise {
                window,
                images: self.count(view, x[0]),
                channels: x[3],
                pitch: self.pitch(view),
                x: places.0,
                weights: self.packed(view.operand(1), Layout::Depthwise),
                y: places.1,
                tail,
            });
        }
        if let Some(scheme) = winograd::scheme(view) {
            return Task::Winograd(Winograd {
                scheme,
                window,
                images: self.count(view, x[0]),
                channels: x[3],
                columns: w[0],
                pitch: self.pitch(view),
                x: places.0,
                weights: self.packed(view.operand(1), Layout::Winograd(scheme)),
                y: places.1,
                tail,
            });
        }
        let pointwise =
            w[2] * w[3] == 1 && groups == 1 && window.stride == [1, 1] && window.pad == [0; 4];
        let gather = kernel::extras(view).channels.map(|channels| {
            let offsets = self.packed(channels, Layout::Offsets { extent: x[3] });
            (offsets, x[3])
        });
        // Without padding beside it, a row of the window is one run of elements.
        let run = groups == 1
            && gather.is_none()
            && window.dilation[1] == 1
            && [window.pad[1], window.pad[3]] == [0, 0];
        let (taps, k) = match run {
            true => (w[2], w[3] * w[1]),
            false => (w[2] * w[3], w[1]),
        };
        let window = Geometry {
            kernel: [w[2], taps / w[2]],
            ..window
        };
        Task::Product(Product {
            rows: match pointwise {
                true => Rows::Matrix { lda: x[3] },
                false => Rows::Window(window),
            },
            m: self.count(view, y[0] * y[1] * y[2]),
            n: w[0] / groups,
            k,
            taps,
            gather,
            groups,
            batch: Count::Known(1),
            a: places.0,
            b: self.packed(view.operand(1), Layout::Conv { groups }),
            c: places.1,
            ldc: self.pitch(view),
            tail,
        })
    }

    /// Elements between the pixels of an op's result.
    fn pitch(&self, view: OpView<'_>) -> usize {
        let joined = joined(self.module, view.result(0));
        joined.map_or(self.dims(view.result(0))[3], |joined| joined.pitch as usize)
    }

    /// The window of a `kernel.conv`.
    fn window(&self, view: OpView<'_>) -> Geometry {
        let w = self.dims(view.operand(1));
        Geometry {
            kernel: [w[2], w[3]],
            stride: pair(&kernel::Conv::stride(view)),
            dilation: pair(&kernel::Conv::dilation(view)),
            pad: quad(&kernel::Conv::pad(view)),
            ..geometry(&self.dims(view.operand(0)), &self.dims(view.result(0)))
        }
    }

    /// The window of what reads the pixels that it computes.
    fn pixels(&self, view: OpView<'_>) -> Geometry {
        let image = self.dims(view.result(0));
        geometry(&image, &image)
    }

    fn strips(&mut self, view: OpView<'_>) -> Task {
        let convs = kernel::Strips::convs(view).map(|op| self.module.view(op));
        let convs: Vec<OpView<'_>> = convs.collect();
        let prologue = kernel::Strips::prologue(view).map(|op| self.module.view(op));
        let steps: Vec<OpView<'_>> = prologue.iter().chain(&convs).copied().collect();
        let height = kernel::Strips::rows(view) as usize;
        let mut end = 0;
        // Each step but the first reads a buffer.
        let readers = &convs[convs.len() + 1 - steps.len()..];
        for (step, bytes) in steps.iter().zip(strips::buffers(readers, height)) {
            self.inner.insert(step.result(0), Place::Scratch(end));
            end += bytes.next_multiple_of(64);
        }
        let result = self.place(view.result(0));
        self.inner
            .extend(convs.last().map(|last| (last.result(0), result)));
        let stages = steps.iter().map(|&step| match step.name() {
            "kernel.nest" => Stage {
                window: self.pixels(step),
                kernel: Kernel::Nest {
                    op: step.op,
                    inputs: self.all(step.operands()),
                    result: self.place(step.result(0)),
                },
            },
            _ => Stage {
                window: self.window(step),
                kernel: match self.conv(step) {
                    Task::Product(product) => Kernel::Product(product),
                    Task::Depthwise(depthwise) => Kernel::Depthwise(depthwise),
                    _ => lepid_ir::bug!("a convolution in strips that is not direct"),
                },
            },
        });
        Task::Strips(Strips {
            stages: stages.collect(),
            images: self.count(view, self.dims(view.result(0))[0]),
            height,
            buffers: end,
        })
    }

    fn linear(&mut self, view: OpView<'_>) -> Task {
        let rank = view.operand_tensor(0).rank();
        let w = self.dims(view.operand(1));
        let tail = self.tail(view);
        // A transposition costs nothing while packing.
        let (weight, transpose) = match self.module.defining_op(view.operand(1)) {
            Some(op) if self.module.op_name(op) == "tensor.transpose" => {
                (self.module.operands(op)[0], true)
            }
            _ => (view.operand(1), false),
        };
        if strassen::chosen(view) {
            let any = self.cells.most_samples(view.result(0)).is_some();
            let Some(m) = kernel::linear_rows(view).filter(|_| !any) else {
                lepid_ir::bug!("Strassen's product of rows that are not known");
            };
            return Task::Strassen(Strassen {
                m: m as usize,
                k: w[0],
                n: w[1],
                a: self.place(view.operand(0)),
                weights: self.packed(weight, Layout::Strassen { transpose }),
                c: self.place(view.result(0)),
                tail,
            });
        }
        Task::Product(Product {
            rows: Rows::Matrix { lda: w[0] },
            m: self.rows(view.operand(0), rank - 1),
            n: w[1],
            k: w[0],
            taps: 1,
            gather: None,
            groups: 1,
            batch: Count::Known(1),
            a: self.place(view.operand(0)),
            b: self.packed(weight, Layout::Panels { transpose }),
            c: self.place(view.result(0)),
            ldc: w[1],
            tail,
        })
    }

    fn terms(&mut self, view: OpView<'_>) -> Task {
        let (left, right) = (self.dims(view.operand(2)), self.dims(view.operand(3)));
        let extent = self.dims(view.operand(1))[0];
        // Terms that keep all columns need not say which.
        let in_order = right[3] == extent && {
            let columns = interp::eval_constant(self.module, view.operand(4));
            columns.is_some_and(|columns| {
                let columns = columns.to_i64s();
                columns
                    .chunks(extent)
                    .all(|row| row.iter().copied().eq(0..extent as i64))
            })
        };
        Task::Terms(Terms {
            steps: left[0],
            terms: left[1],
            matrices: left[2],
            rows: left[3],
            keep: right[3],
            sum: self.place(view.operand(0)),
            z: self.place(view.operand(1)),
            left: self.place(view.operand(2)),
            right: self.place(view.operand(3)),
            columns: (!in_order).then(|| self.packed(view.operand(4), Layout::Offsets { extent })),
            step: self.place(view.operand(5)),
            out: self.place(view.result(0)),
        })
    }

    fn eight_bits(&mut self, view: OpView<'_>) -> Result<Task, String> {
        let Some(m) = kernel::linear_rows(view) else {
            return Err("weights in eight bits ask for known extents".into());
        };
        let w = self.dims(view.operand(1));
        let block = kernel::Linear::quantised(view) as usize;
        Ok(Task::EightBits(EightBitProduct {
            m: self.count(view, m as usize),
            n: w[1],
            k: w[0],
            block,
            a: self.place(view.operand(0)),
            weights: self.packed(view.operand(1), Layout::EightBits { block }),
            c: self.place(view.result(0)),
            tail: self.tail(view),
        }))
    }

    fn matmul(&mut self, view: OpView<'_>) -> Task {
        let packed = self.dims(view.operand(1));
        let rank = packed.len() - 1;
        let (batch, k) = (&packed[..rank - 2], packed[rank - 1]);
        let n = kernel::Matmul::columns(view) as usize;
        Task::Product(Product {
            rows: Rows::Matrix { lda: k },
            m: match rank {
                2 => self.rows(view.operand(0), 1),
                _ => self.cells.axis(self.module, view.operand(0), rank - 2),
            },
            n,
            k,
            taps: 1,
            gather: None,
            groups: 1,
            batch: match rank {
                2 => Count::Known(1),
                _ => self.count(view, batch.iter().product()),
            },
            a: self.place(view.operand(0)),
            b: self.place(view.operand(1)),
            c: self.place(view.result(0)),
            ldc: n,
            tail: Tail::NONE,
        })
    }

    fn pack(&mut self, view: OpView<'_>) -> Task {
        let from = self.dims(view.operand(0));
        let rank = from.len();
        let transpose = kernel::Pack::transpose(view);
        let (k, n) = match transpose {
            true => (from[rank - 1], from[rank - 2]),
            false => (from[rank - 2], from[rank - 1]),
        };
        debug_assert_eq!(self.dims(view.result(0))[rank], PANEL);
        Task::Packing(Packing {
            batch: self.count(view, from[..rank - 2].iter().product()),
            k,
            n,
            transpose,
            x: self.place(view.operand(0)),
            y: self.place(view.result(0)),
        })
    }

    fn recurrence(&mut self, view: OpView<'_>) -> Task {
        let gates = self.dims(view.operand(0));
        let state = self.dims(view.operand(2));
        let mut weights =
            |first, gates| self.packed(view.operand(1), Layout::Recurrent { first, gates });
        let cell = match view.name() {
            "kernel.lstm" => Cell::Lstm {
                weights: weights(0, 4),
                c0: self.place(view.operand(3)),
                c: self.place(view.result(2)),
                peephole: kernel::Lstm::peephole(view).then(|| self.place(view.operand(4))),
            },
            _ if kernel::Gru::linear_before_reset(view) => Cell::Gru {
                weights: weights(0, 3),
                bias: self.place(view.operand(3)),
            },
            _ => Cell::GruInHalves {
                gates: weights(0, 2),
                candidate: weights(2, 1),
            },
        };
        Task::Recurrence(Recurrence {
            steps: gates[0],
            batch: gates[1],
            hidden: state[1],
            reverse: kernel::Lstm::reverse(view),
            clip: kernel::Lstm::clip(view) as f32,
            gates: self.place(view.operand(0)),
            h0: self.place(view.operand(2)),
            y: self.place(view.result(0)),
            h: self.place(view.result(1)),
            cell,
        })
    }

    fn pool(&mut self, view: OpView<'_>) -> Task {
        let x = self.dims(view.operand(0));
        let y = self.dims(view.result(0));
        let kind = match view.name() {
            "nn.max_pool" => PoolKind::Max,
            _ if nn::AvgPool::include_pad(view) => PoolKind::AverageIncludePad,
            _ => PoolKind::AverageExcludePad,
        };
        Task::Pooling(Pooling {
            window: Geometry {
                kernel: pair(&nn::MaxPool::kernel(view)),
                stride: pair(&nn::MaxPool::stride(view)),
                dilation: pair(&nn::MaxPool::dilation(view)),
                pad: quad(&nn::MaxPool::pad(view)),
                ..geometry(&x, &y)
            },
            kind,
            images: self.count(view, x[0]),
            channels: x[3],
            pitch: self.pitch(view),
            x: self.place(view.operand(0)),
            y: self.place(view.result(0)),
        })
    }

    fn row_map(&mut self, view: OpView<'_>) -> Task {
        let dims = view.operand_dims(0);
        // Norms work on all axes from theirs on; the others on the last.
        let axis = match view.name() {
            "nn.layer_norm" => nn::LayerNorm::axis(view) as usize,
            "nn.rms_norm" => nn::RmsNorm::axis(view) as usize,
            _ => dims.len() - 1,
        };
        let len = dims[axis..].iter().filter_map(|d| d.known());
        let kernel = match view.name() {
            "nn.softmax" => RowKernel::Softmax,
            "nn.log_softmax" => RowKernel::LogSoftmax,
            "nn.layer_norm" => RowKernel::LayerNorm {
                gamma: self.place(view.operand(1)),
                beta: view.operands().get(2).map(|&v| self.place(v)),
                epsilon: nn::LayerNorm::epsilon(view) as f32,
            },
            "nn.rms_norm" => RowKernel::RmsNorm {
                gamma: self.place(view.operand(1)),
                epsilon: nn::RmsNorm::epsilon(view) as f32,
            },
            _ => RowKernel::Lrn {
                size: nn::Lrn::size(view) as usize,
                alpha: nn::Lrn::alpha(view) as f32,
                beta: nn::Lrn::beta(view) as f32,
                bias: nn::Lrn::bias(view) as f32,
            },
        };
        Task::Rows(RowMap {
            kernel,
            rows: self.rows(view.operand(0), axis),
            len: len.product::<u64>() as usize,
            x: self.place(view.operand(0)),
            y: self.place(view.result(0)),
        })
    }
}

/// Input and output extents of channels-last images; the window is the caller's to state.
fn geometry(x: &[usize], y: &[usize]) -> Geometry {
    Geometry {
        input: [x[1], x[2]],
        pixel: x[3],
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0; 4],
        output: [y[1], y[2]],
    }
}

fn pair(list: &[i64]) -> [usize; 2] {
    [list[0] as usize, list[1] as usize]
}

fn quad(list: &[i64]) -> [usize; 4] {
    [pair(list), pair(&list[2..])]
        .concat()
        .try_into()
        .unwrap_or([0; 4])
}
