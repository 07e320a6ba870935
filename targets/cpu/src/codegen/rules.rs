//! The extents of results, worked out in generated code from the extents of operands.
//!
//! One rule per op, as `infer` has it, but with numbers that only a run knows. What `infer` refuses
//! is a fault of the run here. Ops whose extents follow from values have no rule: a routine measures
//! them (`routines/measure.rs`).

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::{Dim, OpView, Symbol, Value as IrValue};
use lepid_ir::dialects::kernel::{self, Nest, PANEL};
use lepid_ir::dialects::{nn, tensor};

use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::scalar;
use crate::faults::Fault;

/// The extents of a value, outermost first.
pub(crate) type Extents = Vec<Extent>;

/// Whether rules are checked, and which op is at fault if one is broken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// The entry has checked already.
    Done,
    /// The ops inside a nest are counted behind it.
    At { site: usize },
}

/// The extents of an op's results, from those of its operands.
pub(crate) fn results(
    g: &mut Gen<'_>,
    view: OpView<'_>,
    operands: &[Extents],
    check: Check,
) -> Result<Vec<Extents>, String> {
    let mut rules = Rules { g, check };
    let found = rules.of(view, operands)?;
    let results = view.results().iter();
    Ok(results
        .zip(found)
        .map(|(&result, extents)| rules.stated(view, result, extents))
        .collect())
}

/// What the entry knows of extents that a routine measured: those that the type states must be so.
pub(crate) fn stated(
    g: &mut Gen<'_>,
    view: OpView<'_>,
    result: IrValue,
    extents: Extents,
    check: Check,
) -> Extents {
    Rules { g, check }.stated(view, result, extents)
}

struct Rules<'a, 'f> {
    g: &'a mut Gen<'f>,
    check: Check,
}

impl Rules<'_, '_> {
    fn of(&mut self, view: OpView<'_>, x: &[Extents]) -> Result<Vec<Extents>, String> {
        let one = |extents: Extents| Ok(vec![extents]);
        match view.name() {
            "core.constant" => {
                let dims = view.result_tensor(0).dims.iter();
                one(dims
                    .map(|&d| number(d))
                    .collect::<Result<Extents, String>>()?)
            }
            "kernel.nest" => self.nest(view, x),
            "tensor.broadcast" => one(self.broadcast(view, &x[0])?),
            "tensor.transpose" => {
                let perm = tensor::Transpose::perm(view);
                one(perm.iter().map(|&a| x[0][a as usize]).collect())
            }
            "tensor.slice" => one(self.slice(view, &x[0])),
            "tensor.pad" => {
                let (low, high) = (tensor::Pad::low(view), tensor::Pad::high(view));
                let around = low.iter().zip(&high).map(|(&l, &h)| l.saturating_add(h));
                let pairs = x[0].iter().zip(around);
                one(pairs
                    .map(|(&n, more)| self.g.extent_add(n, Extent::Known(more)))
                    .collect())
            }
            "tensor.concat" => one(self.concat(view, x)),
            "tensor.iota" => {
                let shape = tensor::Iota::shape(view);
                let dims = shape.iter().map(|&d| number(d));
                one(dims.collect::<Result<Extents, String>>()?)
            }
            "tensor.reshape" => one(self.reshape(view, &x[0])?),
            "tensor.reduce" => {
                let axes = tensor::Reduce::axes(view);
                let kept = x[0].iter().enumerate();
                one(kept
                    .filter(|(a, _)| !axes.contains(&(*a as i64)))
                    .map(|(_, &n)| n)
                    .collect())
            }
            "tensor.arg_reduce" => {
                let mut dims = x[0].clone();
                let axis = tensor::ArgReduce::axis(view) as usize;
                self.not_empty(dims[axis]);
                dims.remove(axis);
                one(dims)
            }
            "tensor.gather" => {
                let axis = tensor::Gather::axis(view) as usize;
                let dims = [&x[0][..axis], &x[1][..], &x[0][axis + 1..]].concat();
                self.readable(&[x[0][axis]], &dims);
                one(dims)
            }
            "tensor.gather_elements" => {
                let axis = tensor::GatherElements::axis(view) as usize;
                self.readable(&[x[0][axis]], &x[1]);
                self.within(&x[1], &x[0], axis);
                one(x[1].clone())
            }
            "tensor.gather_nd" => {
                let batch = tensor::GatherNd::batch(view) as usize;
                let places = &x[1][..x[1].len() - 1];
                let depth = last_known(view, 1)?;
                let shared = self.same_all(&x[0][..batch], &places[..batch]);
                let rest = &x[0][batch + depth..];
                let dims = [&shared[..], &places[batch..], rest].concat();
                self.readable(&x[0][batch..batch + depth], &dims);
                one(dims)
            }
            "tensor.scatter_elements" => {
                let axis = tensor::ScatterElements::axis(view) as usize;
                let updates = self.same_all(&x[1], &x[2]);
                self.within(&updates, &x[0], axis);
                one(x[0].clone())
            }
            "tensor.scatter_nd" => {
                let depth = last_known(view, 1)?;
                let places = &x[1][..x[1].len() - 1];
                let expected = [places, &x[0][depth..]].concat();
                self.same_all(&expected, &x[2]);
                one(x[0].clone())
            }
            "tensor.sort" => Ok(vec![x[0].clone(); 2]),
            "tensor.top_k" => {
                let mut dims = x[0].clone();
                let axis = tensor::TopK::axis(view) as usize;
                let k = Extent::Known(tensor::TopK::k(view));
                self.at_most(k, dims[axis]);
                dims[axis] = k;
                Ok(vec![dims; 2])
            }
            "tensor.scan" | "tensor.reverse" => one(x[0].clone()),
            "tensor.fft" => {
                let dims = self.same_all(&x[0], &x[1]);
                Ok(vec![dims; 2])
            }
            "tensor.window" => one(self.window(view, &x[0])?),
            "tensor.contract" => one(self.contract(view, x)?),
            "kernel.linear" => {
                self.same(x[0][x[0].len() - 1], x[1][0]);
                let mut dims = x[0].clone();
                dims[x[0].len() - 1] = x[1][1];
                if let Some(residual) = kernel::extras(view).residual {
                    let at = view.operands().iter().position(|&v| v == residual);
                    dims = self.same_all(&dims, &x[at.unwrap_or(0)]);
                }
                one(dims)
            }
            "kernel.matmul" => {
                let mut dims = x[0].clone();
                let rank = dims.len();
                let expected = [
                    &dims[..rank - 2],
                    &[x[1][rank - 2], dims[rank - 1], Extent::Known(PANEL as i64)][..],
                ]
                .concat();
                self.same_all(&expected, &x[1]);
                dims[rank - 1] = Extent::Known(kernel::Matmul::columns(view));
                one(dims)
            }
            "nn.softmax" | "nn.log_softmax" | "nn.lrn" => one(x[0].clone()),
            "nn.layer_norm" | "nn.rms_norm" => {
                let axis = nn::LayerNorm::axis(view) as usize;
                for other in &x[1..] {
                    self.same_all(&x[0][axis..], other);
                }
                one(x[0].clone())
            }
            _ if scalar::is_pointwise(view) => {
                let mut dims = x[0].clone();
                for other in &x[1..] {
                    dims = self.same_all(&dims, other);
                }
                one(dims)
            }
            name => Err(format!("the extents of `{name}` must be known")),
        }
    }

    /// The type of a result may state more than the rule finds; then it must be so.
    fn stated(&mut self, view: OpView<'_>, result: IrValue, extents: Extents) -> Extents {
        let ty = view.module.value_type(result).as_tensor();
        let dims = ty.map_or(&[][..], |ty| &ty.dims);
        let pairs = extents.into_iter().zip(dims);
        pairs
            .map(|(found, dim)| match number(*dim) {
                Ok(stated) => self.same(stated, found),
                Err(_) => found,
            })
            .collect()
    }

    /// The ops of the body one after another.
    fn nest(&mut self, view: OpView<'_>, x: &[Extents]) -> Result<Vec<Extents>, String> {
        let all = nest_extents(self.g, view, x, self.check)?;
        let roots = Nest::yielded(view).iter();
        Ok(roots.map(|root| all.of(*root)).collect())
    }

    fn broadcast(&mut self, view: OpView<'_>, x: &Extents) -> Result<Extents, String> {
        let axes = tensor::Broadcast::axes(view);
        let mut out = Vec::new();
        for (axis, dim) in tensor::Broadcast::shape(view).into_iter().enumerate() {
            let from = axes.iter().position(|&a| a as usize == axis).map(|i| x[i]);
            let to = named(view, x, dim);
            out.push(match (from, to) {
                (Some(from), None) => from,
                (None, None) => return Err(without_value(dim)),
                (Some(Extent::Known(1)) | None, Some(to)) => to,
                (Some(from), Some(to)) => {
                    self.reaches(from, to);
                    to
                }
            });
        }
        Ok(out)
    }

    fn slice(&mut self, view: OpView<'_>, x: &Extents) -> Extents {
        let (start, stop) = (tensor::Slice::start(view), tensor::Slice::stop(view));
        let step = tensor::Slice::step(view);
        let axes = x.iter().enumerate();
        axes.map(|(a, &n)| self.g.extent_sliced(n, start[a], stop[a], step[a]))
            .collect()
    }

    fn concat(&mut self, view: OpView<'_>, x: &[Extents]) -> Extents {
        let axis = tensor::Concat::axis(view) as usize;
        let mut dims = x[0].clone();
        for other in &x[1..] {
            let total = self.g.extent_add(dims[axis], other[axis]);
            let mut other = other.clone();
            other[axis] = dims[axis];
            dims = self.same_all(&dims, &other);
            dims[axis] = total;
        }
        dims
    }

    fn reshape(&mut self, view: OpView<'_>, x: &Extents) -> Result<Extents, String> {
        // The inferred extents, since an empty tensor does not say what an open one is.
        let dims = &view.result_tensor(0).dims;
        let stated: Vec<Option<Extent>> = dims.iter().map(|&d| named(view, x, d)).collect();
        let total = self.g.extent_product(x);
        let parts: Extents = stated.iter().flatten().copied().collect();
        let product = self.g.extent_product(&parts);
        let open = stated.iter().filter(|e| e.is_none()).count();
        let rest = match open {
            0 => {
                self.fault_unless_equal(total, product, Fault::Reshape);
                Extent::Known(1)
            }
            1 => self.quotient(total, product),
            _ => return Err("at most one extent of a reshape may be open".into()),
        };
        Ok(stated.into_iter().map(|e| e.unwrap_or(rest)).collect())
    }

    /// `total / product`, which must be whole.
    fn quotient(&mut self, total: Extent, product: Extent) -> Extent {
        if let (Extent::Known(total), Extent::Known(product @ 1..)) = (total, product)
            && total % product == 0
        {
            return Extent::Known(total / product);
        }
        if product == Extent::Known(1) {
            return total;
        }
        let (total, product) = (self.g.extent(total), self.g.extent(product));
        let zero = self.g.int(0);
        let is_zero = self.g.b.ins().icmp(IntCC::Equal, product, zero);
        let one = self.g.int(1);
        let by = self.g.b.ins().select(is_zero, one, product);
        let quotient = self.g.b.ins().sdiv(total, by);
        let back = self.g.b.ins().imul(quotient, product);
        let differs = self.g.b.ins().icmp(IntCC::NotEqual, back, total);
        let bad = self.g.b.ins().bor(differs, is_zero);
        self.fault(bad, Fault::Reshape, [total, product]);
        Extent::Run(quotient)
    }

    fn window(&mut self, view: OpView<'_>, x: &Extents) -> Result<Extents, String> {
        let axes = tensor::Window::window_axes(view).map_err(|e| e.message)?;
        let pairs = axes.iter().zip(x);
        Ok(pairs
            .map(|(w, &n)| match n {
                Extent::Known(n) => {
                    let extent = w.extent(Dim::Known(n as u64)).known().unwrap_or(0);
                    Extent::Known(extent as i64)
                }
                Extent::Run(_) if (w.size, w.stride, w.low, w.high) == (1, 1, 0, 0) => n,
                Extent::Run(_) => {
                    // max(0, padded - reach + stride) / stride, rounded down, as long as the
                    // window fits at all.
                    let reach = (w.size as i64 - 1).saturating_mul(w.dilation as i64);
                    let around = (w.low as i64).saturating_add(w.high as i64);
                    let room = self.g.extent_add(n, Extent::Known(around - reach));
                    let room = self.g.extent(room);
                    let zero = self.g.int(0);
                    let room = self.g.max(room, zero);
                    Extent::Run(self.g.div_up(room, w.stride as i64))
                }
            })
            .collect())
    }

    fn contract(&mut self, view: OpView<'_>, x: &[Extents]) -> Result<Extents, String> {
        let axes = tensor::ContractAxes::of(view).map_err(|e| e.message)?;
        let pick =
            |i: usize, axes: &[usize]| -> Extents { axes.iter().map(|&a| x[i][a]).collect() };
        self.same_all(&pick(0, &axes.contract_x), &pick(1, &axes.contract_y));
        let mut dims = self.same_all(&pick(0, &axes.batch_x), &pick(1, &axes.batch_y));
        dims.extend(pick(0, &axes.free_x));
        dims.extend(pick(1, &axes.free_y));
        Ok(dims)
    }

    /// Two extents that must be one: the more precisely known of them.
    fn same(&mut self, a: Extent, b: Extent) -> Extent {
        if a != b {
            self.fault_unless_equal(a, b, Fault::Differ);
        }
        match a {
            Extent::Known(_) => a,
            Extent::Run(_) => b,
        }
    }

    fn same_all(&mut self, a: &[Extent], b: &[Extent]) -> Extents {
        a.iter().zip(b).map(|(&a, &b)| self.same(a, b)).collect()
    }

    /// An extent must be 1 or that of the result.
    fn reaches(&mut self, from: Extent, to: Extent) {
        if from == to || self.check == Check::Done {
            return;
        }
        let (from, to) = (self.g.extent(from), self.g.extent(to));
        let one = self.g.int(1);
        let differs = self.g.b.ins().icmp(IntCC::NotEqual, from, to);
        let not_one = self.g.b.ins().icmp(IntCC::NotEqual, from, one);
        let bad = self.g.b.ins().band(differs, not_one);
        self.fault(bad, Fault::Broadcast, [from, to]);
    }

    /// Axes that indices read from must have elements, unless there is nothing to read for.
    fn readable(&mut self, axes: &[Extent], result: &[Extent]) {
        if self.check == Check::Done || axes.iter().all(|e| matches!(e, Extent::Known(1..))) {
            return;
        }
        let (axes, result) = (self.g.extent_product(axes), self.g.extent_product(result));
        let (axes, result) = (self.g.extent(axes), self.g.extent(result));
        let zero = self.g.int(0);
        let empty = self.g.b.ins().icmp(IntCC::Equal, axes, zero);
        let wanted = self.g.b.ins().icmp(IntCC::NotEqual, result, zero);
        let bad = self.g.b.ins().band(empty, wanted);
        self.fault(bad, Fault::Empty, [axes, result]);
    }

    fn not_empty(&mut self, n: Extent) {
        self.at_most(Extent::Known(1), n);
    }

    /// Each extent of a part is at most that of the whole, save along `axis`.
    fn within(&mut self, part: &[Extent], whole: &[Extent], axis: usize) {
        for (i, (&part, &whole)) in part.iter().zip(whole).enumerate() {
            if i != axis && part != whole {
                self.at_most(part, whole);
            }
        }
    }

    fn at_most(&mut self, wanted: Extent, n: Extent) {
        if let (Extent::Known(wanted), Extent::Known(n)) = (wanted, n)
            && wanted <= n
        {
            return;
        }
        let (wanted, n) = (self.g.extent(wanted), self.g.extent(n));
        let bad = self.g.b.ins().icmp(IntCC::SignedGreaterThan, wanted, n);
        self.fault(bad, Fault::TooFew, [wanted, n]);
    }

    fn fault_unless_equal(&mut self, a: Extent, b: Extent, fault: Fault) {
        let (a, b) = (self.g.extent(a), self.g.extent(b));
        let bad = self.g.b.ins().icmp(IntCC::NotEqual, a, b);
        self.fault(bad, fault, [a, b]);
    }

    fn fault(&mut self, bad: Value, fault: Fault, figures: [Value; 2]) {
        match self.check {
            Check::Done => {}
            Check::At { site } => self.g.fault_if(bad, site, fault, figures),
        }
    }
}

/// The extents of all values inside a nest.
pub(crate) struct NestExtents {
    values: std::collections::HashMap<IrValue, Extents>,
}

impl NestExtents {
    pub(crate) fn of(&self, value: IrValue) -> Extents {
        match self.values.get(&value) {
            Some(extents) => extents.clone(),
            None => lepid_ir::bug!("a nest reads a value from outside"),
        }
    }

    /// Of an op that stands alone: its operands and results.
    pub(crate) fn alone(
        view: OpView<'_>,
        operands: &[Extents],
        results: &[Extents],
    ) -> NestExtents {
        let operands = view.operands().iter().zip(operands);
        let all = operands.chain(view.results().iter().zip(results));
        NestExtents {
            values: all.map(|(&v, e)| (v, e.clone())).collect(),
        }
    }
}

/// Works through the body of a nest whose inputs have the given extents.
pub(crate) fn nest_extents(
    g: &mut Gen<'_>,
    view: OpView<'_>,
    inputs: &[Extents],
    check: Check,
) -> Result<NestExtents, String> {
    let module = view.module;
    let block = Nest::block(view);
    let args = module.block_args(block).iter().copied();
    let mut all = NestExtents {
        values: args.zip(inputs.iter().cloned()).collect(),
    };
    let end = module.terminator(block);
    for (i, op) in module.ops_in(block).enumerate() {
        if Some(op) == end {
            continue;
        }
        let check = match check {
            Check::Done => Check::Done,
            Check::At { site } => Check::At { site: site + 1 + i },
        };
        let inner = module.view(op);
        let operands: Vec<Extents> = inner.operands().iter().map(|&v| all.of(v)).collect();
        let found = results(g, inner, &operands, check)?;
        all.values
            .extend(inner.results().iter().copied().zip(found));
    }
    Ok(all)
}

/// An extent that a type or an attribute states as a number.
fn number(dim: Dim) -> Result<Extent, String> {
    match dim {
        Dim::Known(n) => Ok(Extent::Known(n as i64)),
        Dim::Sym(_) | Dim::Unknown => Err(without_value(dim)),
    }
}

/// An extent that an attribute states; a name is that of an operand's extent.
fn named(view: OpView<'_>, x: &Extents, dim: Dim) -> Option<Extent> {
    let by_name = |name: Symbol| {
        let dims = &view.operand_tensor(0).dims;
        let axis = dims.iter().position(|&d| d == Dim::Sym(name))?;
        x.get(axis).copied()
    };
    match dim {
        Dim::Known(n) => Some(Extent::Known(n as i64)),
        Dim::Sym(name) => by_name(name),
        Dim::Unknown => None,
    }
}

fn without_value(dim: Dim) -> String {
    format!("the extent `{dim}` has no value")
}

/// The last extent of an operand, which its op needs to be a number.
fn last_known(view: OpView<'_>, operand: usize) -> Result<usize, String> {
    let last = view.operand_dims(operand).last().and_then(|d| d.known());
    match last {
        Some(n) => Ok(n as usize),
        None => Err(format!(
            "`{}` has coordinates of no known length",
            view.name()
        )),
    }
}
