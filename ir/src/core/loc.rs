//! Where an op came from.

use std::sync::Arc;

use crate::core::Symbol;

/// A range of bytes in a source text.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// The name of the file.
    pub file: Symbol,
    pub start: u32,
    pub end: u32,
}

/// The origin of an op. A pass that replaces ops joins their locations; none is ever dropped.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Loc {
    #[default]
    Unknown,
    /// A place in a text.
    Span(Span),
    /// A named thing of the model file: an ONNX node, a layer.
    Name(Symbol),
    /// Several origins, in the order in which they were joined, each once.
    Fused(Arc<[Loc]>),
}

impl Loc {
    /// The origins of `self` and `other` together.
    pub fn join(&self, other: &Loc) -> Loc {
        let mut parts: Vec<Loc> = Vec::new();
        for part in self.parts().iter().chain(other.parts()) {
            if !parts.contains(part) {
                parts.push(part.clone());
            }
        }
        match parts.len() {
            0 => Loc::Unknown,
            1 => parts.remove(0),
            _ => Loc::Fused(parts.into()),
        }
    }

    /// The single origins: none for [`Loc::Unknown`].
    pub fn parts(&self) -> &[Loc] {
        match self {
            Loc::Unknown => &[],
            Loc::Fused(parts) => parts,
            Loc::Span(_) | Loc::Name(_) => std::slice::from_ref(self),
        }
    }

    /// The first source span among the origins.
    pub fn span(&self) -> Option<Span> {
        self.parts().iter().find_map(|p| match p {
            Loc::Span(s) => Some(*s),
            Loc::Unknown | Loc::Name(_) | Loc::Fused(_) => None,
        })
    }

    /// The named origins, in order.
    pub fn names(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.parts().iter().filter_map(|p| match p {
            Loc::Name(n) => Some(*n),
            Loc::Unknown | Loc::Span(_) | Loc::Fused(_) => None,
        })
    }
}
