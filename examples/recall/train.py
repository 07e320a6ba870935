"""Trains a small transformer encoder on associative recall and exports it with attention in primitive ops."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
import jax
import jax.numpy as jnp
import numpy as np

KEYS = 16
VALUES = 16
PAIRS = 8
LENGTH = 2 * PAIRS + 1
WIDTH = 64
HEADS = 4
LAYERS = ["layer1", "layer2"]
EPSILON = 1e-5


def sample(rng, count):
    """Rows `k1 v1 k2 v2 … q` where `q` is one of the keys, and the value that followed it; values are tokens from KEYS on."""
    keys = rng.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)[:, :PAIRS]
    values = rng.integers(VALUES, size=(count, PAIRS))
    asked = rng.integers(PAIRS, size=count)
    pairs = np.stack([keys, KEYS + values], axis=2).reshape(count, 2 * PAIRS)
    rows = np.arange(count)
    return np.column_stack([pairs, keys[rows, asked]]).astype(np.int64), values[rows, asked]


def initial(rng):
    def dense(inputs, outputs):
        # ONNX MatMul wants inputs x outputs.
        weight = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        return {"weight": weight.astype(np.float32), "bias": np.zeros(outputs, np.float32)}

    def norm():
        return {"weight": np.ones(WIDTH, np.float32), "bias": np.zeros(WIDTH, np.float32)}

    params = {
        "tokens": (0.5 * rng.standard_normal((KEYS + VALUES, WIDTH))).astype(np.float32),
        "positions": (0.5 * rng.standard_normal((LENGTH, WIDTH))).astype(np.float32),
        "norm": norm(),
        "head": dense(WIDTH, VALUES),
        "hint": dense(WIDTH, KEYS),
    }
    for name in LAYERS:
        params[name] = {
            "norm1": norm(),
            **{part: dense(WIDTH, WIDTH) for part in ("query", "key", "value", "merge")},
            "norm2": norm(),
            "widen": dense(WIDTH, 4 * WIDTH),
            "narrow": dense(4 * WIDTH, WIDTH),
        }
    return params


def forward(params, tokens):
    """Returns the logits, and what the first layer says at each value about the key before it."""

    def dense(x, part):
        return x @ part["weight"] + part["bias"]

    def norm(x, part):
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * part["weight"] + part["bias"]

    def heads(x):
        return x.reshape(-1, LENGTH, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

    x = params["tokens"][tokens] + params["positions"]
    hint = None
    for name in LAYERS:
        layer = params[name]
        y = norm(x, layer["norm1"])
        query, key, value = (heads(dense(y, layer[part])) for part in ("query", "key", "value"))
        weights = jax.nn.softmax(query @ key.transpose(0, 1, 3, 2) / np.sqrt(WIDTH // HEADS))
        mixed = (weights @ value).transpose(0, 2, 1, 3).reshape(-1, LENGTH, WIDTH)
        x = x + dense(mixed, layer["merge"])
        y = norm(x, layer["norm2"])
        x = x + dense(jax.nn.gelu(dense(y, layer["widen"]), approximate=False), layer["narrow"])
        if hint is None:
            hint = dense(x[:, 1::2], params["hint"])
    return dense(norm(x[:, -1], params["norm"]), params["head"]), hint


def to_onnx(params):
    graph = common.Graph()
    weight, node = graph.weight, graph.node
    # In a Reshape, 0 keeps the (symbolic) batch.
    split = weight("split_heads", np.array([0, LENGTH, HEADS, WIDTH // HEADS], np.int64))
    merge = weight("merge_heads", np.array([0, LENGTH, WIDTH], np.int64))
    scale = weight("attention_scale", np.float32(1 / np.sqrt(WIDTH // HEADS)))
    root_two, one, half = (weight(n, np.float32(v)) for n, v in [("root_two", np.sqrt(2)), ("one", 1), ("half", 0.5)])

    def dense(x, part, name):
        x = node("MatMul", [x, weight(f"{name}.weight", part["weight"])], f"{name}.matmul")
        return node("Add", [x, weight(f"{name}.bias", part["bias"])], f"{name}.out")

    def norm(x, part, name):
        inputs = [x, weight(f"{name}.weight", part["weight"]), weight(f"{name}.bias", part["bias"])]
        return node("LayerNormalization", inputs, f"{name}.out", axis=-1, epsilon=EPSILON)

    def gelu(x, name):
        y = node("Erf", [node("Div", [x, root_two], f"{name}.div")], f"{name}.erf")
        y = node("Mul", [x, node("Add", [y, one], f"{name}.add")], f"{name}.mul")
        return node("Mul", [y, half], f"{name}.out")

    def heads(x, name, perm):
        return node("Transpose", [node("Reshape", [x, split], f"{name}.split")], f"{name}.heads", perm=perm)

    x = node("Gather", [weight("tokens_table", params["tokens"]), "tokens"], "embedding", axis=0)
    x = node("Add", [x, weight("positions", params["positions"])], "embedding.out")
    for name in LAYERS:
        layer = params[name]
        y = norm(x, layer["norm1"], f"{name}.norm1")
        query, key, value = (
            heads(dense(y, layer[part], f"{name}.{part}"), f"{name}.{part}", perm)
            for part, perm in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])]
        )
        scores = node("Mul", [node("MatMul", [query, key], f"{name}.dot"), scale], f"{name}.scores")
        weights = node("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = node("Transpose", [node("MatMul", [weights, value], f"{name}.mix")], f"{name}.back", perm=[0, 2, 1, 3])
        mixed = node("Reshape", [mixed, merge], f"{name}.mixed")
        x = node("Add", [x, dense(mixed, layer["merge"], f"{name}.merge")], f"{name}.attended")
        y = norm(x, layer["norm2"], f"{name}.norm2")
        y = gelu(dense(y, layer["widen"], f"{name}.widen"), f"{name}.gelu")
        x = node("Add", [x, dense(y, layer["narrow"], f"{name}.narrow")], f"{name}.out")
    # A scalar index drops the axis: what is left is the query's row.
    x = node("Gather", [x, weight("last", np.array(LENGTH - 1, np.int64))], "asked", axis=1)
    x = norm(x, params["norm"], "norm")
    x = node("MatMul", [x, weight("head.weight", params["head"]["weight"])], "head.matmul")
    node("Add", [x, weight("head.bias", params["head"]["bias"])], "logits")
    return graph


def main():
    rng = np.random.default_rng(0)
    test_tokens, test_labels = sample(np.random.default_rng(1), 1000)

    def loss(params, _, tokens, label):
        # Without the hint, thousands of steps pass before the first layer learns to look one token back. It is not exported.
        logits, hint = forward(params, tokens)
        keys = tokens[:, :-1:2].reshape(-1)
        return common.cross_entropy(logits, label) + common.cross_entropy(hint.reshape(-1, KEYS), keys), ()

    params, _ = common.train(loss, initial(rng), (), lambda: sample(rng, 128), steps=600, rate=2e-3, decay=1e-2)
    folder = os.path.dirname(os.path.abspath(__file__))
    expected = np.asarray(forward(params, test_tokens)[0])
    common.export(folder, to_onnx(params), "tokens", "logits", test_tokens, test_labels, expected)


if __name__ == "__main__":
    main()
