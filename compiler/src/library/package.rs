//! Packages: compiled models, in memory or as files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lepid_target_api::{Provenance, Signature};

use super::{Error, Program};
use crate::driver::{Driver, files};

/// A compiled model.
///
/// As a file it is a `*.lepid`: one file that is mapped, not read, and checked against its checksums.
/// The same model and the same options give the same bytes, on any machine and in any folder, if
/// [`CompileOptions::portable`](super::CompileOptions::portable) is set.
///
/// ```
/// # fn main() -> Result<(), lepid::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
/// # let folder = std::env::temp_dir().join(format!("lepid-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let file = folder.join("digits.lepid");
/// let options = lepid::CompileOptions::default().dim("N", 1).portable();
/// let package = lepid::Model::load(path)?.compile(&options)?;
/// package.save(&file)?;
/// let again = lepid::Package::open(&file)?;
/// assert_eq!(again.signature(), package.signature());
/// assert_eq!(again.provenance().sources[0].role, "model");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Package {
    driver: Arc<Driver>,
    inner: lepid_target_api::Package,
}

impl Package {
    pub(super) fn new(driver: Arc<Driver>, inner: lepid_target_api::Package) -> Package {
        Package { driver, inner }
    }

    /// Maps a package. The file must not be changed in place while anything of it is in use.
    pub fn open(path: impl AsRef<Path>) -> Result<Package, Error> {
        Package::open_with(&Arc::new(Driver::new()), path)
    }

    /// The same with other targets.
    pub fn open_with(driver: &Arc<Driver>, path: impl AsRef<Path>) -> Result<Package, Error> {
        let inner = driver.open_package(path.as_ref())?;
        Ok(Package::new(driver.clone(), inner))
    }

    /// Writes the package: to a temporary name first, then renamed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let write = |file: &mut _| self.inner.write(file);
        Ok(files::write_atomic(path.as_ref(), write)?)
    }

    /// Makes the package ready to run.
    pub fn program(&self) -> Result<Program, Error> {
        Program::load(self)
    }

    pub fn signature(&self) -> &Signature {
        &self.inner.signature
    }

    /// The name of the target that it was compiled for.
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// What it was made from, and how.
    pub fn provenance(&self) -> &Provenance {
        &self.inner.provenance
    }

    pub(super) fn parts(&self) -> (&Driver, &lepid_target_api::Package) {
        (&self.driver, &self.inner)
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("target", &self.inner.target)
            .field("signature", &self.inner.signature)
            .finish_non_exhaustive()
    }
}
