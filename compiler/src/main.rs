//! The binary `lepid` with the targets of this tree.

use std::process::ExitCode;

fn main() -> ExitCode {
    lepid::driver::Driver::new().main()
}
