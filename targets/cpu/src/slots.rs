//! Memory for values whose extents are known only while the program runs.
//!
//! Each slot is a buffer that only grows, so that a loop comes to rest after its largest round, and
//! a second run of the program allocates nothing. All slots together stay below a limit.

use lepid_ukernels::AlignedBuf;

use crate::abi::Ctx;
use crate::faults::Fault;

/// Kernels that work on whole vectors may read this far past the end of an operand.
const SLACK: usize = 64;

/// No axis is longer, so that sums of a few extents never overflow.
const MOST_EXTENT: i64 = 1 << 48;

/// The buffers of a loaded program.
pub(crate) struct Slots {
    buffers: Vec<Option<AlignedBuf>>,
    /// The first byte of each buffer: what generated code reads.
    pointers: Vec<*mut u8>,
    used: usize,
    limit: usize,
}

impl Slots {
    pub(crate) fn new(count: usize, limit: u64) -> Slots {
        let empty = std::ptr::NonNull::<u64>::dangling().as_ptr().cast();
        Slots {
            buffers: (0..count).map(|_| None).collect(),
            pointers: vec![empty; count],
            used: 0,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    /// Buffers that are larger already stay.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX);
    }

    pub(crate) fn pointers(&self) -> *const *mut u8 {
        self.pointers.as_ptr()
    }

    /// Makes a buffer hold at least `bytes`. What it held is lost if it has to grow.
    fn reserve(&mut self, slot: usize, bytes: usize) -> Result<(), (Fault, i64, i64)> {
        let held = self.buffers[slot].as_ref().map_or(0, AlignedBuf::len);
        let wanted = bytes.saturating_add(SLACK).next_multiple_of(SLACK);
        if wanted <= held {
            return Ok(());
        }
        let others = self.used - held;
        let room = self.limit.saturating_sub(others);
        if wanted > room {
            let total = others.saturating_add(wanted);
            return Err((Fault::Memory, total as i64, self.limit as i64));
        }
        // Twice as much each time, so that a value that grows step by step is not moved each time.
        let size = (2 * held).clamp(wanted, room);
        // The old buffer goes first: both at once could be more than is allowed.
        self.buffers[slot] = None;
        self.used = others;
        let Some(mut buffer) = AlignedBuf::try_new_zeroed(size) else {
            self.pointers[slot] = std::ptr::NonNull::<u64>::dangling().as_ptr().cast();
            return Err((Fault::NoMemory, size as i64, 0));
        };
        self.pointers[slot] = buffer.as_mut_ptr();
        self.buffers[slot] = Some(buffer);
        self.used = others + size;
        Ok(())
    }
}

/// Checks the extents of a value and makes room for it, unless the slot is -1: then it lies in the
/// place of another value. Gives 0, or the number of the fault, whose figures then stand in the
/// context's report.
pub(crate) unsafe extern "C" fn make_room(
    ctx: *mut Ctx,
    slot: isize,
    dims: *const i64,
    rank: usize,
    elem_bytes: usize,
) -> i64 {
    // SAFETY: generated code passes its own context, whose slots nothing else uses while the entry
    // runs alone, a slot of this program, and `rank` extents in its cells.
    let (ctx, dims) = unsafe { (&mut *ctx, std::slice::from_raw_parts(dims, rank)) };
    // SAFETY: as above.
    let slots = unsafe { &mut *ctx.slots };
    let outcome = byte_count(dims, elem_bytes).and_then(|bytes| match usize::try_from(slot) {
        Ok(slot) => slots.reserve(slot, bytes),
        Err(_) => Ok(()),
    });
    match outcome {
        Ok(()) => 0,
        Err((fault, a, b)) => {
            (ctx.report.a, ctx.report.b) = (a, b);
            fault as i64
        }
    }
}

/// The bytes of a dense value of these extents.
fn byte_count(dims: &[i64], elem_bytes: usize) -> Result<usize, (Fault, i64, i64)> {
    if let Some(&n) = dims.iter().find(|&&n| n < 0) {
        return Err((Fault::Negative, n, 0));
    }
    // Also where a 0 makes the whole empty: whoever multiplies the extents must not overflow.
    let most = dims.iter().try_fold(elem_bytes, |n, &d| {
        n.checked_mul(usize::try_from(d.max(1)).ok()?)
    });
    match most {
        Some(n) if n < 1 << 62 && dims.iter().all(|&d| d <= MOST_EXTENT) => {
            Ok(if dims.contains(&0) { 0 } else { n })
        }
        Some(_) | None => Err((Fault::TooLarge, 0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_up_to_the_limit() {
        let mut slots = Slots::new(2, 4096);
        assert_eq!(slots.reserve(0, 1000), Ok(()));
        let first = slots.pointers[0];
        assert_eq!(slots.reserve(0, 10), Ok(()));
        assert_eq!(slots.pointers[0], first);
        assert_eq!(slots.reserve(1, 2900), Ok(()));
        assert!(slots.reserve(0, 2000).is_err());
        assert!(slots.used <= 4096);
    }

    #[test]
    fn absurd_extents_are_faults() {
        assert_eq!(byte_count(&[3, 4], 4), Ok(48));
        assert_eq!(byte_count(&[0, 1 << 40], 4), Ok(0));
        assert_eq!(byte_count(&[], 8), Ok(8));
        for bad in [
            &[-1, 4][..],
            &[1 << 40, 1 << 40],
            &[0, i64::MAX],
            &[1 << 40, 1 << 40, 0],
        ] {
            assert!(byte_count(bad, 4).is_err());
        }
    }
}
