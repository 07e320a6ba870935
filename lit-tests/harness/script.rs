//! Reads the `RUN`, `REQUIRES` and `XFAIL` lines of a test file and runs them, without a shell.
//!
//! A `RUN` line is a pipeline of `lepid …` and `filecheck FILE`. Before a command may stand `not` (it must fail, but not by a panic) or `errors` (its diagnostics must be those marked in the file); after it `2>&1`.
//! `%s` is the test file, `%t` a path in an empty folder of the test's own. Commands run in the folder of the test file.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::errors;
use crate::filecheck;

/// What a process exits with after a Rust panic.
const PANIC_STATUS: i32 = 101;

/// A parsed test file.
pub(crate) struct Script {
    lines: Vec<Vec<Stage>>,
    expect_failure: bool,
    /// The feature that this machine lacks, if any.
    pub(crate) skip: Option<String>,
}

/// Where the commands of one test find what they need.
pub(crate) struct Tools {
    pub(crate) lepid: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) scratch: PathBuf,
}

/// One command of a pipeline.
#[derive(Debug, PartialEq)]
struct Stage {
    kind: Kind,
    arguments: Vec<String>,
    stderr_to_stdout: bool,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Lepid,
    NotLepid,
    ErrorsOfLepid,
    FileCheck,
}

/// The names that `REQUIRES` and `XFAIL` may use, each with whether this machine has it.
pub(crate) struct Features(Vec<(&'static str, bool)>);

impl Features {
    pub(crate) fn of_this_machine() -> Features {
        #[cfg(target_arch = "x86_64")]
        let (avx2, avx512) = (
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            is_x86_feature_detected!("avx512f"),
        );
        #[cfg(not(target_arch = "x86_64"))]
        let (avx2, avx512) = (false, false);
        Features(vec![
            ("x86_64", cfg!(target_arch = "x86_64")),
            ("aarch64", cfg!(target_arch = "aarch64")),
            ("linux", cfg!(target_os = "linux")),
            ("macos", cfg!(target_os = "macos")),
            ("windows", cfg!(target_os = "windows")),
            ("avx2", avx2),
            ("avx512", avx512),
        ])
    }

    fn has(&self, name: &str) -> Result<bool, String> {
        let known = self.0.iter().find(|(known, _)| *known == name);
        match known {
            Some((_, present)) => Ok(*present),
            None => Err(format!("unknown feature `{name}` in REQUIRES or XFAIL")),
        }
    }
}

impl Script {
    pub(crate) fn parse(text: &str, features: &Features) -> Result<Script, String> {
        let mut script = Script {
            lines: Vec::new(),
            expect_failure: false,
            skip: None,
        };
        for line in text.lines() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                continue;
            };
            let comment = comment.trim_start();
            if let Some(command) = comment.strip_prefix("RUN:") {
                script.lines.push(parse_pipeline(command)?);
            } else if let Some(names) = comment.strip_prefix("REQUIRES:") {
                for name in names.split(',').map(str::trim) {
                    if !features.has(name)? {
                        script.skip = Some(name.to_owned());
                    }
                }
            } else if let Some(names) = comment.strip_prefix("XFAIL:") {
                for name in names.split(',').map(str::trim) {
                    script.expect_failure |= name == "*" || features.has(name)?;
                }
            }
        }
        if script.lines.is_empty() {
            return Err("the file has no `// RUN:` line".to_owned());
        }
        Ok(script)
    }

    pub(crate) fn run(&self, tools: &Tools) -> Result<(), String> {
        let outcome = self.run_lines(tools);
        match (self.expect_failure, outcome) {
            (false, outcome) => outcome,
            (true, Err(_)) => Ok(()),
            (true, Ok(())) => Err("passed, but is marked XFAIL".to_owned()),
        }
    }

    fn run_lines(&self, tools: &Tools) -> Result<(), String> {
        prepare_scratch(tools).map_err(|error| format!("cannot prepare `%t`: {error}"))?;
        for (index, line) in self.lines.iter().enumerate() {
            let mut output = Vec::new();
            for stage in line {
                output = stage
                    .run(tools, output)
                    .map_err(|error| format!("RUN line {}: {error}", index + 1))?;
            }
        }
        Ok(())
    }
}

fn prepare_scratch(tools: &Tools) -> io::Result<()> {
    if tools.scratch.exists() {
        fs::remove_dir_all(&tools.scratch)?;
    }
    fs::create_dir_all(&tools.scratch)
}

fn parse_pipeline(command: &str) -> Result<Vec<Stage>, String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    words.split(|word| *word == "|").map(parse_stage).collect()
}

fn parse_stage(words: &[&str]) -> Result<Stage, String> {
    let mut stderr_to_stdout = false;
    let mut words = words;
    if let [rest @ .., "2>&1"] = words {
        stderr_to_stdout = true;
        words = rest;
    }
    let (kind, arguments) = match words {
        ["lepid", rest @ ..] => (Kind::Lepid, rest),
        ["not", "lepid", rest @ ..] => (Kind::NotLepid, rest),
        ["errors", "lepid", rest @ ..] => (Kind::ErrorsOfLepid, rest),
        ["filecheck", file] => (Kind::FileCheck, std::slice::from_ref(file)),
        _ => {
            return Err(format!(
                "cannot run `{}`: a command is `[not|errors] lepid …` or `filecheck FILE`",
                words.join(" ")
            ));
        }
    };
    Ok(Stage {
        kind,
        arguments: arguments.iter().map(|word| unquote(word)).collect(),
        stderr_to_stdout,
    })
}

/// Quotes around a whole word, or around the value of `--flag='value'`, are dropped; there is nothing else to quote without a shell.
fn unquote(word: &str) -> String {
    let (head, tail) = match word.split_once('=') {
        Some((head, tail)) if head.starts_with('-') => (&word[..=head.len()], tail),
        _ => ("", word),
    };
    let quoted = |mark| tail.strip_prefix(mark).and_then(|t| t.strip_suffix(mark));
    let tail = quoted('\'').or_else(|| quoted('"')).unwrap_or(tail);
    format!("{head}{tail}")
}

impl Stage {
    fn run(&self, tools: &Tools, input: Vec<u8>) -> Result<Vec<u8>, String> {
        let arguments: Vec<String> = self.arguments.iter().map(|a| tools.expand(a)).collect();
        match self.kind {
            Kind::FileCheck => {
                let checks = read(&arguments[0])?;
                filecheck::check(&checks, &String::from_utf8_lossy(&input))?;
                Ok(Vec::new())
            }
            Kind::Lepid => {
                let done = self.spawn(tools, &arguments, input)?;
                done.expect(done.status.success(), "fails", &arguments)
            }
            Kind::NotLepid => {
                let done = self.spawn(tools, &arguments, input)?;
                done.expect(done.refused(), "should refuse", &arguments)
            }
            Kind::ErrorsOfLepid => {
                let done = self.spawn(tools, &arguments, input)?;
                let source = read(&tools.file.to_string_lossy())?;
                errors::compare(&source, &done.stderr)?;
                let text = done.stdout.clone();
                done.expect(done.refused(), "should refuse", &arguments)?;
                Ok(text)
            }
        }
    }

    fn spawn(&self, tools: &Tools, arguments: &[String], input: Vec<u8>) -> Result<Done, String> {
        self.spawn_piped(tools, arguments, input)
            .map_err(|error| format!("cannot run {}: {error}", tools.lepid.display()))
    }

    fn spawn_piped(&self, tools: &Tools, arguments: &[String], input: Vec<u8>) -> io::Result<Done> {
        let mut command = Command::new(&tools.lepid);
        command
            .args(arguments)
            .env("NO_COLOR", "1")
            // What somebody has measured on this machine is not to decide what a test sees.
            .env("LEPID_CALIBRATION", "none")
            .stdin(Stdio::piped());
        if let Some(folder) = tools.file.parent() {
            command.current_dir(folder);
        }
        let (mut stdout, write_out) = io::pipe()?;
        let (mut stderr, write_err) = io::pipe()?;
        if self.stderr_to_stdout {
            command.stderr(write_out.try_clone()?);
            drop(write_err);
        } else {
            command.stderr(write_err);
        }
        command.stdout(write_out);
        let mut child = command.spawn()?;
        // The command holds the writing ends; reading would never end with them.
        drop(command);
        let stdin = child.stdin.take();
        let feeder = thread::spawn(move || {
            // A command that does not read its input closes the pipe: that is its right.
            stdin.map(|mut stdin| stdin.write_all(&input))
        });
        let errors = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut out = Vec::new();
        stdout.read_to_end(&mut out)?;
        let err = errors
            .join()
            .map_err(|_| io::Error::other("reader panicked"))??;
        let _ = feeder.join();
        Ok(Done {
            status: child.wait()?,
            stdout: out,
            stderr: String::from_utf8_lossy(&err).into_owned(),
        })
    }
}

impl Tools {
    fn expand(&self, argument: &str) -> String {
        argument
            .replace("%s", &self.file.to_string_lossy())
            .replace("%t", &self.scratch.join("t").to_string_lossy())
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// A finished command.
struct Done {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Done {
    /// Whether it exited with an error of its own, rather than by a panic or a signal.
    fn refused(&self) -> bool {
        matches!(self.status.code(), Some(code) if code != 0 && code != PANIC_STATUS)
    }

    fn expect(&self, met: bool, what: &str, arguments: &[String]) -> Result<Vec<u8>, String> {
        if met {
            return Ok(self.stdout.clone());
        }
        Err(format!(
            "`lepid {}` {what} ({})\n--- stderr\n{}--- stdout\n{}",
            arguments.join(" "),
            self.status,
            self.stderr,
            String::from_utf8_lossy(&self.stdout)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Script, String> {
        Script::parse(text, &Features(vec![("here", true), ("absent", false)]))
    }

    #[test]
    fn splits_pipelines_and_prefixes() {
        let script = parse("// RUN: not lepid opt --passes='a,b' %s 2>&1 | filecheck %s").unwrap();
        let [first, second] = &script.lines[0][..] else {
            panic!("two stages expected");
        };
        assert_eq!(first.kind, Kind::NotLepid);
        assert_eq!(first.arguments, ["opt", "--passes=a,b", "%s"]);
        assert!(first.stderr_to_stdout);
        assert_eq!(second.kind, Kind::FileCheck);
    }

    #[test]
    fn refuses_files_without_run_and_foreign_commands() {
        assert!(parse("func @f() {}").is_err());
        assert!(parse("// RUN: grep x %s").is_err());
        assert!(parse("// RUN: lepid opt %s |").is_err());
    }

    #[test]
    fn skips_only_for_known_missing_features() {
        let run = "// RUN: lepid opt %s\n";
        assert!(
            parse(&format!("// REQUIRES: here\n{run}"))
                .unwrap()
                .skip
                .is_none()
        );
        let skip = parse(&format!("// REQUIRES: here, absent\n{run}"))
            .unwrap()
            .skip;
        assert_eq!(skip.as_deref(), Some("absent"));
        assert!(parse(&format!("// REQUIRES: typo\n{run}")).is_err());
        assert!(
            parse(&format!("// XFAIL: *\n{run}"))
                .unwrap()
                .expect_failure
        );
    }

    #[test]
    fn unquotes_words_and_flag_values() {
        assert_eq!(unquote("'a b'"), "a b");
        assert_eq!(unquote("--passes=\"x{y=1}\""), "--passes=x{y=1}");
        assert_eq!(unquote("x='1'"), "x='1'");
    }
}
