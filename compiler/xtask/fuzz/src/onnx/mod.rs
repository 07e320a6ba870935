//! The ONNX front end: a file, however damaged, gives a valid module or diagnostics.

mod corpus;
mod mutate;
mod notation;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use lepid::frontends::onnx::{self, ImportOptions};
use lepid_ir::core::{Bytes, Code, Diagnostics, Limits, Module, Registry, verify};
use lepid_ir::dialects;
use lepid_passes::core::{PassEnv, PassManager, PassRegistry, Pipeline, Silent};
use lepid_target_api::check_values;

use crate::random::Random;
use crate::subject::{Subject, Verdict};
use corpus::Corpus;
use wire::{Kind, Message};

/// What every target begins with.
const PIPELINE: &str = "refine,canonicalize,fold,cse,dead-ops";

/// Modules up to this many ops go through the pipeline.
const MOST_OPS: usize = 4000;

pub(crate) struct Onnx {
    corpus: Corpus,
    ops: Registry,
    passes: PassRegistry,
    /// Where the data file lies that models may name.
    folder: PathBuf,
}

impl Onnx {
    pub(crate) fn new(folders: &[PathBuf], out: &Path) -> Result<Onnx, String> {
        let folder = out.join("external");
        let data: Vec<u8> = (0..64).collect();
        let written =
            fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("weights.bin"), data));
        written.map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
        Ok(Onnx {
            corpus: Corpus::read(folders)?,
            ops: dialects::registry(),
            passes: lepid_passes::registry(),
            folder,
        })
    }

    fn optimise(&self, module: &mut Module) -> Result<(), String> {
        let told = |what: &str, found: &Diagnostics| {
            let first = found.first().map(|d| d.message.as_str());
            format!("{what}: {}", first.unwrap_or_default())
        };
        let pipeline = Pipeline::parse(PIPELINE, &self.passes, &[]);
        let pipeline = pipeline.map_err(|found| told("the pipeline is wrong", &found))?;
        let env = PassEnv::generic(&self.ops);
        let mut manager = PassManager {
            env: &env,
            verify_each: true,
            observer: &mut Silent,
        };
        let report = manager.run(module, &pipeline);
        report.map(drop).map_err(|found| {
            let note = found.first().and_then(|d| d.notes.first());
            let note = note.map_or("a pass fails", String::as_str);
            told(note, &found)
        })
    }
}

impl Subject for Onnx {
    const NAME: &'static str = "onnx";
    const EXTENSION: &'static str = "onnx";
    const CHUNK: usize = 16_384;

    fn seeds(&self) -> usize {
        self.corpus.len()
    }

    fn make(&self, random: &mut Random) -> Vec<u8> {
        mutate::mutate(&self.corpus, random)
    }

    fn examine(&self, input: &[u8]) -> Verdict {
        let bytes = Bytes::from_vec(input.to_vec());
        let options = ImportOptions::default();
        let imported = onnx::import_bytes("input.onnx", bytes, Some(&self.folder), &options);
        let mut module = match imported {
            Ok((module, _)) => module,
            Err(found) => {
                return match found.iter().find(|d| d.is_error()) {
                    Some(error) => Verdict::Rejected(error.code.to_string()),
                    None => Verdict::Failed("refused without an error".to_owned()),
                };
            }
        };
        if let Some(problem) = verify(&module).first() {
            return Verdict::Failed(format!("is not valid once imported: {}", problem.message));
        }
        // As the compiler does before its first pass.
        if check_values(&module, Limits::default()).is_err() {
            return Verdict::Rejected(Code::LIMIT.to_string());
        }
        if module.op_count() > MOST_OPS {
            return Verdict::Accepted;
        }
        match self.optimise(&mut module) {
            Ok(()) => Verdict::Accepted,
            Err(reason) => Verdict::Failed(reason),
        }
    }

    fn learn(&mut self, input: &[u8], random: &mut Random) {
        self.corpus.learn(input, random);
    }

    fn smaller(&self, input: &[u8]) -> Vec<Vec<u8>> {
        let Some(model) = Message::decode(Kind::Model, input) else {
            return shorter(input);
        };
        (0..model.count())
            .map(|n| {
                let mut less = model.clone();
                if let Some((parent, index)) = less.nth(n) {
                    parent.fields.remove(index);
                }
                less.encode()
            })
            .collect()
    }
}

/// Bytes with a run of them left out.
fn shorter(input: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut length = input.len() / 2;
    while length > 0 {
        for start in (0..input.len()).step_by(length) {
            let end = (start + length).min(input.len());
            all.push([&input[..start], &input[end..]].concat());
        }
        length /= 2;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds that are refused, since what they use is not supported; all others are imported.
    #[test]
    fn most_seeds_are_imported() {
        let folder = tempfile::tempdir().unwrap();
        let onnx = Onnx::new(&[], folder.path()).unwrap();
        let mut refused = Vec::new();
        let mut count = 0;
        for seed in corpus::seeds().unwrap() {
            count += 1;
            let bytes = Bytes::from_vec(seed.encode());
            let imported =
                onnx::import_bytes("seed", bytes, Some(&onnx.folder), &ImportOptions::default());
            if let Err(found) = imported {
                refused.push(found[0].message.clone());
            }
        }
        assert!(
            refused.len() * 15 <= count,
            "{} of {count} are refused:\n{}",
            refused.len(),
            refused.join("\n")
        );
    }
}
