//! Measures what the machine's multiply-add units can do: `run THREADS` is answered by `P GFLOP/s`.
//!
//! A part of the peers because it must not share flags or lints with what is measured.

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// Enough independent chains to hide the latency of an addition on two units.
const CHAINS: usize = 12;
const LANES: usize = 8;
const ROUNDS: usize = 4_000_000;

fn main() -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "READY 0")?;
    stdout.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some(threads) = line.strip_prefix("run ").and_then(|n| n.parse().ok()) else {
            break;
        };
        writeln!(stdout, "P {:.3}", gigaflops(threads))?;
        stdout.flush()?;
    }
    Ok(())
}

fn gigaflops(threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let work = || {
        barrier.wait();
        let start = Instant::now();
        multiply_add();
        start
    };
    // This thread works, too: one that only waited could be late with its clock.
    let start = thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work()
    });
    let operations = threads * ROUNDS * CHAINS * LANES * 2;
    operations as f64 / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(target_arch = "x86_64")]
fn multiply_add() {
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the features were just found.
        unsafe { multiply_add_avx2() }
    } else {
        multiply_add_plain();
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add() {
    multiply_add_plain();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_add_avx2() {
    use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_set1_ps};
    let factor = _mm256_set1_ps(black_box(0.999));
    let summand = _mm256_set1_ps(black_box(1e-7));
    let mut chains: [__m256; CHAINS] = [_mm256_set1_ps(black_box(1.0)); CHAINS];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, summand);
        }
    }
    black_box(chains);
}

fn multiply_add_plain() {
    let factor = black_box(0.999_f32);
    let summand = black_box(1e-7_f32);
    let mut chains = [[black_box(1.0_f32); LANES]; CHAINS];
    for _ in 0..ROUNDS {
        for value in chains.iter_mut().flatten() {
            *value = *value * factor + summand;
        }
    }
    black_box(chains);
}
