//! Where the samples of a batch are in each value, and that no op mixes them.

use std::collections::HashMap;

use lepid_ir::core::{Block, Loc, Module, Op, OpView, Tensor, Trait, Value};
use lepid_ir::dialects::core::{Constant, Func};
use lepid_ir::dialects::tensor::{self, ContractAxes};
use lepid_ir::dialects::{kernel, nn};

use crate::batch::rounds::Rounds;
use crate::transform::lower::nn_to_kernel::is_constant_expression;

/// What a value holds of the samples.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Along {
    /// The same whatever the samples are.
    Fixed,
    /// The same as well, once per sample along the leading axis.
    Repeated,
    /// Sample after sample along the leading axis.
    Samples,
}

use Along::{Fixed, Repeated, Samples as Spread};

/// Why samples cannot be told apart, and where.
#[derive(Clone, Debug)]
pub struct Mixed {
    pub op: Op,
    pub loc: Loc,
    pub message: String,
}

/// The values of a function that hold samples.
pub struct Samples {
    most: u64,
    along: HashMap<Value, Along>,
    rounds: Rounds,
}

impl Samples {
    /// Those of a function that has a `batch`, outside of kernels' bodies.
    pub fn of(module: &Module, func: Op) -> Result<Option<Samples>, Mixed> {
        let view = module.view(func);
        let Ok(most @ 1..) = u64::try_from(Func::batch(view)) else {
            return Ok(None);
        };
        let mut samples = Samples {
            most,
            along: HashMap::new(),
            rounds: Rounds::default(),
        };
        for (i, &arg) in Func::args(view).iter().enumerate() {
            let along = match Func::batch_inputs(view).contains(&(i as i64)) {
                true => Spread,
                false => Fixed,
            };
            samples.along.insert(arg, along);
        }
        let results = samples.block(module, Func::block(view))?;
        for (i, along) in results.into_iter().enumerate() {
            let listed = Func::batch_outputs(view).contains(&(i as i64));
            if (along == Fixed) == listed {
                let name = &Func::output_names(view)[i];
                return Err(Mixed {
                    op: func,
                    loc: view.loc().clone(),
                    message: match listed {
                        true => format!("result `{name}` is not known to hold a sample per sample"),
                        false => format!("result `{name}` depends on all samples"),
                    },
                });
            }
        }
        Ok(Some(samples))
    }

    /// How many samples there are at most.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Whether a value holds sample after sample along its leading axis.
    pub fn has(&self, value: Value) -> bool {
        self.along(value) == Spread
    }

    fn along(&self, value: Value) -> Along {
        self.along.get(&value).copied().unwrap_or(Fixed)
    }

    /// Follows the ops of a block; gives what it hands on.
    fn block(&mut self, module: &Module, block: Block) -> Result<Vec<Along>, Mixed> {
        let mut handed_on = Vec::new();
        for op in module.ops_in(block).collect::<Vec<Op>>() {
            let view = module.view(op);
            let operands: Vec<Along> = view.operands().iter().map(|&v| self.along(v)).collect();
            if matches!(view.name(), "core.return" | "core.yield") {
                handed_on = operands;
                continue;
            }
            let results = match view.name() {
                "kernel.nest" | "kernel.strips" => self.body(module, op, &operands)?,
                "tensor.if" => self.branches(module, op, operands[0])?,
                "tensor.while" => self.repeated(module, op, &operands)?,
                _ => self.op(view, &operands).map_err(|message| Mixed {
                    op,
                    loc: view.loc().clone(),
                    message: format!("`{}` {message}", view.name()),
                })?,
            };
            for (&result, along) in view.results().iter().zip(results) {
                // What a target computes at run time it computes for the samples that there are.
                let along = match along {
                    Repeated
                        if !kernel::is_inside_kernel(module, op)
                            && !is_constant_expression(module, result) =>
                    {
                        Spread
                    }
                    along => along,
                };
                self.along.insert(result, along);
            }
            if !kernel::is_inside_kernel(module, op) {
                self.rounds.follow(view, &self.along)?;
            }
        }
        Ok(handed_on)
    }

    /// A kernel's body, whose arguments are the operands.
    fn body(&mut self, module: &Module, op: Op, operands: &[Along]) -> Result<Vec<Along>, Mixed> {
        let block = module.region_blocks(module.regions(op)[0])[0];
        let args = module.block_args(block).iter().copied();
        self.along.extend(args.zip(operands.iter().copied()));
        self.block(module, block)
    }

    fn branches(&mut self, module: &Module, op: Op, condition: Along) -> Result<Vec<Along>, Mixed> {
        let mixed = |message: &str| Mixed {
            op,
            loc: module.loc(op).clone(),
            message: format!("`tensor.if` {message}"),
        };
        if condition != Fixed {
            return Err(mixed("decides by all samples"));
        }
        let mut results: Vec<Along> = Vec::new();
        for &region in module.regions(op) {
            let given = self.block(module, module.region_blocks(region)[0])?;
            results = match results.is_empty() {
                true => given,
                false => {
                    let pairs = results.iter().zip(given);
                    let joined: Option<Vec<Along>> = pairs.map(|(&x, y)| join([x, y])).collect();
                    joined.ok_or_else(|| mixed("gives samples in one branch only"))?
                }
            };
        }
        Ok(results)
    }

    /// A loop is done once for all samples, so that it may see none of them.
    fn repeated(
        &mut self,
        module: &Module,
        op: Op,
        operands: &[Along],
    ) -> Result<Vec<Along>, Mixed> {
        let inside = module.walk_inside(op);
        let mut read = inside.iter().flat_map(|&op| module.operands(op));
        if operands.iter().any(|&a| a != Fixed) || read.any(|&v| self.along(v) == Spread) {
            return Err(Mixed {
                op,
                loc: module.loc(op).clone(),
                message: "`tensor.while` goes on for all samples alike".to_string(),
            });
        }
        Ok(vec![Fixed; module.results(op).len()])
    }

    /// Whether the leading extent of a result is one per sample, or several.
    fn leads(&self, extent: Option<u64>) -> bool {
        extent.is_some_and(|n| n > 0 && n.is_multiple_of(self.most))
    }

    fn op(&self, view: OpView<'_>, operands: &[Along]) -> Result<Vec<Along>, String> {
        let along = self.first_result(view, operands)?;
        Ok(vec![along; view.results().len()])
    }

    /// What the results of an op hold: all hold the same.
    fn first_result(&self, view: OpView<'_>, operands: &[Along]) -> Result<Along, String> {
        let extent = |dims: &[lepid_ir::core::Dim]| dims.first().and_then(|d| d.known());
        let result = view
            .results()
            .first()
            .and_then(|&r| extent(&view.module.value_type(r).as_tensor()?.dims));
        let x = operands.first().copied().unwrap_or(Fixed);
        // A value that repeats one row loses that, a sample its place.
        let lost = |why: &str| match x {
            Spread => Err(why.to_string()),
            Fixed | Repeated => Ok(Fixed),
        };
        let rest_is_fixed = operands.iter().skip(1).all(|&a| a == Fixed);
        match view.name() {
            "core.constant" => {
                let repeated = self.leads(result) && is_repeated(Constant::value(view));
                Ok(if repeated { Repeated } else { Fixed })
            }
            "tensor.iota" => match self.leads(result) && tensor::Iota::axis(view) != 0 {
                true => Ok(Repeated),
                false => Ok(Fixed),
            },
            "tensor.broadcast" => {
                let from = tensor::Broadcast::axes(view).iter().position(|&a| a == 0);
                let kept = from == Some(0) && extent(view.operand_dims(0)) == result;
                let repeats = match from {
                    None => true,
                    Some(axis) => view.operand_dims(0)[axis].known() == Some(1),
                };
                match x {
                    _ if x != Fixed && kept => Ok(x),
                    Fixed | Repeated if repeats && self.leads(result) => Ok(Repeated),
                    _ => lost("repeats samples along another axis"),
                }
            }
            "tensor.reshape" if x == Fixed => Ok(Fixed),
            "tensor.reshape" => match (self.leads(result), x) {
                (false, _) => lost("joins samples with another axis"),
                (true, Spread) => Ok(Spread),
                (true, _) => {
                    let rows = |dims: &[lepid_ir::core::Dim]| -> u64 {
                        dims[1..].iter().filter_map(|d| d.known()).product()
                    };
                    let (old, new) = (
                        rows(view.operand_dims(0)),
                        rows(&view.result_tensor(0).dims),
                    );
                    Ok(match new.is_multiple_of(old.max(1)) {
                        true => Repeated,
                        false => Spread,
                    })
                }
            },
            "tensor.transpose" => match tensor::Transpose::perm(view).first() {
                Some(0) => Ok(x),
                _ => lost("moves samples to another axis"),
            },
            "tensor.slice" => {
                let start = tensor::Slice::start(view).first() == Some(&0);
                let step = tensor::Slice::step(view).first() == Some(&1);
                match start && step && extent(view.operand_dims(0)) == result {
                    true => Ok(x),
                    false => lost("takes some samples only"),
                }
            }
            "tensor.reverse" => match tensor::Reverse::axes(view).contains(&0) && x == Spread {
                true => lost("puts samples in another order"),
                false => Ok(x),
            },
            "tensor.pad" if rest_is_fixed => {
                match (
                    tensor::Pad::low(view).first(),
                    tensor::Pad::high(view).first(),
                ) {
                    (Some(0), Some(0)) => Ok(x),
                    _ => lost("adds samples"),
                }
            }
            "tensor.concat" => match tensor::Concat::axis(view) {
                0 if operands.contains(&Spread) => {
                    Err("puts samples one after the other".to_string())
                }
                0 => Ok(Fixed),
                _ => all(operands),
            },
            "tensor.reduce" => match tensor::Reduce::axes(view).contains(&0) {
                true => lost("sums over samples"),
                false => Ok(x),
            },
            "tensor.window" => {
                let whole = [
                    tensor::Window::size(view)[0],
                    tensor::Window::stride(view)[0],
                    tensor::Window::low(view)[0],
                    tensor::Window::high(view)[0],
                ];
                match whole {
                    [1, 1, 0, 0] => Ok(x),
                    _ => lost("sums over samples"),
                }
            }
            "tensor.scan" => self.beside(x, tensor::Scan::axis(view)),
            "tensor.arg_reduce" => self.beside(x, tensor::ArgReduce::axis(view)),
            "tensor.sort" => self.beside(x, tensor::Sort::axis(view)),
            "tensor.top_k" => self.beside(x, tensor::TopK::axis(view)),
            "nn.softmax" => self.beside(x, nn::Softmax::axis(view)),
            "nn.log_softmax" => self.beside(x, nn::LogSoftmax::axis(view)),
            "nn.layer_norm" if rest_is_fixed => self.beside(x, nn::LayerNorm::axis(view)),
            "nn.rms_norm" if rest_is_fixed => self.beside(x, nn::RmsNorm::axis(view)),
            "nn.lrn" | "nn.max_pool" | "nn.avg_pool" => Ok(x),
            "nn.resize" => match nn::Resize::scales(view).first() {
                None | Some(1.0) if extent(view.operand_dims(0)) == result => Ok(x),
                _ => lost("resizes the axis of samples"),
            },
            "tensor.contract" => contract(view, operands),
            "tensor.gather" => match (operands, tensor::Gather::axis(view)) {
                (&[x, Fixed], 1..) => Ok(x),
                (&[Fixed, indices], 0) => Ok(indices),
                _ if !operands.contains(&Spread) => Ok(Fixed),
                _ => Err("reads elements of other samples".to_string()),
            },
            "adapt.gate" | "adapt.join" => Ok(Spread),
            "tensor.gather_elements" if tensor::GatherElements::axis(view) != 0 => all(operands),
            "kernel.conv" | "kernel.linear" => {
                let residual = kernel::extras(view).residual;
                let mut others = view.operands()[1..].iter().zip(&operands[1..]);
                let weights_are_fixed = others.all(|(v, &a)| a == Fixed || Some(*v) == residual);
                let residual = residual.map_or(x, |v| self.along(v));
                match weights_are_fixed {
                    true => all(&[x, residual]),
                    false => Err("has weights of each sample".to_string()),
                }
            }
            "kernel.pack" => match view.operand_tensor(0).rank() {
                2 => lost("mixes samples"),
                _ => Ok(x),
            },
            "kernel.matmul" => match (operands, view.operand_tensor(0).rank()) {
                (&[x, Fixed], 2) => Ok(x),
                (_, 3..) => all(operands),
                _ => Err("mixes samples".to_string()),
            },
            "kernel.attention" => {
                let mask = view.operands().get(3).filter(|_| operands[3] == Fixed);
                let shared = mask.is_some_and(|_| extent(view.operand_dims(3)) == Some(1));
                all(if shared { &operands[..3] } else { operands })
            }
            name if view.info().has(Trait::Elementwise) || name == "tensor.select" => all(operands),
            _ if !operands.contains(&Spread) => Ok(Fixed),
            _ => Err("is not known to keep samples apart".to_string()),
        }
    }

    /// An op that works along one axis.
    fn beside(&self, x: Along, axis: i64) -> Result<Along, String> {
        match (x, axis) {
            (Spread, 0) => Err("works along the axis of samples".to_string()),
            (Repeated, 0) => Ok(Fixed),
            _ => Ok(x),
        }
    }
}

/// What an op holds that computes each element, or each sample, from the same one of its operands.
fn all(operands: &[Along]) -> Result<Along, String> {
    let joined = operands
        .iter()
        .copied()
        .map(Some)
        .reduce(|x, y| join([x?, y?]));
    match joined {
        None => Ok(Fixed),
        Some(Some(along)) => Ok(along),
        Some(None) => Err("reads a value that is not the same for all samples".to_string()),
    }
}

/// What reads both; `None` if one has samples and the other its own extent in their place.
fn join(pair: [Along; 2]) -> Option<Along> {
    match pair {
        [Spread, Fixed] | [Fixed, Spread] => None,
        _ if pair.contains(&Spread) => Some(Spread),
        [Repeated, Repeated] => Some(Repeated),
        _ => Some(Fixed),
    }
}

fn contract(view: OpView<'_>, operands: &[Along]) -> Result<Along, String> {
    let axes = ContractAxes::of(view).map_err(|error| error.message)?;
    let mixes = || Err("sums over samples".to_string());
    let is_first = |list: &[usize]| list.first() == Some(&0);
    match *operands {
        [x, y] if x != Spread && y != Spread => Ok(Fixed),
        [x, y] if is_first(&axes.batch_x) && is_first(&axes.batch_y) => all(&[x, y]),
        [Spread, Fixed] if axes.batch_x.is_empty() && is_first(&axes.free_x) => Ok(Spread),
        [Fixed, Spread]
            if axes.batch_y.is_empty() && axes.free_x.is_empty() && is_first(&axes.free_y) =>
        {
            Ok(Spread)
        }
        _ => mixes(),
    }
}

fn is_repeated(value: &Tensor) -> bool {
    let rows = value.shape().first().copied();
    rows.is_some_and(|rows| has_equal_rows(value, rows))
}

/// Whether the first row of so many is all rows.
pub(super) fn has_equal_rows(value: &Tensor, rows: usize) -> bool {
    let bytes = value.bytes();
    let row = bytes.len() / rows.max(1);
    row > 0 && bytes.chunks_exact(row).all(|r| r == &bytes[..row])
}
