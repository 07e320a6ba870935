//! The CPU target is held to the cases of every target.

use lepid_target_cpu::Cpu;

lepid_target_conformance::tests!(
    Cpu,
    unsupported: [
        "tensor.arg_reduce",
        "tensor.dyn_broadcast",
        "tensor.dyn_iota",
        "tensor.dyn_pad",
        "tensor.dyn_reshape",
        "tensor.dyn_slice",
        "tensor.fft",
        "tensor.gather_elements",
        "tensor.gather_nd",
        "tensor.non_zero",
        "tensor.scan",
        "tensor.scatter_elements",
        "tensor.scatter_nd",
        "tensor.sort",
        "tensor.top_k",
    ]
);
