//! The files that a new thing touches: all are made up first, then written, so that a mistake leaves nothing half done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{self, Result};

#[derive(Default)]
pub(super) struct Plan {
    files: BTreeMap<PathBuf, String>,
}

impl Plan {
    /// A file as it will be.
    pub(super) fn read(&self, path: &Path) -> Result<String> {
        if let Some(text) = self.files.get(path) {
            return Ok(text.clone());
        }
        fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", workspace::relative(path)))
    }

    pub(super) fn write(&mut self, path: PathBuf, text: String) {
        self.files.insert(path, text);
    }

    /// Writes the files and lets rustfmt lay them out.
    pub(super) fn carry_out(&self) -> Result<()> {
        for (path, text) in &self.files {
            let what = if path.exists() { "changed" } else { "new" };
            let failed = |error| format!("cannot write {}: {error}", workspace::relative(path));
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            fs::write(path, text).map_err(failed)?;
            println!("{what:8} {}", workspace::relative(path));
        }
        let sources = self
            .files
            .keys()
            .filter(|path| path.extension().is_some_and(|e| e == "rs"));
        let mut rustfmt = Command::new("rustfmt");
        workspace::run(rustfmt.args(["--edition", "2024"]).args(sources))
    }
}
