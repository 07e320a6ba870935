//! Files as a whole: read with a diagnostic, written atomically.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lepid_ir::core::{Code, Diagnostic, Loc, Resources};
use lepid_ir::text;

/// The error for a file that cannot be read.
pub fn cannot_read(path: &Path, reason: impl std::fmt::Display) -> Diagnostic {
    let message = format!("`{}` cannot be read: {reason}", path.display());
    Diagnostic::error(Code::FILE, Loc::Unknown, message)
}

/// The error for a file that cannot be written.
pub fn cannot_write(path: &Path, reason: impl std::fmt::Display) -> Diagnostic {
    let message = format!("`{}` cannot be written: {reason}", path.display());
    Diagnostic::error(Code::FILE, Loc::Unknown, message)
}

/// The error for a file that is to be written where it is read from.
pub fn cannot_overwrite(path: &Path, read: &Path) -> Diagnostic {
    let error = cannot_write(path, format!("it is read as `{}`", read.display()));
    error.with_help("name another file")
}

/// Whether two paths lead to one file.
pub fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
        matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        let place = |path: &Path| path.canonicalize();
        matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
    }
}

/// Makes the folder of a file, if there is none.
pub fn make_folder(path: &Path) -> Result<(), Diagnostic> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            fs::create_dir_all(folder).map_err(|error| cannot_write(path, error))
        }
        _ => Ok(()),
    }
}

/// Writes the side file of a text.
pub fn write_weights(path: &Path, resources: &Resources) -> Result<(), Diagnostic> {
    make_folder(path)?;
    text::write_weights(path, resources).map_err(|error| cannot_write(path, error))
}

/// Writes a file under a temporary name and renames it, so that no half of it is ever seen. Makes
/// its folder.
pub fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Diagnostic> {
    make_folder(path)?;
    let unfinished = unfinished_name(path);
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&unfinished)?);
        fill(&mut file)?;
        file.flush()?;
        drop(file);
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| {
        // The first error is the one to report; there may be nothing to remove.
        let _ = fs::remove_file(&unfinished);
        cannot_write(path, error)
    })
}

/// `.NAME.PID.COUNT.part` in the same folder, where a rename is one step. No two writes share one.
fn unfinished_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    name.push(format!(".{process}.{count}.part"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        write_atomic(&path, |f| f.write_all(b"old")).unwrap();
        let failed = write_atomic(&path, |f| {
            f.write_all(b"new")?;
            Err(io::Error::other("disk on fire"))
        });
        assert!(failed.unwrap_err().message.contains("disk on fire"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
