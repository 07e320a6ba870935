//! The nodes of the e-graph: one language for all dialects.
//!
//! ```text
//! %2 = tensor.transpose(%1) {perm = [1, 0]}     (tensor.transpose ?1 [1, 0])
//! ```
//!
//! A node is an op with the classes of its operands, then those of its attributes in declared
//! order. Attributes are leaves with classes of their own, so that rules bind and compute them like
//! values. A small constant is the op `core.constant` on its tensor; what comes from outside, large
//! constants included, is an input. An op with several results is a tuple, which [`Node::Get`]
//! takes apart.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use egg::{Id, Language};
use lepid_ir::core::{Attr, OpDef, Tensor};

use super::facts::SMALL_BYTES;

/// A node of the e-graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// An op on its operands and attributes.
    Op(OpName, Box<[Id]>),
    /// One result of an op with several.
    Get(u32, [Id; 1]),
    Attr(Leaf),
    /// A value that is computed elsewhere.
    Input(u32),
}

impl Node {
    pub(super) fn attr(attr: Attr) -> Node {
        Node::Attr(Leaf::new(attr))
    }
}

/// What must be the same for two nodes to differ in their children alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Op(OpName, usize),
    Get(u32),
    Attr(Leaf),
    Input(u32),
}

impl Language for Node {
    type Discriminant = Kind;

    fn discriminant(&self) -> Kind {
        match self {
            Node::Op(name, children) => Kind::Op(*name, children.len()),
            Node::Get(index, _) => Kind::Get(*index),
            Node::Attr(leaf) => Kind::Attr(leaf.clone()),
            Node::Input(index) => Kind::Input(*index),
        }
    }

    fn matches(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Op(a, x), Node::Op(b, y)) => a == b && x.len() == y.len(),
            (Node::Get(a, _), Node::Get(b, _)) => a == b,
            (Node::Attr(a), Node::Attr(b)) => a == b,
            (Node::Input(a), Node::Input(b)) => a == b,
            _ => false,
        }
    }

    fn children(&self) -> &[Id] {
        match self {
            Node::Op(_, children) => children,
            Node::Get(_, children) => children,
            Node::Attr(_) | Node::Input(_) => &[],
        }
    }

    fn children_mut(&mut self) -> &mut [Id] {
        match self {
            Node::Op(_, children) => children,
            Node::Get(_, children) => children,
            Node::Attr(_) | Node::Input(_) => &mut [],
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Op(name, _) => f.write_str(name.as_str()),
            Node::Get(index, _) => write!(f, "get {index}"),
            Node::Attr(leaf) => fmt::Display::fmt(&leaf.attr, f),
            Node::Input(index) => write!(f, "%{index}"),
        }
    }
}

/// An op definition that is compared by its name.
#[derive(Copy, Clone)]
pub(super) struct OpName(pub(super) &'static dyn OpDef);

impl OpName {
    pub(super) fn as_str(self) -> &'static str {
        self.0.info().name
    }
}

impl PartialEq for OpName {
    fn eq(&self, other: &OpName) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for OpName {}
impl PartialOrd for OpName {
    fn partial_cmp(&self, other: &OpName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for OpName {
    fn cmp(&self, other: &OpName) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl Hash for OpName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
impl fmt::Debug for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An attribute that can be compared: by its text, and a small tensor by its type and its bytes, as
/// its text would be long.
#[derive(Clone)]
pub(super) struct Leaf {
    text: Arc<str>,
    pub(super) attr: Attr,
}

impl Leaf {
    pub(super) fn new(attr: Attr) -> Leaf {
        let text = match small_tensor(&attr) {
            Some(tensor) => tensor.ty().to_string(),
            None => attr.to_string(),
        };
        Leaf {
            text: text.into(),
            attr,
        }
    }

    fn bytes(&self) -> &[u8] {
        small_tensor(&self.attr).map_or(&[], |tensor| tensor.bytes())
    }
}

fn small_tensor(attr: &Attr) -> Option<&Tensor> {
    let tensor = attr.as_tensor();
    tensor.filter(|tensor| tensor.bytes().len() <= SMALL_BYTES)
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Leaf) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Leaf {}
impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Leaf) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Leaf {
    fn cmp(&self, other: &Leaf) -> Ordering {
        if Arc::ptr_eq(&self.text, &other.text) {
            return Ordering::Equal;
        }
        let text = self.text.cmp(&other.text);
        text.then_with(|| self.bytes().cmp(other.bytes()))
    }
}
impl Hash for Leaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.bytes().hash(state);
    }
}
impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.attr, f)
    }
}
