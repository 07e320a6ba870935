//! The protocol that every worker speaks: it prints `READY LOAD_SECONDS`, then answers lines.
//!
//! | line | answer |
//! |---|---|
//! | `run SECONDS MOST` | `T` and the milliseconds of each run |
//! | `out` | `O` and up to 4096 values of the first output |
//! | `mem` | `M` and resident memory, now and at most, in kB |
//! | `quit`, or the end | none |

use std::error::Error;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::Instant;
use std::{env, fs};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OUTPUT_VALUES: usize = 4096;

/// The command line: `MODEL --threads N --input NAME=FILE.npy…`.
pub struct Job {
    pub model: String,
    pub threads: usize,
    pub inputs: Vec<Input>,
}

pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Job {
    pub fn from_arguments() -> Result<Job> {
        let mut words = env::args().skip(1);
        let mut job = Job {
            model: words.next().ok_or("no model given")?,
            threads: 1,
            inputs: Vec::new(),
        };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("`{flag}` needs a value"))?;
            match flag.as_str() {
                "--threads" => job.threads = value.parse()?,
                "--input" => job.inputs.push(Input::read(&value)?),
                _ => return Err(format!("unknown flag `{flag}`").into()),
            }
        }
        Ok(job)
    }
}

impl Input {
    fn read(argument: &str) -> Result<Input> {
        let (name, file) = argument
            .rsplit_once('=')
            .ok_or("an input is NAME=FILE.npy")?;
        let bytes = fs::read(file)?;
        // Version 1 of the format: magic, version, a length of two bytes, a header of that length.
        if !bytes.starts_with(b"\x93NUMPY\x01\x00") {
            return Err(format!("{file} is not version 1 of the npy format").into());
        }
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let (header, data) = bytes[10..].split_at(length);
        let header = std::str::from_utf8(header)?;
        if !header.contains("'<f4'") || header.contains("'fortran_order': True") {
            return Err(format!("{file} does not hold f32 in C order").into());
        }
        let shape = header
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'));
        let (shape, _) = shape.ok_or("the header has no shape")?;
        let extents = shape
            .split(',')
            .map(str::trim)
            .filter(|extent| !extent.is_empty());
        Ok(Input {
            name: name.to_owned(),
            shape: extents
                .map(str::parse)
                .collect::<std::result::Result<_, _>>()?,
            values: data
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
        })
    }
}

/// Reports readiness, then answers until there is nothing more to answer. `first` reads the first output of a run.
pub fn serve<Outputs>(
    load_seconds: f64,
    mut run: impl FnMut() -> Result<Outputs>,
    first: impl Fn(&Outputs) -> Result<Vec<f32>>,
) -> Result<()> {
    let output = first(&run()?)?;
    answer(format!("READY {load_seconds}"))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["run", seconds, most] => answer(time(&mut run, seconds.parse()?, most.parse()?)?)?,
            ["out"] => {
                let values = output
                    .iter()
                    .take(OUTPUT_VALUES)
                    .map(|value| format!(" {value:e}"));
                answer(format!("O{}", values.collect::<String>()))?;
            }
            ["mem"] => answer(format!("M {} {}", memory("VmRSS:")?, memory("VmHWM:")?))?,
            _ => break,
        }
    }
    Ok(())
}

fn time<Outputs>(
    run: &mut impl FnMut() -> Result<Outputs>,
    seconds: f64,
    most: usize,
) -> Result<String> {
    let mut line = "T".to_owned();
    let start = Instant::now();
    for done in 0..most {
        if done > 0 && start.elapsed().as_secs_f64() >= seconds {
            break;
        }
        let begin = Instant::now();
        black_box(run()?);
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        line.push_str(&format!(" {milliseconds:.5}"));
    }
    Ok(line)
}

pub fn answer(line: String) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// A number of kB in the kernel's description of this process.
fn memory(key: &str) -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|rest| rest.split_whitespace().next());
    Ok(value
        .ok_or(format!("the kernel does not tell {key}"))?
        .to_owned())
}
