//! The public face of the IR: ids, types, attributes, op definitions, modules, builder, verifier,
//! printer and diagnostics.

pub(crate) mod attr;
mod builder;
mod bytes;
mod codes;
mod diagnostic;
mod entity;
mod intern;
mod limits;
mod loc;
mod module;
mod op_def;
mod op_macro;
mod print;
mod registry;
mod same;
mod tensor;
mod types;
pub(crate) mod verify;
mod view;

pub use attr::{Attr, AttrKind, AttrType, kind};
pub use builder::{Builder, InsertPoint};
pub use bytes::Bytes;
pub use codes::{CODES, Code, CodeInfo};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use entity::{Block, Op, Region, Value};
pub use intern::Symbol;
pub use limits::{LimitInfo, Limits, parse_limit};
pub use loc::{Loc, Span};
pub use module::{Module, Use, ValueDef};
pub use op_def::{
    AttrInfo, Cost, EvalCx, OpDef, OpError, OpInfo, OpResult, OperandInfo, ResultInfo, RunBlock,
    Trait, TypeRule, rule,
};
pub use print::{PrintOptions, Resources, ValueNames, print_module, print_op};
pub use registry::{Registry, nearest};
pub use same::same_modules;
pub use tensor::{Native, Num, Shape, Tensor};
pub use types::{Dim, Elem, ExtType, TensorType, Type, TypeKind, TypeParseError};
pub use verify::verify;
pub use view::OpView;
