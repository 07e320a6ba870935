"""Trains a two-layer LSTM that names the shape of a noisy wave and exports it with the ONNX `LSTM` op."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SHAPES = ["sine", "square", "triangle", "sawtooth"]
LENGTH = 64
HIDDEN = 64
LAYERS = [("layer1", 1), ("layer2", HIDDEN)]


def sample(rng, count):
    """Waves of random shape, frequency, phase and height under Gaussian noise: `count` x LENGTH x 1, and their shapes."""
    label = rng.integers(len(SHAPES), size=count)
    cycles = rng.uniform(2, 6, size=(count, 1))
    phase = (cycles * np.arange(LENGTH) / LENGTH + rng.uniform(size=(count, 1))) % 1
    waves = np.stack([
        np.sin(2 * np.pi * phase),
        np.where(phase < 0.5, 1.0, -1.0),
        4 * np.abs(phase - 0.5) - 1,
        2 * phase - 1,
    ])  # fmt: skip
    # Equal power, so that no shape is told by how loud it is.
    waves /= np.sqrt(np.array([1 / 2, 1, 1 / 3, 1 / 3]))[:, None, None]
    wave = waves[label, np.arange(count)] * rng.uniform(0.7, 1.3, size=(count, 1))
    wave += 0.2 * rng.standard_normal(wave.shape)
    return wave[:, :, None].astype(np.float32), label


def initial(rng):
    params = {"head": {"weight": common.dense_weight(rng, len(SHAPES), HIDDEN), "bias": np.zeros(len(SHAPES), np.float32)}}
    for name, inputs in LAYERS:
        bias = np.zeros(8 * HIDDEN, np.float32)
        # An open forget gate lets gradients reach the wave's beginning from the first step on.
        bias[2 * HIDDEN : 3 * HIDDEN] = 1.0
        params[name] = {
            "weight": common.dense_weight(rng, 4 * HIDDEN, inputs) * np.float32(0.7),
            "recurrence": common.dense_weight(rng, 4 * HIDDEN, HIDDEN) * np.float32(0.7),
            "bias": bias,
        }
    return params


def forward(params, signal):
    """Weights have ONNX's layout: the gates are input, output, forget, cell; the bias is that of W, then that of R."""

    def layer(x, weight, recurrence, bias):
        def step(carry, projected):
            hidden, cell = carry
            i, o, f, c = jnp.split(projected + hidden @ recurrence.T, 4, axis=1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zeros = jnp.zeros((x.shape[1], HIDDEN))
        return lax.scan(step, (zeros, zeros), x @ weight.T + bias.reshape(2, -1).sum(0))[1]

    x = jnp.transpose(signal, (1, 0, 2))
    for name, _ in LAYERS:
        x = layer(x, **params[name])
    return x[-1] @ params["head"]["weight"].T + params["head"]["bias"]


def to_onnx(params):
    graph = common.Graph()
    x = graph.node("Transpose", ["signal"], "time_major", perm=[1, 0, 2])
    for name, _ in LAYERS:
        weights = [graph.weight(f"{name}.{part}", params[name][part][None]) for part in ("weight", "recurrence", "bias")]
        last = name == LAYERS[-1][0]
        # The last layer gives its final hidden state, the others what they said at each step; both carry a direction axis.
        outputs = ["", f"{name}.final"] if last else [f"{name}.steps"]
        x = graph.node("LSTM", [x, *weights], outputs, hidden_size=HIDDEN)
        axes = graph.weight(f"{name}.direction", np.array([0 if last else 1], np.int64))
        x = graph.node("Squeeze", [x, axes], f"{name}.hidden")
    weight = graph.weight("head.weight", params["head"]["weight"])
    bias = graph.weight("head.bias", params["head"]["bias"])
    graph.node("Gemm", [x, weight, bias], "logits", transB=1)
    return graph


def main():
    rng = np.random.default_rng(0)
    test_signal, test_labels = sample(np.random.default_rng(1), 1000)

    def loss(params, _, signal, label):
        return common.cross_entropy(forward(params, signal), label), ()

    params, _ = common.train(loss, initial(rng), (), lambda: sample(rng, 128), steps=900, rate=3e-3)
    folder = os.path.dirname(os.path.abspath(__file__))
    expected = np.asarray(forward(params, test_signal))
    common.export(folder, to_onnx(params), "signal", "logits", test_signal, test_labels, expected)


if __name__ == "__main__":
    main()
