//! What an op is: its shape as a table ([`OpInfo`]) and its meaning as a trait ([`OpDef`]).

use std::fmt;

use crate::core::{
    Attr, AttrKind, Block, Builder, Code, Diagnostic, Loc, Op, OpView, Symbol, Tensor, Type,
    TypeKind, Value,
};

/// Facts about an op that hold for each use of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trait {
    /// No effect but its results, which depend on operands and attributes alone.
    Pure,
    /// Result and operands have one shape; element i depends on elements i alone.
    Elementwise,
    /// The two operands may be swapped.
    Commutative,
    /// Ends a block; its operands are what the block gives.
    Terminator,
    /// Regions see no values from outside.
    Isolated,
    /// The first attribute is the tensor that is the result.
    Constant,
}

/// A rule for the type of an operand.
pub struct TypeRule {
    /// What is expected, as in a message: "a float tensor".
    pub expected: &'static str,
    pub admits: fn(Type) -> bool,
}

/// The type rules that `op!` names.
pub mod rule {
    use super::*;

    fn tensor_of(ty: Type, ok: fn(crate::core::Elem) -> bool) -> bool {
        matches!(ty.kind(), TypeKind::Tensor(t) if ok(t.elem))
    }

    macro_rules! rules {
        ($($(#[$doc:meta])* $name:ident = $expected:literal, $admits:expr;)*) => {$(
            $(#[$doc])*
            pub static $name: TypeRule = TypeRule { expected: $expected, admits: $admits };
        )*};
    }
    rules! {
        /// Any type of any dialect.
        ANY = "any type", |_| true;
        TENSOR = "a tensor", |ty| tensor_of(ty, |_| true);
        FLOAT_TENSOR = "a float tensor", |ty| tensor_of(ty, |e| e.is_float());
        INT_TENSOR = "an integer tensor", |ty| tensor_of(ty, |e| e.is_int());
        /// Floats and integers, not truth values.
        NUM_TENSOR = "a tensor of numbers", |ty| tensor_of(ty, |e| e.is_float() || e.is_int());
        SIGNED_TENSOR = "a tensor of signed numbers", |ty| tensor_of(ty, |e| e.is_float() || e.is_signed_int());
        BOOL_TENSOR = "a tensor of i1", |ty| tensor_of(ty, |e| e == crate::core::Elem::Bool);
        /// Integers and truth values.
        BITS_TENSOR = "a tensor of integers or i1", |ty| tensor_of(ty, |e| !e.is_float());
        /// Indices and extents.
        I64_TENSOR = "a tensor of i64", |ty| tensor_of(ty, |e| e == crate::core::Elem::I64);
        /// 32- or 64-bit indices.
        INDEX_TENSOR = "a tensor of i32 or i64", |ty| {
            tensor_of(ty, |e| matches!(e, crate::core::Elem::I64 | crate::core::Elem::I32))
        };
    }
}

/// One declared operand.
pub struct OperandInfo {
    pub name: &'static str,
    pub rule: &'static TypeRule,
}

/// One declared attribute. Without a default it is required.
pub struct AttrInfo {
    pub name: &'static str,
    pub kind: AttrKind,
    pub default: Option<fn() -> Attr>,
}

/// The declared results: fixed names, and the name of a variadic tail.
pub struct ResultInfo {
    pub fixed: &'static [&'static str],
    pub rest: Option<&'static str>,
}

/// The shape of an op, as `op!` declares it.
pub struct OpInfo {
    /// `dialect.name`.
    pub name: &'static str,
    /// The doc comment; its first sentence gives the formula and the limits.
    pub doc: &'static str,
    pub operands: &'static [OperandInfo],
    /// Zero or more further operands.
    pub rest: Option<OperandInfo>,
    pub attrs: &'static [AttrInfo],
    pub results: ResultInfo,
    pub regions: &'static [&'static str],
    /// Zero or more further regions.
    pub rest_regions: Option<&'static str>,
    pub traits: &'static [Trait],
}

impl OpInfo {
    pub fn has(&self, t: Trait) -> bool {
        self.traits.contains(&t)
    }

    pub fn dialect(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(dialect, _)| dialect)
    }

    pub fn attr_index(&self, name: &str) -> Option<usize> {
        self.attrs.iter().position(|a| a.name == name)
    }
}

/// A broken rule, found while an op is built, verified, evaluated or expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpError {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
}

pub type OpResult<T> = Result<T, OpError>;

impl OpError {
    /// A rule of the op is broken.
    pub fn new(message: impl Into<String>) -> OpError {
        OpError::with_code(Code::OP_RULE, message)
    }

    pub fn with_code(code: Code, message: impl Into<String>) -> OpError {
        OpError {
            code,
            message: message.into(),
            help: None,
        }
    }

    pub fn help(mut self, help: impl Into<String>) -> OpError {
        self.help = Some(help.into());
        self
    }

    pub fn at(self, loc: Loc) -> Diagnostic {
        Diagnostic {
            help: self.help,
            ..Diagnostic::error(self.code, loc, self.message)
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// An estimate of work, before any target refines it. Unknown extents count as 1.
#[derive(Copy, Clone, Default, PartialEq, Debug)]
pub struct Cost {
    /// Arithmetic operations; a multiply-add counts as two.
    pub flops: f64,
    /// Bytes read and written, each operand and result once.
    pub bytes: f64,
}

impl Cost {
    /// `flops_per_element` operations for each element of the first result.
    pub fn per_element(op: OpView<'_>, flops_per_element: u64) -> Cost {
        Cost::of(op, op.result_elements(0) * flops_per_element as f64)
    }

    /// `flops` operations, and the bytes of all operands and results.
    pub fn of(op: OpView<'_>, flops: f64) -> Cost {
        Cost {
            flops,
            bytes: op.operand_bytes() + op.result_bytes(),
        }
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Runs blocks for the `eval` of an op with regions.
pub trait RunBlock {
    /// Runs a block on arguments; gives the values of its terminator's operands.
    fn run_block(&mut self, block: Block, args: Vec<Tensor>) -> OpResult<Vec<Tensor>>;

    /// The extent of that name in this run of the function, if one is bound to it.
    fn extent(&self, _name: Symbol) -> Option<u64> {
        None
    }
}

/// What `eval` may use beside its operands.
pub struct EvalCx<'a> {
    pub blocks: &'a mut dyn RunBlock,
}

/// The meaning of an op. Only `info` and `infer` are required.
pub trait OpDef: Send + Sync {
    fn info(&self) -> &'static OpInfo;

    /// The types of the results, from operand types, attributes and regions.
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>>;

    /// Rules that neither the declared shape nor `infer` can say.
    fn verify(&self, _op: OpView<'_>) -> OpResult<()> {
        Ok(())
    }

    /// The reference meaning: the values of the results.
    fn eval(
        &self,
        op: OpView<'_>,
        _operands: &[Tensor],
        _cx: &mut EvalCx<'_>,
    ) -> OpResult<Vec<Tensor>> {
        Err(OpError::with_code(
            Code::RUN_FAILED,
            format!("`{}` has no reference evaluation", op.name()),
        ))
    }

    /// Builds the same values from simpler ops at the builder's point, just before `op`.
    /// `None`: the op is primitive, or this use of it cannot be expanded.
    fn decompose(&self, _b: &mut Builder<'_>, _op: Op) -> OpResult<Option<Vec<Value>>> {
        Ok(None)
    }

    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, 0.0)
    }
}

/// Stops on a broken invariant of the compiler. The driver asks the user to report it.
#[macro_export]
macro_rules! bug {
    ($($arg:tt)*) => {
        panic!("internal error: {}", format_args!($($arg)*))
    };
}
