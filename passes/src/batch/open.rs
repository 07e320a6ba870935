//! Whether two sizes of a batch give the same function but for leading extents.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Code, Diagnostic, Loc, Module, Op, OpView, Tensor, Value};
use lepid_ir::dialects::core::Func;

use super::apart::has_equal_rows;
use super::remedy;

/// A batch of which the number of samples is known only when the program runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The users' name of the extent.
    pub name: String,
    /// How many samples the program computes at a time at most.
    pub most: u64,
}

impl Batch {
    /// The least size: of a batch of one, an axis of samples cannot be told from another of extent 1.
    pub const LEAST: u64 = 2;
    /// The greatest size.
    pub const GREATEST: u64 = 1 << 20;
}

/// States in `func` that it computes samples of `batch`. `other` is the same function for one sample
/// more; both are as simple as folding makes them.
pub fn open(
    module: &mut Module,
    func: Op,
    other: (&Module, Op),
    batch: &Batch,
) -> Result<(), Diagnostic> {
    let found = {
        let mut pair = Pair {
            a: module,
            b: other.0,
            most: batch.most,
            twins: HashMap::new(),
        };
        pair.compare(func, other.1)
    };
    let refuse = |loc: Loc, message: String| {
        let message = format!(
            "the samples of `{}` cannot be told apart: {message}",
            batch.name
        );
        Diagnostic::error(Code::BATCH, loc, message).with_help(remedy(&batch.name))
    };
    let leading = found.map_err(|(loc, message)| refuse(loc, message))?;
    if leading.inputs.is_empty() {
        let message = format!("no input has `{}` as its leading extent", batch.name);
        let error = refuse(Loc::Unknown, message);
        return Err(error.with_help("`lepid inspect MODEL` shows the names of extents"));
    }
    module.set_attr(func, "batch", Attr::Int(batch.most as i64));
    module.set_attr(func, "batch_name", batch.name.as_str().into());
    module.set_attr(func, "batch_inputs", leading.inputs.into());
    module.set_attr(func, "batch_outputs", leading.outputs.into());
    Ok(())
}

/// Arguments and results whose leading extent follows the size of the batch, by number.
struct Leading {
    inputs: Vec<i64>,
    outputs: Vec<i64>,
}

type Difference = (Loc, String);

/// Two modules, for `most` samples and for one more.
struct Pair<'m> {
    a: &'m Module,
    b: &'m Module,
    most: u64,
    /// The value of `b` for each of `a`.
    twins: HashMap<Value, Value>,
}

/// Attributes that state extents which the type of the result repeats.
const EXTENTS: &[(&str, &str)] = &[
    ("nn.resize", "sizes"),
    ("tensor.broadcast", "shape"),
    ("tensor.iota", "shape"),
    ("tensor.reshape", "shape"),
    ("tensor.slice", "stop"),
];

impl Pair<'_> {
    fn compare(&mut self, a: Op, b: Op) -> Result<Leading, Difference> {
        self.arguments(a, b)?;
        let (ops, others) = (self.a.walk_inside(a), self.b.walk_inside(b));
        if ops.len() != others.len() {
            return Err(self.differs(a, "it takes other ops for another number of samples"));
        }
        for (&x, &y) in ops.iter().zip(&others) {
            self.op(x, y)?;
        }
        let numbers = |values: &[Value]| {
            let spread = values.iter().enumerate().filter(|(_, v)| self.follows(**v));
            spread.map(|(i, _)| i as i64).collect()
        };
        let view = self.a.view(a);
        Ok(Leading {
            inputs: numbers(Func::args(view)),
            outputs: numbers(Func::returned(view)),
        })
    }

    fn differs(&self, op: Op, reason: &str) -> Difference {
        let view = self.a.view(op);
        let what = match view.name() {
            "core.func" => reason.to_string(),
            name => format!("`{name}`: {reason}"),
        };
        (view.loc().clone(), what)
    }

    fn op(&mut self, x: Op, y: Op) -> Result<(), Difference> {
        let (view, other) = (self.a.view(x), self.b.view(y));
        let operands = view.operands().iter().zip(other.operands());
        let same = view.name() == other.name()
            && view.operands().len() == other.operands().len()
            && view.results().len() == other.results().len()
            && operands
                .into_iter()
                .all(|(v, w)| self.twins.get(v) == Some(w));
        if !same {
            return Err(self.differs(x, "it takes other ops for another number of samples"));
        }
        self.attributes(view, other)?;
        self.arguments(x, y)?;
        let results = view.results().iter().zip(other.results());
        for (&v, &w) in results {
            self.pair(x, v, w)?;
        }
        Ok(())
    }

    /// The arguments of an op's blocks.
    fn arguments(&mut self, x: Op, y: Op) -> Result<(), Difference> {
        let blocks = |module: &Module, op: Op| -> Vec<Value> {
            let regions = module.regions(op).iter();
            let blocks = regions.flat_map(|&r| module.region_blocks(r));
            blocks
                .flat_map(|&b| module.block_args(b))
                .copied()
                .collect()
        };
        let (args, others) = (blocks(self.a, x), blocks(self.b, y));
        for (v, w) in args.into_iter().zip(others) {
            self.pair(x, v, w)?;
        }
        Ok(())
    }

    fn pair(&mut self, op: Op, v: Value, w: Value) -> Result<(), Difference> {
        self.twins.insert(v, w);
        let (ty, other) = (self.a.value_type(v), self.b.value_type(w));
        match ty == other || self.follows(v) {
            true => Ok(()),
            false => {
                let reason = format!(
                    "`{ty}` is `{other}` for one sample more, and samples are not along the leading axis"
                );
                Err(self.differs(op, &reason))
            }
        }
    }

    /// Whether the leading extent of a value, and nothing else of its type, follows the size of the
    /// batch.
    fn follows(&self, v: Value) -> bool {
        let twin = self.twins.get(&v).map(|&w| self.b.value_type(w));
        let (Some(ty), Some(other)) = (
            self.a.value_type(v).as_tensor(),
            twin.as_ref().and_then(|ty| ty.as_tensor()),
        ) else {
            return false;
        };
        let (Some((first, rest)), Some((longer, others))) =
            (ty.dims.split_first(), other.dims.split_first())
        else {
            return false;
        };
        let (Some(n), Some(m)) = (first.known(), longer.known()) else {
            return false;
        };
        n != m
            && n.is_multiple_of(self.most)
            && m == n / self.most * (self.most + 1)
            && ty.elem == other.elem
            && rest == others
    }

    fn attributes(&self, view: OpView<'_>, other: OpView<'_>) -> Result<(), Difference> {
        let declared = view.info().attrs.iter();
        for (attr, (x, y)) in declared.zip(view.attrs().iter().zip(other.attrs())) {
            let fits = match (x, y) {
                (Attr::Tensor(x), Attr::Tensor(y)) => same_rows(x, y),
                _ => x == y || EXTENTS.contains(&(view.name(), attr.name)),
            };
            if !fits {
                let reason = "it computes with the number of samples".to_string();
                return Err(self.differs(view.op, &reason));
            }
        }
        Ok(())
    }
}

/// Whether two constants are equal, or hold one row over and over.
fn same_rows(x: &Tensor, y: &Tensor) -> bool {
    if x.shape() == y.shape() {
        // What is large is from the model file: folding makes nothing of that size.
        return x.bytes().len() > LARGE_BYTES || x == y;
    }
    let (Some(&n), Some(&m)) = (x.shape().first(), y.shape().first()) else {
        return false;
    };
    let row = |t: &Tensor, n: usize| t.bytes().len() / n.max(1);
    has_equal_rows(x, n)
        && has_equal_rows(y, m)
        && x.elem() == y.elem()
        && x.shape()[1..] == y.shape()[1..]
        && x.bytes()[..row(x, n)] == y.bytes()[..row(y, m)]
}

const LARGE_BYTES: usize = 1 << 20;
