//! From `TensorProto` to tensors. Raw data is not copied: it stays a slice of the mapped file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use lepid_ir::core::{Bytes, Code, Elem, Num, OpError, OpResult, Shape, Tensor};

use super::proto::TensorProto;

/// Reads tensors, with the files of external data that they name.
pub(super) struct Weights {
    /// The folder of the model; external data lies in it. None for a model without a file.
    folder: Option<PathBuf>,
    files: BTreeMap<PathBuf, Bytes>,
    /// The model, of which tensors are parts.
    model: Option<Bytes>,
}

impl Weights {
    pub(super) fn new(folder: Option<&Path>, model: Option<Bytes>) -> Weights {
        Weights {
            folder: folder.map(Path::to_path_buf),
            files: BTreeMap::new(),
            model,
        }
    }

    /// The value of a tensor message.
    pub(super) fn tensor(&mut self, proto: &TensorProto) -> OpResult<Tensor> {
        let elem = elem_type(proto.data_type)?;
        let shape = shape(proto)?;
        let count = element_count(&shape, elem)?;
        if proto.data_location == 1 {
            let bytes = self.external(proto)?;
            return from_raw(elem, shape, count, bytes);
        }
        match proto.raw_data.is_empty() {
            true => from_fields(proto, elem, shape, count),
            false => from_raw(elem, shape, count, self.raw(&proto.raw_data)),
        }
    }

    /// Bytes of a message, without a copy.
    fn raw(&self, bytes: &bytes::Bytes) -> Bytes {
        let part = self.model.as_ref().and_then(|model| model.find(bytes));
        part.unwrap_or_else(|| Bytes::from_owner(Arc::new(bytes.clone()), 0..bytes.len()))
    }

    fn external(&mut self, proto: &TensorProto) -> OpResult<Bytes> {
        let entry = |key: &str| {
            let found = proto.external_data.iter().find(|e| e.key == key);
            found.map(|e| e.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                external_error(format!(
                    "external data has the {key} `{text}`, expected a number of bytes"
                ))
            }),
        };
        let location = entry("location")
            .ok_or_else(|| external_error("external data names no `location`".into()))?;
        let file = self.file(location)?;
        let start = number("offset")?.unwrap_or(0);
        let bytes = file.as_slice().len();
        let rest = bytes.checked_sub(start);
        let length = match number("length")? {
            Some(length) => Some(length),
            None => rest,
        };
        let end = length.and_then(|length| start.checked_add(length));
        match end {
            Some(end) if end <= bytes => Ok(file.slice(start..end)),
            _ => Err(external_error(format!(
                "external data reaches past the end of `{location}`, which has {bytes} bytes"
            ))),
        }
    }

    /// A file of external data.
    pub(super) fn file(&mut self, location: &str) -> OpResult<Bytes> {
        let Some(folder) = &self.folder else {
            return Err(external_error(
                "external data in a model that is not a file".into(),
            ));
        };
        let outside = || {
            external_error(format!(
                "external data `{location}` lies outside of the folder of the model"
            ))
            .help("put the data file beside the model and name it by a relative path")
        };
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
        if !Path::new(location).components().all(plain) {
            return Err(outside());
        }
        let unreadable =
            |e: std::io::Error| external_error(format!("external data `{location}`: {e}"));
        // Links are followed before the check, so that none leads out of the folder.
        let folder = folder.canonicalize().map_err(unreadable)?;
        let path = folder.join(location).canonicalize().map_err(unreadable)?;
        if !path.starts_with(&folder) {
            return Err(outside());
        }
        if let Some(known) = self.files.get(&path) {
            return Ok(known.clone());
        }
        let bytes = Bytes::map_file(&path).map_err(unreadable)?;
        self.files.insert(path, bytes.clone());
        Ok(bytes)
    }
}

/// The element type of an ONNX data type.
pub(super) fn elem_type(data_type: i32) -> OpResult<Elem> {
    let name = match data_type {
        1 => return Ok(Elem::F32),
        2 => return Ok(Elem::U8),
        3 => return Ok(Elem::I8),
        4 => return Ok(Elem::U16),
        5 => return Ok(Elem::I16),
        6 => return Ok(Elem::I32),
        7 => return Ok(Elem::I64),
        9 => return Ok(Elem::Bool),
        10 => return Ok(Elem::F16),
        11 => return Ok(Elem::F64),
        12 => return Ok(Elem::U32),
        13 => return Ok(Elem::U64),
        16 => return Ok(Elem::BF16),
        21 => return Ok(Elem::U4),
        22 => return Ok(Elem::I4),
        25 => return Ok(Elem::U2),
        26 => return Ok(Elem::I2),
        8 => "STRING",
        14 => "COMPLEX64",
        15 => "COMPLEX128",
        17 => "FLOAT8E4M3FN",
        18 => "FLOAT8E4M3FNUZ",
        19 => "FLOAT8E5M2",
        20 => "FLOAT8E5M2FNUZ",
        23 => "FLOAT4E2M1",
        24 => "FLOAT8E8M0",
        other => {
            return Err(OpError::with_code(
                Code::ONNX_NODE,
                format!("data type {other} is not one of ONNX"),
            ));
        }
    };
    Err(OpError::with_code(
        Code::ONNX_OP,
        format!("element type `{name}` is not supported"),
    ))
}

fn external_error(message: String) -> OpError {
    OpError::with_code(Code::EXTERNAL_DATA, message)
}

fn damaged(message: String) -> OpError {
    OpError::with_code(Code::MODEL_FILE, message)
}

fn shape(proto: &TensorProto) -> OpResult<Shape> {
    let extent =
        |&d: &i64| usize::try_from(d).map_err(|_| damaged(format!("a tensor has the extent {d}")));
    proto.dims.iter().map(extent).collect()
}

/// The number of elements, if that many fit into memory at all.
fn element_count(shape: &[usize], elem: Elem) -> OpResult<usize> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    count
        .filter(|n| {
            n.checked_mul(elem.bytes())
                .is_some_and(|b| b <= isize::MAX as usize)
        })
        .ok_or_else(|| damaged("a tensor is too large for any memory".into()))
}

fn from_raw(elem: Elem, shape: Shape, count: usize, bytes: Bytes) -> OpResult<Tensor> {
    let share = per_byte(elem);
    let expected = match share {
        1 => count * elem.bytes(),
        share => count.div_ceil(share),
    };
    let raw = bytes.as_slice();
    if raw.len() != expected {
        return Err(damaged(format!(
            "a tensor of {count} elements of type {elem} takes {expected} bytes, but {} are given",
            raw.len()
        )));
    }
    if share > 1 {
        return Ok(unpacked(elem, shape, count, raw));
    }
    if elem == Elem::Bool && raw.iter().any(|&b| b > 1) {
        let truths = raw.iter().map(|&b| Num::Int(i128::from(b)));
        return Ok(Tensor::from_nums(elem, shape, truths));
    }
    let data = match cfg!(target_endian = "little") {
        true => bytes,
        // The file is little-endian; so each element is turned round.
        false => {
            let elements = raw.chunks(elem.bytes());
            Bytes::from_vec(
                elements
                    .flat_map(|e| e.iter().rev().copied())
                    .collect::<Vec<u8>>(),
            )
        }
    };
    Ok(Tensor::new(elem, shape, data))
}

/// How many elements share a byte of the file.
fn per_byte(elem: Elem) -> usize {
    match elem {
        Elem::I4 | Elem::U4 => 2,
        Elem::I2 | Elem::U2 => 4,
        Elem::F64 | Elem::F32 | Elem::F16 | Elem::BF16 => 1,
        Elem::I64 | Elem::I32 | Elem::I16 | Elem::I8 => 1,
        Elem::U64 | Elem::U32 | Elem::U16 | Elem::U8 | Elem::Bool => 1,
    }
}

/// Several elements a byte, the low bits first.
fn unpacked(elem: Elem, shape: Shape, count: usize, bytes: &[u8]) -> Tensor {
    let (share, bits) = (per_byte(elem), elem.bits() as usize);
    // What is above the bits of an element is cut off where it becomes one.
    let parts = bytes
        .iter()
        .flat_map(|&b| (0..share).map(move |i| b >> (i * bits)));
    let nums = parts.take(count).map(|n| Num::Int(i128::from(n)));
    Tensor::from_nums(elem, shape, nums)
}

/// A tensor from the typed fields, which stand where raw data does not.
fn from_fields(proto: &TensorProto, elem: Elem, shape: Shape, count: usize) -> OpResult<Tensor> {
    let found = match elem {
        Elem::F32 => proto.float_data.len(),
        Elem::F64 => proto.double_data.len(),
        Elem::I64 => proto.int64_data.len(),
        Elem::U64 | Elem::U32 => proto.uint64_data.len(),
        Elem::I4
        | Elem::U4
        | Elem::I2
        | Elem::U2
        | Elem::I32
        | Elem::I16
        | Elem::I8
        | Elem::U16
        | Elem::U8
        | Elem::Bool
        | Elem::F16
        | Elem::BF16 => proto.int32_data.len(),
    };
    if found != count.div_ceil(per_byte(elem)) {
        return Err(damaged(format!(
            "a tensor of {count} elements of type {elem} is given {found} values"
        )));
    }
    let ints = || proto.int32_data.iter();
    Ok(match elem {
        Elem::F32 => Tensor::from_vec(elem, shape, proto.float_data.clone()),
        Elem::F64 => Tensor::from_vec(elem, shape, proto.double_data.clone()),
        Elem::I64 => Tensor::from_vec(elem, shape, proto.int64_data.clone()),
        Elem::U64 | Elem::U32 => {
            let nums = proto.uint64_data.iter().map(|&x| Num::Int(i128::from(x)));
            Tensor::from_nums(elem, shape, nums)
        }
        // Each entry holds the bits of a 16-bit float.
        Elem::F16 => {
            let values = ints().map(|&x| f16::from_bits(x as u16)).collect();
            Tensor::from_vec::<f16>(elem, shape, values)
        }
        Elem::BF16 => {
            let values = ints().map(|&x| bf16::from_bits(x as u16)).collect();
            Tensor::from_vec::<bf16>(elem, shape, values)
        }
        Elem::I4 | Elem::U4 | Elem::I2 | Elem::U2 => {
            let bytes: Vec<u8> = ints().map(|&x| x as u8).collect();
            unpacked(elem, shape, count, &bytes)
        }
        Elem::I32 | Elem::I16 | Elem::I8 | Elem::U16 | Elem::U8 | Elem::Bool => {
            Tensor::from_nums(elem, shape, ints().map(|&x| Num::Int(i128::from(x))))
        }
    })
}
