//! The side file of a text: its large constants, as safetensors, mapped and never copied.
//!
//! The file knows bytes and storage types only; the text states what they mean. So elements of
//! four and of two bits are stored one to a byte as `U8`, and truth values as `BOOL`.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use safetensors::{Dtype, SafeTensors, View};

use crate::core::{Bytes, Elem, Resources, Shape, Tensor};

/// Why a side file cannot be used.
#[derive(thiserror::Error, Debug)]
pub enum WeightsError {
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{name}` is not a valid safetensors file: {message}")]
    Format { name: String, message: String },
}

/// Large constants by their keys.
#[derive(Clone, Default)]
pub struct Weights {
    /// Where they are from, for messages.
    name: String,
    entries: IndexMap<String, Entry>,
    /// Whether every key has zeros of any type.
    hollow: bool,
}

#[derive(Clone)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data: Bytes,
}

impl Weights {
    /// Maps a side file. Its pages are read when they are used.
    ///
    /// The file must not change while it is in use; [`write_weights`] replaces a file by renaming
    /// and leaves one that is mapped as it was.
    pub fn open(path: &Path) -> Result<Weights, WeightsError> {
        let file = Bytes::map_file(path).map_err(|source| WeightsError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Weights::from_bytes(&path.display().to_string(), file)
    }

    /// Reads the bytes of a safetensors file; the tensors share them.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Weights, WeightsError> {
        let (header, metadata) =
            SafeTensors::read_metadata(bytes.as_slice()).map_err(|e| WeightsError::Format {
                name: name.to_string(),
                message: e.to_string(),
            })?;
        let data = 8 + header;
        let mut entries = IndexMap::new();
        for key in metadata.offset_keys() {
            let Some(info) = metadata.info(&key) else {
                continue;
            };
            let (start, end) = info.data_offsets;
            let entry = Entry {
                dtype: info.dtype,
                shape: info.shape.iter().copied().collect(),
                data: bytes.slice(data + start..data + end),
            };
            entries.insert(key, entry);
        }
        Ok(Weights {
            name: name.to_string(),
            entries,
            hollow: false,
        })
    }

    /// Has zeros for every key, for texts whose constants are kept elsewhere. They take address
    /// space but no memory.
    pub fn hollow() -> Weights {
        Weights {
            name: "memory".to_string(),
            entries: IndexMap::new(),
            hollow: true,
        }
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The tensor of a key, which must have this type; otherwise what is wrong, as a message.
    pub fn get(&self, key: &str, elem: Elem, shape: &[usize]) -> Result<Tensor, String> {
        let Some(entry) = self.entries.get(key) else {
            if self.hollow {
                return zeros(elem, shape).map_err(|reason| format!("`{key}` {reason}"));
            }
            return Err(format!("`{key}` is not in the side file `{}`", self.name));
        };
        if entry.dtype != dtype(elem) || entry.shape[..] != *shape {
            return Err(format!(
                "`{key}` is {:?} {:?} in the side file, which does not hold {elem} {shape:?}",
                entry.dtype,
                &entry.shape[..],
            ));
        }
        match elem.admits(entry.data.as_slice()) {
            true => Ok(Tensor::new(elem, shape.iter().copied(), entry.data.clone())),
            false => Err(format!("`{key}` holds bytes that are no values of {elem}")),
        }
    }
}

impl From<&Resources> for Weights {
    /// What [`Weights::open`] gives after [`write_weights`], without a file.
    fn from(resources: &Resources) -> Weights {
        let entry = |(key, tensor): (&str, &Tensor)| {
            let entry = Entry {
                dtype: dtype(tensor.elem()),
                shape: tensor.shape().iter().copied().collect(),
                data: tensor.data().clone(),
            };
            (key.to_string(), entry)
        };
        Weights {
            name: "memory".to_string(),
            entries: resources.iter().map(entry).collect(),
            hollow: false,
        }
    }
}

/// Writes a side file: to a temporary name first, then renamed. Equal resources give equal bytes.
pub fn write_weights(path: &Path, resources: &Resources) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Write {
        path: path.to_path_buf(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let views = resources.iter().map(|(key, tensor)| (key, Stored(tensor)));
    let write = || -> io::Result<()> {
        // The library makes a file that its owner alone may read; this one is as all others are.
        let usual = fs::File::create(&temporary)?.metadata()?.permissions();
        safetensors::serialize_to_file(views, None, &temporary)
            .map_err(|e| io::Error::other(e.to_string()))?;
        fs::set_permissions(&temporary, usual)?;
        fs::rename(&temporary, path)
    };
    let written = write().map_err(failed);
    if written.is_err() {
        // The first error is the one to report; the leftover may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The bytes of a side file, for storing it elsewhere. Equal resources give equal bytes.
pub fn weights_to_bytes(resources: &Resources) -> Result<Vec<u8>, WeightsError> {
    let views = resources.iter().map(|(key, tensor)| (key, Stored(tensor)));
    safetensors::serialize(views, None).map_err(|error| WeightsError::Format {
        name: "memory".to_string(),
        message: error.to_string(),
    })
}

/// A tensor of zeros in pages that are never touched.
fn zeros(elem: Elem, shape: &[usize]) -> Result<Tensor, String> {
    let bytes = shape
        .iter()
        .try_fold(elem.bytes(), |n, &extent| n.checked_mul(extent))
        .ok_or_else(|| "is too large for any memory".to_string())?;
    if bytes == 0 {
        let nothing = Bytes::from_vec(Vec::<u8>::new());
        return Ok(Tensor::new(elem, shape.iter().copied(), nothing));
    }
    let mut pages = memmap2::MmapOptions::new();
    let map = pages.len(bytes).no_reserve_swap().map_anon();
    let map = map.map_err(|error| format!("of {bytes} bytes cannot be held: {error}"))?;
    let data = Bytes::from_owner(Arc::new(map), 0..bytes);
    Ok(Tensor::new(elem, shape.iter().copied(), data))
}

struct Stored<'t>(&'t Tensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        dtype(self.0.elem())
    }
    fn shape(&self) -> &[usize] {
        self.0.shape()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0.bytes())
    }
    fn data_len(&self) -> usize {
        self.0.bytes().len()
    }
}

fn dtype(elem: Elem) -> Dtype {
    match elem {
        Elem::F64 => Dtype::F64,
        Elem::F32 => Dtype::F32,
        Elem::F16 => Dtype::F16,
        Elem::BF16 => Dtype::BF16,
        Elem::I64 => Dtype::I64,
        Elem::I32 => Dtype::I32,
        Elem::I16 => Dtype::I16,
        Elem::I8 => Dtype::I8,
        Elem::U64 => Dtype::U64,
        Elem::U32 => Dtype::U32,
        Elem::U16 => Dtype::U16,
        Elem::U8 | Elem::I4 | Elem::U4 | Elem::I2 | Elem::U2 => Dtype::U8,
        Elem::Bool => Dtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Num;

    fn resources(tensors: &[Tensor]) -> Resources {
        let mut resources = Resources::default();
        tensors.iter().for_each(|t| {
            resources.key(t);
        });
        resources
    }

    #[test]
    fn all_elements_survive_the_file() {
        let tensors: Vec<Tensor> = Elem::ALL
            .into_iter()
            .map(|e| Tensor::from_nums(e, [2, 3], (-3..3).map(Num::Int)))
            .chain([Tensor::zeros(Elem::F16, &[0, 4])])
            .collect();
        let all = resources(&tensors);
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        write_weights(&first, &all).unwrap();
        write_weights(&second, &all).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let weights = Weights::open(&first).unwrap();
        for (key, tensor) in all.iter() {
            let read = weights.get(key, tensor.elem(), tensor.shape()).unwrap();
            assert_eq!(read, *tensor);
        }
    }

    #[test]
    fn wide_elements_are_aligned_in_the_file() {
        let all = resources(&[
            Tensor::zeros(Elem::I8, &[3]),
            Tensor::splat(Elem::F32, &[5], Num::Float(1.5)),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        write_weights(&path, &all).unwrap();
        let read = Weights::open(&path).unwrap();
        let floats = read.get("w1", Elem::F32, &[5]).unwrap();
        assert!(matches!(floats.values::<f32>(), Cow::Borrowed(_)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let weights = Weights::from(&resources(&[Tensor::from_f64s(
            Elem::U8,
            [2],
            [1.0, 200.0],
        )]));
        assert!(weights.get("w0", Elem::U8, &[2]).is_ok());
        for (key, elem, shape) in [
            ("w1", Elem::U8, vec![2]),
            ("w0", Elem::I8, vec![2]),
            ("w0", Elem::U8, vec![2, 1]),
            ("w0", Elem::U4, vec![2]),
            ("w0", Elem::I4, vec![2]),
            ("w0", Elem::U2, vec![2]),
            ("w0", Elem::I2, vec![2]),
        ] {
            assert!(weights.get(key, elem, &shape).is_err(), "{key} {elem}");
        }
    }

    #[test]
    fn hollow_weights_hold_zeros_of_any_size() {
        let weights = Weights::hollow();
        let large = weights.get("w0", Elem::F32, &[1 << 20, 1 << 12]).unwrap();
        assert_eq!(large.num(large.len() - 1), Num::Float(0.0));
        assert_eq!(weights.get("w1", Elem::I8, &[0, 4]).unwrap().len(), 0);
        assert!(weights.get("w2", Elem::F64, &[usize::MAX, 2]).is_err());
        assert!(weights.get("w3", Elem::U8, &[usize::MAX / 4]).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let all = resources(&[Tensor::zeros(Elem::F32, &[100])]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        write_weights(&path, &all).unwrap();
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            let bytes = Bytes::from_vec(good[..len].to_vec());
            assert!(Weights::from_bytes("w", bytes).is_err(), "{len}");
        }
        assert!(Weights::open(&folder.path().join("none")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn side_files_may_be_read_as_all_files() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        write_weights(&path("a"), &resources(&[Tensor::zeros(Elem::F32, &[4])])).unwrap();
        fs::write(path("b"), "").unwrap();
        let mode = |name| fs::metadata(path(name)).unwrap().mode();
        assert_eq!(mode("a"), mode("b"));
    }
}
