//! Builds `lepid-cpu-runtime` as a static library, with cargo and the compiler that run this.
//!
//! One target folder serves all profiles and is kept between builds, so that this is done again only
//! if its sources change. Crates come from where the outer build has them.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the library is made of, from the folder of this crate.
const SOURCES: &[&str] = &[
    "../../../Cargo.lock",
    "../../../Cargo.toml",
    "../../../ir/Cargo.toml",
    "../../../ir/src",
    "../runtime",
    "../src",
    "../ukernels/Cargo.toml",
    "../ukernels/src",
];

fn main() -> Result<(), Box<dyn Error>> {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let target = variable("TARGET")?;
    // Optimised as a whole it is a tenth as large, but takes a while.
    let profile = match variable("PROFILE")?.as_str() {
        "release" => "runtime",
        _ => "runtime-dev",
    };
    let out = PathBuf::from(variable("OUT_DIR")?);
    let folder = shared_folder(&out)?;
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../..");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["rustc", "--package", "lepid-cpu-runtime", "--lib"])
        .args(["--crate-type", "staticlib", "--offline", "--locked"])
        .args(["--profile", profile, "--target", &target])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        // Flags for the outer build (another processor, a sanitizer) must not reach users' programs.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the run time of compiled programs does not build ({status})").into());
    }
    let built = folder
        .join(&target)
        .join(profile)
        .join("liblepid_cpu_runtime.a");
    let archive = out.join("liblepid_runtime.a");
    fs::copy(&built, &archive).map_err(|error| format!("{}: {error}", built.display()))?;
    // Half of it tells debuggers about Rust's own library. Without the tool it stays larger.
    let _ = Command::new("strip")
        .arg("--strip-debug")
        .arg(&archive)
        .status();
    Ok(())
}

/// A folder under the outer build's: `OUT_DIR` is `TARGET_DIR/PROFILE/build/CRATE/out`.
fn shared_folder(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target_dir = out.ancestors().nth(4);
    let target_dir = target_dir.ok_or("OUT_DIR is not where cargo puts it")?;
    Ok(target_dir.join("cpu-runtime"))
}
