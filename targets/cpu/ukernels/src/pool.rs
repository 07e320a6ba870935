//! A pool of threads that spin for a moment, then park.
//!
//! One region costs well under a microsecond while the workers still spin, which they do between the layers of one
//! inference. The caller takes part 0, worker `i` takes part `i`: which thread runs a part never changes a result.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// What a region runs: `task(ctx, part, parts)`. A panic inside ends the process, as in any `extern "C"` function.
pub type Task = unsafe extern "C" fn(ctx: *const c_void, part: usize, parts: usize);

/// How long an idle worker spins before it parks.
const SPIN: Duration = Duration::from_micros(80);
/// Spins between two looks at the clock.
const SPINS_PER_LOOK: u32 = 64;

/// A fixed number of threads, the caller of a region being one of them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Handles for waking, in the order of `shared.parked`.
    handles: Vec<Thread>,
}

impl Pool {
    /// The most threads that a pool has: more than any machine has cores that it runs on.
    pub const MOST_THREADS: usize = 1024;

    /// Starts `threads - 1` workers; zero counts as one, too many as [`Pool::MOST_THREADS`].
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, Pool::MOST_THREADS);
        let shared = Arc::new(Shared {
            generation: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            parked: (1..threads)
                .map(|_| Padded(AtomicBool::new(false)))
                .collect(),
        });
        let mut workers: Vec<JoinHandle<()>> = Vec::with_capacity(threads - 1);
        for part in 1..threads {
            let shared = Arc::clone(&shared);
            // A machine that refuses a thread still computes: the pool is then smaller.
            let Ok(worker) = std::thread::Builder::new()
                .name(format!("lepid-{part}"))
                .spawn(move || work(&shared, part))
            else {
                break;
            };
            workers.push(worker);
        }
        let handles = workers.iter().map(|w| w.thread().clone()).collect();
        Pool {
            shared,
            workers,
            handles,
        }
    }

    /// Number of parts of every region.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `f(part, parts)` for every part and returns when all are done.
    pub fn run<F: Fn(usize, usize) + Sync>(&self, f: F) {
        unsafe extern "C" fn call<F: Fn(usize, usize) + Sync>(
            ctx: *const c_void,
            part: usize,
            parts: usize,
        ) {
            // SAFETY: `ctx` is the `f` below, which outlives the region and may be shared between threads.
            unsafe { (*ctx.cast::<F>())(part, parts) }
        }
        // SAFETY: `call::<F>` expects exactly this pointer.
        unsafe { self.region(call::<F>, std::ptr::from_ref(&f).cast()) }
    }

    /// Runs `task(ctx, part, parts)` for every part and returns when all are done.
    ///
    /// A region that starts while another one runs, on this thread or any other, runs all its parts on its own thread.
    ///
    /// # Safety
    /// `task` may be called with `ctx` from several threads at once.
    pub unsafe fn region(&self, task: Task, ctx: *const c_void) {
        let parts = self.threads();
        let shared = &*self.shared;
        if parts == 1 || shared.busy.swap(true, Ordering::Acquire) {
            for part in 0..parts {
                // SAFETY: passed on from the caller.
                unsafe { task(ctx, part, parts) };
            }
            return;
        }
        // SAFETY: `busy` keeps other callers out, and no worker reads the job between regions: each has counted itself
        // off `running` after its last use, and waits for the generation to change.
        unsafe { *shared.job.get() = Some(Job { task, ctx, parts }) };
        shared.running.store(parts - 1, Ordering::Relaxed);
        // Sequentially consistent together with the worker's store to `parked` and its second look at the generation:
        // either the worker sees the new generation, or we see it parked.
        shared.generation.fetch_add(1, Ordering::SeqCst);
        for (parked, handle) in shared.parked.iter().zip(&self.handles) {
            if parked.0.load(Ordering::SeqCst) {
                handle.unpark();
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { task(ctx, 0, parts) };
        let mut spins = 0u32;
        while shared.running.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins.is_multiple_of(4096) {
                // The worker may have lost its core; let it have ours.
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        shared.busy.store(false, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker cannot panic: tasks abort the process instead.
            drop(worker.join());
        }
    }
}

/// [`Pool::region`] for generated code.
///
/// # Safety
/// `pool` is alive, and `task` may be called with `ctx` from several threads at once.
pub(crate) unsafe extern "C" fn parallel(pool: *const Pool, task: Task, ctx: *const c_void) {
    // SAFETY: passed on from the caller.
    unsafe { (*pool).region(task, ctx) }
}

#[derive(Clone, Copy, Debug)]
struct Job {
    task: Task,
    ctx: *const c_void,
    parts: usize,
}

/// On a cache line of its own, so that parking one worker does not disturb the others.
#[repr(align(64))]
#[derive(Debug)]
struct Padded<T>(T);

#[derive(Debug)]
struct Shared {
    /// Counts regions; a worker that sees a new number takes its part.
    generation: AtomicUsize,
    /// Workers that have not finished the region.
    running: AtomicUsize,
    /// Whether a region runs.
    busy: AtomicBool,
    stop: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    parked: Vec<Padded<AtomicBool>>,
}

// SAFETY: `job` is written only by the holder of `busy` while no worker reads it, and published by `generation`.
unsafe impl Sync for Shared {}
// SAFETY: the raw pointer in `job` is only handed to the task, whose caller vouches for use from any thread.
unsafe impl Send for Shared {}

fn work(shared: &Shared, part: usize) {
    let mut seen = 0;
    loop {
        seen = next_generation(shared, part, seen);
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: the generation was published after the job was written, and the job stays until we count off.
        if let Some(job) = unsafe { *shared.job.get() } {
            // SAFETY: the caller of the region vouches for the task.
            unsafe { (job.task)(job.ctx, part, job.parts) };
        }
        shared.running.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for a generation other than `seen`: spinning first, parked after that.
fn next_generation(shared: &Shared, part: usize, seen: usize) -> usize {
    let start = Instant::now();
    let mut spins = 0u32;
    loop {
        let now = shared.generation.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        spins += 1;
        if spins.is_multiple_of(SPINS_PER_LOOK) && start.elapsed() > SPIN {
            break;
        }
        std::hint::spin_loop();
    }
    let parked = &shared.parked[part - 1].0;
    parked.store(true, Ordering::SeqCst);
    loop {
        let now = shared.generation.load(Ordering::SeqCst);
        if now != seen {
            parked.store(false, Ordering::Relaxed);
            return now;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_in_every_region() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let regions = if threads <= 2 { 20_000 } else { 500 };
            for _ in 0..regions {
                pool.run(|part, parts| {
                    assert_eq!(parts, threads);
                    counts[part].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == regions));
        }
    }

    #[test]
    fn parked_workers_wake() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        for _ in 0..20 {
            while !pool
                .shared
                .parked
                .iter()
                .all(|p| p.0.load(Ordering::SeqCst))
            {
                std::thread::yield_now();
            }
            pool.run(|_, _| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(total.load(Ordering::Relaxed), 60);
    }

    #[test]
    fn regions_inside_regions_and_from_many_threads_run_all_parts() {
        let pool = Pool::new(2);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(|_, _| {
                            pool.run(|_, _| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 200 * 4);
    }

    #[test]
    fn dropping_joins_idle_and_parked_workers() {
        for _ in 0..50 {
            let pool = Pool::new(4);
            pool.run(|_, _| {});
        }
    }
}
