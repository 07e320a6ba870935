//! Generates the ONNX messages from `proto/onnx.proto`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/onnx.proto");
    let files = protox::compile(["proto/onnx.proto"], ["proto"])?;
    prost_build::Config::new()
        // Weights stay slices of the mapped file.
        .bytes(["."])
        .compile_fds(files)?;
    Ok(())
}
