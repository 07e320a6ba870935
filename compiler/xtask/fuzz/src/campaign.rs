//! The parent of a campaign: it deals runs to processes, gathers failures and makes them small.
//!
//! Inputs are tried in other processes since a stack that overflows, memory that is not to be had
//! or a jump into nowhere ends the one in which it happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Arguments;
use crate::subject::Subject;
use crate::worker::{self, TOO_LONG};

/// More different failures than this are mended first.
const MOST_FAILURES: usize = 20;
/// Processes that may end early before the campaign does.
const MOST_CRASHES: usize = 200;
/// Smaller inputs that are tried for one failure.
const MOST_PROBES: usize = 600;

/// What has come of the runs so far.
#[derive(Default)]
struct Tally {
    next: usize,
    runs: usize,
    accepted: usize,
    rejected: BTreeMap<String, usize>,
    crashes: usize,
    /// By what they have in common.
    failures: BTreeMap<String, Failure>,
    trouble: Option<String>,
}

struct Failure {
    /// The first few inputs.
    paths: Vec<PathBuf>,
    reason: String,
    count: usize,
}

/// Inputs that are kept of one kind of failure: a panic has one place, but what differs from the
/// interpreter may do so for many reasons.
const MOST_KEPT: usize = 4;

pub(crate) fn run<S: Subject>(subject: &S, arguments: &Arguments) -> Result<ExitCode, String> {
    println!(
        "seed {}, {} runs, {} inputs to begin with, {} processes",
        arguments.seed,
        arguments.runs,
        subject.seeds(),
        arguments.jobs()
    );
    let out = &arguments.out;
    fs::create_dir_all(out).map_err(|e| format!("cannot make {}: {e}", out.display()))?;
    let bar = progress(arguments.runs);
    let start = Instant::now();
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for slot in 0..arguments.jobs() {
            let (tally, bar) = (&tally, &bar);
            scope.spawn(move || chunks::<S>(arguments, slot, tally, bar));
        }
    });
    bar.finish_and_clear();
    let tally = tally.into_inner().unwrap_or_else(|e| e.into_inner());
    if let Some(trouble) = tally.trouble {
        return Err(trouble);
    }
    for (signature, failure) in &tally.failures {
        report(subject, arguments, signature, failure)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} runs in {seconds:.1} s ({:.0} a second): {} accepted, {} failures of {} kinds",
        tally.runs,
        tally.runs as f64 / seconds,
        tally.accepted,
        tally.failures.values().map(|f| f.count).sum::<usize>(),
        tally.failures.len()
    );
    for (class, count) in &tally.rejected {
        println!("  {count:>9} rejected: {class}");
    }
    Ok(match tally.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(|e| e.into_inner())
}

/// Takes chunks and has them tried until there is none left.
fn chunks<S: Subject>(arguments: &Arguments, slot: usize, tally: &Mutex<Tally>, bar: &ProgressBar) {
    loop {
        let (first, count) = {
            let mut tally = lock(tally);
            let left = arguments.runs - tally.next;
            let tired = tally.failures.len() >= MOST_FAILURES || tally.crashes >= MOST_CRASHES;
            if left == 0 || tired || tally.trouble.is_some() {
                return;
            }
            let first = tally.next;
            let count = left.min(S::CHUNK);
            tally.next += count;
            (first, count)
        };
        if let Err(trouble) = chunk::<S>(arguments, slot, first..first + count, tally, bar) {
            lock(tally).trouble = Some(trouble);
        }
    }
}

fn chunk<S: Subject>(
    arguments: &Arguments,
    slot: usize,
    mut runs: std::ops::Range<usize>,
    tally: &Mutex<Tally>,
    bar: &ProgressBar,
) -> Result<(), String> {
    let current = arguments.out.join(format!("{}-{slot}.current", S::NAME));
    while !runs.is_empty() {
        let mut command = child::<S>(arguments)?;
        command.arg("--work");
        command.arg(format!("{}:{}", runs.start, runs.len()));
        command.arg("--current").arg(&current);
        let mut child = spawn(&mut command)?;
        let stderr = child.stderr.take();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stderr) = stderr {
                // What cannot be read is not needed: it only explains.
                let _ = stderr.read_to_string(&mut text);
            }
            text
        });
        let mut done = false;
        for line in child
            .stdout
            .take()
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines)
        {
            let line = line.map_err(|e| format!("cannot read from a worker: {e}"))?;
            done |= hear(&line, tally);
        }
        let status = child
            .wait()
            .map_err(|e| format!("cannot wait for a worker: {e}"))?;
        let stderr = stderr.join().unwrap_or_default();
        if done && status.success() {
            bar.inc(runs.len() as u64);
            return Ok(());
        }
        let Some((run, input)) = worker::current(&current).filter(|(run, _)| runs.contains(run))
        else {
            return Err(format!("a worker does not start: {stderr}"));
        };
        let path = worker::save::<S>(&arguments.out, arguments.seed, run, &input)?;
        let mut tally = lock(tally);
        tally.runs += run + 1 - runs.start;
        tally.crashes += 1;
        fail(&mut tally, path, ending(status, &stderr));
        if tally.crashes >= MOST_CRASHES {
            return Ok(());
        }
        bar.inc((run + 1 - runs.start) as u64);
        runs.start = run + 1;
    }
    Ok(())
}

/// Books a line of a worker; true for its last.
fn hear(line: &str, tally: &Mutex<Tally>) -> bool {
    let mut tally = lock(tally);
    let parts: Vec<&str> = line.split('\t').collect();
    let number = |text: &str| text.parse::<usize>().unwrap_or(0);
    match parts[..] {
        ["failed", _, path, reason] => fail(&mut tally, path.into(), reason.to_owned()),
        ["rejected", class, count] => {
            *tally.rejected.entry(class.to_owned()).or_default() += number(count);
        }
        ["done", runs, accepted] => {
            tally.runs += number(runs);
            tally.accepted += number(accepted);
            return true;
        }
        _ => {}
    }
    false
}

/// Keeps the first inputs of each kind of failure.
fn fail(tally: &mut Tally, path: PathBuf, reason: String) {
    let most = if reason.contains("panicked at ") {
        1
    } else {
        MOST_KEPT
    };
    let known = tally.failures.entry(signature(&reason));
    let known = known.or_insert_with(|| Failure {
        paths: Vec::new(),
        reason,
        count: 0,
    });
    known.count += 1;
    if known.paths.len() < most {
        known.paths.push(path);
    } else {
        // It shows nothing new; if it stays, it does no harm.
        let _ = fs::remove_file(path);
    }
}

/// What failures with one cause have in common: the place of a panic, or the beginning of the
/// message without its numbers and names.
fn signature(reason: &str) -> String {
    if let Some((_, rest)) = reason.split_once("panicked at ") {
        return rest
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
    }
    let reason = match reason.split_once(": ") {
        Some((kind, _)) if !reason.starts_with("ends the process") => kind,
        _ => reason,
    };
    let mut quoted = false;
    let plain = |c: &char| {
        quoted ^= *c == '`';
        !quoted && !c.is_ascii_digit() && !"`-.".contains(*c)
    };
    reason.chars().filter(plain).take(80).collect()
}

fn ending(status: ExitStatus, stderr: &str) -> String {
    if status.code() == Some(TOO_LONG.into()) {
        return stderr.trim().to_owned();
    }
    let told = stderr.lines().find(|line| !line.trim().is_empty());
    format!("ends the process ({status}): {}", told.unwrap_or_default())
}

/// Makes the inputs of a failure smaller while they fail the same way, and prints what to do.
fn report<S: Subject>(
    subject: &S,
    arguments: &Arguments,
    signature: &str,
    failure: &Failure,
) -> Result<(), String> {
    println!("{} times: {}", failure.count, failure.reason);
    for path in &failure.paths {
        let cannot = |error| format!("cannot read {}: {error}", path.display());
        let original = fs::read(path).map_err(cannot)?;
        let small = smallest(subject, arguments, signature, original.clone())?;
        fs::write(path, &small).map_err(cannot)?;
        let replay = format!("cargo xtask fuzz {} --replay {}", S::NAME, path.display());
        println!("  {replay}   ({} bytes of {})", small.len(), original.len());
    }
    Ok(())
}

fn smallest<S: Subject>(
    subject: &S,
    arguments: &Arguments,
    wanted: &str,
    mut input: Vec<u8>,
) -> Result<Vec<u8>, String> {
    let probe = arguments.out.join(format!("probe.{}", S::EXTENSION));
    let mut probes = 0;
    // Slow failures are not worth a long search.
    let start = Instant::now();
    'again: loop {
        for candidate in subject.smaller(&input) {
            probes += 1;
            if probes > MOST_PROBES || start.elapsed() > Duration::from_secs(60) {
                break 'again;
            }
            if candidate.len() >= input.len() {
                continue;
            }
            fs::write(&probe, &candidate).map_err(|e| format!("cannot write a probe: {e}"))?;
            let reason = replay::<S>(arguments, &probe)?;
            if reason.is_some_and(|reason| signature(&reason) == wanted) {
                input = candidate;
                continue 'again;
            }
        }
        break;
    }
    // It may not be there.
    let _ = fs::remove_file(probe);
    Ok(input)
}

/// Why an input fails in a process of its own, if it does.
fn replay<S: Subject>(arguments: &Arguments, path: &Path) -> Result<Option<String>, String> {
    let mut command = child::<S>(arguments)?;
    command.arg("--replay").arg(path);
    let output = command
        .output()
        .map_err(|e| format!("cannot start a worker: {e}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let told = stdout
        .lines()
        .find_map(|line| line.strip_prefix("failed: "));
    Ok(match (told, output.status.success()) {
        (Some(reason), _) => Some(reason.to_owned()),
        (None, true) => None,
        (None, false) => Some(ending(
            output.status,
            &String::from_utf8_lossy(&output.stderr),
        )),
    })
}

/// This program again, with bounded memory where there is a shell to bound it.
fn child<S: Subject>(arguments: &Arguments) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
    let mut command = match cfg!(unix) {
        true => {
            let mut shell = Command::new("sh");
            let kilobytes = arguments.memory * 1024;
            shell.arg("-c");
            shell.arg(format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\""));
            shell.arg(program);
            shell
        }
        false => Command::new(program),
    };
    command.arg(S::NAME);
    command.args(["--seed", &arguments.seed.to_string()]);
    command.args(["--patience", &arguments.patience.to_string()]);
    command.arg("--out").arg(&arguments.out);
    for folder in &arguments.corpus {
        command.arg("--corpus").arg(folder);
    }
    Ok(command)
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .spawn()
        .map_err(|e| format!("cannot start a worker: {e}"))
}

fn progress(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let template = "{bar:40} {human_pos} of {human_len} runs, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_cause_have_one_signature() {
        let panic = |n: u32| format!("panicked at a/b.rs:12:3: index {n} is out of range");
        assert_eq!(signature(&panic(1)), signature(&panic(9)));
        assert_ne!(
            signature(&panic(1)),
            signature("panicked at a/b.rs:13:3: other")
        );
        assert_eq!(
            signature("output 0 of `nn.relu` is 1.5"),
            signature("output 12 of `nn.gelu` is -3")
        );
    }
}
