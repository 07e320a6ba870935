"""Writes the network of `model.onnx` as exporters of adaptive networks do: one sample, and each exit an `If` inside of the last.

    python examples/glyphs/branches.py branches.onnx
"""

import os
import sys

import onnx
from onnx import TensorProto, helper, numpy_helper

import numpy as np

EXITS = ["early", "middle", "late"]
THRESHOLD = 0.9


def main(path):
    folder = os.path.dirname(os.path.abspath(__file__))
    model = onnx.load(os.path.join(folder, "model.onnx"))
    made_by = {output: node for node in model.graph.node for output in node.output}

    def needed(output, done):
        """The nodes that an output needs and that are not done, in order."""
        node = made_by.get(output)
        if node is None or node.output[0] in done:
            return []
        done.add(node.output[0])
        return [n for name in node.input for n in needed(name, done)] + [node]

    done = set()
    stages = [needed(exit, done) for exit in EXITS]
    logits = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 12])

    def rest(number):
        """The nodes from stage `number` on, and the name of the logits that they give."""
        exit = EXITS[number]
        if number + 1 == len(EXITS):
            return stages[number], exit
        nodes, answer = rest(number + 1)
        result = f"from_{exit}"
        leave = helper.make_graph([helper.make_node("Identity", [exit], [f"{exit}_left"])], f"leave_{exit}", [], [logits(f"{exit}_left")])
        go_on = helper.make_graph(nodes, f"behind_{exit}", [], [logits(answer)])
        test = [
            helper.make_node("Softmax", [exit], [f"{exit}_p"], axis=1),
            helper.make_node("ReduceMax", [f"{exit}_p"], [f"{exit}_best"], keepdims=0),
            helper.make_node("Greater", [f"{exit}_best", "threshold"], [f"{exit}_sure"]),
            helper.make_node("If", [f"{exit}_sure"], [result], then_branch=leave, else_branch=go_on),
        ]
        return stages[number] + test, result

    nodes, answer = rest(0)
    threshold = numpy_helper.from_array(np.float32(THRESHOLD), "threshold")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])
    graph = helper.make_graph(nodes, "branches", [image], [logits(answer)], [*model.graph.initializer, threshold])
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="lepid-examples")
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


if __name__ == "__main__":
    main(sys.argv[1])
