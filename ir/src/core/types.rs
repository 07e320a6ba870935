//! Element types, dimensions and interned types.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, Mutex};

use crate::core::{Attr, Symbol};

/// The type of one element of a tensor.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Elem {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    I4,
    I2,
    U64,
    U32,
    U16,
    U8,
    U4,
    U2,
    /// Truth values; `i1` in text.
    Bool,
}

impl Elem {
    /// Every element type, in the order of their declaration.
    pub const ALL: [Elem; 17] = [
        Elem::F64,
        Elem::F32,
        Elem::F16,
        Elem::BF16,
        Elem::I64,
        Elem::I32,
        Elem::I16,
        Elem::I8,
        Elem::I4,
        Elem::I2,
        Elem::U64,
        Elem::U32,
        Elem::U16,
        Elem::U8,
        Elem::U4,
        Elem::U2,
        Elem::Bool,
    ];

    /// The name in text: `f32`, `u8`, `i1`.
    pub fn name(self) -> &'static str {
        match self {
            Elem::F64 => "f64",
            Elem::F32 => "f32",
            Elem::F16 => "f16",
            Elem::BF16 => "bf16",
            Elem::I64 => "i64",
            Elem::I32 => "i32",
            Elem::I16 => "i16",
            Elem::I8 => "i8",
            Elem::I4 => "i4",
            Elem::I2 => "i2",
            Elem::U64 => "u64",
            Elem::U32 => "u32",
            Elem::U16 => "u16",
            Elem::U8 => "u8",
            Elem::U4 => "u4",
            Elem::U2 => "u2",
            Elem::Bool => "i1",
        }
    }

    /// The element type of that name.
    pub fn from_name(name: &str) -> Option<Elem> {
        Elem::ALL.into_iter().find(|e| e.name() == name)
    }

    /// Bits of information: 4 for `i4`, 2 for `u2`, 1 for `i1`.
    pub fn bits(self) -> u32 {
        match self {
            Elem::F64 | Elem::I64 | Elem::U64 => 64,
            Elem::F32 | Elem::I32 | Elem::U32 => 32,
            Elem::F16 | Elem::BF16 | Elem::I16 | Elem::U16 => 16,
            Elem::I8 | Elem::U8 => 8,
            Elem::I4 | Elem::U4 => 4,
            Elem::I2 | Elem::U2 => 2,
            Elem::Bool => 1,
        }
    }

    /// Bytes that one element takes in a [`crate::core::Tensor`]: sub-byte elements take one byte.
    pub fn bytes(self) -> usize {
        (self.bits() as usize).div_ceil(8)
    }

    /// Whether the storage of elements holds values of this type alone: truth values are 0 or 1,
    /// and integers of 2 and 4 bits stay in their range.
    pub fn admits(self, bytes: &[u8]) -> bool {
        let low = |bits: u32| bytes.iter().all(|&b| u32::from(b) < 1 << bits);
        let signed = |half: i8| bytes.iter().all(|&b| (-half..half).contains(&(b as i8)));
        match self {
            Elem::Bool => low(1),
            Elem::U2 => low(2),
            Elem::U4 => low(4),
            Elem::I2 => signed(2),
            Elem::I4 => signed(8),
            Elem::F64 | Elem::F32 | Elem::F16 | Elem::BF16 => true,
            Elem::I64 | Elem::I32 | Elem::I16 | Elem::I8 => true,
            Elem::U64 | Elem::U32 | Elem::U16 | Elem::U8 => true,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Elem::F64 | Elem::F32 | Elem::F16 | Elem::BF16)
    }

    pub fn is_signed_int(self) -> bool {
        matches!(
            self,
            Elem::I64 | Elem::I32 | Elem::I16 | Elem::I8 | Elem::I4 | Elem::I2
        )
    }

    pub fn is_unsigned_int(self) -> bool {
        matches!(
            self,
            Elem::U64 | Elem::U32 | Elem::U16 | Elem::U8 | Elem::U4 | Elem::U2
        )
    }

    /// An integer of either sign; truth values are not integers.
    pub fn is_int(self) -> bool {
        self.is_signed_int() || self.is_unsigned_int()
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The extent of one axis.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dim {
    Known(u64),
    /// A named extent: equal names are equal extents within one function.
    Sym(Symbol),
    /// Some extent; two unknowns need not be equal.
    Unknown,
}

impl Dim {
    /// The number, if it is known.
    pub fn known(self) -> Option<u64> {
        match self {
            Dim::Known(n) => Some(n),
            Dim::Sym(_) | Dim::Unknown => None,
        }
    }

    /// Whether two dimensions may be the same number.
    pub fn compatible(self, other: Dim) -> bool {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a == b,
            _ => true,
        }
    }

    /// The product, as far as it can be said.
    pub fn times(self, other: Dim) -> Dim {
        match (self, other) {
            (Dim::Known(1), d) | (d, Dim::Known(1)) => d,
            (Dim::Known(a), Dim::Known(b)) => a.checked_mul(b).map_or(Dim::Unknown, Dim::Known),
            (Dim::Known(0), _) | (_, Dim::Known(0)) => Dim::Known(0),
            _ => Dim::Unknown,
        }
    }

    /// Applies `f` to a known extent; anything else becomes unknown.
    pub fn map(self, f: impl FnOnce(u64) -> u64) -> Dim {
        self.known().map_or(Dim::Unknown, |n| Dim::Known(f(n)))
    }
}

impl From<u64> for Dim {
    fn from(n: u64) -> Dim {
        Dim::Known(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Unknown => f.write_str("?"),
            // An `x` in the name would read as the separator of dimensions.
            Dim::Sym(s) if is_plain_symbol(s.as_str()) => write!(f, "?{s}"),
            Dim::Sym(s) => write!(f, "?{}", Quoted(s.as_str())),
        }
    }
}

fn is_plain_symbol(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.contains('x')
}

/// Prints a string in quotes with `\"`, `\\`, `\n`, `\t` and `\u{..}` escapes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// A tensor type: element and extents, outermost first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TensorType {
    pub elem: Elem,
    pub dims: Vec<Dim>,
}

impl TensorType {
    pub fn new(elem: Elem, dims: impl IntoIterator<Item = Dim>) -> TensorType {
        TensorType {
            elem,
            dims: dims.into_iter().collect(),
        }
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The extents, if all are known numbers.
    pub fn known_dims(&self) -> Option<Vec<usize>> {
        self.dims
            .iter()
            .map(|d| Some(d.known()? as usize))
            .collect()
    }

    /// The number of elements, if all extents are known and the product fits.
    pub fn element_count(&self) -> Option<u64> {
        self.dims
            .iter()
            .try_fold(1u64, |n, d| n.checked_mul(d.known()?))
    }

    /// The same extents with another element.
    pub fn with_elem(&self, elem: Elem) -> TensorType {
        TensorType::new(elem, self.dims.iter().copied())
    }

    /// Parses the inside of `tensor<…>`: `?Nx3x224xf32`, `f32`.
    pub fn parse(text: &str) -> Result<TensorType, TypeParseError> {
        let mut dims = Vec::new();
        let mut at = 0;
        loop {
            let (part, next) = split_dim(text, at);
            let error = |message: String| TypeParseError {
                message,
                start: at,
                end: at + part.len(),
            };
            match next {
                None => {
                    let elem = Elem::from_name(part)
                        .ok_or_else(|| error(format!("unknown element type `{part}`")))?;
                    return Ok(TensorType { elem, dims });
                }
                Some(next) => {
                    dims.push(parse_dim(part).ok_or_else(|| {
                        error(format!(
                            "`{part}` is not a dimension: expected a number, `?` or `?NAME`"
                        ))
                    })?);
                    at = next;
                }
            }
        }
    }
}

/// Splits the part up to the next `x` outside quotes; gives the start of the part after it.
fn split_dim(text: &str, at: usize) -> (&str, Option<usize>) {
    let mut quoted = false;
    let mut escaped = false;
    for (i, c) in text[at..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            'x' if !quoted => return (&text[at..at + i], Some(at + i + 1)),
            _ => {}
        }
    }
    (&text[at..], None)
}

fn parse_dim(text: &str) -> Option<Dim> {
    match text.strip_prefix('?') {
        None => text
            .bytes()
            .all(|c| c.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
            .map(Dim::Known),
        Some("") => Some(Dim::Unknown),
        Some(name) if name.starts_with('"') => {
            Some(Dim::Sym(Symbol::new(&crate::core::attr::unquote(name)?)))
        }
        Some(name) => is_plain_symbol(name).then(|| Dim::Sym(Symbol::new(name))),
    }
}

/// What is wrong in the text of a type, and where (byte offsets into that text).
#[derive(Clone, Debug)]
pub struct TypeParseError {
    pub message: String,
    pub start: usize,
    pub end: usize,
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dim in &self.dims {
            write!(f, "{dim}x")?;
        }
        write!(f, "{}", self.elem)
    }
}

/// A type that a dialect brings: `!quant.nested<bits = [2, 3, 4]>`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ExtType {
    pub dialect: Symbol,
    pub name: Symbol,
    pub params: Vec<(Symbol, Attr)>,
}

/// What a [`Type`] is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TypeKind {
    Tensor(TensorType),
    Ext(ExtType),
}

/// An interned type: `Copy`, compared by address.
#[derive(Copy, Clone)]
pub struct Type(&'static TypeKind);

static TYPES: LazyLock<Mutex<HashSet<&'static TypeKind>>> = LazyLock::new(Mutex::default);

impl Type {
    pub fn new(kind: TypeKind) -> Type {
        let mut types = TYPES.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = types.get(&kind) {
            return Type(known);
        }
        let kind: &'static TypeKind = Box::leak(Box::new(kind));
        types.insert(kind);
        Type(kind)
    }

    /// The type `tensor<…>`.
    pub fn tensor(elem: Elem, dims: impl IntoIterator<Item = Dim>) -> Type {
        Type::new(TypeKind::Tensor(TensorType::new(elem, dims)))
    }

    /// A tensor type whose extents are all known.
    pub fn known_tensor(elem: Elem, dims: &[usize]) -> Type {
        Type::tensor(elem, dims.iter().map(|&d| Dim::Known(d as u64)))
    }

    /// A tensor of rank 0.
    pub fn scalar(elem: Elem) -> Type {
        Type::tensor(elem, [])
    }

    pub fn kind(self) -> &'static TypeKind {
        self.0
    }

    pub fn as_tensor(self) -> Option<&'static TensorType> {
        match self.0 {
            TypeKind::Tensor(t) => Some(t),
            TypeKind::Ext(_) => None,
        }
    }

    /// The element, if it is a tensor.
    pub fn elem(self) -> Option<Elem> {
        self.as_tensor().map(|t| t.elem)
    }
}

impl From<TensorType> for Type {
    fn from(t: TensorType) -> Type {
        Type::new(TypeKind::Tensor(t))
    }
}
impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}
impl Eq for Type {}
impl Hash for Type {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.0).hash(state);
    }
}
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TypeKind::Tensor(t) => write!(f, "tensor<{t}>"),
            TypeKind::Ext(e) => {
                write!(f, "!{}.{}", e.dialect, e.name)?;
                if e.params.is_empty() {
                    return Ok(());
                }
                f.write_str("<")?;
                for (i, (name, value)) in e.params.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} = {value}")?;
                }
                f.write_str(">")
            }
        }
    }
}
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimension_names_survive_the_text() {
        for name in ["N", "batch", "max_len", "a\"b\\", "é"] {
            let ty = TensorType::new(
                Elem::BF16,
                [Dim::Sym(name.into()), Dim::Known(3), Dim::Unknown],
            );
            assert_eq!(TensorType::parse(&ty.to_string()).unwrap(), ty);
        }
    }

    #[test]
    fn bad_extents_are_refused() {
        for text in ["", "x", "3x", "3xf31", "-1xf32", "99999999999999999999xf32"] {
            assert!(TensorType::parse(text).is_err(), "{text}");
        }
    }
}
