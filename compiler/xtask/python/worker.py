#!/usr/bin/env python3
"""Run a model in ONNX Runtime or OpenVINO as a worker of the comparison.

    worker.py ort|ov MODEL.onnx --threads N --input NAME=FILE.npy...

Speaks the protocol of compiler/xtask/peers/src/protocol.rs.
"""

import argparse
import sys
import time

import numpy as np


def onnx_runtime(model, threads, inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    # Bound once, so that no copy between Python and the engine is timed.
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return seconds, lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def openvino(model, threads, inputs):
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    start = time.perf_counter()
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    seconds = time.perf_counter() - start
    for name, value in inputs.items():
        request.set_tensor(name, openvino.Tensor(value, shared_memory=False))
    return seconds, request.infer, lambda: request.get_output_tensor(0).data


def answer(*words):
    print(*words, flush=True)


def memory():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return lines["VmRSS"].split()[0], lines["VmHWM"].split()[0]


def timed(run, seconds, most):
    times, start = [], time.perf_counter()
    while len(times) < most and (not times or time.perf_counter() - start < seconds):
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    return [f"{milliseconds:.5f}" for milliseconds in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["ort", "ov"])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input", action="append", default=[])
    arguments = parser.parse_args()
    files = (pair.rsplit("=", 1) for pair in arguments.input)
    inputs = {name: np.load(file) for name, file in files}
    load = {"ort": onnx_runtime, "ov": openvino}[arguments.engine]
    seconds, run, first_output = load(arguments.model, arguments.threads, inputs)
    run()
    answer("READY", seconds)
    for line in sys.stdin:
        match line.split():
            case ["run", limit, most]:
                answer("T", *timed(run, float(limit), int(most)))
            case ["out"]:
                answer("O", *(f"{value:e}" for value in first_output().ravel()[:4096]))
            case ["mem"]:
                answer("M", *memory())
            case _:
                break


main()
