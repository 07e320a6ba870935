//! The CPU target is held to the cases of every target.

use lepid_target_cpu::Cpu;

lepid_target_conformance::tests!(Cpu, unsupported: []);
