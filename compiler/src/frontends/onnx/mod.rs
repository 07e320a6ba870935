//! The ONNX front end: a model file becomes a module of `nn` and `tensor` ops.
//!
//! [`import()`] maps the file, decodes the messages without copying weights, puts the nodes in an
//! order in which they can be computed, and lowers each through the tables of `ops`. Types come
//! from our own inference alone: what the file says of inner values is not read. Small constants
//! are folded at once (`fold`) and shape vectors are followed through their arithmetic, so that
//! shapes are static, or static but for named dimensions, wherever the model allows it.
//!
//! Absent on purpose: values of unknown rank, strings, maps, sparse tensors. They are diagnostics.

mod cx;
mod files;
mod fold;
mod function;
mod graph;
mod import;
mod inputs;
mod ops;
mod order;
mod proto;
mod statics;
mod weights;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use lepid_ir::core::{
    Bytes, Code, Diagnostic, Diagnostics, Dim, Limits, Loc, Module, Symbol, Tensor,
};
use prost::Message;

pub(crate) use files::external_files;

/// What the user says about a model beside its file.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Shapes of inputs by name; each replaces the one in the file.
    pub shapes: BTreeMap<String, Vec<Dim>>,
    /// Numbers for named dimensions.
    pub dims: BTreeMap<String, u64>,
    /// Values for inputs that never change, such as axes: they become constants.
    pub constants: BTreeMap<String, Constant>,
    /// Values that inputs have in the coming run. Those that decide shapes become constants, since
    /// code is made for shapes; the attribute `constants` of `main` names all that have.
    pub arguments: BTreeMap<String, Tensor>,
    pub limits: Limits,
}

/// A value for an input.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// Of the input's own type.
    Tensor(Tensor),
    /// Numbers as users type them: they take the element type of the input.
    Numbers(Tensor),
}

/// Reads a tensor from the bytes of a `TensorProto`.
pub fn read_tensor(bytes: Vec<u8>) -> Result<Tensor, String> {
    let proto = proto::TensorProto::decode(bytes::Bytes::from(bytes))
        .map_err(|error| format!("it is no tensor of ONNX, or it is damaged ({error})"))?;
    let mut weights = weights::Weights::new(None, None);
    weights.tensor(&proto).map_err(|error| error.message)
}

/// Reads a model. Gives the module, whose function is `main`, with the warnings, or all errors.
pub fn import(path: &Path, options: &ImportOptions) -> Result<(Module, Diagnostics), Diagnostics> {
    let name = path.display().to_string();
    let bytes = Bytes::map_file(path).map_err(|e| {
        let message = format!("`{name}` cannot be read: {e}");
        let place = Loc::Name(Symbol::new(&name));
        vec![Diagnostic::error(Code::FILE, place, message)]
    })?;
    let mut result = import_bytes(&name, bytes, Some(folder_of(path)), options);
    if let Ok((module, _)) = &mut result {
        module.name = path.file_stem().map(|s| Symbol::new(&s.to_string_lossy()));
    }
    result
}

/// Reads a model that is in memory. `name` is what messages call it; external data lies in
/// `folder`, and is refused without one.
pub fn import_bytes(
    name: &str,
    bytes: Bytes,
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Result<(Module, Diagnostics), Diagnostics> {
    let model =
        proto::ModelProto::decode(bytes::Bytes::from_owner(bytes.clone())).map_err(|e| {
            let message = format!("`{name}` is not an ONNX model, or it is damaged");
            let place = Loc::Name(Symbol::new(name));
            vec![Diagnostic::error(Code::MODEL_FILE, place, message).with_note(e.to_string())]
        })?;
    import::import_model(&model, &bytes, folder, options)
}

/// The operators that are read, each with the first version of its operator set that is: `Relu`,
/// and `com.microsoft::BiasGelu` outside of the default domain.
pub fn operators() -> impl Iterator<Item = (&'static str, i64)> {
    ops::all()
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
