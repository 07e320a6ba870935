//! A process that runs one model in one engine and answers lines; `peers/src/protocol.rs` tells the protocol.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::workspace::{self, Result};

pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    messages: PathBuf,
    /// From the file to the first possible inference.
    pub(crate) load_seconds: f64,
}

impl Worker {
    /// Starts it and waits until the model is loaded.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Worker> {
        let folder = workspace::target_dir().join("workers");
        let failed = |error| format!("cannot start {name}: {error}");
        fs::create_dir_all(&folder).map_err(failed)?;
        // Not a pipe, which a talkative engine would fill.
        let messages = folder.join(format!("{name}.stderr"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&messages).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("cannot talk with {name}"));
        };
        let mut worker = Worker {
            child,
            input,
            output: BufReader::new(output),
            messages,
            load_seconds: f64::NAN,
        };
        let ready = worker.answer("READY")?;
        worker.load_seconds = ready.first().copied().unwrap_or(f64::NAN);
        Ok(worker)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line and reads the numbers of the answer that begins with `key`.
    pub(crate) fn ask(&mut self, line: &str, key: &str) -> Result<Vec<f64>> {
        let sent = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        if sent.is_err() {
            return Err(self.last_words());
        }
        self.answer(key)
    }

    fn answer(&mut self, key: &str) -> Result<Vec<f64>> {
        loop {
            let mut line = String::new();
            match self.output.read_line(&mut line) {
                Ok(0) | Err(_) => return Err(self.last_words()),
                Ok(_) => {}
            }
            // Engines print what they like; only lines with our key are for us.
            let mut words = line.split_whitespace();
            if words.next() == Some(key) {
                let numbers = words.map(str::parse).collect::<std::result::Result<_, _>>();
                return numbers.map_err(|_| format!("`{}` is not a list of numbers", line.trim()));
            }
        }
    }

    /// The last of what a process that ended had to say.
    fn last_words(&mut self) -> String {
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let text = fs::read(&self.messages).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(2)..].join(" / ");
        format!("{status}: {last}")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends by itself at the end of its input, but a comparison must not leave processes behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
