//! One process of a campaign: it tries a run of inputs and tells how they fared.
//!
//! The parent reads lines: `failed RUN PATH REASON`, `rejected CLASS COUNT`, `done RUNS ACCEPTED`,
//! with tabs between the parts. Before each input is tried it is written to the file of the
//! worker, so that one that ends the process can be found there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::random::Random;
use crate::subject::{self, Subject, Verdict};

/// Which inputs a worker tries, and where it writes.
pub(crate) struct Task<'a> {
    pub(crate) seed: u64,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// The file of the input under trial.
    pub(crate) current: &'a Path,
    /// The folder of failing inputs.
    pub(crate) out: &'a Path,
    /// Seconds that one input may take.
    pub(crate) patience: u64,
}

/// The exit code of a worker whose input takes too long.
pub(crate) const TOO_LONG: u8 = 3;

pub(crate) fn work<S: Subject>(subject: &mut S, task: &Task<'_>) -> Result<ExitCode, String> {
    let failed = |error| format!("cannot write {}: {error}", task.current.display());
    let mut current = Current::create(task.current).map_err(failed)?;
    let turn = Arc::new(AtomicUsize::new(0));
    watch(turn.clone(), task.patience);
    let mut accepted = 0;
    let mut rejected: BTreeMap<String, usize> = BTreeMap::new();
    for run in task.first..task.first + task.count {
        let mut random = Random::new(task.seed, run);
        let (input, made) = match subject::caught(|| subject.make(&mut random)) {
            Ok(input) => (input, None),
            Err(panic) => (Vec::new(), Some(Verdict::Failed(panic))),
        };
        current.set(run, &input).map_err(failed)?;
        turn.fetch_add(1, Ordering::Relaxed);
        match made.unwrap_or_else(|| subject::examine(subject, &input)) {
            Verdict::Rejected(class) => *rejected.entry(class).or_default() += 1,
            Verdict::Accepted => {
                accepted += 1;
                subject.learn(&input, &mut random);
            }
            Verdict::Failed(reason) => {
                let path = save::<S>(task.out, task.seed, run, &input)?;
                let reason = reason.replace(['\n', '\t'], " ");
                println!("failed\t{run}\t{}\t{reason}", path.display());
            }
        }
    }
    for (class, count) in rejected {
        println!("rejected\t{class}\t{count}");
    }
    println!("done\t{}\t{accepted}", task.count);
    Ok(ExitCode::SUCCESS)
}

/// Writes a failing input under the name of its run.
pub(crate) fn save<S: Subject>(
    out: &Path,
    seed: u64,
    run: usize,
    input: &[u8],
) -> Result<PathBuf, String> {
    let path = out.join(format!("{}-{seed}-{run}.{}", S::NAME, S::EXTENSION));
    let written = fs::create_dir_all(out).and_then(|()| fs::write(&path, input));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

/// Ends the process if the same input is tried for too long.
pub(crate) fn watch(turn: Arc<AtomicUsize>, patience: u64) {
    thread::spawn(move || {
        let mut last = (0, 0);
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = turn.load(Ordering::Relaxed);
            last = if now == last.0 {
                (now, last.1 + 1)
            } else {
                (now, 0)
            };
            if last.1 >= patience {
                eprintln!("takes longer than {patience} s");
                std::process::exit(TOO_LONG.into());
            }
        }
    });
}

/// The file of the input under trial: the number of the run, the length, the bytes.
struct Current {
    file: File,
    buffer: Vec<u8>,
}

impl Current {
    fn create(path: &Path) -> io::Result<Current> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(path)?;
        Ok(Current {
            file,
            buffer: Vec::new(),
        })
    }

    fn set(&mut self, run: usize, input: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend((run as u64).to_le_bytes());
        self.buffer.extend((input.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(input);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.buffer)
    }
}

/// The run and the input that a worker tried last.
pub(crate) fn current(path: &Path) -> Option<(usize, Vec<u8>)> {
    let bytes = fs::read(path).ok()?;
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let (run, length) = (number(0)?, number(8)?);
    let input = bytes.get(16..16usize.checked_add(length)?)?;
    Some((run, input.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_under_trial_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current");
        let mut file = Current::create(&path).unwrap();
        assert_eq!(current(&path), None);
        file.set(3, b"a long input").unwrap();
        file.set(7, b"short").unwrap();
        assert_eq!(current(&path), Some((7, b"short".to_vec())));
    }
}
