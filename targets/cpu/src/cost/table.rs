//! Nanoseconds per unit of work, for each kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc};
use serde::{Deserialize, Serialize};

use super::work::{Amounts, Work};

/// The coefficients of a machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    /// The processor that it was measured on.
    pub(crate) machine: String,
    pub(crate) threading: Threading,
    /// By kernel, nanoseconds per unit.
    pub(crate) kernels: BTreeMap<String, Amounts>,
}

/// What more threads bring.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Threading {
    /// Nanoseconds to set the other threads to work and to wait for the last.
    pub(crate) wake: f64,
    /// What a thread after the first adds, in threads.
    pub(crate) gain: f64,
}

/// What the option `cost-model` is by default: the calibration of this machine, or the shipped one.
pub(crate) const AUTO: &str = "auto";

/// The shipped table, whatever is stored.
pub(crate) const SHIPPED: &str = "shipped";

/// Work below this is not shared among threads.
const SERIAL: f64 = 10_000.0;

impl Table {
    pub(crate) fn shipped() -> Table {
        let text = include_str!("shipped.json");
        let table = serde_json::from_str(text);
        table.unwrap_or_else(|error| lepid_ir::bug!("the shipped costs: {error}"))
    }

    /// The table that the option `cost-model` names: `auto`, `shipped`, or a file.
    pub(crate) fn named(name: &str) -> Result<Table, Diagnostics> {
        let path = match name {
            SHIPPED => return Ok(Table::shipped()),
            AUTO => match stored().filter(|path| path.is_file()) {
                Some(path) => path,
                None => return Ok(Table::shipped()),
            },
            _ => PathBuf::from(name),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string());
        let table = text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
        // What an older calibration does not know, the shipped one does.
        let table = table.map(|mut table: Table| {
            for (kernel, unit) in Table::shipped().kernels {
                table.kernels.entry(kernel).or_insert(unit);
            }
            table
        });
        table.map_err(|error| {
            let message = format!("cannot use the costs in {}: {error}", path.display());
            let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
            let help = "`lepid bench --calibrate` makes them again; `--target-option cost-model=shipped` does without";
            vec![error.with_help(help)]
        })
    }

    pub(crate) fn seconds(&self, work: &Work, threads: usize) -> f64 {
        let Some(unit) = self.kernels.get(work.kernel) else {
            return 0.0;
        };
        let pairs = unit.to_array().into_iter().zip(work.amounts.to_array());
        let total: f64 = pairs.map(|(unit, amount)| unit * amount).sum();
        let start = unit.start * work.amounts.start;
        let rest = total - start;
        let shared = match threads > 1 && rest > SERIAL {
            true => {
                let threads = 1.0 + self.threading.gain * (threads - 1) as f64;
                self.threading.wake + rest / threads
            }
            false => rest,
        };
        (start + shared) * 1e-9
    }
}

/// Where the calibration of this machine lies, if there is a place for it.
pub(crate) fn stored() -> Option<PathBuf> {
    Some(lepid_target_api::calibration_folder()?.join(format!("{}.json", machine())))
}

/// The processor, as a file name: `amd-epyc-7763-64-core-processor-avx2`.
pub(crate) fn machine() -> String {
    let level = lepid_ukernels::Isa::detect().name();
    let name = processor().unwrap_or_else(|| std::env::consts::ARCH.to_string());
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let words: String = format!("{name} {level}").chars().map(plain).collect();
    let words: Vec<&str> = words.split('-').filter(|w| !w.is_empty()).collect();
    words.join("-")
}

/// The brand string of the processor.
#[cfg(target_arch = "x86_64")]
fn processor() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let mut bytes = Vec::new();
    for leaf in 0x8000_0002..=0x8000_0004 {
        let r = __cpuid(leaf);
        for register in [r.eax, r.ebx, r.ecx, r.edx] {
            bytes.extend(register.to_le_bytes());
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let text = text.trim_matches(['\0', ' ']).to_string();
    (!text.is_empty()).then_some(text)
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_has_every_kernel() {
        let table = Table::shipped();
        for kernel in crate::cost::work::KERNELS {
            assert!(table.kernels.contains_key(*kernel), "{kernel}");
        }
        assert_eq!(table.kernels.len(), crate::cost::work::KERNELS.len());
    }

    #[test]
    fn threads_share_what_is_large() {
        let table = Table::shipped();
        let work = |element| Work {
            kernel: "map",
            amounts: Amounts {
                start: 1.0,
                element,
                ..Amounts::default()
            },
        };
        let [small, large] = [work(1e2), work(1e9)];
        assert_eq!(table.seconds(&small, 2), table.seconds(&small, 1));
        assert!(table.seconds(&large, 2) < 0.8 * table.seconds(&large, 1));
    }
}
