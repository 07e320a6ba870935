//! Generates the parser of the text form from `src/text/grammar.lalrpop`.

#[cfg(feature = "text")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    lalrpop::Configuration::new()
        .emit_rerun_directives(true)
        .set_in_dir("src")
        .process()
}

#[cfg(not(feature = "text"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
