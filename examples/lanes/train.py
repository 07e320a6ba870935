"""Trains an LSTM to keep a vehicle in its lane on generated roads, and exports one step of it.

The teacher knows where the vehicle is and what the wind does; the network sees a noisy camera whose picture fails at times,
and must remember.
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

HIDDEN = 384
SEEN = 24
STEPS = 48
SPEED, TICK = 20.0, 0.05
# Metres ahead at which the camera sees the road.
AHEAD = np.linspace(4, 40, 10).astype(np.float32)


def roads(rng, count):
    """The curvature of roads, a value per metre."""
    length = int(SPEED * TICK * STEPS) + 80
    rough = rng.normal(0, 1, (count, length // 15 + 3)).cumsum(1)
    rough -= rough.mean(1, keepdims=True)
    at = np.arange(length) / 15
    low, part = at.astype(int), (at % 1) ** 2 * (3 - 2 * (at % 1))
    return (0.006 * (rough[:, low] * (1 - part) + rough[:, low + 1] * part)).astype(np.float32)


class Drive:
    """Vehicles on their roads: offset from the middle of the lane and angle to it, with a wind that changes slowly."""

    def __init__(self, rng, count):
        self.rng, self.curve = rng, roads(rng, count)
        self.offset, self.angle = rng.normal(0, 0.4, count), rng.normal(0, 0.04, count)
        self.wind, self.steered, self.time = rng.normal(0, 0.01, count), np.zeros(count), 0
        self.blind = np.zeros(count, bool)

    def see(self):
        count, metre = len(self.offset), int(self.time * SPEED * TICK)
        bends = self.curve[:, metre + AHEAD.astype(int)]
        middle = self.offset[:, None] + self.angle[:, None] * AHEAD - 0.5 * bends * AHEAD**2
        self.blind = np.where(self.rng.random(count) < 0.15, ~self.blind & (self.rng.random(count) < 0.7), self.blind)
        camera = (middle + self.rng.normal(0, 0.08, middle.shape)) * ~self.blind[:, None]
        slopes = (self.angle[:, None] - bends * AHEAD + self.rng.normal(0, 0.02, middle.shape)) * ~self.blind[:, None]
        own = np.stack([self.blind, 20 * self.steered, np.full(count, 1.0), 20 * self.rng.normal(0, 0.002, count)], 1)
        return np.concatenate([camera, 5 * slopes, own], 1).astype(np.float32)

    def wanted(self):
        """What the teacher steers: a curvature."""
        near = self.curve[:, int(self.time * SPEED * TICK) + 2]
        return (near - 0.02 * self.offset - 0.35 * self.angle - self.wind).astype(np.float32)

    def go(self, steer):
        self.steered = self.steered + 0.5 * (steer - self.steered)
        bend = self.curve[:, int(self.time * SPEED * TICK)]
        self.angle = self.angle + SPEED * TICK * (self.steered + self.wind - bend)
        self.offset = self.offset + SPEED * TICK * self.angle
        self.wind = 0.98 * self.wind + self.rng.normal(0, 0.0015, len(self.wind))
        self.time += 1


def record(rng, count):
    """What is seen and what the teacher steers, on drives that are pushed off their way at times."""
    drive, seen, wanted = Drive(rng, count), [], []
    for _ in range(STEPS):
        seen.append(drive.see())
        wanted.append(drive.wanted())
        drive.go(wanted[-1] + rng.normal(0, 0.01, count) * (rng.random(count) < 0.3))
    return np.stack(seen, 1), np.stack(wanted, 1)


def initial(rng):
    return {
        "w": common.dense_weight(rng, 4 * HIDDEN, SEEN) * np.float32(0.7),
        "r": common.dense_weight(rng, 4 * HIDDEN, HIDDEN) * np.float32(0.5),
        "b": np.concatenate([np.zeros(2 * HIDDEN), np.ones(HIDDEN), np.zeros(HIDDEN)]).astype(np.float32),
        "out": common.dense_weight(rng, 1, HIDDEN) * np.float32(0.3),
        "bias": np.zeros(1, np.float32),
    }


def step(params, state, x):
    """Gates in the order of ONNX: input, output, forget, cell."""
    hidden, cell = state
    gates = x @ params["w"].T + hidden @ params["r"].T + params["b"]
    i, o, f, g = jnp.split(gates, 4, axis=1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (hidden, cell), (hidden @ params["out"].T + params["bias"])[:, 0]


def drive_through(params, seen):
    zeros = jnp.zeros((seen.shape[0], HIDDEN))
    _, steered = lax.scan(lambda state, x: step(params, state, x), (zeros, zeros), seen.transpose(1, 0, 2))
    return steered.T / 20


def to_onnx(params):
    graph = common.Graph()
    w = graph.weight("w", params["w"][None])
    r = graph.weight("r", params["r"][None])
    b = graph.weight("b", np.concatenate([params["b"], np.zeros_like(params["b"])])[None])
    graph.node("LSTM", ["seen", w, r, b, "", "hidden", "cell"], ["all", "hidden_next", "cell_next"], hidden_size=HIDDEN)
    shape = graph.weight("shape", np.array([1, HIDDEN], np.int64))
    flat = graph.node("Reshape", ["hidden_next", shape], "flat")
    out, bias = graph.weight("out", params["out"] / 20), graph.weight("bias", params["bias"] / 20)
    graph.node("Gemm", [flat, out, bias], "steer", transB=1)
    return graph


def main():
    test_seen, test_wanted = record(np.random.default_rng(1), 100)
    rng = np.random.default_rng(0)

    def loss(params, state, seen, wanted):
        return jnp.mean((20 * drive_through(params, seen) - 20 * wanted)[:, 4:] ** 2), state

    steps = int(os.environ.get("STEPS", 5000))
    # Much decay: what the task does not ask for fades from the weights, and few directions stay.
    params, _ = common.train(loss, initial(rng), (), lambda: record(rng, 32), steps=steps, rate=2e-3, decay=4.0)

    folder = os.path.dirname(os.path.abspath(__file__))
    graph = to_onnx(params)
    float32 = onnx.TensorProto.FLOAT
    state = ["hidden", "cell"]
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "lanes",
            [value("seen", float32, [1, 1, SEEN]), *(value(name, float32, [1, 1, HIDDEN]) for name in state)],
            [value("steer", float32, [1, 1]), *(value(f"{name}_next", float32, [1, 1, HIDDEN]) for name in state)],
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

    def steered(drives, see, act):
        state = [[np.zeros((1, 1, HIDDEN), np.float32)] * 2 for _ in range(drives)]
        for time in range(STEPS):
            seen, answers = see(time), []
            for i in range(drives):
                given = {"seen": seen[i][None, None], "hidden": state[i][0], "cell": state[i][1]}
                steer, *state[i] = session.run(None, given)
                answers.append(steer[0, 0])
            act(time, np.array(answers, np.float32))

    found = np.zeros_like(test_wanted)
    steered(len(test_seen), lambda time: test_seen[:, time], lambda time, steer: found.__setitem__((slice(None), time), steer))
    np.testing.assert_allclose(found, drive_through(params, test_seen), rtol=1e-2, atol=1e-4)
    # The loop closed: the network drives, and so does the teacher on the same roads.
    offsets = {}
    for who in ["network", "teacher", "nobody"]:
        drive, all_offsets = Drive(np.random.default_rng(3), 50), []

        def act(time, steer):
            steer = {"network": steer, "teacher": drive.wanted(), "nobody": 0 * steer}[who]
            drive.go(steer)
            all_offsets.append(drive.offset)

        steered(50, lambda time: drive.see(), act)
        offsets[who] = round(float(np.sqrt(np.mean(np.square(all_offsets)))), 4)
    error = float(np.sqrt(np.mean((found - test_wanted)[:, 4:] ** 2)) / np.sqrt(np.mean(test_wanted[:, 4:] ** 2)))
    spectrum = np.linalg.svd(np.concatenate([params["w"], params["r"]], 1), compute_uv=False)
    energy = np.cumsum(spectrum**2) / np.sum(spectrum**2)
    accuracy = {
        "metric": "root mean square of the steering error over that of the steering",
        "value": round(error, 4),
        "samples": len(test_seen),
        "offset_in_metres": offsets,
        "singular_values_for_99_percent": int(np.searchsorted(energy, 0.99)) + 1,
        "measured_with": f"onnxruntime {onnxruntime.__version__}",
    }
    with open(os.path.join(folder, "accuracy.json"), "w") as file:
        json.dump(accuracy, file, indent=2)
        file.write("\n")
    np.savez_compressed(os.path.join(folder, "test.npz"), seen=test_seen, wanted=test_wanted)
    print(accuracy, os.path.getsize(path))


if __name__ == "__main__":
    main()
