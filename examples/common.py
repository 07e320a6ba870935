"""What every example's `train.py` shares: an Adam loop, an ONNX graph writer, and the export with its checks."""

import os

# One thread: a script then needs one core, and the order of sums does not change between runs.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8


def cross_entropy(logits, labels):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def dense_weight(rng, *shape):
    """He initialisation; every dimension but the first is fan-in."""
    return (rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))).astype(np.float32)


def train(loss, params, state, next_batch, steps, rate, decay=0.0):
    """Adam with linear warm-up, cosine decay and decoupled weight decay of matrices.

    `loss(params, state, *batch)` returns the loss and the next state (running statistics; `()` if there are none).
    """
    zeros = jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def step(params, first, second, state, index, batch):
        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(params, state, *batch)
        # A rare long step must not undo what a recurrent model has learnt.
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, 1.0 / (norm + 1e-6)), gradient)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)
        scale = rate * jnp.minimum((index + 1) / 100, 0.5 * (1 + jnp.cos(jnp.pi * index / steps)))

        def update(p, m, v):
            m, v = m / (1 - 0.9 ** (index + 1)), v / (1 - 0.99 ** (index + 1))
            return p - scale * (m / (jnp.sqrt(v) + 1e-8) + (decay * p if p.ndim > 1 else 0.0))

        return jax.tree.map(update, params, first, second), first, second, state, value

    first, second, start = zeros, zeros, time.time()
    for index in range(steps):
        params, first, second, state, value = step(params, first, second, state, float(index), next_batch())
        if index % (steps // 10) == 0 or index == steps - 1:
            print(f"step {index:5d}  loss {value:.4f}  {time.time() - start:5.1f} s", flush=True)
    return jax.tree.map(np.asarray, (params, state))


class Graph:
    """Collects nodes and weights in the order of execution; every method returns the name of the value it made."""

    def __init__(self):
        self.nodes = []
        self.weights = []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, inputs, output, **attributes):
        """`output` may be a list, with "" for a result that nothing uses."""
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[-1], **attributes))
        return outputs[-1]


def export(folder, graph, input, outputs, example, labels, expected):
    """Writes `model.onnx`, `test.npz` and `accuracy.json` into `folder`.

    `input` is a name; `example` holds the held-out inputs, `expected` the logits that the training code computes for
    them. A network with several exits gives a list of names as `outputs`, and of logits as `expected`, the last exit
    behind the others.
    """
    if isinstance(outputs, str):
        outputs, expected = [outputs], [expected]
    element = helper.np_dtype_to_tensor_dtype(example.dtype)
    float32 = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            os.path.basename(folder),
            [helper.make_tensor_value_info(input, element, ["N", *example.shape[1:]])],
            [
                helper.make_tensor_value_info(name, float32, ["N", *logits.shape[1:]])
                for name, logits in zip(outputs, expected)
            ],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lepid-examples",
    )
    onnx.checker.check_model(model, full_check=True)
    path = os.path.join(folder, "model.onnx")
    onnx.save(model, path)
    np.savez(os.path.join(folder, "test.npz"), **{input: example, "labels": labels})

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(outputs, {input: example})
    # The batch dimension is symbolic: a single sample must run too, and mean the same.
    alone = session.run(outputs, {input: example[:1]})
    for logits, wanted, one in zip(found, expected, alone):
        np.testing.assert_allclose(logits, wanted, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(one, logits[:1], rtol=1e-3, atol=1e-3)

    values = [round(float(np.mean(np.argmax(logits, axis=1) == labels)), 4) for logits in found]
    accuracy = {
        "metric": "accuracy",
        "value": values[-1],
        "samples": len(labels),
        "measured_with": f"onnxruntime {onnxruntime.__version__}",
    }
    if len(outputs) > 1:
        accuracy["exits"] = dict(zip(outputs, values))
    with open(os.path.join(folder, "accuracy.json"), "w") as file:
        json.dump(accuracy, file, indent=2)
        file.write("\n")
    print(f"{accuracy}  {os.path.getsize(path)} bytes")
