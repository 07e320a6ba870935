//! What `emit` gives: named sections of bytes and the signature of the compiled function. As a
//! file it is a `*.lepid`; `format.rs` says what stands where.

mod checksum;
mod file;
mod format;
mod signature;
mod states;

use std::borrow::Cow;

use lepid_ir::core::{Bytes, Code, Diagnostic, Loc, Module, Op};

pub use file::{Provenance, Source};
pub use format::{FORMAT_VERSION, looks_like_package};
pub use signature::{Port, SampleRows, Signature};
pub(crate) use states::check_states;
pub use states::{StatePort, declare_states, withdraw_states};

/// A named part of a package.
#[derive(Clone)]
pub struct Section {
    /// Lower-case letters, digits and `-`, 24 at most.
    pub name: Cow<'static, str>,
    pub data: Bytes,
}

/// What becomes of the large constants of the module in a file.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Constants {
    /// They are written: the target runs the module.
    #[default]
    Kept,
    /// The target has its own copy in a section, so that weights are not stored twice. In a
    /// package that is read, they are zeros that take no memory.
    Packed,
}

/// A compiled function.
#[derive(Clone)]
pub struct Package {
    /// The name of the target that made it, and alone can load it.
    pub target: Cow<'static, str>,
    pub signature: Signature,
    pub sections: Vec<Section>,
    /// The module as it was emitted, for reports and for targets that run it.
    pub module: Module,
    pub constants: Constants,
    /// Where it is from; `compile` and the driver fill it in.
    pub provenance: Provenance,
}

impl Package {
    /// A package of a function, yet without sections.
    pub fn new(target: &'static str, module: &Module, func: Op) -> Package {
        Package {
            target: target.into(),
            signature: Signature::stepwise(module, func),
            sections: Vec::new(),
            module: module.clone(),
            constants: Constants::default(),
            provenance: Provenance::default(),
        }
    }

    /// The bytes of a section.
    pub fn section(&self, name: &str) -> Option<&Bytes> {
        let found = self.sections.iter().find(|s| s.name == name);
        found.map(|s| &s.data)
    }
}

/// Why a file is no package that can be used here.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is not a package of lepid")]
    Foreign,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it has version {0} of the format, this lepid reads version {FORMAT_VERSION}")]
    Version(u32),
}

impl PackageError {
    /// The message for users; `name` is the file.
    pub fn diagnostic(&self, name: &str) -> Diagnostic {
        let (code, help) = match self {
            PackageError::Read(_) => (Code::FILE, None),
            PackageError::Foreign => (
                Code::NOT_A_PACKAGE,
                Some("`lepid compile MODEL -o FILE.lepid` makes one"),
            ),
            PackageError::Damaged(_) => (
                Code::DAMAGED_PACKAGE,
                Some("copy the file again, or compile the model again"),
            ),
            PackageError::Version(_) => (
                Code::PACKAGE_VERSION,
                Some("compile the model again, or use the lepid that made the package"),
            ),
        };
        let message = format!("`{name}` cannot be used: {self}");
        let error = Diagnostic::error(code, Loc::Unknown, message);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}
