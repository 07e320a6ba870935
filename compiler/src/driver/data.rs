//! The inputs of a run: from files by name, or random by a seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Dim, Loc, Tensor};
use lepid_ir::interp::random::Random;
use lepid_target_api::Signature;

use crate::driver::arrays;

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

/// Reads `NAME=FILE.npy` or `@FILE.npz`.
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

/// Reads what the places give; the signature says which arrays of an archive are inputs.
pub fn read(
    places: &[Place],
    signature: &Signature,
) -> Result<BTreeMap<String, Tensor>, Diagnostics> {
    let mut given = BTreeMap::new();
    let mut errors = Vec::new();
    for place in places {
        match place {
            Place::File { name, path } => match arrays::read_npy(path) {
                Ok(tensor) => {
                    given.insert(name.clone(), tensor);
                }
                Err(error) => errors.push(error),
            },
            Place::Archive(path) => match arrays::read_npz(path) {
                Ok(all) => {
                    let is_input = |name: &str| signature.inputs.iter().any(|p| p.name == name);
                    let before = given.len();
                    given.extend(all.into_iter().filter(|(name, _)| is_input(name)));
                    if given.len() == before {
                        let message =
                            format!("`{}` has no array named like an input", path.display());
                        errors.push(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
                    }
                }
                Err(error) => errors.push(error),
            },
        }
    }
    match errors.is_empty() {
        true => Ok(given),
        false => Err(errors),
    }
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
    }
}
