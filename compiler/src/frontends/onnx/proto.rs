//! The messages of an ONNX file, generated from `proto/onnx.proto`.

#![allow(
    unreachable_pub,
    clippy::doc_markdown,
    clippy::enum_variant_names,
    reason = "generated code is not ours to format"
)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));

/// The values of `AttributeProto::type` that the front end tells apart.
pub(crate) mod attribute_type {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const STRING: i32 = 3;
    pub(crate) const TENSOR: i32 = 4;
    pub(crate) const GRAPH: i32 = 5;
    pub(crate) const FLOATS: i32 = 6;
    pub(crate) const INTS: i32 = 7;
    pub(crate) const STRINGS: i32 = 8;
}
