//! Read-only maps of model files.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// The bytes of a regular file; pages are read when they are touched.
#[allow(
    unsafe_code,
    reason = "mapping is the only way to use weights larger than what is read of them"
)]
pub(crate) fn map_file(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if data.len() == 0 {
        // An empty range cannot be mapped.
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and read-only. As with every mapped file, another process that
    // shortens the file while it is in use makes reads fail with a signal; model files are not
    // changed in place.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
