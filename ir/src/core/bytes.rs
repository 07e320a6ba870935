//! Bytes that tensors share: owned, or of a mapped file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Shared bytes: owned, or a range of a mapped file. Not necessarily aligned.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    File(Arc<Mmap>),
    Other(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl Bytes {
    /// The bytes of a regular file; its pages are read when they are touched.
    ///
    /// The file must not be changed in place while it is in use; to replace it, rename another one
    /// over it.
    pub fn map_file(path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "not a regular file"));
        }
        if data.len() == 0 {
            // An empty range cannot be mapped.
            return Ok(Bytes::from_vec(Vec::<u8>::new()));
        }
        #[allow(unsafe_code, reason = "mapping a file is unsafe by declaration")]
        // SAFETY: the map is private and read-only. As with every mapped file, another process that
        // shortens it makes reads fail with a signal; the caller is told not to let that happen, and
        // what we write ourselves replaces files by renaming, which leaves maps intact.
        let map = unsafe { Mmap::map(&file)? };
        let range = 0..map.len();
        Ok(Bytes {
            owner: Owner::File(Arc::new(map)),
            range,
        })
    }

    /// A range of what `owner` holds. Panics if the range is outside of it.
    pub fn from_owner(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= (*owner).as_ref().len());
        Bytes {
            owner: Owner::Other(owner),
            range,
        }
    }

    /// The bytes of a vector of plain numbers, without a copy.
    pub fn from_vec<T: bytemuck::Pod + Send + Sync>(values: Vec<T>) -> Bytes {
        struct Values<T>(Vec<T>);
        impl<T: bytemuck::Pod> AsRef<[u8]> for Values<T> {
            fn as_ref(&self) -> &[u8] {
                bytemuck::cast_slice(&self.0)
            }
        }
        let len = std::mem::size_of_val(values.as_slice());
        Bytes::from_owner(Arc::new(Values(values)), 0..len)
    }

    pub fn as_slice(&self) -> &[u8] {
        let whole: &[u8] = match &self.owner {
            Owner::File(map) => map,
            Owner::Other(owner) => (**owner).as_ref(),
        };
        &whole[self.range.clone()]
    }

    /// A part of these bytes, shared. Panics if the range is outside of them.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let start = self.range.start;
        assert!(range.start <= range.end && range.end <= self.range.len());
        Bytes {
            owner: self.owner.clone(),
            range: start + range.start..start + range.end,
        }
    }

    /// `part`, shared, if it is a part of these very bytes.
    pub fn find(&self, part: &[u8]) -> Option<Bytes> {
        let start = part
            .as_ptr()
            .addr()
            .checked_sub(self.as_slice().as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        (end <= self.range.len()).then(|| self.slice(start..end))
    }

    /// Lets the system have the memory back, if these bytes can be read from their file again. To be
    /// called where they are not needed soon.
    pub fn release(&self) {
        #[cfg(unix)]
        if let Owner::File(map) = &self.owner {
            let (start, len) = (self.range.start, self.range.len());
            // SAFETY: the map is of a file and nobody writes to it, so that its pages come back as
            // they were.
            #[allow(unsafe_code, reason = "the advice would lose what is in other memory")]
            let advice = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
            };
            // A system that does not take the hint keeps the pages.
            drop(advice);
        }
    }

    /// Asks the system to read all of it soon, if it is of a file.
    pub fn will_need(&self) {
        #[cfg(unix)]
        if let Owner::File(map) = &self.owner {
            // A system that does not take the hint reads as well, only later.
            let (start, len) = (self.range.start, self.range.len());
            let _ = map.advise_range(memmap2::Advice::WillNeed, start, len);
        }
    }

    pub(super) fn same_place(&self, other: &Bytes) -> bool {
        std::ptr::eq(self.as_slice(), other.as_slice())
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(bytes: &[u8]) -> Bytes {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, bytes).unwrap();
        Bytes::map_file(&path).unwrap()
    }

    #[test]
    fn released_bytes_can_be_read_again() {
        let values: Vec<u8> = (0..50_000).map(|i| (i % 251) as u8).collect();
        for bytes in [in_file(&values), Bytes::from_vec(values.clone())] {
            for part in [0..50_000, 4097..9000, 7..7] {
                bytes.slice(part).release();
            }
            assert_eq!(bytes.as_slice(), values);
        }
    }

    #[test]
    fn a_part_is_found_where_it_is() {
        let bytes = in_file(b"abcdef").slice(1..5);
        let part = bytes.find(&bytes.as_slice()[1..3]).unwrap();
        assert!(part.same_place(&bytes.slice(1..3)));
        let outside = Bytes::from_vec(b"bc".to_vec());
        assert!(bytes.find(outside.as_slice()).is_none());
        assert!(bytes.slice(0..2).find(&bytes.as_slice()[1..3]).is_none());
    }

    #[test]
    fn only_files_are_mapped() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Bytes::map_file(folder.path()).is_err());
        assert!(in_file(b"").as_slice().is_empty());
    }
}
