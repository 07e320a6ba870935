//! The models that mutation begins with, and the words it may put in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use lepid::frontends::onnx;

use super::notation;
use super::wire::{Data, Kind, Message};
use crate::files;
use crate::random::Random;

/// One model for each operator, and for what else the format can say.
const SEEDS: &str = include_str!("../../corpus/models.txt");

/// Larger files cost time and show nothing new.
const LARGEST_FILE: u64 = 1 << 19;

/// Models learnt at most.
const MOST_LEARNT: usize = 1024;
/// Larger ones are not learnt.
const LARGEST_LEARNT: usize = 8192;

pub(crate) struct Corpus {
    /// The first `fixed` stay, the others were learnt.
    models: Vec<Message>,
    fixed: usize,
    /// Parts of the fixed models.
    parts: BTreeMap<Kind, Vec<Message>>,
    operators: Vec<&'static str>,
    words: Vec<Vec<u8>>,
}

impl Corpus {
    /// The seeds, and every `*.onnx` below the folders that is not too large.
    pub(crate) fn read(folders: &[PathBuf]) -> Result<Corpus, String> {
        let mut models = seeds()?;
        models.extend(plain_seeds(&models));
        for path in files::below(folders, "onnx")? {
            let failed = |error| format!("cannot read {}: {error}", path.display());
            if fs::metadata(&path).map_err(failed)?.len() > LARGEST_FILE {
                continue;
            }
            let bytes = fs::read(&path).map_err(failed)?;
            models.extend(Message::decode(Kind::Model, &bytes));
        }
        let mut parts: BTreeMap<Kind, Vec<Message>> = BTreeMap::new();
        let mut words: BTreeSet<Vec<u8>> = BTreeSet::new();
        words.extend(WORDS.iter().map(|word| word.as_bytes().to_vec()));
        for model in &models {
            model.walk(&mut |_, field| match &field.data {
                Data::Message(part) => parts.entry(part.kind).or_default().push(part.clone()),
                Data::Bytes(bytes) if bytes.len() <= 40 => {
                    words.insert(bytes.clone());
                }
                Data::Bytes(_) | Data::Int(_) | Data::Ints(_) => {}
                Data::Fixed32(_) | Data::Fixed64(_) => {}
            });
        }
        let operators: Vec<&str> = onnx::operators()
            .map(|(name, _)| name.rsplit("::").next().unwrap_or(name))
            .collect();
        words.extend(operators.iter().map(|op| op.as_bytes().to_vec()));
        Ok(Corpus {
            fixed: models.len(),
            models,
            parts,
            operators,
            words: words.into_iter().collect(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.models.len()
    }

    pub(crate) fn model(&self, random: &mut Random) -> &Message {
        random.pick(&self.models)
    }

    /// A message of that kind out of some model.
    pub(crate) fn donor(&self, kind: Kind, random: &mut Random) -> Option<&Message> {
        let parts = self.parts.get(&kind)?;
        Some(random.pick(parts))
    }

    pub(crate) fn word(&self, random: &mut Random) -> &[u8] {
        random.pick::<Vec<u8>>(&self.words)
    }

    pub(crate) fn operator(&self, random: &mut Random) -> &'static str {
        random.pick::<&str>(&self.operators)
    }

    /// Keeps a model that was accepted: mutations of it get further than those of a broken one.
    pub(crate) fn learn(&mut self, bytes: &[u8], random: &mut Random) {
        if bytes.len() > LARGEST_LEARNT {
            return;
        }
        let Some(model) = Message::decode(Kind::Model, bytes) else {
            return;
        };
        if self.models.len() - self.fixed < MOST_LEARNT {
            self.models.push(model);
        } else {
            let place = self.fixed + random.below(MOST_LEARNT);
            self.models[place] = model;
        }
    }
}

/// The models that we wrote for this.
pub(crate) fn seeds() -> Result<Vec<Message>, String> {
    notation::models(SEEDS)
}

/// One use of each operator that the models do not use, on inputs that may not suit it.
fn plain_seeds(models: &[Message]) -> Vec<Message> {
    let mut used: BTreeSet<Vec<u8>> = BTreeSet::new();
    for model in models {
        model.walk(&mut |kind, field| {
            if let (Kind::Node, 4, Data::Bytes(op)) = (kind, field.number, &field.data) {
                used.insert(op.clone());
            }
        });
    }
    let unused = onnx::operators().filter(|(name, _)| {
        let plain = name.rsplit("::").next().unwrap_or(name);
        !used.contains(plain.as_bytes())
    });
    let texts = unused.flat_map(|(name, since)| {
        let version = since.max(21);
        [
            "f32[2,3]",
            "f32[2,3], f32[3,3]",
            "f32[1,2,4], =f32[4], =i64[1]{1}",
        ]
        .map(|inputs| match name.split_once("::") {
            Some((domain, _)) => format!("21 {domain}={since}: y = {name}({inputs})"),
            None => format!("{version}: y = {name}({inputs})"),
        })
    });
    texts
        .flat_map(|text| notation::models(&text).unwrap_or_default())
        .collect()
}

/// Words that mean something to operators, and some that mean nothing anywhere.
const WORDS: &[&str] = &[
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "com.microsoft",
    "NOTSET",
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "constant",
    "reflect",
    "edge",
    "wrap",
    "nearest",
    "linear",
    "cubic",
    "half_pixel",
    "align_corners",
    "bidirectional",
    "reverse",
    "ij,jk->ik",
    "...i->...",
    "weights.bin",
    "./weights.bin",
    "a/../weights.bin",
    "/dev/zero",
    "location",
    "offset",
    "length",
    "18446744073709551615",
    "-1",
    "axis",
    "axes",
    "é🦋\u{feff}",
    "a\nb\0c",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_used() {
        let corpus = Corpus::read(&[]).unwrap();
        assert!(plain_seeds(&corpus.models).is_empty());
    }

    #[test]
    fn learning_is_bounded() {
        let mut corpus = Corpus::read(&[]).unwrap();
        let before = corpus.len();
        let bytes = Message::new(Kind::Model).encode();
        for run in 0..2 * MOST_LEARNT {
            corpus.learn(&bytes, &mut Random::new(0, run));
        }
        assert_eq!(corpus.len(), before + MOST_LEARNT);
    }
}
