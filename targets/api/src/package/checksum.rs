//! XXH64, the checksum of the parts of a package file.
//!
//! It finds damage, not malice: whoever can write a package can write machine code into it. It is
//! fast enough to read all weights at every load, on as many threads as the machine has.

use std::thread;

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// The unit in which a section is checked, so that threads can share the work.
pub(super) const CHUNK: usize = 1 << 20;

/// Sections of fewer chunks are checked on the caller's thread.
const PARALLEL_CHUNKS: usize = 8;

/// The checksum of a section: XXH64 over the little-endian XXH64 of each of its chunks.
pub(super) fn section(data: &[u8]) -> u64 {
    let chunks: Vec<&[u8]> = data.chunks(CHUNK).collect();
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = match chunks.len() < PARALLEL_CHUNKS {
        true => 1,
        false => cores().min(chunks.len()),
    };
    let share = chunks.len().div_ceil(threads).max(1);
    let sums: Vec<u8> = match threads {
        1 => sums(&chunks),
        _ => thread::scope(|scope| {
            let workers: Vec<_> = chunks
                .chunks(share)
                .map(|part| (part, scope.spawn(move || sums(part))))
                .collect();
            // A share whose thread is lost is computed here.
            let joined = workers.into_iter();
            joined
                .flat_map(|(part, worker)| worker.join().unwrap_or_else(|_| sums(part)))
                .collect()
        }),
    };
    xxh64(&sums)
}

fn sums(chunks: &[&[u8]]) -> Vec<u8> {
    let sums = chunks.iter().map(|chunk| xxh64(chunk));
    sums.flat_map(u64::to_le_bytes).collect()
}

/// XXH64 with the seed 0.
pub(super) fn xxh64(data: &[u8]) -> u64 {
    let mut stripes = data.chunks_exact(32);
    let mut hash = match data.len() < 32 {
        true => P5,
        false => {
            let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
            for stripe in &mut stripes {
                for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                    *lane = round(*lane, u64_at(word));
                }
            }
            let rotated = lanes.iter().zip([1, 7, 12, 18]);
            let sum = rotated.fold(0u64, |sum, (lane, by)| {
                sum.wrapping_add(lane.rotate_left(by))
            });
            lanes.iter().fold(sum, |hash, &lane| {
                (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4)
            })
        }
    };
    hash = hash.wrapping_add(data.len() as u64);
    let mut words = stripes.remainder().chunks_exact(8);
    for word in &mut words {
        hash ^= round(0, u64_at(word));
        hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let mut rest = words.remainder();
    if let Some((half, after)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P1);
        hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = after;
    }
    for &byte in rest {
        hash ^= u64::from(byte).wrapping_mul(P5);
        hash = hash.rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    let mixed = lane.wrapping_add(word.wrapping_mul(P2));
    mixed.rotate_left(31).wrapping_mul(P1)
}

fn u64_at(word: &[u8]) -> u64 {
    word.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_values() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        let text = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(text), 0xFBCE_A83C_8A37_8BF1);
    }

    #[test]
    fn any_changed_byte_changes_a_section() {
        let mut data: Vec<u8> = (0..3 * CHUNK + 77)
            .map(|i| (i * 7 + i / 251) as u8)
            .collect();
        let whole = section(&data);
        for at in (0..data.len()).step_by(99_991) {
            data[at] ^= 1 << (at % 8);
            assert_ne!(section(&data), whole, "at {at}");
            data[at] ^= 1 << (at % 8);
        }
        assert_ne!(section(&data[..data.len() - 1]), whole);
    }

    #[test]
    fn threads_do_not_change_the_sum() {
        let data = vec![3u8; (PARALLEL_CHUNKS + 3) * CHUNK + 5];
        let chunks: Vec<&[u8]> = data.chunks(CHUNK).collect();
        assert_eq!(section(&data), xxh64(&sums(&chunks)));
    }
}
