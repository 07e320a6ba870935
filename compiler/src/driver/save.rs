//! Modules and inputs as files that every command reads back.

use std::io::Write;
use std::path::Path;

use lepid_ir::core::{Diagnostic, Module, PrintOptions, Resources, Tensor, print_module};
use lepid_ir::dialects::core::Func;

use crate::driver::{arrays, files, side_file_name};
use crate::reduce::Case;

/// Writes the text of a module, and its large constants beside it.
pub fn module(path: &Path, module: &Module, print: &PrintOptions) -> Result<(), Diagnostic> {
    let mut resources = Resources::default();
    let text = print_module(module, print, &mut resources);
    let beside = side_file_name(path);
    if !resources.is_empty() {
        files::write_weights(&beside, &resources)?;
    }
    files::write_atomic(path, |file| file.write_all(text.as_bytes()))
}

/// Writes the inputs of a case as an archive.
pub fn inputs(path: &Path, case: &Case) -> Result<(), Diagnostic> {
    let names = Func::input_names(case.module.view(case.op()));
    let named: Vec<(String, Tensor)> = names.into_iter().zip(case.inputs.iter().cloned()).collect();
    arrays::write_npz(path, &named)
}
