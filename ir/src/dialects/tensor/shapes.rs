//! What the `infer` of many ops needs: axes, extents and how they fit together.
//!
//! Attributes and types come from text that nobody has checked: nothing here may panic, and
//! arithmetic on extents must survive any `u64`.

use crate::core::{Dim, Elem, OpError, OpResult, OpView, Type};

/// The result list of an op with one tensor result.
pub fn one(elem: Elem, dims: impl IntoIterator<Item = Dim>) -> OpResult<Vec<Type>> {
    Ok(vec![Type::tensor(elem, dims)])
}

/// The axis as an index, if a tensor of that rank has it.
pub fn axis(name: &str, axis: i64, rank: usize) -> OpResult<usize> {
    match usize::try_from(axis) {
        Ok(index) if index < rank => Ok(index),
        _ => Err(OpError::new(format!(
            "`{name}` is {axis}, but must name one of {rank} axes, counted from 0"
        ))),
    }
}

/// The axes as indices, each in range and none twice.
pub fn axes(name: &str, given: &[i64], rank: usize) -> OpResult<Vec<usize>> {
    let mut out = Vec::with_capacity(given.len().min(rank));
    for &a in given {
        let index = axis(name, a, rank)?;
        if out.contains(&index) {
            return Err(OpError::new(format!("`{name}` names axis {a} twice")));
        }
        out.push(index);
    }
    Ok(out)
}

/// Checks that a list has one entry for each of `count` things.
pub fn length(name: &str, found: usize, count: usize) -> OpResult<()> {
    match found == count {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "`{name}` has {found} entries, but {count} are needed"
        ))),
    }
}

/// One entry per axis, each at least `least`.
pub fn counts(name: &str, given: &[i64], rank: usize, least: u64) -> OpResult<Vec<u64>> {
    length(name, given.len(), rank)?;
    given
        .iter()
        .map(|&n| match u64::try_from(n) {
            Ok(n) if n >= least => Ok(n),
            _ => Err(OpError::new(format!(
                "`{name}` has the entry {n}, but each must be at least {least}"
            ))),
        })
        .collect()
}

/// The element type that all operands share.
pub fn same_elem(op: OpView<'_>, operands: std::ops::Range<usize>) -> OpResult<Elem> {
    let first = op.operand_tensor(operands.start).elem;
    for i in operands {
        let elem = op.operand_tensor(i).elem;
        if elem != first {
            return Err(OpError::new(format!(
                "operands of `{}` must have one element type, found `{first}` and `{elem}`",
                op.name()
            )));
        }
    }
    Ok(first)
}

/// The more precisely known of two extents that are the same number.
pub fn meet(a: Dim, b: Dim) -> OpResult<Dim> {
    match (a, b) {
        (Dim::Known(x), Dim::Known(y)) if x != y => {
            Err(OpError::new(format!("extents {x} and {y} do not agree")))
        }
        (Dim::Known(_), _) => Ok(a),
        (_, Dim::Known(_)) => Ok(b),
        (Dim::Unknown, _) => Ok(b),
        (Dim::Sym(_), _) => Ok(a),
    }
}

/// [`meet`] axis by axis.
pub fn meet_all(a: &[Dim], b: &[Dim]) -> OpResult<Vec<Dim>> {
    let fits = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.compatible(*b));
    match fits {
        true => a.iter().zip(b).map(|(&a, &b)| meet(a, b)).collect(),
        false => Err(OpError::new(format!(
            "shapes {} and {} do not agree",
            list(a),
            list(b)
        ))),
    }
}

/// What is known where either extent may occur.
pub fn join(a: Dim, b: Dim) -> Dim {
    if a == b { a } else { Dim::Unknown }
}

/// The extent of numpy's broadcast of two extents.
pub fn broadcast_dim(a: Dim, b: Dim) -> OpResult<Dim> {
    match (a, b) {
        (Dim::Known(1), d) | (d, Dim::Known(1)) => Ok(d),
        (Dim::Known(x), Dim::Known(y)) if x != y => Err(OpError::new(format!(
            "extents {x} and {y} cannot be broadcast to one"
        ))),
        (Dim::Known(n), _) | (_, Dim::Known(n)) => Ok(Dim::Known(n)),
        // Either of the two may turn out to be 1.
        (a, b) => Ok(join(a, b)),
    }
}

/// The shape of numpy's broadcast of two shapes, aligned at the last axis.
pub fn broadcast_dims(a: &[Dim], b: &[Dim]) -> OpResult<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[Dim], i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(i) => dims[i],
        None => Dim::Known(1),
    };
    (0..rank)
        .map(|i| broadcast_dim(at(a, i), at(b, i)))
        .collect()
}

/// The sum; only a zero keeps a name.
pub fn plus(a: Dim, b: Dim) -> Dim {
    match (a, b) {
        (Dim::Known(0), d) | (d, Dim::Known(0)) => d,
        (Dim::Known(a), Dim::Known(b)) => a.checked_add(b).map_or(Dim::Unknown, Dim::Known),
        _ => Dim::Unknown,
    }
}

/// One axis of a sliding window.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WindowAxis {
    pub size: u64,
    pub stride: u64,
    pub dilation: u64,
    pub low: u64,
    pub high: u64,
}

impl WindowAxis {
    /// How many positions the window takes on an axis; none if it is larger than the axis.
    pub fn extent(&self, dim: Dim) -> Dim {
        if (self.size, self.stride, self.low, self.high) == (1, 1, 0, 0) {
            return dim;
        }
        let Some(n) = dim.known() else {
            return Dim::Unknown;
        };
        let reach = u128::from(self.size.max(1) - 1) * u128::from(self.dilation) + 1;
        let padded = u128::from(n) + u128::from(self.low) + u128::from(self.high);
        let places = match padded.checked_sub(reach) {
            Some(room) => room / u128::from(self.stride.max(1)) + 1,
            None => 0,
        };
        u64::try_from(places).map_or(Dim::Unknown, Dim::Known)
    }
}

/// A shape in a message: `[2, ?N, 3]`.
pub fn list(dims: &[Dim]) -> String {
    let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// The rank that an operand must have.
pub fn rank(op: OpView<'_>, operand: usize, rank: usize) -> OpResult<()> {
    let found = op.operand_tensor(operand).rank();
    match found == rank {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "operand {operand} of `{}` must have rank {rank}, found {found}",
            op.name()
        ))),
    }
}

/// A closed set of names that a string attribute takes.
#[macro_export]
macro_rules! named_enum {
    ($(#[$meta:meta])* $ty:ident($attr:literal) { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, Debug)]
        pub enum $ty { $($(#[$doc])* $variant),* }

        impl $ty {
            /// Every variant, in the order of their declaration.
            pub const ALL: &[$ty] = &[$($ty::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $($ty::$variant => $name),* }
            }

            /// Reads the value of the attribute.
            pub fn parse(name: &str) -> $crate::core::OpResult<$ty> {
                match name {
                    $($name => Ok($ty::$variant),)*
                    _ => Err($crate::core::OpError::new(format!(
                        "`{}` is \"{name}\", but must be one of {}",
                        $attr,
                        [$($name),*].join(", "),
                    ))),
                }
            }
        }
    };
}
