//! The inputs that mutation begins with, cut into tokens, and the words it may put in.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lepid_ir::core::Registry;
use lepid_ir::dialects;

use crate::files;
use crate::random::Random;

/// What fuzzing begins with where no file is found.
const SEED: &str = r#"// A comment.
func @main(%x: tensor<?Nx3xf32>, %p: tensor<i1>) -> (tensor<?Nx3xf32>) attributes {inputs = ["x", "p"]} {
  %c = core.constant() {value = dense<3xf32>[1.0, -2.5, 0x7fc00000]} : tensor<3xf32>
  %y = nn.relu(%x) : tensor<?Nx3xf32>
  return %y
}
"#;

/// Words that mean something to the grammar, and values at the edges of what fits.
const WORDS: &[&str] = &[
    "module",
    "func",
    "attributes",
    "return",
    "true",
    "false",
    "none",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "=",
    ":",
    ",",
    "->",
    "%x",
    "%y",
    "%0",
    "%",
    "@main",
    "@f",
    "@",
    "^b",
    "^",
    "?N",
    "?",
    "!quant.nested",
    "!",
    "tensor<f32>",
    "tensor<2x3xf32>",
    "tensor<?Nx?xf16>",
    "tensor<0xi64>",
    "tensor<1x1x1x1xbf16>",
    "tensor<",
    "tensor<99999999999999999999xf32>",
    "tensor<4294967296x4294967296xf64>",
    "tensor<-1xf32>",
    "tensor<2x3xu7>",
    "dense<2xf32>[1.0, 2.0]",
    "dense<f32>[",
    "dense<3xi1>[true, false, true]",
    "resource<2xf32>[\"w\"]",
    "f32",
    "i64",
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1e999",
    "-0.0",
    "0x7fc00000",
    "0xffffffffffffffffff",
    "nan",
    "inf",
    "1.",
    ".5",
    "1e",
    "\"\"",
    "\"a\\n\\u{1f98b}\"",
    "\"",
    "\\",
    "// comment\n",
    "\n",
    " ",
    "\t",
    "\r\n",
    "\u{0}",
    "é",
    "🦋",
    "\u{feff}",
    "value",
    "name",
    "axis",
];

/// Inputs learnt at most.
const MOST_LEARNT: usize = 1024;

/// Longer inputs cost time and show nothing new.
const LONGEST: usize = 8192;

pub(crate) struct Corpus {
    /// The first `fixed` stay, the others were learnt.
    inputs: Vec<Vec<String>>,
    fixed: usize,
    words: Vec<String>,
}

impl Corpus {
    pub(crate) fn read(folders: &[PathBuf]) -> Result<Corpus, String> {
        let mut texts = vec![SEED.to_owned()];
        for path in files::below(folders, "lir")? {
            let text = fs::read_to_string(&path);
            texts.push(text.map_err(|error| format!("cannot read {}: {error}", path.display()))?);
        }
        let inputs: Vec<_> = texts.iter().map(|text| tokens(text)).collect();
        Ok(Corpus {
            fixed: inputs.len(),
            words: words(&dialects::registry(), &inputs),
            inputs,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }

    pub(crate) fn input(&self, random: &mut Random) -> &[String] {
        random.pick::<Vec<String>>(&self.inputs)
    }

    pub(crate) fn word(&self, random: &mut Random) -> &str {
        random.pick::<String>(&self.words)
    }

    /// Keeps an input that was accepted: mutations of it get further than those of a broken one.
    pub(crate) fn learn(&mut self, input: &str, random: &mut Random) {
        if input.len() > LONGEST {
            return;
        }
        if self.inputs.len() - self.fixed < MOST_LEARNT {
            self.inputs.push(tokens(input));
        } else if random.below(8) == 0 {
            let place = self.fixed + random.below(MOST_LEARNT);
            self.inputs[place] = tokens(input);
        }
    }
}

/// The grammar's words, the ops with their attributes, and every token of the inputs.
fn words(registry: &Registry, inputs: &[Vec<String>]) -> Vec<String> {
    let mut words: BTreeSet<String> = WORDS.iter().map(|&word| word.to_owned()).collect();
    for def in registry.iter() {
        let info = def.info();
        words.insert(info.name.to_owned());
        words.extend(info.attrs.iter().map(|attr| attr.name.to_owned()));
    }
    words.extend(inputs.iter().flatten().cloned());
    words.into_iter().collect()
}

/// Cuts a text into words, runs of blanks and single other characters; joined they are the text.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let class = |c: char| match c {
        _ if c.is_alphanumeric() || "_.%@^!?#".contains(c) => 0,
        _ if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut tokens: Vec<String> = Vec::new();
    let mut last = 2;
    for character in text.chars() {
        let current = class(character);
        match tokens.last_mut() {
            Some(token) if current == last && current != 2 => token.push(character),
            _ => tokens.push(character.to_string()),
        }
        last = current;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_join_to_their_text() {
        let cut = tokens("%y = nn.relu(%x) {a = [[1,2]]}\n");
        assert_eq!(cut.concat(), "%y = nn.relu(%x) {a = [[1,2]]}\n");
        assert_eq!(&cut[..6], ["%y", " ", "=", " ", "nn.relu", "("]);
    }

    #[test]
    fn learning_is_bounded() {
        let mut corpus = Corpus::read(&[]).unwrap();
        for run in 0..2 * MOST_LEARNT {
            corpus.learn("func", &mut Random::new(0, run));
        }
        assert_eq!(corpus.len(), 1 + MOST_LEARNT);
    }
}
