//! What a model may take of the machine: the one table of limits.
//!
//! A file of a kilobyte can state shapes of petabytes, and functions that call each other twice
//! each. What reads and compiles models counts, and stops with [`Code::LIMIT`] where a count goes
//! past its limit. Counts are of bytes, nodes and levels, never of time, so that a model that is
//! refused is refused everywhere.

use crate::core::{Code, OpError};

/// A row of the table.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LimitInfo {
    /// The option of the command line, without dashes.
    pub option: &'static str,
    pub default: u64,
    pub help: &'static str,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident, $row:ident = $option:literal, $default:expr;)*) => {
        /// Limits of one model; by default those of the table.
        #[derive(Copy, Clone, PartialEq, Eq, Debug)]
        pub struct Limits {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $($name: Limits::$row.default),* }
            }
        }

        impl Limits {
            $(#[doc = concat!("The limit `--", $option, "`.")]
            pub const $row: LimitInfo = LimitInfo {
                option: $option,
                default: $default,
                help: concat!($($doc),*),
            };)*

            /// Every limit.
            pub const ALL: &[LimitInfo] = &[$(Limits::$row),*];
        }
    };
}

limits! {
    /// Bytes of the constants that an IR text writes out, or that the nodes of a model ask for.
    constants, CONSTANTS = "max-constants", 1 << 28;
    /// Levels of functions, branches and loops inside each other in a model file.
    depth, DEPTH = "max-depth", 64;
    /// Bytes of the inputs, outputs and inner values of a model; weights in a file do not count.
    memory, MEMORY = "max-memory", 4 << 30;
    /// Nodes that a model file may have once its functions and loops are put in place.
    nodes, NODES = "max-nodes", 1 << 18;
}

impl LimitInfo {
    /// The error for going past the limit. `message` says what does, and how far.
    pub fn exceeded(&self, message: impl Into<String>) -> OpError {
        let error = OpError::with_code(Code::LIMIT, message);
        error.help(format!(
            "if that is meant, allow more with `--{} N`",
            self.option
        ))
    }
}

/// Reads a limit: a number, or one with the ending `K`, `M` or `G` for multiples of 1024.
pub fn parse_limit(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) if text.ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    let limit = number.and_then(|n| n.checked_mul(factor));
    limit.ok_or_else(|| "expected a number, as in `1000` or `16G`".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(parse_limit("17"), Ok(17));
        assert_eq!(parse_limit("16G"), Ok(16 << 30));
        for text in ["", "G", "-1", "1T", "99999999999G"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_sorted_and_the_defaults() {
        assert!(Limits::ALL.is_sorted_by(|a, b| a.option < b.option));
        assert_eq!(Limits::default().memory, Limits::MEMORY.default);
    }
}
