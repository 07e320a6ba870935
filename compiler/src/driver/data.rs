//! The inputs of a run: from files by name, or random by a seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Dim, Elem, Limits, Loc, Num, Tensor};
use lepid_ir::interp::random::Random;
use lepid_target_api::Signature;
use serde_json::Value;

use crate::driver::arrays;
use crate::frontends::onnx::Constant;

/// Where arrays are: inputs or outputs, in files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// One array under a name.
    File { name: String, path: PathBuf },
    /// All arrays of an archive, by their names.
    Archive(PathBuf),
}

impl Place {
    pub fn path(&self) -> &Path {
        match self {
            Place::File { path, .. } | Place::Archive(path) => path,
        }
    }
}

/// Reads what outputs are compared with: `FILE.npz` is one more way to write `@FILE.npz`.
pub fn parse_reference(text: &str) -> Result<Place, String> {
    match text.ends_with(".npz") && !text.starts_with('@') {
        true => Ok(Place::Archive(PathBuf::from(text))),
        false => parse_place(text),
    }
}

/// Reads `NAME=FILE.npy`, `NAME=FILE.pb` or `@FILE.npz`.
pub fn parse_place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix('@') {
        return Ok(Place::Archive(PathBuf::from(path)));
    }
    // Names may hold a `=`; paths seldom do.
    match text.rsplit_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok(Place::File {
            name: name.to_string(),
            path: PathBuf::from(path),
        }),
        _ => Err("expected `NAME=FILE.npy` or `@FILE.npz`".to_string()),
    }
}

/// Where the value of a constant input is.
#[derive(Clone, PartialEq, Debug)]
pub enum ConstantPlace {
    File(PathBuf),
    Numbers(Tensor),
}

impl ConstantPlace {
    pub fn read(&self) -> Result<Constant, Diagnostic> {
        match self {
            ConstantPlace::File(path) => arrays::read(path).map(Constant::Tensor),
            ConstantPlace::Numbers(numbers) => Ok(Constant::Numbers(numbers.clone())),
        }
    }
}

/// Reads `NAME=[1,2]`, `NAME=3` or `NAME=FILE.npy`.
pub fn parse_constant(text: &str) -> Result<(String, ConstantPlace), String> {
    let expected = || "expected `NAME=[1,2]`, `NAME=FILE.npy` or `NAME=FILE.pb`".to_string();
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    if name.is_empty() || value.is_empty() {
        return Err(expected());
    }
    let place = match serde_json::from_str::<Value>(value) {
        Ok(json) => ConstantPlace::Numbers(numbers(&json)?),
        Err(_) if value.starts_with('[') => return Err(format!("`{value}` is no list of numbers")),
        Err(_) => ConstantPlace::File(PathBuf::from(value)),
    };
    Ok((name.to_string(), place))
}

/// A number, or lists of lists of numbers that are equally long.
fn numbers(json: &Value) -> Result<Tensor, String> {
    let mut shape = Vec::new();
    let mut inner = json;
    while let Value::Array(items) = inner {
        shape.push(items.len());
        match items.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let mut all = Vec::new();
    flatten(json, &shape, &mut all)?;
    let whole = |n: &Num| matches!(n, Num::Int(_));
    let elem = match all.iter().all(whole) {
        true => Elem::I64,
        false => Elem::F64,
    };
    Ok(Tensor::from_nums(elem, shape, all))
}

fn flatten(json: &Value, shape: &[usize], out: &mut Vec<Num>) -> Result<(), String> {
    match (json, shape) {
        (Value::Array(items), [count, rest @ ..]) if items.len() == *count => {
            items.iter().try_for_each(|item| flatten(item, rest, out))
        }
        (Value::Bool(truth), []) => {
            out.push(Num::Int(i128::from(*truth)));
            Ok(())
        }
        (Value::Number(number), []) => {
            let float = Num::Float(number.as_f64().unwrap_or(f64::NAN));
            let whole = number.as_i64().map(|n| Num::Int(i128::from(n)));
            out.push(whole.unwrap_or(float));
            Ok(())
        }
        _ => Err("expected a number, or lists of numbers that are equally long".to_string()),
    }
}

/// What the places of inputs give, before it is known which inputs there are.
#[derive(Default)]
pub struct Given {
    named: BTreeMap<String, Tensor>,
    archives: Vec<Archive>,
}

struct Archive {
    path: PathBuf,
    arrays: Vec<(String, Tensor)>,
}

impl From<BTreeMap<String, Tensor>> for Given {
    fn from(named: BTreeMap<String, Tensor>) -> Given {
        Given {
            named,
            archives: Vec::new(),
        }
    }
}

impl Given {
    /// Reads all files.
    pub fn read(places: &[Place]) -> Result<Given, Diagnostics> {
        let mut given = Given::default();
        let mut errors = Vec::new();
        for place in places {
            match place {
                Place::File { name, path } => match arrays::read(path) {
                    Ok(tensor) => {
                        given.named.insert(name.clone(), tensor);
                    }
                    Err(error) => errors.push(error),
                },
                Place::Archive(path) => match arrays::read_npz(path) {
                    Ok(arrays) => given.archives.push(Archive {
                        path: path.clone(),
                        arrays,
                    }),
                    Err(error) => errors.push(error),
                },
            }
        }
        match errors.is_empty() {
            true => Ok(given),
            false => Err(errors),
        }
    }

    /// All tensors by name.
    pub fn all(&self) -> BTreeMap<String, Tensor> {
        let in_archives = self.archives.iter().flat_map(|a| a.arrays.iter().cloned());
        in_archives.chain(self.named.clone()).collect()
    }

    /// The tensors for inputs: arrays of archives that are none are left out, but one of each
    /// archive must be one.
    pub fn inputs(
        self,
        is_input: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Tensor>, Diagnostics> {
        let none = |archive: &&Archive| !archive.arrays.iter().any(|(n, _)| is_input(n));
        let useless = self.archives.iter().filter(none);
        let errors: Diagnostics = useless
            .map(|archive| {
                let path = archive.path.display();
                let message = format!("`{path}` has no array named like an input");
                Diagnostic::error(Code::INPUT, Loc::Unknown, message)
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut inputs = self.all();
        inputs.retain(|name, _| self.named.contains_key(name) || is_input(name));
        Ok(inputs)
    }
}

/// Refuses inputs that together are larger than a model may be, before they are made.
pub fn check_size(signature: &Signature, limits: Limits) -> Result<(), Diagnostics> {
    let (bytes, most) = (signature.input_bytes(), limits.memory);
    if bytes <= most {
        return Ok(());
    }
    let message = format!("the inputs take {bytes} bytes of memory, but a model may take {most}");
    Err(vec![Limits::MEMORY.exceeded(message).at(Loc::Unknown)])
}

/// All inputs in order: those that are given, the others random. Open extents must be bound.
pub fn complete(
    signature: &Signature,
    mut given: BTreeMap<String, Tensor>,
    seed: u64,
) -> Result<Vec<Tensor>, Diagnostics> {
    let mut tensors = Vec::new();
    for (index, port) in signature.inputs.iter().enumerate() {
        if let Some(tensor) = given.remove(&port.name) {
            tensors.push(tensor);
            continue;
        }
        let known = port.ty.as_tensor().and_then(|ty| {
            let dims = ty.known_dims()?;
            Some((ty.elem, dims))
        });
        let Some((elem, shape)) = known else {
            let message = format!("input `{}` of type `{}` is not given", port.name, port.ty);
            let help = format!("give it with `--input {}=FILE.npy`", port.name);
            let error = Diagnostic::error(Code::INPUT, Loc::Unknown, message).with_help(help);
            return Err(vec![error]);
        };
        // Each input has its own stream, so that one does not depend on the size of another.
        let mut random = Random::new(seed.wrapping_mul(0x1_0001).wrapping_add(index as u64));
        tensors.push(random.tensor(elem, &shape));
    }
    Ok(tensors)
}

/// The names of extents that nothing gives a number to, each once.
pub fn open_names(signature: &Signature) -> Vec<String> {
    let mut names = Vec::new();
    for open in signature.open_extents() {
        if let Dim::Sym(name) = open.dim {
            let name = name.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let file = |name: &str, path: &str| Place::File {
            name: name.into(),
            path: path.into(),
        };
        assert_eq!(parse_place("x=a.npy"), Ok(file("x", "a.npy")));
        assert_eq!(parse_place("x=1=a.npy"), Ok(file("x=1", "a.npy")));
        let archive = Place::Archive("t.npz".into());
        assert_eq!(parse_place("@t.npz"), Ok(archive));
        assert!(parse_place("a.npy").is_err());
        assert!(parse_place("=a.npy").is_err());
        assert_eq!(parse_reference("t.npz"), Ok(Place::Archive("t.npz".into())));
        assert_eq!(parse_reference("y=a.pb"), Ok(file("y", "a.pb")));
    }

    #[test]
    fn constants_are_files_or_numbers() {
        let read = |text: &str| parse_constant(text).map(|(_, place)| place);
        let numbers = |text: &str| match read(text) {
            Ok(ConstantPlace::Numbers(numbers)) => (numbers.shape().to_vec(), numbers.to_f64s()),
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers("k=3"), (vec![], vec![3.0]));
        assert_eq!(numbers("k=[1, -2]"), (vec![2], vec![1.0, -2.0]));
        assert_eq!(numbers("k=[[0.5], [2]]"), (vec![2, 1], vec![0.5, 2.0]));
        assert_eq!(numbers("k=[]"), (vec![0], vec![]));
        assert_eq!(read("k=a.pb"), Ok(ConstantPlace::File("a.pb".into())));
        for wrong in [
            "k",
            "k=",
            "=1",
            "k=[1",
            "k=[1, [2]]",
            "k=[[1], [2, 3]]",
            "k=[\"a\"]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
