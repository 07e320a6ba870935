#!/usr/bin/env python3
"""Make what one model is checked against: inputs, and ONNX Runtime's outputs for them.

    reference.py MODEL.onnx OUT --batch N [--seed S]

Writes to OUT: model.onnx (only where the batch is not 1, which the models are written for), inK.npy,
reference.npz (the outputs by name) and manifest.json, which is written last and names the others.
"""

import argparse
import json
import pathlib
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def graph_inputs(graph):
    """The inputs that are not weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def batch_axis(graph, name):
    """The axis of an input that counts samples: the second where an LSTM, GRU or RNN reads it, else the first."""
    recurrent = {"LSTM", "GRU", "RNN"}
    readers = [node for node in graph.node if node.input and node.input[0] == name]
    return 1 if any(node.op_type in recurrent for node in readers) else 0


def computed_from(graph, names):
    """The names of all tensors that depend on the given ones. Nodes come in order."""
    reached = set(names)
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
    return reached


def set_batch(model, batch):
    """Change a model that is written for one sample into one for `batch` samples."""
    graph = model.graph
    inputs = graph_inputs(graph)
    for value in inputs:
        value.type.tensor_type.shape.dim[batch_axis(graph, value.name)].dim_value = batch
    data = computed_from(graph, [value.name for value in inputs])
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape" and node.input[0] in data}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            tensor.CopyFrom(batched_shape(tensor, batch))
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            value = next(attribute for attribute in node.attribute if attribute.name == "value")
            value.t.CopyFrom(batched_shape(value.t, batch))
    # Declared shapes inside and at the end follow from the inputs.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value, known in zip(graph.output, inferred.graph.output):
        value.CopyFrom(known)


def batched_shape(tensor, batch):
    shape = numpy_helper.to_array(tensor).copy()
    if shape.size and shape[0] == 1:
        shape[0] = batch
    return numpy_helper.from_array(shape, tensor.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.model
    model = onnx.load(path)
    if arguments.batch != 1:
        set_batch(model, arguments.batch)
        path = arguments.out / "model.onnx"
        onnx.save(model, path)

    manifest, feeds = [], {}
    for index, value in enumerate(graph_inputs(model.graph)):
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        seed = zlib.crc32(f"{arguments.model.stem}/{value.name}/{arguments.batch}".encode()) + arguments.seed
        feeds[value.name] = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        file = arguments.out / f"in{index}.npy"
        np.save(file, feeds[value.name])
        manifest.append({"name": value.name, "file": str(file)})

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, feeds)))
    for name, output in outputs.items():
        if not np.isfinite(output).all():
            raise SystemExit(f"{arguments.model.stem}: ONNX Runtime's output `{name}` is not finite")
    np.savez(arguments.out / "reference.npz", **outputs)
    description = {
        "model": str(path),
        "inputs": manifest,
        "reference": str(arguments.out / "reference.npz"),
        # What a worker of the comparison answers to `out`.
        "first_output": [float(value) for value in outputs[names[0]].ravel()[:4096]],
    }
    with open(arguments.out / "manifest.json", "w") as file:
        json.dump(description, file, indent=1)


main()
