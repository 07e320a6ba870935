//! The file format of packages, byte by byte. All numbers are little-endian.
//!
//! A file is a header, a table of sections, and the sections in the order of the table.
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 8 | `89 4C 45 50 49 44 0D 0A`, that is `\x89LEPID\r\n` |
//! | 8 | 4 | the version of the format: 1 |
//! | 12 | 4 | the number of sections, 64 at most |
//! | 16 | 8 | the length of the file |
//! | 24 | 8 | XXH64 (seed 0) of header and table, with zeros in the place of this number |
//! | 32 | 32 | zeros |
//!
//! | offset | bytes | entry of the table; the first stands at byte 64 |
//! |---|---|---|
//! | 0 | 24 | the name: lower-case letters, digits and `-`, then zeros |
//! | 24 | 8 | the offset of the section in the file |
//! | 32 | 8 | its length |
//! | 40 | 8 | its checksum: XXH64 over the XXH64s of its pieces of 1 MiB, 8 bytes each |
//! | 48 | 8 | its alignment: 64, or 65536 for a section of 65536 bytes or more |
//! | 56 | 8 | zeros |
//!
//! A section begins at the next multiple of its alignment after what stands before it; the bytes
//! between are zeros. 65536 is a multiple of every page size in use, so that a big section can be
//! used, shared and dropped in whole pages of the mapped file. The file ends with the last section.
//!
//! So no byte is free: one that is changed is found in the magic number, in the version, in one of
//! the checksums, or as padding that is not zero. Magic number and version keep their places in all
//! versions; the rest may change with the version.

use std::io::{self, Write};

use lepid_ir::core::Bytes;

use super::checksum::{self, xxh64};
use super::{PackageError, Section};

const MAGIC: [u8; 8] = *b"\x89LEPID\r\n";

/// The version that is written, and the only one that is read.
pub const FORMAT_VERSION: u32 = 1;

const HEADER: usize = 64;
const ENTRY: usize = 64;
const NAME: usize = 24;
const MAX_SECTIONS: usize = 64;
const SMALL_ALIGN: usize = 64;
const BIG_ALIGN: usize = 65536;
/// Where the checksum of header and table stands.
const CHECKSUM: std::ops::Range<usize> = 24..32;

/// Whether bytes begin like a package of any version.
pub fn looks_like_package(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Writes a file of the sections, in their order.
pub(super) fn write(sections: &[Section], out: &mut impl Write) -> io::Result<()> {
    let mut table = Vec::with_capacity(ENTRY * sections.len());
    let mut end = HEADER + ENTRY * sections.len();
    for section in sections {
        let data = section.data.as_slice();
        let align = alignment(data.len());
        let offset = end.next_multiple_of(align);
        let mut name = [0; NAME];
        match is_name(&section.name) {
            true => name[..section.name.len()].copy_from_slice(section.name.as_bytes()),
            false => lepid_ir::bug!("`{}` is no name of a section", section.name),
        }
        table.extend_from_slice(&name);
        for number in [offset as u64, data.len() as u64, checksum::section(data)] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        table.extend_from_slice(&(align as u64).to_le_bytes());
        table.extend_from_slice(&[0; 8]);
        end = offset + data.len();
    }
    let mut head = Vec::with_capacity(HEADER + table.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    head.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    head.extend_from_slice(&(end as u64).to_le_bytes());
    head.resize(HEADER, 0);
    head.extend_from_slice(&table);
    let sum = xxh64(&head);
    head[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    out.write_all(&head)?;
    let mut at = head.len();
    for section in sections {
        let data = section.data.as_slice();
        let offset = at.next_multiple_of(alignment(data.len()));
        io::copy(
            &mut io::Read::take(io::repeat(0), (offset - at) as u64),
            out,
        )?;
        out.write_all(data)?;
        at = offset + data.len();
    }
    Ok(())
}

/// The sections of a file, which share its bytes. Trusts nothing: every offset, length and byte of
/// padding is checked, and every section against its checksum.
pub(super) fn read(file: &Bytes) -> Result<Vec<Section>, PackageError> {
    let bytes = file.as_slice();
    if !looks_like_package(bytes) {
        return Err(match !bytes.is_empty() && MAGIC.starts_with(bytes) {
            true => damaged("it ends within its first bytes"),
            false => PackageError::Foreign,
        });
    }
    let Some(version) = bytes.get(8..12) else {
        return Err(damaged("it ends within its header"));
    };
    let version = number(version) as u32;
    if version != FORMAT_VERSION {
        return Err(PackageError::Version(version));
    }
    let count = match bytes.get(..HEADER) {
        Some(header) => number(&header[12..16]) as usize,
        None => return Err(damaged("it ends within its header")),
    };
    let head_len = HEADER + ENTRY * count.min(MAX_SECTIONS);
    let head = match bytes.get(..head_len) {
        Some(head) if count <= MAX_SECTIONS => head,
        _ => return Err(damaged("its table of sections does not fit")),
    };
    check_head(head, bytes.len())?;
    let mut sections: Vec<Section> = Vec::with_capacity(count);
    let mut end = head_len;
    for entry in head[HEADER..].chunks_exact(ENTRY) {
        let section = read_section(file, entry, &mut end)?;
        if sections.iter().any(|s| s.name == section.name) {
            return Err(damaged("two of its sections have one name"));
        }
        sections.push(section);
    }
    match end == bytes.len() {
        true => Ok(sections),
        false => Err(damaged("it does not end with its last section")),
    }
}

fn check_head(head: &[u8], file_len: usize) -> Result<(), PackageError> {
    if number(&head[16..24]) != file_len as u64 {
        let stated = number(&head[16..24]);
        return Err(PackageError::Damaged(format!(
            "it has {file_len} bytes, but states {stated}"
        )));
    }
    let mut zeroed = head.to_vec();
    zeroed[CHECKSUM].fill(0);
    if xxh64(&zeroed) != number(&head[CHECKSUM]) {
        return Err(damaged("its header does not fit its checksum"));
    }
    match head[32..HEADER].iter().all(|&b| b == 0) {
        true => Ok(()),
        false => Err(damaged("its header is not as this version writes it")),
    }
}

/// One section; `end` is where the one before it ends, and then where this one does.
fn read_section(file: &Bytes, entry: &[u8], end: &mut usize) -> Result<Section, PackageError> {
    let misplaced = || damaged("its table of sections is not as this version writes it");
    let field = |at: usize| usize::try_from(number(&entry[at..at + 8])).map_err(|_| misplaced());
    let (offset, len, align) = (field(NAME)?, field(NAME + 8)?, field(NAME + 24)?);
    let name = entry[..NAME].split(|&b| b == 0).next().unwrap_or_default();
    let name = str::from_utf8(name).map_err(|_| misplaced())?;
    let padded = entry[name.len()..NAME].iter().all(|&b| b == 0);
    if !is_name(name) || !padded || number(&entry[56..]) != 0 || align != alignment(len) {
        return Err(misplaced());
    }
    let bytes = file.as_slice();
    let stop = offset.checked_add(len).filter(|&stop| stop <= bytes.len());
    let (Some(stop), true) = (stop, end.checked_next_multiple_of(align) == Some(offset)) else {
        return Err(misplaced());
    };
    if bytes[*end..offset].iter().any(|&b| b != 0) {
        return Err(damaged("bytes between its sections are not zero"));
    }
    *end = stop;
    if checksum::section(&bytes[offset..stop]) != number(&entry[40..48]) {
        return Err(PackageError::Damaged(format!(
            "section `{name}` does not fit its checksum"
        )));
    }
    Ok(Section {
        name: name.to_string().into(),
        data: file.slice(offset..stop),
    })
}

fn alignment(len: usize) -> usize {
    match len >= BIG_ALIGN {
        true => BIG_ALIGN,
        false => SMALL_ALIGN,
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=NAME).contains(&name.len()) && name.bytes().all(plain)
}

fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |n, &b| n << 8 | u64::from(b))
}

fn damaged(what: &str) -> PackageError {
    PackageError::Damaged(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let big: Vec<u8> = (0..BIG_ALIGN + 100).map(|i| (i % 255) as u8).collect();
        let sections = [
            ("a", vec![1u8; 5]),
            ("empty", Vec::new()),
            ("weights", big),
            ("z-9", vec![7]),
        ];
        let sections: Vec<Section> = sections
            .into_iter()
            .map(|(name, data)| Section {
                name: name.into(),
                data: Bytes::from_vec(data),
            })
            .collect();
        let mut out = Vec::new();
        write(&sections, &mut out).unwrap();
        out
    }

    fn read_vec(bytes: Vec<u8>) -> Result<Vec<Section>, PackageError> {
        read(&Bytes::from_vec(bytes))
    }

    #[test]
    fn what_is_written_is_read() {
        let file = sample();
        let sections = read_vec(file.clone()).unwrap();
        let names: Vec<&str> = sections.iter().map(|s| &*s.name).collect();
        assert_eq!(names, ["a", "empty", "weights", "z-9"]);
        let mut again = Vec::new();
        write(&sections, &mut again).unwrap();
        assert!(again == file);
        let offset = number(&file[HEADER + 2 * ENTRY + NAME..][..8]);
        assert_eq!(offset, BIG_ALIGN as u64);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let file = sample();
        let small = (0..HEADER + 4 * ENTRY + 64).chain(BIG_ALIGN - 64..BIG_ALIGN + 64);
        for at in small.chain((0..file.len()).step_by(499)) {
            for flip in [1u8, 0x80, 0xff] {
                let mut bytes = file.clone();
                bytes[at] ^= flip;
                assert!(read_vec(bytes).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn every_other_length_is_found() {
        let file = sample();
        for len in (0..HEADER + 5 * ENTRY).chain((0..file.len()).step_by(997)) {
            assert!(read_vec(file[..len].to_vec()).is_err(), "{len} bytes");
        }
        let longer = [&file[..], &[0]].concat();
        assert!(read_vec(longer).is_err());
    }

    /// A table that lies under a checksum that fits must not be believed either.
    #[test]
    fn numbers_with_a_right_checksum_are_checked_too() {
        let file = sample();
        let table = HEADER + 2 * ENTRY;
        let places = [
            12,
            16,
            table + NAME,
            table + NAME + 8,
            table + NAME + 16,
            table + NAME + 24,
        ];
        for at in places {
            for value in [0, 1, 63, 1 << 20, 1 << 40, u64::MAX, u64::MAX - 64] {
                let mut bytes = file.clone();
                let width = if at == 12 { 4 } else { 8 };
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                if bytes == file {
                    continue;
                }
                let head = HEADER + ENTRY * (number(&bytes[12..16]) as usize).min(MAX_SECTIONS);
                bytes[CHECKSUM].fill(0);
                let sum = xxh64(&bytes[..head]);
                bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
                assert!(read_vec(bytes).is_err(), "{value} at {at}");
            }
        }
    }

    #[test]
    fn foreign_and_newer_files_are_told_apart() {
        assert!(matches!(
            read_vec(b"PK\x03\x04".to_vec()),
            Err(PackageError::Foreign)
        ));
        assert!(matches!(read_vec(Vec::new()), Err(PackageError::Foreign)));
        let mut newer = sample();
        newer[8] = 9;
        assert!(matches!(read_vec(newer), Err(PackageError::Version(9))));
    }
}
