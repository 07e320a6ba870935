//! Attributes: compile-time values of an op.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::core::types::Quoted;
use crate::core::{Dim, Elem, Num, Symbol, Tensor, Type};

/// A compile-time value: no identity, no interior mutability.
#[derive(Clone, Debug, Default)]
pub enum Attr {
    /// Not given. Never printed.
    #[default]
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    /// An extent that is not a plain number: `?N`, `?`. Known extents are [`Attr::Int`].
    Dim(Dim),
    Elem(Elem),
    Type(Type),
    /// A reference to a function: `@name`.
    Func(Symbol),
    List(Vec<Attr>),
    Tensor(Tensor),
}

impl Attr {
    pub fn is_absent(&self) -> bool {
        matches!(self, Attr::Absent)
    }

    /// The attribute of an extent.
    pub fn dim(dim: Dim) -> Attr {
        match dim {
            Dim::Known(n) => Attr::Int(n as i64),
            Dim::Sym(_) | Dim::Unknown => Attr::Dim(dim),
        }
    }

    /// A list of extents.
    pub fn dims(dims: impl IntoIterator<Item = Dim>) -> Attr {
        Attr::List(dims.into_iter().map(Attr::dim).collect())
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Attr::Int(x) => Some(*x),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Attr::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Attr::Tensor(t) => Some(t),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Attr]> {
        match self {
            Attr::List(items) => Some(items),
            _ => None,
        }
    }
}

impl PartialEq for Attr {
    /// Floats compare by their bits.
    fn eq(&self, other: &Attr) -> bool {
        match (self, other) {
            (Attr::Absent, Attr::Absent) => true,
            (Attr::Bool(a), Attr::Bool(b)) => a == b,
            (Attr::Int(a), Attr::Int(b)) => a == b,
            (Attr::Float(a), Attr::Float(b)) => a.to_bits() == b.to_bits(),
            (Attr::Str(a), Attr::Str(b)) => a == b,
            (Attr::Dim(a), Attr::Dim(b)) => a == b,
            (Attr::Elem(a), Attr::Elem(b)) => a == b,
            (Attr::Type(a), Attr::Type(b)) => a == b,
            (Attr::Func(a), Attr::Func(b)) => a == b,
            (Attr::List(a), Attr::List(b)) => a == b,
            (Attr::Tensor(a), Attr::Tensor(b)) => a == b,
            _ => false,
        }
    }
}
impl Eq for Attr {}
impl Hash for Attr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Attr::Absent => {}
            Attr::Bool(x) => x.hash(state),
            Attr::Int(x) => x.hash(state),
            Attr::Float(x) => x.to_bits().hash(state),
            Attr::Str(x) => x.hash(state),
            Attr::Dim(x) => x.hash(state),
            Attr::Elem(x) => x.hash(state),
            Attr::Type(x) => x.hash(state),
            Attr::Func(x) => x.hash(state),
            Attr::List(x) => x.hash(state),
            Attr::Tensor(x) => x.hash(state),
        }
    }
}

impl From<bool> for Attr {
    fn from(x: bool) -> Attr {
        Attr::Bool(x)
    }
}
impl From<i64> for Attr {
    fn from(x: i64) -> Attr {
        Attr::Int(x)
    }
}
impl From<f64> for Attr {
    fn from(x: f64) -> Attr {
        Attr::Float(x)
    }
}
impl From<&str> for Attr {
    fn from(x: &str) -> Attr {
        Attr::Str(x.into())
    }
}
impl From<Elem> for Attr {
    fn from(x: Elem) -> Attr {
        Attr::Elem(x)
    }
}
impl From<Type> for Attr {
    fn from(x: Type) -> Attr {
        Attr::Type(x)
    }
}
impl From<Tensor> for Attr {
    fn from(x: Tensor) -> Attr {
        Attr::Tensor(x)
    }
}
impl From<&[i64]> for Attr {
    fn from(x: &[i64]) -> Attr {
        Attr::List(x.iter().map(|&i| Attr::Int(i)).collect())
    }
}
impl From<Vec<i64>> for Attr {
    fn from(x: Vec<i64>) -> Attr {
        Attr::from(&x[..])
    }
}
impl<const N: usize> From<[i64; N]> for Attr {
    fn from(x: [i64; N]) -> Attr {
        Attr::from(&x[..])
    }
}
impl From<&[&str]> for Attr {
    fn from(x: &[&str]) -> Attr {
        Attr::List(x.iter().map(|&s| Attr::from(s)).collect())
    }
}
impl From<&[f64]> for Attr {
    fn from(x: &[f64]) -> Attr {
        Attr::List(x.iter().map(|&s| Attr::from(s)).collect())
    }
}

/// The kinds that an op may declare for an attribute.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AttrKind {
    Bool,
    Int,
    Float,
    Str,
    Elem,
    Type,
    Func,
    Tensor,
    Ints,
    Floats,
    Strs,
    Dims,
}

impl AttrKind {
    /// The name in documentation and messages.
    pub fn name(self) -> &'static str {
        match self {
            AttrKind::Bool => "true or false",
            AttrKind::Int => "an integer",
            AttrKind::Float => "a float",
            AttrKind::Str => "a string",
            AttrKind::Elem => "an element type",
            AttrKind::Type => "a type",
            AttrKind::Func => "a function reference",
            AttrKind::Tensor => "a tensor",
            AttrKind::Ints => "a list of integers",
            AttrKind::Floats => "a list of floats",
            AttrKind::Strs => "a list of strings",
            AttrKind::Dims => "a list of dimensions",
        }
    }

    /// Whether `attr` is of this kind. An absent attribute is of every kind.
    pub fn admits(self, attr: &Attr) -> bool {
        let list = |ok: fn(&Attr) -> bool| matches!(attr, Attr::List(l) if l.iter().all(ok));
        match (self, attr) {
            (_, Attr::Absent) => true,
            (AttrKind::Bool, Attr::Bool(_))
            | (AttrKind::Int, Attr::Int(_))
            | (AttrKind::Float, Attr::Float(_))
            | (AttrKind::Str, Attr::Str(_))
            | (AttrKind::Elem, Attr::Elem(_))
            | (AttrKind::Type, Attr::Type(_))
            | (AttrKind::Func, Attr::Func(_))
            | (AttrKind::Tensor, Attr::Tensor(_)) => true,
            (AttrKind::Ints, _) => list(|a| matches!(a, Attr::Int(_))),
            (AttrKind::Floats, _) => list(|a| matches!(a, Attr::Float(_))),
            (AttrKind::Strs, _) => list(|a| matches!(a, Attr::Str(_))),
            (AttrKind::Dims, _) => {
                list(|a| matches!(a, Attr::Int(0..) | Attr::Dim(Dim::Sym(_) | Dim::Unknown)))
            }
            _ => false,
        }
    }
}

/// Ties a declared kind to the Rust type that its accessor gives.
pub trait AttrType {
    const KIND: AttrKind;
    type Get<'a>;
    /// Reads a checked attribute. Panics on another kind, which the builder has refused.
    fn get<'a>(attr: &'a Attr) -> Self::Get<'a>;
}

/// The markers that `op!` names as kinds. `Opt…` give `None` for an absent attribute.
pub mod kind {
    use super::*;

    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident: $kind:ident => $get:ty, $pattern:pat => $value:expr;)*) => {$(
            $(#[$doc])*
            pub struct $name;
            #[allow(clippy::needless_lifetimes, reason = "the types of some rows name the lifetime")]
            impl AttrType for $name {
                const KIND: AttrKind = AttrKind::$kind;
                type Get<'a> = $get;
                fn get<'a>(attr: &'a Attr) -> $get {
                    match attr {
                        $pattern => $value,
                        other => crate::bug!("attribute {other} is not {}", AttrKind::$kind.name()),
                    }
                }
            }
        )*};
    }
    kinds! {
        /// Gives `bool`.
        Bool: Bool => bool, Attr::Bool(x) => *x;
        /// Gives `i64`.
        Int: Int => i64, Attr::Int(x) => *x;
        /// Gives `f64`.
        Float: Float => f64, Attr::Float(x) => *x;
        /// Gives `&str`.
        Str: Str => &'a str, Attr::Str(x) => x;
        /// Gives [`super::Elem`].
        ElemType: Elem => Elem, Attr::Elem(x) => *x;
        /// Gives [`super::Type`].
        AnyType: Type => Type, Attr::Type(x) => *x;
        /// Gives the name of a function.
        Func: Func => Symbol, Attr::Func(x) => *x;
        /// Gives `&Tensor`.
        Dense: Tensor => &'a Tensor, Attr::Tensor(x) => x;
        /// Gives `Vec<i64>`.
        Ints: Ints => Vec<i64>, Attr::List(l) => l.iter().filter_map(Attr::as_int).collect();
        /// Gives `Vec<f64>`.
        Floats: Floats => Vec<f64>, Attr::List(l) => l.iter().map(|a| match a { Attr::Float(x) => *x, _ => f64::NAN }).collect();
        /// Gives `Vec<&str>`.
        Strs: Strs => Vec<&'a str>, Attr::List(l) => l.iter().filter_map(Attr::as_str).collect();
        /// Gives `Vec<Dim>`.
        Dims: Dims => Vec<Dim>, Attr::List(l) => l.iter().map(|a| match a {
            Attr::Int(n) => Dim::Known(*n as u64),
            Attr::Dim(d) => *d,
            _ => Dim::Unknown,
        }).collect();
    }
    macro_rules! optional_kinds {
        ($($(#[$doc:meta])* $name:ident: $inner:ident;)*) => {$(
            $(#[$doc])*
            pub struct $name;
            impl AttrType for $name {
                const KIND: AttrKind = $inner::KIND;
                type Get<'a> = Option<<$inner as AttrType>::Get<'a>>;
                fn get<'a>(attr: &'a Attr) -> Self::Get<'a> {
                    (!attr.is_absent()).then(|| $inner::get(attr))
                }
            }
        )*};
    }
    optional_kinds! {
        /// Gives `Option<i64>`; declare with `= Attr::Absent`.
        OptInt: Int;
        /// Gives `Option<f64>`; declare with `= Attr::Absent`.
        OptFloat: Float;
        /// Gives `Option<&str>`; declare with `= Attr::Absent`.
        OptStr: Str;
        /// Gives `Option<Elem>`; declare with `= Attr::Absent`.
        OptElem: ElemType;
    }
}

impl fmt::Display for Attr {
    /// The text form; tensors print inline whatever their size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Absent => f.write_str("absent"),
            Attr::Bool(x) => write!(f, "{x}"),
            Attr::Int(x) => write!(f, "{x}"),
            Attr::Float(x) => write_float(f, *x, Elem::F64),
            Attr::Str(s) => write!(f, "{}", Quoted(s)),
            Attr::Dim(d) => write!(f, "{d}"),
            Attr::Elem(e) => write!(f, "{e}"),
            Attr::Type(t) => write!(f, "{t}"),
            Attr::Func(name) => write_func_name(f, name.as_str()),
            Attr::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Attr::Tensor(t) => write_dense(f, t),
        }
    }
}

/// `@name`, or `@"any name"`.
pub(crate) fn write_func_name(f: &mut dyn fmt::Write, name: &str) -> fmt::Result {
    match is_plain_name(name) && !name.is_empty() {
        true => write!(f, "@{name}"),
        false => write!(f, "@{}", Quoted(name)),
    }
}

/// Whether a name after a sigil needs no quotes.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `dense<2x3xf32>[1.0, …]`; one value stands for all if all are the same.
fn write_dense(f: &mut fmt::Formatter<'_>, tensor: &Tensor) -> fmt::Result {
    write!(f, "dense<")?;
    for d in tensor.shape() {
        write!(f, "{d}x")?;
    }
    write!(f, "{}>[", tensor.elem())?;
    let size = tensor.elem().bytes();
    let bytes = tensor.bytes();
    let splat = tensor.len() > 1 && bytes.chunks(size).all(|c| c == &bytes[..size]);
    let count = if splat { 1 } else { tensor.len() };
    for i in 0..count {
        let comma = if i == 0 { "" } else { ", " };
        f.write_str(comma)?;
        match (tensor.num(i), tensor.elem()) {
            (Num::Int(x), Elem::Bool) => write!(f, "{}", x != 0)?,
            (Num::Int(x), _) => write!(f, "{x}")?,
            (Num::Float(x), elem) => match x.is_nan() {
                // The payload and the sign of a NaN have no decimal form.
                true => write_bits(f, &bytes[i * size..][..size])?,
                false => write_float(f, x, elem)?,
            },
        }
    }
    f.write_str("]")
}

fn write_bits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().rev().try_for_each(|b| write!(f, "{b:02x}"))
}

/// The shortest decimal that reads back to the same bits of `elem`.
fn write_float(f: &mut fmt::Formatter<'_>, x: f64, elem: Elem) -> fmt::Result {
    match elem {
        _ if x.is_nan() => write!(f, "0x{:016x}", x.to_bits()),
        _ if x.is_infinite() => f.write_str(if x > 0.0 { "inf" } else { "-inf" }),
        Elem::F32 => write!(f, "{:?}", x as f32),
        // A 16-bit float is exact in f32, and the short f32 form rounds back to it.
        Elem::F16 | Elem::BF16 => write!(f, "{:?}", x as f32),
        _ => write!(f, "{x:?}"),
    }
}

/// Reads a quoted string with the escapes that the printer writes.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'u' => {
                let rest = chars.as_str();
                let close = rest.find('}')?;
                let code = u32::from_str_radix(rest[..close].strip_prefix('{')?, 16).ok()?;
                out.push(char::from_u32(code)?);
                chars = rest[close + 1..].chars();
            }
            c @ ('"' | '\\') => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}
