//! Makes LSTMs that get better while there is time.
//!
//! ```text
//! %y, %h, %c = nn.lstm(%x, w, r, b, %h0, %c0)     // one step, one sample
//!   =>
//! %z = concat(%x, %h0)
//! %done, %gates = adapt.anytime(%steps, %deadline, b) {
//! ^(%n, %sum):  %sum + left[n] · (right[n] ⊙ %z[columns[n]])       // some terms of all gates
//! }
//! %c = sigmoid(f) ⊙ %c0 + sigmoid(i) ⊙ tanh(g)
//! %h = sigmoid(o) ⊙ tanh(%c)
//! ```
//!
//! The weights of each gate become a sum of pruned outer products ([`terms`]), so that the gates can
//! be had after any number of terms; all gates advance together. What is no LSTM stays as it is.

pub mod terms;

use lepid_ir::core::{
    Attr, Builder, Code, Diagnostic, Dim, Elem, Loc, Module, Num, Op, OpError, OpResult, OpView,
    Region, Tensor, Type, Value,
};
use lepid_ir::dialects::adapt::Anytime;
use lepid_ir::dialects::core::{Func, Return, Yield, constant};
use lepid_ir::dialects::nn::{AddTerms, Lstm};
use lepid_ir::dialects::tensor::{self as t, build};
use lepid_ir::interp;

use self::terms::{Rest, Term};
use crate::core::rewrite::replace;

/// How LSTMs are refined.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Terms of each gate at most.
    pub terms: usize,
    /// Columns that a term keeps.
    pub keep: usize,
    /// Terms between two checkpoints.
    pub group: usize,
    /// The users' names of the inputs: how many terms at most, and the milliseconds since the call.
    pub inputs: [String; 2],
    /// The users' name of the output that says how many terms were added: of several LSTMs the least.
    pub output: String,
}

/// What became of one LSTM.
#[derive(Clone, Debug)]
pub struct Refined {
    pub loc: Loc,
    /// Multiply-adds of all its gates, and of one term of all of them.
    pub dense: usize,
    pub term: usize,
    /// The share of the squares of all weights that is left after 0, 1, 2… terms.
    pub left: Vec<f64>,
}

/// Gates of an LSTM, in the order i, o, f, g.
const GATES: usize = 4;

/// Refines all LSTMs of a function, which must be of one step and one sample.
pub fn refine(module: &mut Module, func: Op, plan: &Plan) -> Result<Vec<Refined>, Diagnostic> {
    let inside = module.ops_in(Func::block(module.view(func)));
    let lstms: Vec<Op> = inside
        .filter(|&op| module.op_name(op) == Lstm::INFO.name)
        .collect();
    let other = lstms.iter().find(|&&op| !suits(module.view(op)));
    if lstms.is_empty() || other.is_some() {
        let message = match other {
            Some(_) => "this LSTM is not of one step and one sample, or has something unusual",
            None => "there is no LSTM to refine",
        };
        let loc = module.loc(other.copied().unwrap_or(func)).clone();
        let error = Diagnostic::error(Code::SPEC, loc, message);
        return Err(error.with_help(
            "it must be forward, of f32, with its usual activations, and its weights constants",
        ));
    }
    let loc = module.loc(func).clone();
    refine_all(module, func, plan, &lstms).map_err(|error| error.at(loc))
}

/// Whether an op is an LSTM of one step and one sample without what is optional.
fn suits(op: OpView<'_>) -> bool {
    op.name() == Lstm::INFO.name
        && op.operands().len() == 6
        && op.operand_dims(0)[..2] == [Dim::Known(1); 2]
        && op.operand_type(0).elem() == Some(Elem::F32)
        && Lstm::direction(op) == "forward"
        && Lstm::clip(op).is_none()
        && !Lstm::input_forget(op)
        && Lstm::activations(op).is_empty()
        && op.operand_tensor(0).known_dims().is_some()
}

fn refine_all(module: &mut Module, func: Op, plan: &Plan, lstms: &[Op]) -> OpResult<Vec<Refined>> {
    let block = Func::block(module.view(func));
    let most = module.add_block_arg(block, Type::scalar(Elem::I64));
    let deadline = module.add_block_arg(block, Type::scalar(Elem::F32));
    let mut made = Vec::new();
    let mut done: Option<Value> = None;
    for (number, &op) in lstms.iter().enumerate() {
        let lstm = Step::of(module.view(op), plan)?;
        let mut b = Builder::before(module, op);
        let loc = b.view(op).loc().clone();
        b.at(loc.clone());
        // Each has its share of the time.
        let share = build::scalar(&mut b, Elem::F32, (number + 1) as f64 / lstms.len() as f64)?;
        let by = build::binary(&mut b, &t::Mul, deadline, share)?;
        let (results, terms) = lstm.build(&mut b, op, most, by)?;
        done = Some(match done {
            None => terms,
            Some(before) => build::binary(&mut b, &t::Min, before, terms)?,
        });
        made.push(lstm.report(loc));
        replace(module, op, &results)?;
    }
    let names = |all: &[String]| Attr::List(all.iter().map(|s| s.as_str().into()).collect());
    let inputs = [&Func::input_names(module.view(func))[..], &plan.inputs].concat();
    let mut outputs = Func::output_names(module.view(func));
    let mut returned = Func::returned(module.view(func)).to_vec();
    let Some(end) = module.terminator(block) else {
        lepid_ir::bug!("a function without a return passed the verifier");
    };
    outputs.push(plan.output.clone());
    returned.extend(done);
    // The names come after the values that they name.
    module.set_attr(func, "outputs", Attr::List(Vec::new()));
    let mut b = Builder::before(module, end);
    Return::build(&mut b, &returned, &[])?;
    module.erase(end);
    module.set_attr(func, "inputs", names(&inputs));
    module.set_attr(func, "outputs", names(&outputs));
    Ok(made)
}

/// An LSTM of one step, as terms.
struct Step {
    hidden: usize,
    /// Inputs and hidden values.
    columns: usize,
    group: usize,
    /// The terms of each gate.
    gates: Vec<Vec<Term>>,
    /// The sum of both biases of each gate.
    bias: Vec<f64>,
    left: Vec<f64>,
}

impl Step {
    fn of(op: OpView<'_>, plan: &Plan) -> OpResult<Step> {
        let known = |at: usize| -> OpResult<Vec<f64>> {
            let value = interp::eval_constant(op.module, op.operand(at));
            let value = value.ok_or_else(|| {
                OpError::new("the weights of an LSTM that is refined must be constants")
            })?;
            Ok(value.to_f64s())
        };
        let (w, r, bias) = (known(1)?, known(2)?, known(3)?);
        let extent =
            |at: usize, axis: usize| op.operand_dims(at)[axis].known().unwrap_or(0) as usize;
        let (inputs, hidden) = (extent(0, 2), extent(4, 2));
        let columns = inputs + hidden;
        let keep = plan.keep.clamp(1, columns);
        // Whole groups.
        let count = plan.terms.max(1).next_multiple_of(plan.group);
        let mut gates = Vec::new();
        let mut energy = vec![0.0; count + 1];
        for gate in 0..GATES {
            let rows = gate * hidden..(gate + 1) * hidden;
            let values = rows.flat_map(|row| {
                let of_x = &w[row * inputs..(row + 1) * inputs];
                of_x.iter().chain(&r[row * hidden..(row + 1) * hidden])
            });
            let mut rest = Rest::new(values.copied().collect(), columns);
            energy[0] += rest.energy();
            let mut terms = Vec::new();
            for left in &mut energy[1..] {
                terms.push(rest.take(keep));
                *left += rest.energy();
            }
            gates.push(terms);
        }
        let whole = energy[0].max(f64::MIN_POSITIVE);
        let half = GATES * hidden;
        Ok(Step {
            hidden,
            columns,
            group: plan.group,
            gates,
            bias: (0..half).map(|i| bias[i] + bias[half + i]).collect(),
            left: energy.iter().map(|e| e / whole).collect(),
        })
    }

    fn count(&self) -> usize {
        self.gates[0].len()
    }

    fn keep(&self) -> usize {
        self.gates[0][0].columns.len()
    }

    fn report(&self, loc: Loc) -> Refined {
        Refined {
            loc,
            dense: GATES * self.hidden * self.columns,
            term: GATES * (self.keep() + self.hidden),
            left: self.left.clone(),
        }
    }

    /// The numbers of all terms and gates, [steps, group, gates, size].
    fn table(&self, elem: Elem, size: usize, of: impl Fn(&Term) -> Vec<f64>) -> Tensor {
        let (count, group) = (self.count(), self.group);
        let terms = (0..count).flat_map(|n| self.gates.iter().map(move |gate| &gate[n]));
        let values: Vec<f64> = terms.flat_map(of).collect();
        Tensor::from_f64s(elem, [count / group, group, GATES, size], values)
    }

    /// Gives the results of the LSTM and the number of terms that were added.
    fn build(
        &self,
        b: &mut Builder<'_>,
        op: Op,
        most: Value,
        deadline: Value,
    ) -> OpResult<(Vec<Value>, Value)> {
        let operands = b.view(op).operands().to_vec();
        let (x, h0, c0) = (operands[0], operands[4], operands[5]);
        let known = |n: usize| Dim::Known(n as u64);
        let flat = |b: &mut Builder<'_>, v: Value| {
            let count = build::dims(b, v).iter().filter_map(|d| d.known()).product();
            build::reshape(b, v, &[Dim::Known(count)])
        };
        let (x, h) = (flat(b, x)?, flat(b, h0)?);
        let z = build::concat(b, &[x, h], 0)?;
        let float = |x: &f32| f64::from(*x);
        let left = self.table(Elem::F32, self.hidden, |term| {
            term.left.iter().map(float).collect()
        });
        let right = self.table(Elem::F32, self.keep(), |term| {
            term.right.iter().map(float).collect()
        });
        let columns = self.table(Elem::I64, self.keep(), |term| {
            term.columns.iter().map(|&j| j as f64).collect()
        });
        let [left, right, columns] = [left, right, columns].map(|table| constant(b, table));
        let (left, right, columns) = (left?, right?, columns?);
        let bias = Tensor::from_f64s(Elem::F32, [GATES, self.hidden], self.bias.clone());
        let bias = constant(b, bias)?;
        // A number of terms as one of steps: whole groups.
        let number = |b: &mut Builder<'_>, n: usize| {
            constant(b, Tensor::scalar(Elem::I64, Num::Int(n as i128)))
        };
        let (group, over) = (number(b, self.group)?, number(b, self.group - 1)?);
        let all = number(b, self.count())?;
        let steps = build::binary(b, &t::Min, most, all)?;
        let steps = build::binary(b, &t::Add, steps, over)?;
        let steps = build::binary(b, &t::Div, steps, group)?;
        let types = [Type::scalar(Elem::I64), b.value_type(bias)];
        let body: Region = b.region(&types, |b, args| {
            let (step, sum) = (args[0], args[1]);
            let operands = [sum, z, left, right, columns, step];
            let sum = b.one(&AddTerms, &operands, &[])?;
            b.create(&Yield, &[sum], &[]).map(drop)
        })?;
        let anytime = b.create_with_regions(&Anytime, &[steps, deadline, bias], &[], &[body])?;
        let results = b.module.results(anytime).to_vec();
        let done = build::binary(b, &t::Mul, results[0], group)?;
        let state = [known(1), known(1), known(self.hidden)];
        let gate = |b: &mut Builder<'_>, number: i64| -> OpResult<Value> {
            let gate = build::slice_axis(b, results[1], 0, number, number + 1)?;
            build::reshape(b, gate, &state)
        };
        let (i, o, f, g) = (gate(b, 0)?, gate(b, 1)?, gate(b, 2)?, gate(b, 3)?);
        let sigmoid =
            |b: &mut Builder<'_>, x: Value| b.one(&lepid_ir::dialects::nn::Sigmoid, &[x], &[]);
        let (i, o, f) = (sigmoid(b, i)?, sigmoid(b, o)?, sigmoid(b, f)?);
        let g = build::unary(b, &t::Tanh, g)?;
        let kept = build::binary(b, &t::Mul, f, c0)?;
        let new = build::binary(b, &t::Mul, i, g)?;
        let c = build::binary(b, &t::Add, kept, new)?;
        let shown = build::unary(b, &t::Tanh, c)?;
        let h = build::binary(b, &t::Mul, o, shown)?;
        let y = [known(1), known(1), known(1), known(self.hidden)];
        let y = build::reshape(b, h, &y)?;
        Ok((vec![y, h, c], done))
    }
}
