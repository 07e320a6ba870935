//! The CPU target is held to the cases of every target.

use lepid_target_cpu::Cpu;

lepid_target_conformance::tests!(
    Cpu,
    unsupported: [
        "tensor.dyn_broadcast",
        "tensor.dyn_iota",
        "tensor.dyn_pad",
        "tensor.dyn_reshape",
        "tensor.dyn_slice",
        "tensor.non_zero",
    ]
);
