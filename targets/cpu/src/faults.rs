//! What only a run can find: faults that generated code reports, and what is said of them.

use lepid_ir::core::{Code, Diagnostic, Loc};

/// A rule that a run breaks. Generated code writes the number.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(i64)]
pub(crate) enum Fault {
    /// Extents `a` and `b` of operands differ.
    Differ = 1,
    /// An extent `a` can be broadcast to neither 1 nor `b`.
    Broadcast,
    /// `a` elements do not fill a shape whose stated extents have the product `b`.
    Reshape,
    /// An extent is `a`.
    Negative,
    /// A step is 0.
    ZeroStep,
    /// `a` elements are asked of an axis of `b`.
    TooFew,
    /// An axis without elements is to be read or mirrored.
    Empty,
    /// More elements than can be counted.
    TooLarge,
    /// `a` bytes are needed, `b` allowed.
    Memory,
    /// The system does not give `a` bytes.
    NoMemory,
}

impl Fault {
    /// Every fault.
    const ALL: [Fault; 10] = [
        Fault::Differ,
        Fault::Broadcast,
        Fault::Reshape,
        Fault::Negative,
        Fault::ZeroStep,
        Fault::TooFew,
        Fault::Empty,
        Fault::TooLarge,
        Fault::Memory,
        Fault::NoMemory,
    ];
}

/// Where generated code leaves what it found.
#[repr(C)]
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct FaultReport {
    /// The number of a [`Fault`]; 0 for none.
    pub(crate) fault: i64,
    /// The number of the op among those that may fail.
    pub(crate) site: usize,
    pub(crate) a: i64,
    pub(crate) b: i64,
}

impl FaultReport {
    fn kind(&self) -> Fault {
        match Fault::ALL.iter().find(|f| **f as i64 == self.fault) {
            Some(fault) => *fault,
            None => lepid_ir::bug!("generated code reports an unknown fault {}", self.fault),
        }
    }

    /// What the user is told; the location is that of the op at fault.
    pub(crate) fn diagnostic(&self, op: &str, loc: Loc) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(Code::RUN_FAILED, loc, self.message(op));
        if self.kind() == Fault::Memory {
            diagnostic.help = Some("allow more with `--max-memory`".to_string());
        }
        diagnostic
    }

    /// The same for who has no diagnostics.
    pub(crate) fn message(&self, op: &str) -> String {
        let (a, b) = (self.a, self.b);
        let what = match self.kind() {
            Fault::Differ => format!("extents {a} and {b} do not agree"),
            Fault::Broadcast => format!("extents {a} and {b} cannot be broadcast to one"),
            Fault::Reshape => {
                format!("{a} elements do not fill a shape whose stated extents make {b}")
            }
            Fault::Negative => format!("an extent is {a}"),
            Fault::ZeroStep => "a step is 0".to_string(),
            Fault::TooFew => format!("{a} elements are asked of an axis of {b}"),
            Fault::Empty => "an axis without elements is read".to_string(),
            Fault::TooLarge => "the result is larger than a tensor can be".to_string(),
            Fault::Memory => format!(
                "values whose extents depend on data need {a} bytes, more than the {b} that are allowed"
            ),
            Fault::NoMemory => format!("the system does not give {a} bytes of memory"),
        };
        format!("`{op}`: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_words() {
        for fault in Fault::ALL {
            let report = FaultReport {
                fault: fault as i64,
                ..FaultReport::default()
            };
            let said = report.diagnostic("tensor.add", Loc::Unknown);
            assert!(said.message.starts_with("`tensor.add`: "));
        }
    }
}
