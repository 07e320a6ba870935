//! Every rule, held against the interpreter on random shapes and values.
//!
//! `LEPID_RULE_CASES` says how many cases each rule is checked on; by default as many as a quick
//! test can afford.

mod sample;

use std::collections::HashMap;

use egg::{ENodeOrVar, Id, PatternAst};
use lepid_ir::core::{AttrInfo, Builder, Elem, Module, Op, OpResult, Tensor, Type, Value};
use lepid_ir::dialects;
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::interp;

use super::facts::{Analyzer, Graph};
use super::hash::Fnv;
use super::import::{Source, import};
use super::language::Node;
use super::notation::Term;
use super::pieces::{fixed_values, piece};
use super::regular::regular_values;
use super::rewrite::{Case, Match, Rule};
use super::rules::{self, RuleDef, rules};
use crate::core::Values;
use sample::{Random, Range, Sample, ValueSample, agree, tensor};

#[test]
fn every_rule_holds() {
    let cases = match std::env::var("LEPID_RULE_CASES") {
        Ok(text) => text.parse().expect("LEPID_RULE_CASES is a number"),
        Err(_) => 60,
    };
    let failures: Vec<String> = rules::all()
        .filter_map(|(_, def)| check(def, cases).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Rules that do not hold: in value, in the last bit, for some shapes, for some numbers, or never
/// applied at all.
const WRONG: &[RuleDef] = rules! {
    /// Not commutative.
    "wrong-value": "(tensor.sub ?x ?y)" => "(tensor.sub ?y ?x)";
    /// Rounds otherwise, but says that it is exact.
    "wrong-bits": "(tensor.mul (tensor.mul ?x ?y) ?z)" => "(tensor.mul ?x (tensor.mul ?y ?z))";
    /// Only of square matrices.
    "wrong-shapes": "(tensor.transpose ?x ?p)" => "?x", on "?x: AxA, ?p: [1, 0]";
    /// Not of negative numbers.
    "wrong-numbers": "(tensor.sqrt (tensor.mul ?x ?x))" => "?x", within 1e-5;
    /// The composition of permutations in the wrong order.
    "wrong-order": "(tensor.transpose (tensor.transpose ?x ?p) ?q)" => "(tensor.transpose ?x (compose ?q ?p))", on "?x: AxAxA, ?p: perm 3, ?q: perm 3";
    /// The types never fit.
    "wrong-type": "(tensor.cast ?x ?to)" => "?x", on "?x: AxBxi8, ?to: f32";
    /// The condition never holds.
    "wrong-condition": "(tensor.abs ?x)" => "?x" if "(is ?x 1.0)";
};

#[test]
fn wrong_rules_are_caught() {
    for def in WRONG {
        let name = def.name;
        assert!(
            check(def, 60).is_err(),
            "`{name}` passes for a rule that holds"
        );
    }
}

/// Checks a rule on so many cases, of which some must apply.
fn check(def: &'static RuleDef, cases: usize) -> Result<(), String> {
    let ops = dialects::registry();
    let rule = Rule::compile(def, &ops)?;
    let mut hash = Fnv::default();
    hash.add(def.name);
    let seed = hash.0;
    let mut random = Random(seed);
    let samples: Vec<&str> = def.samples.split(" | ").collect();
    let (mut applied, mut why) = (0, "it never matches".to_string());
    for i in 0..cases.max(rule.cases.len()) {
        let case = &rule.cases[i % rule.cases.len()];
        let sample = samples[random.below(samples.len())];
        match case_holds(def, case, sample, &mut random) {
            Ok(true) => applied += 1,
            Ok(false) => {}
            Err(Trouble::Sample(error)) => why = error,
            Err(Trouble::Rule(error)) => {
                return Err(format!(
                    "rule `{}`, case {i} of seed {seed}: {error}",
                    def.name
                ));
            }
        }
    }
    match applied * 4 > cases {
        true => Ok(()),
        false => Err(format!(
            "rule `{}` applies to {applied} of {cases} cases: {why}",
            def.name
        )),
    }
}

enum Trouble {
    /// The left side cannot be built.
    Sample(String),
    /// The rule does not hold.
    Rule(String),
}

/// Whether the rule applies; an error if it does and does not hold.
fn case_holds(
    def: &RuleDef,
    case: &Case,
    sample: &str,
    random: &mut Random,
) -> Result<bool, Trouble> {
    let mut trouble = None;
    for elem in [Elem::F32, Elem::I32, Elem::Bool] {
        let sample = Sample::new(sample, elem, random);
        match Instance::build(case, &sample, random) {
            Ok(instance) => return instance.check(def, case, random).map_err(Trouble::Rule),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    Err(Trouble::Sample(trouble.unwrap_or_default()))
}

/// The left sides of a rule as a function.
struct Instance {
    module: Module,
    func: Op,
    args: Vec<ValueSample>,
}

impl Instance {
    fn build(case: &Case, sample: &Sample<'_>, random: &mut Random) -> Result<Instance, String> {
        let mut module = Module::new();
        let func = Func::create(&mut module, "f", &[], &[]).map_err(|e| e.to_string())?;
        let block = Func::block(module.view(func));
        let mut args = Vec::new();
        let mut bound = HashMap::new();
        for term in &case.terms {
            declare(term, None, &mut |name, attr| {
                if bound.contains_key(name) {
                    return Ok(());
                }
                let what = match attr {
                    Some(info) => Bound::Attr(sample.attr(name, info, random)?),
                    None => {
                        let value = sample.value(name, random)?;
                        match value.constant.clone() {
                            Some(tensor) => {
                                let mut b = Builder::at_end(&mut module, block);
                                Bound::Value(constant(&mut b, tensor).map_err(|e| e.to_string())?)
                            }
                            None => {
                                let ty = Type::known_tensor(value.elem, &value.shape);
                                args.push(value);
                                Bound::Value(module.add_block_arg(block, ty))
                            }
                        }
                    }
                };
                bound.insert(name.to_string(), what);
                Ok(())
            })?;
        }
        let mut b = Builder::at_end(&mut module, block);
        let roots: OpResult<Vec<Value>> = case
            .terms
            .iter()
            .map(|t| build(&mut b, t, &bound))
            .collect();
        let roots = roots.map_err(|e| e.to_string())?;
        Return::build(&mut b, &roots, &[]).map_err(|e| e.to_string())?;
        Ok(Instance { module, func, args })
    }

    /// Applies the rule wherever it fits and compares what comes out.
    fn check(mut self, def: &RuleDef, case: &Case, random: &mut Random) -> Result<bool, String> {
        let fixed = fixed_values(&self.module);
        let regular = regular_values(&self.module);
        let block = Func::block(self.module.view(self.func));
        let ops: Vec<Op> = self.module.ops_in(block).collect();
        let is_inner = |op: &&Op| {
            let name = self.module.op_name(**op);
            !matches!(name, "core.constant" | "core.return")
        };
        let inner: Vec<Op> = ops.iter().filter(is_inner).copied().collect();
        let piece = piece(&self.module, &inner);
        let source = Source {
            module: &self.module,
            fixed: &|v| fixed.contains(&v),
            regular: &regular,
        };
        let imported = import(&source, &piece, Graph::new(Analyzer::default()));
        let mut imported = imported.ok_or("an op infers other types than it has")?;
        let graph = &mut imported.graph;
        let mut values: HashMap<Id, Value> = HashMap::new();
        for (i, &op) in piece.ops.iter().enumerate() {
            values.insert(graph.find(imported.ops[i]), self.module.results(op)[0]);
        }
        for (i, &input) in piece.inputs.iter().enumerate() {
            if let Some(id) = graph.lookup(Node::Input(i as u32)) {
                values.insert(graph.find(id), input);
            }
        }
        let roots: Vec<Id> = imported.roots.iter().map(|&r| graph.find(r)).collect();
        let mut sorted = roots.clone();
        sorted.sort_unstable();
        let fits = |m: &Match| m.roots == roots || m.roots == sorted;
        let end = ops.last().copied().ok_or("there is no return")?;
        let mut results: Vec<(Value, Value)> = Vec::new();
        for found in case.search(graph, 100).iter().filter(|m| fits(m)) {
            let Some(rights) = case.instances(graph, found) else {
                continue;
            };
            for (right, root) in rights.iter().zip(&found.roots) {
                let mut b = Builder::before(&mut self.module, end);
                let value = build_instance(&mut b, graph, &values, found, right)?;
                results.push((values[root], value));
            }
        }
        if results.is_empty() {
            return Ok(false);
        }
        let (old, new): (Vec<Value>, Vec<Value>) = results.into_iter().unzip();
        let all: Vec<Value> = old.iter().chain(&new).copied().collect();
        self.module.set_operands(end, &all);
        for (&old, &new) in old.iter().zip(&new) {
            let (old, new) = (self.module.value_type(old), self.module.value_type(new));
            if old != new {
                return Err(format!("`{old}` becomes `{new}`"));
            }
        }
        let range = match def.values {
            Values::Exact => Range::All,
            Values::Within(_) => Range::Finite,
        };
        let args: Vec<Tensor> = self
            .args
            .iter()
            .map(|arg| {
                tensor(
                    arg,
                    if arg.positive { Range::Positive } else { range },
                    random,
                )
            })
            .collect();
        let values = interp::run(&self.module, self.func, &args).map_err(|e| e.message)?;
        let (expected, found) = values.split_at(old.len());
        for (expected, found) in expected.iter().zip(found) {
            agree(expected, found, def.values)?;
        }
        Ok(true)
    }
}

/// What a variable stands for.
enum Bound {
    Value(Value),
    Attr(lepid_ir::core::Attr),
}

/// Sees a variable, and what is declared of the attribute that it stands for.
type Declared<'f, 't> = dyn FnMut(&'t str, Option<&AttrInfo>) -> Result<(), String> + 'f;

/// Shows each variable, with what is declared of it where it stands for an attribute.
fn declare<'t>(
    term: &'t Term,
    attr: Option<&AttrInfo>,
    each: &mut Declared<'_, 't>,
) -> Result<(), String> {
    match term {
        Term::Var(name, _) => each(name, attr),
        Term::Op { def, children, .. } => {
            let attrs = def.info().attrs;
            let operands = children.len().saturating_sub(attrs.len());
            for (i, child) in children.iter().enumerate() {
                declare(child, i.checked_sub(operands).map(|i| &attrs[i]), each)?;
            }
            Ok(())
        }
        Term::Attr(_) | Term::Call { .. } => Ok(()),
    }
}

fn build(b: &mut Builder<'_>, term: &Term, bound: &HashMap<String, Bound>) -> OpResult<Value> {
    let refuse = || lepid_ir::core::OpError::new(format!("`{term}` is no value"));
    match term {
        Term::Var(name, _) => match bound.get(name) {
            Some(Bound::Value(value)) => Ok(*value),
            _ => Err(refuse()),
        },
        Term::Op { def, children, .. } => {
            let info = def.info();
            let (operands, attrs) = children.split_at(children.len() - info.attrs.len());
            let operands: OpResult<Vec<Value>> =
                operands.iter().map(|o| build(b, o, bound)).collect();
            let attrs = attrs.iter().zip(info.attrs).filter_map(|(term, info)| {
                let attr = match term {
                    Term::Attr(leaf) => leaf.attr.clone(),
                    Term::Var(name, _) => match bound.get(name)? {
                        Bound::Attr(attr) => attr.clone(),
                        Bound::Value(_) => return None,
                    },
                    Term::Op { .. } | Term::Call { .. } => return None,
                };
                Some((info.name, attr))
            });
            let attrs: Vec<_> = attrs.collect();
            b.one(*def, &operands?, &attrs)
        }
        Term::Attr(_) | Term::Call { .. } => Err(refuse()),
    }
}

/// Builds a right side on the values that its variables are.
fn build_instance(
    b: &mut Builder<'_>,
    graph: &Graph,
    values: &HashMap<Id, Value>,
    found: &Match,
    right: &PatternAst<Node>,
) -> Result<Value, String> {
    let mut made: Vec<Option<Value>> = Vec::new();
    let mut attrs = HashMap::new();
    for (i, node) in right.iter().enumerate() {
        made.push(match node {
            ENodeOrVar::Var(var) => {
                let class = graph.find(found.subst[*var]);
                if let Some(attr) = graph[class].data.as_attr() {
                    attrs.insert(i, attr.clone());
                }
                match (values.get(&class), &graph[class].data.constant) {
                    (Some(&value), _) => Some(value),
                    // What the analysis evaluated stands nowhere on the left side.
                    (None, Some(tensor)) => {
                        Some(constant(b, tensor.clone()).map_err(|e| e.to_string())?)
                    }
                    (None, None) => None,
                }
            }
            ENodeOrVar::ENode(Node::Attr(leaf)) => {
                attrs.insert(i, leaf.attr.clone());
                None
            }
            ENodeOrVar::ENode(Node::Op(name, children)) => {
                let info = name.0.info();
                let (operands, given) = children.split_at(children.len() - info.attrs.len());
                let operands: Option<Vec<Value>> =
                    operands.iter().map(|&o| made[usize::from(o)]).collect();
                let operands = operands.ok_or("an operand is not of the left side")?;
                let names = info.attrs.iter().map(|a| a.name);
                let given = given.iter().map(|&a| attrs[&usize::from(a)].clone());
                let given: Vec<_> = names.zip(given).collect();
                Some(
                    b.one(name.0, &operands, &given)
                        .map_err(|e| e.to_string())?,
                )
            }
            ENodeOrVar::ENode(node) => return Err(format!("`{node}` is built")),
        });
    }
    made.last()
        .copied()
        .flatten()
        .ok_or("no value is built".to_string())
}

#[test]
fn every_rule_compiles() {
    let ops = dialects::registry();
    for (_, def) in rules::all() {
        if let Err(error) = Rule::compile(def, &ops) {
            panic!("{error}");
        }
    }
}
