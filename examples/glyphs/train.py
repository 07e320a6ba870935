"""Trains a convolutional classifier of drawn glyphs with three exits, and exports all their outputs.

The glyphs are of graded difficulty: noise, slant, stray strokes and faint ink grow together, so that much can leave early.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SIDE = 28
EXITS = ["early", "middle", "late"]

# The strokes of each glyph, as lines between points of a 2 x 4 grid (column, row).
GLYPHS = [
    [(0, 0, 2, 0), (2, 0, 2, 4), (2, 4, 0, 4), (0, 4, 0, 0)],
    [(1, 0, 1, 4)],
    [(0, 0, 2, 0), (2, 0, 2, 2), (2, 2, 0, 2), (0, 2, 0, 4), (0, 4, 2, 4)],
    [(0, 0, 2, 0), (2, 0, 2, 4), (0, 2, 2, 2), (0, 4, 2, 4)],
    [(0, 0, 0, 2), (0, 2, 2, 2), (2, 0, 2, 4)],
    [(2, 0, 0, 0), (0, 0, 0, 2), (0, 2, 2, 2), (2, 2, 2, 4), (2, 4, 0, 4)],
    [(2, 0, 0, 0), (0, 0, 0, 4), (0, 4, 2, 4), (2, 4, 2, 2), (2, 2, 0, 2)],
    [(0, 0, 2, 0), (2, 0, 0, 4)],
    [(0, 0, 2, 4), (2, 0, 0, 4)],
    [(0, 0, 1, 2), (2, 0, 1, 2), (1, 2, 1, 4)],
    [(0, 4, 1, 0), (1, 0, 2, 4), (0, 2, 2, 2)],
    [(0, 0, 0, 4), (0, 4, 2, 0), (2, 0, 2, 4)],
]
STROKES = max(len(glyph) for glyph in GLYPHS)
STRAY = 3


def draw(rng, count):
    """`count` images, their labels, and their difficulty from 0 to 1."""
    labels = rng.integers(len(GLYPHS), size=count)
    hard = rng.random(count).astype(np.float32)
    lines = np.full((count, STROKES + STRAY, 4), np.nan, np.float32)
    for label, glyph in enumerate(GLYPHS):
        points = np.array(glyph, np.float32)
        lines[labels == label, : len(glyph)] = (points - [1, 2, 1, 2]) * [0.28, 0.19, 0.28, 0.19]
    # Stray strokes anywhere, the more the harder.
    stray = rng.uniform(-0.5, 0.5, (count, STRAY, 4)).astype(np.float32)
    stray[rng.random((count, STRAY)) > hard[:, None] * 0.8] = np.nan
    ends = lines.reshape(count, -1, 2)
    angle = rng.normal(0, 0.05 + 0.25 * hard)
    slant, size = rng.normal(0, 0.05 + 0.25 * hard), rng.uniform(1 - 0.35 * hard, 1 + 0.1 * hard)
    cos, sin = np.cos(angle) * size, np.sin(angle) * size
    x, y = ends[..., 0] + slant[:, None] * ends[..., 1], ends[..., 1]
    turned = np.stack([cos[:, None] * x - sin[:, None] * y, sin[:, None] * x + cos[:, None] * y], axis=2)
    turned += rng.normal(0, 0.02 + 0.06 * hard[:, None], (count, 2))[:, None]
    lines = turned.reshape(count, STROKES + STRAY, 4).astype(np.float32)
    lines[:, STROKES:] = stray
    # The ink at a pixel falls off with its distance from the nearest stroke.
    grid = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE - 0.5
    px, py = grid[None, None, None, :], grid[None, None, :, None]
    x0, y0, x1, y1 = (lines[..., i, None, None] for i in range(4))
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    distance = np.sqrt((px - x0 - along * dx) ** 2 + (py - y0 - along * dy) ** 2)
    nearest = np.nanmin(distance, axis=1)
    ink = np.clip(1.5 - nearest * SIDE / 1.2, 0, 1) * (1 - 0.5 * hard * rng.random(count))[:, None, None]
    images = ink + rng.normal(0, 1, ink.shape) * (0.05 + 0.55 * hard)[:, None, None]
    return images[:, None].astype(np.float32), labels.astype(np.int64), hard


# name, out channels, in channels, stride
CONVOLUTIONS = [
    ("stem", 24, 1, 2),
    ("early1", 24, 24, 1),
    ("down1", 48, 24, 2),
    ("middle1", 48, 48, 1),
    ("middle2", 48, 48, 1),
    ("wide", 96, 48, 1),
    ("late1", 96, 96, 1),
    ("late2", 96, 96, 1),
]
HEADS = {"early": 24 * 49, "middle": 48 * 9, "late": 96}


def initial(rng):
    params = {
        name: {"weight": common.dense_weight(rng, out, inner, 3, 3), "bias": np.zeros(out, np.float32)}
        for name, out, inner, _ in CONVOLUTIONS
    }
    for name, width in HEADS.items():
        weight = common.dense_weight(rng, len(GLYPHS), width) * np.float32(0.3)
        params[name] = {"weight": weight, "bias": np.zeros(len(GLYPHS), np.float32)}
    return params


def forward(params, image):
    """The logits of all exits."""

    def block(x, name):
        stride = next(row[3] for row in CONVOLUTIONS if row[0] == name)
        y = lax.conv_general_dilated(
            x, params[name]["weight"], (stride, stride), [(1, 1)] * 2, dimension_numbers=("NCHW", "OIHW", "NCHW")
        )
        return y + params[name]["bias"][:, None, None]

    def head(x, name):
        return x.reshape(len(x), -1) @ params[name]["weight"].T + params[name]["bias"]

    def pool(x, size):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, size, size), (1, 1, size, size), "VALID")

    x = jax.nn.relu(block(image, "stem"))
    x = jax.nn.relu(x + block(x, "early1"))
    early = head(pool(x, 2), "early")
    x = jax.nn.relu(block(x, "down1"))
    y = jax.nn.relu(block(x, "middle1"))
    x = jax.nn.relu(x + block(y, "middle2"))
    middle = head(pool(x, 2), "middle")
    x = jax.nn.relu(block(x, "wide"))
    y = jax.nn.relu(block(x, "late1"))
    x = jax.nn.relu(x + block(y, "late2"))
    return early, middle, head(x.mean((2, 3)), "late")


def to_onnx(params):
    graph = common.Graph()

    def parts(name):
        return [graph.weight(f"{name}.{part}", params[name][part]) for part in ("weight", "bias")]

    def block(x, name):
        stride = next(row[3] for row in CONVOLUTIONS if row[0] == name)
        return graph.node(
            "Conv", [x, *parts(name)], f"{name}.conv", kernel_shape=[3, 3], strides=[stride] * 2, pads=[1] * 4
        )

    def relu(x, name):
        return graph.node("Relu", [x], f"{name}.relu")

    def head(x, name):
        x = graph.node("Flatten", [x], f"{name}.flat", axis=1)
        return graph.node("Gemm", [x, *parts(name)], name, transB=1)

    def pool(x, name):
        return graph.node("MaxPool", [x], f"{name}.pool", kernel_shape=[2, 2], strides=[2, 2])

    x = relu(block("image", "stem"), "stem")
    x = relu(graph.node("Add", [x, block(x, "early1")], "early.add"), "early")
    head(pool(x, "early"), "early")
    x = relu(block(x, "down1"), "down1")
    y = relu(block(x, "middle1"), "middle1")
    x = relu(graph.node("Add", [x, block(y, "middle2")], "middle.add"), "middle")
    head(pool(x, "middle"), "middle")
    x = relu(block(x, "wide"), "wide")
    y = relu(block(x, "late1"), "late1")
    x = relu(graph.node("Add", [x, block(y, "late2")], "late.add"), "late")
    head(graph.node("GlobalAveragePool", [x], "late.pool"), "late")
    return graph


def main():
    rng = np.random.default_rng(0)
    test_images, test_labels, _ = draw(np.random.default_rng(1), 1000)
    images, labels, _ = draw(np.random.default_rng(2), 1000)

    def next_batch():
        batch, label, _ = draw(rng, 96)
        return batch, label

    def loss(params, state, image, label):
        weights = [0.3, 0.3, 1.0]
        return sum(w * common.cross_entropy(z, label) for w, z in zip(weights, forward(params, image))), state

    params, _ = common.train(loss, initial(rng), (), next_batch, steps=3000, rate=2e-3, decay=1e-2)
    expected = [np.asarray(z) for z in forward(params, test_images)]
    folder = os.path.dirname(os.path.abspath(__file__))
    common.export(folder, to_onnx(params), "image", EXITS, test_images, test_labels, expected)
    np.savez_compressed(os.path.join(folder, "calibration.npz"), image=images.astype(np.float16), labels=labels)


if __name__ == "__main__":
    main()
