//! What is known of each class: its type, its value where it is small, what it depends on.

use egg::{Analysis, DidMerge, EGraph, Id};
use lepid_ir::core::{Attr, Num, Tensor, Trait, Type};
use lepid_ir::dialects::core::Constant;
use lepid_ir::dialects::tensor::Broadcast;

use super::language::{Leaf, Node, OpName};
use super::regular::{self, Asked, Regular};
use super::scratch::Scratch;

pub(super) type Graph = EGraph<Node, Analyzer>;

/// The largest constant, in bytes, whose value is known and computed with.
pub(super) const SMALL_BYTES: usize = 1024;

/// What a class stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    Attr(Leaf),
    Value(Type),
    /// All results of an op that has several, or none.
    Tuple(Vec<Type>),
    /// No op can be built like this. Rules never make such a class.
    Nothing,
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) sort: Sort,
    /// The value, if it is a small constant.
    pub(super) constant: Option<Tensor>,
    /// Whether it is better described, as a repetition, than held.
    pub(super) repeats: bool,
    /// The number that all elements are.
    pub(super) uniform: Option<Num>,
    pub(super) regular: Regular,
    /// Whether it depends on constants alone: who compiles may evaluate it.
    pub(super) fixed: bool,
}

impl Facts {
    pub(super) fn attr(attr: Attr) -> Facts {
        Facts::leaf(Leaf::new(attr))
    }

    pub(super) fn leaf(leaf: Leaf) -> Facts {
        Facts {
            sort: Sort::Attr(leaf),
            constant: None,
            repeats: false,
            uniform: None,
            regular: Regular::default(),
            fixed: true,
        }
    }

    /// A value of which the type alone is known.
    pub(super) fn value(ty: Type) -> Facts {
        Facts {
            sort: Sort::Value(ty),
            constant: None,
            repeats: false,
            uniform: None,
            regular: Regular::default(),
            fixed: false,
        }
    }

    pub(super) fn constant(tensor: Tensor) -> Facts {
        let small = tensor.bytes().len() <= SMALL_BYTES;
        Facts {
            sort: Sort::Value(tensor.ty()),
            uniform: uniform(&tensor),
            regular: regular::of_constant(&tensor),
            constant: small.then_some(tensor),
            repeats: false,
            fixed: true,
        }
    }

    /// The type of a value.
    pub(super) fn ty(&self) -> Option<Type> {
        match &self.sort {
            Sort::Value(ty) => Some(*ty),
            Sort::Attr(_) | Sort::Tuple(_) | Sort::Nothing => None,
        }
    }

    pub(super) fn as_attr(&self) -> Option<&Attr> {
        self.as_leaf().map(|leaf| &leaf.attr)
    }

    pub(super) fn as_leaf(&self) -> Option<&Leaf> {
        match &self.sort {
            Sort::Attr(leaf) => Some(leaf),
            Sort::Value(_) | Sort::Tuple(_) | Sort::Nothing => None,
        }
    }

    fn nothing() -> Facts {
        Facts {
            sort: Sort::Nothing,
            constant: None,
            repeats: false,
            uniform: None,
            regular: Regular::default(),
            fixed: false,
        }
    }
}

/// The number that all elements of a tensor are.
pub(super) fn uniform(tensor: &Tensor) -> Option<Num> {
    let size = tensor.elem().bytes();
    let first = tensor.bytes().get(..size)?;
    let same = tensor.bytes().chunks(size).all(|c| c == first);
    same.then(|| tensor.num(0))
}

/// Computes facts; knows those of the inputs.
#[derive(Default)]
pub(super) struct Analyzer {
    pub(super) inputs: Vec<Facts>,
    pub(super) scratch: Scratch,
}

impl Analyzer {
    /// The facts of an op on children, as in [`Node::Op`].
    pub(super) fn op(&mut self, name: OpName, children: &[&Facts]) -> Facts {
        self.op_on(name, children, false)
    }

    /// The same, of an op whose two operands may be known to be one (`twice`).
    pub(super) fn op_on(&mut self, name: OpName, children: &[&Facts], twice: bool) -> Facts {
        let facts = self.op_facts(name, children, twice);
        facts.unwrap_or_else(Facts::nothing)
    }

    fn op_facts(&mut self, name: OpName, children: &[&Facts], twice: bool) -> Option<Facts> {
        let info = name.0.info();
        let count = children.len().checked_sub(info.attrs.len())?;
        let (operands, attrs) = children.split_at(count);
        let attrs: Option<Vec<Leaf>> = attrs.iter().map(|a| a.as_leaf().cloned()).collect();
        let attrs = attrs?;
        if info.has(Trait::Constant) {
            return Some(Facts::constant(attrs.first()?.attr.as_tensor()?.clone()));
        }
        let types: Option<Vec<Type>> = operands.iter().map(|o| o.ty()).collect();
        let mut results = self.scratch.infer(name.0, &types?, &attrs)?;
        let fixed = operands.iter().all(|o| o.fixed);
        if results.len() != 1 {
            return Some(Facts {
                fixed,
                sort: Sort::Tuple(results),
                ..Facts::nothing()
            });
        }
        let ty = results.remove(0);
        let constant = self.constant(name, operands, &attrs, ty);
        let uniform = match &constant {
            Some(tensor) => uniform(tensor),
            None => self.uniform(name, operands, &attrs, ty),
        };
        let regular = match (&constant, ty.as_tensor()) {
            (Some(tensor), _) => regular::of_constant(tensor),
            (None, Some(_)) if twice && name.as_str() == "tensor.concat" => {
                regular::of_twice(operands[0].ty()?.as_tensor()?.rank(), &attrs)
            }
            (None, Some(result)) => {
                let asked = Asked {
                    name,
                    operands,
                    attrs: &attrs,
                    result,
                };
                regular::of_op(&mut self.scratch, &asked)
            }
            (None, None) => Regular::default(),
        };
        Some(Facts {
            sort: Sort::Value(ty),
            regular,
            constant,
            repeats: is_repetition(name, ty),
            uniform,
            fixed,
        })
    }

    fn constant(
        &mut self,
        name: OpName,
        operands: &[&Facts],
        attrs: &[Leaf],
        ty: Type,
    ) -> Option<Tensor> {
        let ty = ty.as_tensor()?;
        let bytes = ty.element_count()?.checked_mul(ty.elem.bytes() as u64)?;
        if bytes > SMALL_BYTES as u64 {
            return None;
        }
        let operands: Option<Vec<Tensor>> = operands.iter().map(|o| o.constant.clone()).collect();
        let results = self.scratch.evaluate(name.0, &operands?, attrs)?;
        results.into_iter().next()
    }

    fn uniform(
        &mut self,
        name: OpName,
        operands: &[&Facts],
        attrs: &[Leaf],
        ty: Type,
    ) -> Option<Num> {
        match name.as_str() {
            "tensor.broadcast" | "tensor.reshape" | "tensor.transpose" | "tensor.slice" => {
                operands[0].uniform
            }
            _ if name.0.info().has(Trait::Elementwise) => {
                let scalars: Option<Vec<Tensor>> = operands
                    .iter()
                    .map(|o| Some(Tensor::scalar(o.ty()?.elem()?, o.uniform?)))
                    .collect();
                // One element stands for all.
                let results = self.scratch.evaluate(name.0, &scalars?, attrs)?;
                let result = results.into_iter().next()?;
                (Some(result.elem()) == ty.elem()).then(|| result.num(0))
            }
            _ => None,
        }
    }
}

/// What only repeats or enumerates, but for shapes.
fn is_repetition(name: OpName, ty: Type) -> bool {
    let shape = ty
        .as_tensor()
        .is_some_and(|t| t.rank() <= 1 && t.elem.is_int());
    matches!(name.as_str(), "tensor.broadcast" | "tensor.iota") && !shape
}

impl Analysis<Node> for Analyzer {
    type Data = Facts;

    fn make(graph: &mut Graph, node: &Node, _: Id) -> Facts {
        match node {
            Node::Attr(leaf) => Facts::leaf(leaf.clone()),
            Node::Input(index) => graph.analysis.inputs[*index as usize].clone(),
            Node::Get(index, [tuple]) => {
                let facts = &graph[*tuple].data;
                let ty = match &facts.sort {
                    Sort::Tuple(types) => types.get(*index as usize).copied(),
                    Sort::Attr(_) | Sort::Value(_) | Sort::Nothing => None,
                };
                let fixed = facts.fixed;
                ty.map_or_else(Facts::nothing, |ty| Facts {
                    fixed,
                    ..Facts::value(ty)
                })
            }
            Node::Op(name, ids) => {
                let children: Vec<Facts> = ids.iter().map(|&c| graph[c].data.clone()).collect();
                let children: Vec<&Facts> = children.iter().collect();
                let operands = ids.len() - name.0.info().attrs.len().min(ids.len());
                let twice = operands == 2 && graph.find(ids[0]) == graph.find(ids[1]);
                graph.analysis.op_on(*name, &children, twice)
            }
        }
    }

    fn merge(&mut self, into: &mut Facts, from: Facts) -> DidMerge {
        /// Fills a gap on either side.
        fn meet<T>(into: &mut Option<T>, from: Option<T>) -> DidMerge {
            match (&*into, from) {
                (None, Some(value)) => {
                    *into = Some(value);
                    DidMerge(true, false)
                }
                (Some(_), None) => DidMerge(false, true),
                _ => DidMerge(false, false),
            }
        }
        let fixed = DidMerge(!into.fixed && from.fixed, into.fixed && !from.fixed);
        let repeats = DidMerge(!into.repeats && from.repeats, into.repeats && !from.repeats);
        into.fixed |= from.fixed;
        into.repeats |= from.repeats;
        let (here, there) = into.regular.join(from.regular);
        fixed
            | repeats
            | DidMerge(here, there)
            | meet(&mut into.constant, from.constant)
            | meet(&mut into.uniform, from.uniform)
    }

    /// A class whose value is known holds the constant, or the repeated number.
    fn modify(graph: &mut Graph, id: Id) {
        let facts = &graph[id].data;
        let Some(ty) = facts.ty().and_then(|ty| ty.as_tensor()) else {
            return;
        };
        let splat = facts.uniform.filter(|_| ty.known_dims().is_some());
        let new = match (&facts.constant, splat) {
            (Some(_), None) if facts.repeats => return,
            (Some(tensor), None) => add_constant(graph, tensor.clone()),
            (Some(tensor), Some(_)) if ty.rank() == 0 => add_constant(graph, tensor.clone()),
            (_, Some(number)) => {
                let scalar = add_constant(graph, Tensor::scalar(ty.elem, number));
                if ty.rank() == 0 {
                    scalar
                } else {
                    let shape = graph.add(Node::attr(Attr::dims(ty.dims.iter().copied())));
                    let axes = graph.add(Node::attr(Attr::List(Vec::new())));
                    let children = [scalar, shape, axes].into();
                    graph.add(Node::Op(OpName(&Broadcast), children))
                }
            }
            (None, None) => return,
        };
        if graph.find(new) != graph.find(id) {
            graph.union_trusted(id, new, EVALUATED);
        }
    }
}

/// The reason of what the analysis adds, in explanations.
pub(super) const EVALUATED: &str = "evaluated";

fn add_constant(graph: &mut Graph, tensor: Tensor) -> Id {
    let value = graph.add(Node::attr(Attr::Tensor(tensor)));
    graph.add(Node::Op(OpName(&Constant), [value].into()))
}
