//! One test: `lepid run` as a process of its own, and what its end means.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A test of the suite.
#[derive(Deserialize)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) operator: String,
    model: PathBuf,
    data: Vec<DataSet>,
}

#[derive(Deserialize)]
struct DataSet {
    inputs: Vec<Array>,
    outputs: Vec<Array>,
}

#[derive(Deserialize)]
struct Array {
    name: String,
    file: PathBuf,
}

/// How a test ended, with what was said.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "result", content = "message", rename_all = "lowercase")]
pub(super) enum Verdict {
    Passed,
    /// Exit code 1 with a diagnostic.
    Refused(String),
    /// An output differs.
    Wrong(String),
    /// A panic, a signal, an exit code that nothing explains.
    Crashed(String),
    TimedOut,
}

impl Verdict {
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Verdict::Passed | Verdict::Refused(_) => false,
            Verdict::Wrong(_) | Verdict::Crashed(_) | Verdict::TimedOut => true,
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Verdict::Passed => "",
            Verdict::Refused(message) | Verdict::Wrong(message) | Verdict::Crashed(message) => {
                message
            }
            Verdict::TimedOut => "too much time",
        }
    }
}

/// How tests are run.
pub(super) struct Trial {
    pub(super) lepid: PathBuf,
    pub(super) target: String,
    pub(super) limit: Duration,
}

/// The code of the diagnostic for outputs that differ.
const MISMATCH: &str = "E0703";

impl Trial {
    /// The first data set that does not pass decides.
    pub(super) fn run(&self, test: &Test) -> Verdict {
        let verdicts = test.data.iter().map(|data| self.run_one(test, data));
        let failed = verdicts.into_iter().find(|v| *v != Verdict::Passed);
        failed.unwrap_or(match test.data.is_empty() {
            true => Verdict::Crashed("the test has no data".to_owned()),
            false => Verdict::Passed,
        })
    }

    fn run_one(&self, test: &Test, data: &DataSet) -> Verdict {
        let mut command = Command::new(&self.lepid);
        command.arg("run").arg(&test.model);
        command.args(["--target", &self.target, "--threads", "1"]);
        // The bound of NumPy's `allclose` for outputs that are about 1, and wider for large ones.
        command.args(["--rtol", "1e-3", "--atol", "1e-5", "--per-element"]);
        for (option, arrays) in [("--input", &data.inputs), ("--compare", &data.outputs)] {
            for array in arrays {
                let place = format!("{}={}", array.name, array.file.display());
                command.arg(option).arg(place);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match command.stderr(Stdio::piped()).spawn() {
            Ok(child) => self.judge(child),
            Err(error) => Verdict::Crashed(format!("cannot run: {error}")),
        }
    }

    fn judge(&self, mut child: Child) -> Verdict {
        let stderr = child.stderr.take();
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                // What was read before an error is what there is to judge by.
                let _ = stderr.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let Some(status) = wait(&mut child, self.limit) else {
            return Verdict::TimedOut;
        };
        let messages = reader.join().unwrap_or_default();
        verdict(status.code(), &status.to_string(), &messages)
    }
}

/// The exit status, unless the process had to be ended.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => {
                // It may have ended by itself just now.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// What an exit code and the messages mean.
fn verdict(code: Option<i32>, status: &str, messages: &str) -> Verdict {
    let error = messages.lines().find(|line| line.starts_with("error["));
    match (code, error) {
        (Some(0), _) => Verdict::Passed,
        (Some(1), Some(line)) if line.contains(MISMATCH) => Verdict::Wrong(details(messages, line)),
        (Some(1), Some(line)) => Verdict::Refused(line.to_owned()),
        _ => {
            let last = messages.lines().find(|line| !line.trim().is_empty());
            Verdict::Crashed(format!("{status}: {}", last.unwrap_or("no message")))
        }
    }
}

/// The error with the note that says where values differ.
fn details(messages: &str, line: &str) -> String {
    let after = messages.lines().skip_while(|other| *other != line);
    let mut own = after
        .skip(1)
        .take_while(|other| !other.starts_with("error["));
    let note = own.find(|line| line.contains("note: "));
    match note {
        Some(note) => {
            let text = note.split_once("note: ").map_or(note, |(_, text)| text);
            format!("{line}; {text}")
        }
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_diagnostic_makes_exit_code_1_a_refusal() {
        let refused = "error[E0602]: operator `Foo` in opset 1 is not supported\n  = help: x\n";
        let wrong = "note: n\nerror[E0703]: output `y` differs\n  ╰ note: at [0]: expected 2\n";
        let judge = |code, text| verdict(code, "exit status", text);
        assert_eq!(judge(Some(0), "warning: w\n"), Verdict::Passed);
        assert!(matches!(judge(Some(1), refused), Verdict::Refused(m) if m.contains("Foo")));
        assert!(matches!(judge(Some(1), wrong), Verdict::Wrong(m) if m.contains("expected 2")));
        assert!(matches!(judge(Some(1), ""), Verdict::Crashed(_)));
        assert!(matches!(judge(Some(101), refused), Verdict::Crashed(_)));
        assert!(matches!(judge(None, ""), Verdict::Crashed(_)));
    }
}
