"""Trains a segmentation network of drawn scenes with four candidate heads at each of two early exits, in the two stages of
MESS (Kouris et al., *Multi-Exit Semantic Segmentation Networks*, ECCV 2022), and exports all of their outputs.

Scenes are of graded difficulty: in easy ones the colour tells what a shape is, in hard ones its outline alone does.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from jax import lax
from onnx import helper

SIDE = 48
# Background, disc, square, triangle, cross.
CLASSES = 5
MOST_SHAPES = 4
HUES = np.array([[0.2, 0.2, 0.2], [0.9, 0.3, 0.2], [0.2, 0.8, 0.3], [0.3, 0.4, 0.9], [0.9, 0.8, 0.2]], np.float32)


def draw(rng, count):
    """`count` images in 0..255, the class of each pixel, and the difficulty from 0 to 1."""
    hard = rng.random(count).astype(np.float32) ** 1.5
    grid = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    x, y = grid[None, None, :], grid[None, :, None]
    labels = np.zeros((count, SIDE, SIDE), np.int64)
    # What a hard scene has for a background wanders in colour, too.
    wander = rng.uniform(-0.4, 0.4, (count, 3)).astype(np.float32) * hard[:, None]
    image = np.broadcast_to((HUES[0] + wander)[:, :, None, None], (count, 3, SIDE, SIDE)).copy()
    for number in range(MOST_SHAPES):
        here = rng.random(count) < (0.9 if number == 0 else 0.35 + 0.4 * hard)
        kind = rng.integers(1, CLASSES, size=count)
        cx, cy = rng.uniform(0.15, 0.85, (2, count, 1, 1)).astype(np.float32)
        size = rng.uniform(0.1, 0.24, (count, 1, 1)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi, (count, 1, 1)).astype(np.float32)
        dx, dy = x - cx, y - cy
        u, v = (np.cos(angle) * dx + np.sin(angle) * dy) / size, (np.cos(angle) * dy - np.sin(angle) * dx) / size
        inside = np.stack(
            [
                u * u + v * v < 1,
                np.maximum(abs(u), abs(v)) < 0.85,
                (v < 0.6) & (v > 2 * abs(u) - 1.1),
                (np.maximum(abs(u), abs(v)) < 1.1) & (np.minimum(abs(u), abs(v)) < 0.35),
            ]
        )
        mask = inside[kind - 1, np.arange(count)] & here[:, None, None]
        # The colour of the class in easy scenes, and anything in hard ones.
        any_hue = rng.uniform(0.1, 1.0, (count, 3)).astype(np.float32)
        trust = np.clip(1.6 - 2.2 * hard, 0, 1)[:, None]
        hue = trust * HUES[kind] + (1 - trust) * any_hue
        image = np.where(mask[:, None], hue[:, :, None, None], image)
        labels = np.where(mask, kind[:, None, None], labels)
    # Stripes of light over all of it, and noise.
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    stripes = np.sin(phase + 2 * np.pi * (rng.uniform(1, 6, (count, 1, 1)) * x + rng.uniform(1, 6, (count, 1, 1)) * y))
    image = image + (0.15 * hard[:, None, None] * stripes)[:, None]
    image = image + rng.normal(0, 1, image.shape) * (0.02 + 0.1 * hard)[:, None, None, None]
    return np.clip(255 * image, 0, 255).astype(np.uint8), labels, hard


# name, out channels, in channels, side of the window, stride, dilation
BACKBONE = [
    ("stem", 16, 3, 3, 2, 1),
    ("a1", 16, 16, 3, 1, 1),
    ("a2", 16, 16, 3, 1, 1),
    ("down", 32, 16, 3, 2, 1),
    ("b1", 32, 32, 3, 1, 1),
    ("b2", 32, 32, 3, 1, 2),
    ("wide", 64, 32, 3, 1, 1),
    ("c1", 64, 64, 3, 1, 1),
    ("c2", 64, 64, 3, 1, 2),
    ("d1", 64, 64, 3, 1, 2),
    ("d2", 64, 64, 3, 1, 4),
    ("e1", 64, 64, 3, 1, 4),
    ("e2", 64, 64, 3, 1, 1),
    ("last", CLASSES, 64, 1, 1, 1),
]


def heads(point, width):
    """The candidate heads of an exit: how far channels are reduced, how many blocks, and whether their dilation grows."""
    rows = []
    for name, divide, blocks, dilate in [("plain", 1, 0, 1), ("near", 2, 1, 1), ("far", 2, 2, 2), ("broad", 1, 2, 2)]:
        layers, inner = [], width // divide
        if divide > 1:
            layers.append((f"{point}.{name}.reduce", inner, width, 1, 1, 1))
        for block in range(blocks):
            layers.append((f"{point}.{name}.block{block}", inner, inner, 3, 1, 2 * dilate**block))
        layers.append((f"{point}.{name}.classes", CLASSES, inner, 1, 1, 1))
        rows.append((f"{point}_{name}", layers))
    return rows


HEADS = {"early": heads("early", 16), "middle": heads("middle", 32)}
EXITS = [name for point in HEADS for name, _ in HEADS[point]] + ["late"]
LAYERS = {row[0]: row for row in BACKBONE}
for point in HEADS:
    for _, layers in HEADS[point]:
        LAYERS.update({row[0]: row for row in layers})


def initial(rng):
    params = {}
    for name, out, inner, side, _, _ in LAYERS.values():
        scale = 0.3 if name[-1] == "2" or name == "last" or name.endswith("classes") else 1.0
        weight = common.dense_weight(rng, out, inner, side, side) * np.float32(scale)
        params[name] = {"weight": weight, "bias": np.zeros(out, np.float32)}
    return params


def conv(params, x, name):
    _, _, _, side, stride, dilation = LAYERS[name]
    pad = dilation * (side // 2)
    y = lax.conv_general_dilated(
        x,
        params[name]["weight"],
        (stride, stride),
        [(pad, pad)] * 2,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )
    return y + params[name]["bias"][:, None, None]


def grow(x):
    """Bilinear, half-pixel centres, as the `Resize` of ONNX."""
    return jax.image.resize(x, (*x.shape[:2], SIDE, SIDE), "bilinear")


def features(params, image):
    """What both early points see, and the last exit."""

    def block(x, first, second):
        return jax.nn.relu(x + conv(params, jax.nn.relu(conv(params, x, first)), second))

    x = jax.nn.relu(conv(params, image / 255 - 0.5, "stem"))
    early = block(x, "a1", "a2")
    x = jax.nn.relu(conv(params, early, "down"))
    middle = block(x, "b1", "b2")
    x = jax.nn.relu(conv(params, middle, "wide"))
    for first, second in [("c1", "c2"), ("d1", "d2"), ("e1", "e2")]:
        x = block(x, first, second)
    return early, middle, grow(conv(params, x, "last"))


def head(params, x, layers):
    for row in layers[:-1]:
        x = jax.nn.relu(conv(params, x, row[0]))
    return grow(conv(params, x, layers[-1][0]))


def all_exits(params, image):
    early, middle, late = features(params, image)
    seen = {"early": early, "middle": middle}
    found = [head(params, seen[point], layers) for point in HEADS for _, layers in HEADS[point]]
    return [*found, late]


def pixel_loss(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), labels[:, None], axis=1)[:, 0]


def to_onnx(params):
    graph = common.Graph()

    def block(x, name):
        _, _, _, side, stride, dilation = LAYERS[name]
        parts = [graph.weight(f"{name}.{part}", params[name][part]) for part in ("weight", "bias")]
        pad = dilation * (side // 2)
        attributes = dict(kernel_shape=[side] * 2, strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2)
        return graph.node("Conv", [x, *parts], f"{name}.conv", **attributes)

    def relu(x, name):
        return graph.node("Relu", [x], f"{name}.relu")

    def residual(x, first, second):
        y = block(relu(block(x, first), first), second)
        return relu(graph.node("Add", [x, y], f"{second}.add"), second)

    def grown(x, factor, name):
        scales = graph.weight(f"{name}.scales", np.array([1, 1, factor, factor], np.float32))
        attributes = dict(mode="linear", coordinate_transformation_mode="half_pixel")
        return graph.node("Resize", [x, "", scales], name, **attributes)

    def exit_of(x, point, factor):
        for name, layers in HEADS[point]:
            y = x
            for row in layers[:-1]:
                y = relu(block(y, row[0]), row[0])
            grown(block(y, layers[-1][0]), factor, name)

    scale = graph.weight("scale", np.float32(1 / 255))
    half = graph.weight("half", np.float32(0.5))
    x = graph.node("Sub", [graph.node("Mul", ["image", scale], "scaled"), half], "centred")
    x = relu(block(x, "stem"), "stem")
    x = residual(x, "a1", "a2")
    exit_of(x, "early", 2)
    x = relu(block(x, "down"), "down")
    x = residual(x, "b1", "b2")
    exit_of(x, "middle", 4)
    x = relu(block(x, "wide"), "wide")
    for first, second in [("c1", "c2"), ("d1", "d2"), ("e1", "e2")]:
        x = residual(x, first, second)
    grown(block(x, "last"), 4, "late")
    return graph


def mean_iou(logits, labels):
    found = np.argmax(logits, axis=1)
    shares = []
    for k in range(CLASSES):
        both, either = np.sum((found == k) & (labels == k)), np.sum((found == k) | (labels == k))
        if either:
            shares.append(both / either)
    return float(np.mean(shares))


def main():
    rng = np.random.default_rng(0)
    test_images, test_labels, _ = draw(np.random.default_rng(1), 400)
    images, labels, _ = draw(np.random.default_rng(2), 400)

    def next_batch():
        batch, label, _ = draw(rng, 32)
        return batch.astype(np.float32), label

    # First stage: the backbone, with one vanilla head and the last exit at a time.
    turn = [0]

    def with_turn():
        turn[0] += 1
        return (*next_batch(), np.float32(turn[0] % 2))

    def first_loss(params, state, image, label, which):
        early, middle, late = features(params, image)
        losses = [
            jnp.mean(pixel_loss(head(params, seen, HEADS[point][0][1]), label))
            for point, seen in [("early", early), ("middle", middle)]
        ]
        return jnp.mean(pixel_loss(late, label)) + which * losses[0] + (1 - which) * losses[1], state

    params, _ = common.train(first_loss, initial(rng), (), with_turn, steps=int(os.environ.get("STEPS", 4000)), rate=2e-3)

    # Second stage: all heads for themselves, taught by the last exit, on pixels that it gets right.
    frozen = {name: params[name] for name, *_ in BACKBONE}
    trained = {name: part for name, part in params.items() if name not in frozen}

    def second_loss(trained, state, image, label):
        outputs = all_exits({**frozen, **trained}, image)
        teacher = lax.stop_gradient(outputs[-1])
        right = (jnp.argmax(teacher, axis=1) == label).astype(jnp.float32)
        share = jax.nn.softmax(teacher, axis=1)
        total = 0.0
        for logits in outputs[:-1]:
            log = jax.nn.log_softmax(logits, axis=1)
            divergence = jnp.sum(jnp.exp(log) * (log - jnp.log(share + 1e-9)), axis=1)
            total += jnp.mean(right * (0.5 * pixel_loss(logits, label) + 0.5 * divergence))
        return total, state

    trained, _ = common.train(second_loss, trained, (), next_batch, steps=int(os.environ.get("STEPS", 4000)) // 2, rate=2e-3)
    params = {**frozen, **trained}

    folder = os.path.dirname(os.path.abspath(__file__))
    graph = to_onnx(params)
    float32 = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "scenes",
            [helper.make_tensor_value_info("image", float32, ["N", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(name, float32, ["N", CLASSES, SIDE, SIDE]) for name in EXITS],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", common.OPSET)],
        ir_version=common.IR_VERSION,
        producer_name="lepid-examples",
    )
    onnx.checker.check_model(model, full_check=True)
    path = os.path.join(folder, "model.onnx")
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(EXITS, {"image": test_images.astype(np.float32)})
    wanted = all_exits(params, test_images[:8].astype(np.float32))
    for logits, expected in zip(found, wanted):
        np.testing.assert_allclose(logits[:8], expected, rtol=1e-2, atol=1e-2)
    values = {name: round(mean_iou(logits, test_labels), 4) for name, logits in zip(EXITS, found)}
    accuracy = {
        "metric": "mean intersection over union",
        "value": values["late"],
        "samples": len(test_labels),
        "measured_with": f"onnxruntime {onnxruntime.__version__}",
        "exits": values,
    }
    with open(os.path.join(folder, "accuracy.json"), "w") as file:
        json.dump(accuracy, file, indent=2)
        file.write("\n")
    for name, image, label in [("test", test_images, test_labels), ("calibration", images, labels)]:
        np.savez_compressed(os.path.join(folder, f"{name}.npz"), image=image, labels=label.astype(np.uint8))
    print(accuracy, os.path.getsize(path))


if __name__ == "__main__":
    main()
