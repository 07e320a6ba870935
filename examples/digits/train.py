"""Trains a small convolutional classifier of handwritten digits and exports it with its batch norms unfolded."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPSILON = 1e-5

# name, out channels, in channels per group, kernel, stride, groups
CONVOLUTIONS = [
    ("stem", 32, 1, 3, 1, 1),
    ("depthwise", 32, 1, 3, 2, 32),
    ("pointwise", 64, 32, 1, 1, 1),
    ("residual1", 64, 64, 3, 1, 1),
    ("residual2", 64, 64, 3, 1, 1),
]


def initial(rng):
    params = {"head": {"weight": common.dense_weight(rng, 10, 64), "bias": np.zeros(10, np.float32)}}
    state = {}
    for name, out, inner, kernel, _, _ in CONVOLUTIONS:
        ones, zeros = np.ones(out, np.float32), np.zeros(out, np.float32)
        params[name] = {"weight": common.dense_weight(rng, out, inner, kernel, kernel), "scale": ones, "bias": zeros}
        state[name] = {"mean": zeros, "variance": ones}
    return params, state


def forward(params, state, image, training):
    """Returns the logits and the running statistics after this batch."""
    new_state = {}

    def block(x, name):
        _, _, _, kernel, stride, groups = next(row for row in CONVOLUTIONS if row[0] == name)
        pad = kernel // 2
        y = lax.conv_general_dilated(
            x, params[name]["weight"], (stride, stride), [(pad, pad)] * 2,
            dimension_numbers=("NCHW", "OIHW", "NCHW"), feature_group_count=groups,
        )  # fmt: skip
        mean, variance = state[name]["mean"], state[name]["variance"]
        if training:
            batch_mean, batch_variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
            mean, variance = 0.95 * mean + 0.05 * batch_mean, 0.95 * variance + 0.05 * batch_variance
        new_state[name] = {"mean": mean, "variance": variance}
        if training:
            mean, variance = batch_mean, batch_variance
        factor = params[name]["scale"] / jnp.sqrt(variance + EPSILON)
        return (y - mean[:, None, None]) * factor[:, None, None] + params[name]["bias"][:, None, None]

    x = jax.nn.relu(block(image, "stem"))
    x = jax.nn.relu(block(x, "depthwise"))
    x = jax.nn.relu(block(x, "pointwise"))
    y = jax.nn.relu(block(x, "residual1"))
    x = jax.nn.relu(x + block(y, "residual2"))
    return x.mean((2, 3)) @ params["head"]["weight"].T + params["head"]["bias"], new_state


def to_onnx(params, state):
    graph = common.Graph()

    def block(x, name):
        _, _, _, kernel, stride, groups = next(row for row in CONVOLUTIONS if row[0] == name)
        weight = graph.weight(f"{name}.weight", params[name]["weight"])
        x = graph.node(
            "Conv", [x, weight], f"{name}.conv",
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups,
        )  # fmt: skip
        statistics = [
            graph.weight(f"{name}.scale", params[name]["scale"]),
            graph.weight(f"{name}.bias", params[name]["bias"]),
            graph.weight(f"{name}.mean", state[name]["mean"]),
            graph.weight(f"{name}.variance", state[name]["variance"]),
        ]
        return graph.node("BatchNormalization", [x, *statistics], f"{name}.norm", epsilon=EPSILON)

    x = graph.node("Relu", [block("image", "stem")], "stem.relu")
    x = graph.node("Relu", [block(x, "depthwise")], "depthwise.relu")
    x = graph.node("Relu", [block(x, "pointwise")], "pointwise.relu")
    y = graph.node("Relu", [block(x, "residual1")], "residual1.relu")
    y = graph.node("Add", [x, block(y, "residual2")], "residual.add")
    x = graph.node("Relu", [y], "residual.relu")
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pool")], "flatten", axis=1)
    weight = graph.weight("head.weight", params["head"]["weight"])
    bias = graph.weight("head.bias", params["head"]["bias"])
    graph.node("Gemm", [x, weight, bias], "logits", transB=1)
    return graph


def main():
    rng = np.random.default_rng(0)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=360, stratify=labels, random_state=0
    )

    def next_batch():
        """Training images moved by up to one pixel."""
        chosen = rng.integers(len(images), size=128)
        padded = np.pad(images[chosen], [(0, 0), (0, 0), (1, 1), (1, 1)])
        down, right = rng.integers(3, size=2)
        return padded[:, :, down : down + 8, right : right + 8], labels[chosen]

    def loss(params, state, image, label):
        logits, state = forward(params, state, image, training=True)
        return common.cross_entropy(logits, label), state

    params, state = common.train(loss, *initial(rng), next_batch, steps=800, rate=3e-3, decay=1e-2)
    expected, _ = forward(params, state, test_images, training=False)
    folder = os.path.dirname(os.path.abspath(__file__))
    common.export(folder, to_onnx(params, state), "image", "logits", test_images, test_labels, np.asarray(expected))


if __name__ == "__main__":
    main()
