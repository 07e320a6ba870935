//! Libraries for programs in C: the files beside them, and how to link.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc};
use lepid_target_api::Package;

use crate::driver::files;

/// What symbols and files of a library are called, from the name of a file: an identifier of C.
pub(super) fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let stem = match stem.strip_prefix("lib") {
        Some(rest) if !rest.is_empty() => rest,
        _ => &stem,
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = stem.chars().map(plain).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        true => format!("_{name}"),
        false => name,
    }
}

/// The part of a package that a target may lack.
pub(super) fn part<'p>(package: &'p Package, name: &str) -> Result<&'p [u8], Diagnostics> {
    match package.section(name) {
        Some(data) => Ok(data.as_slice()),
        None => {
            let message = format!("target `{}` gives no `{name}`", package.target);
            let error = Diagnostic::error(Code::EMIT_FAILED, Loc::Unknown, message);
            Err(vec![error.with_help(
                "`--emit package` and `--emit ir` work for every target",
            )])
        }
    }
}

/// The libraries of the system that a program needs besides.
pub(super) fn system_libraries(package: &Package) -> Result<String, Diagnostics> {
    let libraries = part(package, "system-libs")?;
    Ok(String::from_utf8_lossy(libraries).into_owned())
}

/// A path as a word for a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Writes `NAME.h` and `NAME.pc` beside a library; gives their paths.
pub(super) fn write_companions(
    package: &Package,
    library: &Path,
    name: &str,
    private: bool,
) -> Result<[PathBuf; 2], Diagnostics> {
    let header = library.with_file_name(format!("{name}.h"));
    let text = part(package, "header")?;
    write(&header, text)?;
    let config = library.with_file_name(format!("{name}.pc"));
    let libraries = system_libraries(package)?;
    // A shared library brings its own.
    let (public, inner) = match private {
        true => (String::new(), format!("Libs.private: {libraries}\n")),
        false => (format!(" {libraries}"), String::new()),
    };
    let version = &package.provenance.lepid;
    let file = library.file_name().unwrap_or_default().to_string_lossy();
    let text = format!(
        "# Found through PKG_CONFIG_PATH in any folder that it lies in with its library.\n\
         Name: {name}\n\
         Description: a model compiled by lepid\n\
         Version: {version}\n\
         Cflags: -I${{pcfiledir}}\n\
         Libs: ${{pcfiledir}}/{file}{public}\n{inner}"
    );
    write(&config, text.as_bytes())?;
    Ok([header, config])
}

/// Writes a file whole.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Diagnostics> {
    files::write_atomic(path, |file| file.write_all(bytes)).map_err(|error| vec![error])
}

/// Links a shared library with the C compiler.
pub(super) fn shared(package: &Package, output: &Path, name: &str) -> Result<(), Diagnostics> {
    let archive = part(package, "static-lib")?;
    let libraries = system_libraries(package)?;
    let folder = Scratch::beside(output)?;
    let (library, exports, made) = (
        folder.0.join("program.a"),
        folder.0.join("exports"),
        folder.0.join("made.so"),
    );
    write(&library, archive)?;
    let script = format!("{{ global: lepid_*; {name}_program; local: *; }};\n");
    write(&exports, script.as_bytes())?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let mut words = compiler.split_whitespace();
    let mut cc = Command::new(words.next().unwrap_or("cc"));
    cc.args(words).arg("-shared").arg("-o").arg(&made);
    if cfg!(target_os = "linux") {
        let file = output.file_name().unwrap_or_default().to_string_lossy();
        cc.arg(format!("-Wl,-soname,{file}"))
            .arg(format!("-Wl,--version-script={}", exports.display()))
            .args(["-Wl,--gc-sections", "-Wl,--whole-archive"])
            .arg(&library)
            .arg("-Wl,--no-whole-archive");
    } else {
        cc.arg("-Wl,-force_load").arg(&library);
    }
    cc.args(libraries.split_whitespace());
    let failed = |what: String| Diagnostic::error(Code::LINKER, Loc::Unknown, what);
    let done = cc.output().map_err(|error| {
        let error = failed(format!("`{compiler}` cannot be run: {error}"));
        vec![error.with_help("install a C compiler, or name one with the variable `CC`")]
    })?;
    if !done.status.success() {
        let error = failed(format!(
            "`{compiler}` does not link the library ({})",
            done.status
        ));
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.trim();
        return Err(vec![match said.is_empty() {
            true => error,
            false => error.with_note(said),
        }]);
    }
    fs::rename(&made, output).map_err(|error| vec![files::cannot_write(output, error)])
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    /// In the folder of the output, where a rename is one step.
    fn beside(output: &Path) -> Result<Scratch, Diagnostics> {
        let file = output.file_name().unwrap_or_default().to_string_lossy();
        let folder = output.with_file_name(format!(".{file}.{}.parts", std::process::id()));
        files::make_folder(output).map_err(|error| vec![error])?;
        fs::create_dir(&folder).map_err(|error| vec![files::cannot_write(&folder, error)])?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed does no harm, and there is no one to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words() {
        assert_eq!(quoted(Path::new("out/libnet.a")), "out/libnet.a");
        assert_eq!(quoted(Path::new("my net.o")), "'my net.o'");
        assert_eq!(quoted(Path::new("it's.o")), "'it'\\''s.o'");
    }

    #[test]
    fn names_come_from_files() {
        let cases = [
            ("out/libnet.a", "net"),
            ("my-model.v2.o", "my_model_v2"),
            ("3d.so", "_3d"),
            ("lib.a", "lib"),
            ("", "_"),
        ];
        for (file, name) in cases {
            assert_eq!(name_of(Path::new(file)), name);
        }
    }
}
