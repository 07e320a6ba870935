//! Tensors in `.npy` and `.npz` files, and in the `.pb` files of ONNX's tests.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use lepid_ir::core::{Bytes, Diagnostic, Elem, Tensor};
use npyz::{DType, Endianness, NpyFile, Order, TypeChar, WriterBuilder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::driver::files;
use crate::frontends::onnx;

/// Reads a file with one tensor: a `TensorProto` if its name ends in `.pb`, else `.npy`.
pub fn read(path: &Path) -> Result<Tensor, Diagnostic> {
    match has_exact_type(path) {
        true => read_pb(path),
        false => read_npy(path),
    }
}

/// Whether a file tells of element types that NumPy lacks.
pub fn has_exact_type(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("pb"))
}

fn read_pb(path: &Path) -> Result<Tensor, Diagnostic> {
    let bytes = fs::read(path).map_err(|error| files::cannot_read(path, error))?;
    onnx::read_tensor(bytes).map_err(|reason| files::cannot_read(path, reason))
}

/// Reads a `.npy` file.
pub fn read_npy(path: &Path) -> Result<Tensor, Diagnostic> {
    let read = || -> io::Result<Tensor> {
        let file = File::open(path)?;
        let limit = file.metadata()?.len();
        tensor(NpyFile::new(BufReader::new(file))?, limit)
    };
    read().map_err(|error| files::cannot_read(path, error))
}

/// Reads all arrays of a `.npz` file, sorted by name.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, Diagnostic> {
    let read = || -> io::Result<Vec<(String, Tensor)>> {
        let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
        let mut names = Vec::new();
        for file in archive.file_names() {
            names.extend(file?.strip_suffix(MEMBER).map(str::to_string));
        }
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let array = array(&mut archive, &name)?;
                Ok((name, array))
            })
            .collect()
    };
    read().map_err(|error| files::cannot_read(path, error))
}

/// What the names of arrays end in within a `.npz` archive.
const MEMBER: &str = ".npy";

fn array<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> io::Result<Tensor> {
    let file = archive.by_name(&format!("{name}{MEMBER}"))?;
    // The size that a header states is not to be believed; the data is read in steps.
    tensor(NpyFile::new(file)?, u64::MAX)
}

/// Writes a `.npy` file. Element types that NumPy lacks become wider ones: `bf16` becomes `f32`,
/// `i4` and `i2` become `i8`.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<(), Diagnostic> {
    files::write_atomic(path, |file| write(file, tensor))
}

/// Writes a `.npz` file without compression, in the given order.
pub fn write_npz(path: &Path, arrays: &[(String, Tensor)]) -> Result<(), Diagnostic> {
    files::write_atomic(path, |file| {
        let mut archive = ZipWriter::new(file);
        for (name, tensor) in arrays {
            // A time stamp would make equal outputs differ.
            let entry = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(tensor.bytes().len() as u64 >= u64::from(u32::MAX));
            archive.start_file(format!("{name}{MEMBER}"), entry)?;
            write(&mut archive, tensor)?;
        }
        archive.finish()?;
        Ok(())
    })
}

/// The element type under which NumPy knows one that it lacks.
fn numpy_element(elem: Elem) -> Elem {
    match elem {
        Elem::BF16 => Elem::F32,
        Elem::I4 | Elem::I2 => Elem::I8,
        Elem::U4 | Elem::U2 => Elem::U8,
        Elem::F64
        | Elem::F32
        | Elem::F16
        | Elem::I64
        | Elem::I32
        | Elem::I16
        | Elem::I8
        | Elem::U64
        | Elem::U32
        | Elem::U16
        | Elem::U8
        | Elem::Bool => elem,
    }
}

/// A tensor as it would come back from a file of arrays.
pub fn as_array(tensor: &Tensor) -> Tensor {
    match numpy_element(tensor.elem()) {
        elem if elem == tensor.elem() => tensor.clone(),
        elem => tensor.cast(elem),
    }
}

fn tensor<R: Read>(file: NpyFile<R>, limit: u64) -> io::Result<Tensor> {
    let header = file.header().clone();
    let DType::Plain(ty) = header.dtype() else {
        return Err(invalid("arrays of records are not supported"));
    };
    let elem = element(ty.type_char(), ty.size_field())
        .ok_or_else(|| invalid(format!("the element type `{ty}` is not supported")))?;
    let shape: Vec<usize> = header.shape().iter().map(|&d| d as usize).collect();
    let size = elem.bytes();
    let length = shape.iter().try_fold(size, |n, &d| n.checked_mul(d));
    let length = length.filter(|&n| n as u64 <= limit).ok_or_else(|| {
        let extents = header.shape();
        invalid(format!("the file is too short for the shape {extents:?}"))
    })?;
    let mut data = Vec::new();
    file.into_inner()
        .take(length as u64)
        .read_to_end(&mut data)?;
    if data.len() != length {
        return Err(invalid("the file ends early"));
    }
    if ty.endianness() == Endianness::Big {
        data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if header.order() == Order::Fortran {
        data = to_row_major(&data, &shape, size);
    }
    if elem == Elem::Bool {
        // Any byte but 0 is true in NumPy; here it must be 1.
        data.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Ok(Tensor::new(elem, shape, Bytes::from_vec(data)))
}

fn element(kind: TypeChar, size: u64) -> Option<Elem> {
    Some(match (kind, size) {
        (TypeChar::Float, 8) => Elem::F64,
        (TypeChar::Float, 4) => Elem::F32,
        (TypeChar::Float, 2) => Elem::F16,
        (TypeChar::Int, 8) => Elem::I64,
        (TypeChar::Int, 4) => Elem::I32,
        (TypeChar::Int, 2) => Elem::I16,
        (TypeChar::Int, 1) => Elem::I8,
        (TypeChar::Uint, 8) => Elem::U64,
        (TypeChar::Uint, 4) => Elem::U32,
        (TypeChar::Uint, 2) => Elem::U16,
        (TypeChar::Uint, 1) => Elem::U8,
        (TypeChar::Bool, 1) => Elem::Bool,
        _ => return None,
    })
}

/// Column-major data in row-major order.
fn to_row_major(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let strides: Vec<usize> = shape
        .iter()
        .scan(size, |stride, &extent| {
            let this = *stride;
            *stride *= extent;
            Some(this)
        })
        .collect();
    let mut index = vec![0usize; shape.len()];
    let mut out = Vec::with_capacity(data.len());
    while out.len() < data.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
        out.extend_from_slice(&data[at..at + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

fn write(out: &mut (impl Write + ?Sized), tensor: &Tensor) -> io::Result<()> {
    let (description, tensor) = match tensor.elem() {
        Elem::F64 => ("<f8", tensor.clone()),
        Elem::F32 => ("<f4", tensor.clone()),
        Elem::BF16 => ("<f4", tensor.cast(Elem::F32)),
        Elem::F16 => ("<f2", tensor.clone()),
        Elem::I64 => ("<i8", tensor.clone()),
        Elem::I32 => ("<i4", tensor.clone()),
        Elem::I16 => ("<i2", tensor.clone()),
        Elem::I8 | Elem::I4 | Elem::I2 => ("|i1", tensor.clone()),
        Elem::U64 => ("<u8", tensor.clone()),
        Elem::U32 => ("<u4", tensor.clone()),
        Elem::U16 => ("<u2", tensor.clone()),
        Elem::U8 | Elem::U4 | Elem::U2 => ("|u1", tensor.clone()),
        Elem::Bool => ("|b1", tensor.clone()),
    };
    let ty = description.parse().map_err(|_| invalid("a type string"))?;
    let shape: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
    let mut header = Vec::new();
    npyz::WriteOptions::new_header_only()
        .dtype(DType::Plain(ty))
        .shape(&shape)
        .writer(&mut header)
        .write_header_only()?;
    out.write_all(&header)?;
    out.write_all(tensor.bytes())
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
