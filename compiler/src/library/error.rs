//! What can go wrong, as one type.

use std::fmt;

use lepid_ir::core::{Diagnostic, Diagnostics};

use crate::driver::Session as Messages;
use crate::driver::render::{self, Style};

/// One or more diagnostics, with the texts that they point into.
///
/// ```
/// let error = lepid::Model::load("no/such/model.onnx").err().unwrap();
/// assert_eq!(error.diagnostics()[0].code.0, "E0701");
/// assert!(error.to_string().starts_with("error[E0701]: "));
/// ```
pub struct Error {
    found: Diagnostics,
    messages: Messages,
}

impl Error {
    pub(super) fn new(found: Diagnostics, messages: Messages) -> Error {
        Error { found, messages }
    }

    /// What is wrong: code, message, place, help.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.found
    }

    /// The drawing that the command line prints.
    pub fn render(&self, style: Style) -> String {
        let found = self.found.iter();
        found
            .map(|d| render::render(d, &self.messages, style))
            .collect()
    }
}

impl From<Diagnostics> for Error {
    fn from(found: Diagnostics) -> Error {
        Error::new(found, Messages::default())
    }
}

impl From<Diagnostic> for Error {
    fn from(found: Diagnostic) -> Error {
        Error::from(vec![found])
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
