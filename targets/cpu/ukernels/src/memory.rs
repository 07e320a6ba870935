//! Zeroed, aligned memory; large buffers ask for huge pages, which read about a quarter faster.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Alignment of small buffers: a cache line.
const LINE: usize = 64;
/// Size and alignment of a huge page.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// A zeroed buffer, aligned to 64 bytes, or to 2 MiB when it is at least that large.
#[derive(Debug)]
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Allocator(Layout),
    #[cfg(target_os = "linux")]
    Mapping {
        base: NonNull<u8>,
        len: usize,
    },
}

// SAFETY: the buffer owns its memory and has no interior mutability.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// A zeroed buffer of `bytes`. Ends the process if memory runs out, as `Vec` does.
    pub fn new_zeroed(bytes: usize) -> AlignedBuf {
        match AlignedBuf::try_new_zeroed(bytes) {
            Some(buf) => buf,
            None => handle_alloc_error(
                Layout::from_size_align(bytes.max(1), LINE).unwrap_or(Layout::new::<u8>()),
            ),
        }
    }

    /// A zeroed buffer of `bytes`, if there is memory for it.
    pub fn try_new_zeroed(bytes: usize) -> Option<AlignedBuf> {
        #[cfg(target_os = "linux")]
        if bytes >= HUGE
            && let Some(buf) = map_huge(bytes)
        {
            return Some(buf);
        }
        let layout = Layout::from_size_align(bytes.max(1), LINE).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(AlignedBuf {
            start,
            len: bytes,
            source: Source::Allocator(layout),
        })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The first byte, for writing.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the buffer owns `len` initialised bytes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// All bytes, for writing.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the buffer owns `len` initialised bytes, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The buffer as whole floats.
    pub fn as_f32(&self) -> &[f32] {
        // SAFETY: the buffer is aligned to 64 bytes, and every bit pattern is a float.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The buffer as whole floats, for writing.
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_f32`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: both kinds of memory were obtained with exactly these values.
        unsafe {
            match self.source {
                Source::Allocator(layout) => dealloc(self.start.as_ptr(), layout),
                #[cfg(target_os = "linux")]
                Source::Mapping { base, len } => {
                    libc::munmap(base.as_ptr().cast(), len);
                }
            }
        }
    }
}

/// A mapping with room to align; pages that are never touched cost address space only.
#[cfg(target_os = "linux")]
fn map_huge(bytes: usize) -> Option<AlignedBuf> {
    let len = bytes.checked_next_multiple_of(HUGE)?.checked_add(HUGE)?;
    // SAFETY: an anonymous mapping at an address of the kernel's choice disturbs nothing.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    let base = NonNull::new(base.cast::<u8>())?;
    let offset = base.as_ptr().align_offset(HUGE);
    // SAFETY: the mapping is a huge page longer than needed, so the aligned range lies inside it.
    let start = unsafe { base.add(offset) };
    // SAFETY: the range is mapped. A kernel without huge pages refuses, and small pages serve as well.
    unsafe { libc::madvise(start.as_ptr().cast(), len - HUGE, libc::MADV_HUGEPAGE) };
    Some(AlignedBuf {
        start,
        len: bytes,
        source: Source::Mapping { base, len },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_and_aligned() {
        for bytes in [0, 1, 63, 4096, (2 << 20) - 1, 2 << 20, (6 << 20) + 5] {
            let mut buf = AlignedBuf::new_zeroed(bytes);
            assert_eq!((buf.len(), buf.is_empty()), (bytes, bytes == 0));
            assert!(buf.as_slice().iter().all(|&b| b == 0));
            assert!((buf.as_ptr() as usize).is_multiple_of(LINE));
            assert!(bytes < HUGE || (buf.as_ptr() as usize).is_multiple_of(HUGE));
            buf.as_mut_slice().fill(7);
            assert_eq!(buf.as_f32_mut().len(), bytes / 4);
        }
    }
}
