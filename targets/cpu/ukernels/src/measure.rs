//! What this machine can do at best: the yardsticks of every benchmark.

use std::hint::black_box;
use std::time::Instant;

use crate::memory::AlignedBuf;
use crate::pool::Pool;
use crate::table::{Isa, table};

/// Best floating-point rate of `threads` cores together, in operations per second (an FMA is two).
///
/// Returns 0 for an instruction set that the machine lacks. Takes about 20 ms.
pub fn measure_fma_peak(isa: Isa, threads: usize) -> f64 {
    let Some(table) = table(isa) else { return 0.0 };
    let pool = Pool::new(threads);
    let rounds = 20_000;
    let flops = (rounds * 24 * 8 * 2 * pool.threads()) as f64;
    let seconds = best_of(20, || {
        pool.run(|_, _| {
            // SAFETY: the loop touches no memory.
            black_box(unsafe { (table.fma_loop)(black_box(rounds)) });
        });
    });
    flops / seconds
}

/// Best rate at which `threads` cores together read `bytes` of memory again and again, in bytes per second.
///
/// Several times the last-level cache measures DRAM; a buffer that fits measures that cache.
pub fn measure_read_bandwidth(bytes: usize, threads: usize) -> f64 {
    let Some(table) = table(Isa::detect()) else {
        return 0.0;
    };
    let pool = Pool::new(threads);
    let mut buf = AlignedBuf::new_zeroed(bytes);
    // Pages that were never written may all be one page of zeros.
    buf.as_f32_mut().fill(1.0);
    let data = buf.as_f32();
    let part_len = data.len() / pool.threads();
    let read = || {
        pool.run(|part, _| {
            let part = &data[part * part_len..(part + 1) * part_len];
            // SAFETY: pointer and length are those of a slice.
            black_box(unsafe { (table.read_loop)(part.len(), part.as_ptr()) });
        });
    };
    read();
    let seconds = best_of(8, read);
    (part_len * pool.threads() * 4) as f64 / seconds
}

/// The shortest of `times` runs, in seconds.
pub fn best_of(times: usize, f: impl Fn()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
