#!/usr/bin/env python3
"""Lists the node tests that the installed onnx package ships, as JSON on standard output.

Each test has a name, the operator that it tests, a model, and data sets: inputs and expected outputs by name, each a file with a TensorProto. A test whose files do not fit its graph is a mistake of the package and stops the script.
"""

import json
import pathlib
import sys

import onnx


def data_set(folder, graph):
    def files(kind, values):
        found = sorted(folder.glob(f"{kind}_*.pb"), key=lambda f: int(f.stem.split("_")[1]))
        if len(found) > len(values):
            raise SystemExit(f"{folder}: {len(found)} files for {len(values)} values")
        return [{"name": v.name, "file": str(f)} for v, f in zip(values, found)]

    return {"inputs": files("input", graph.input), "outputs": files("output", graph.output)}


def main():
    root = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    if not root.is_dir():
        raise SystemExit(f"onnx {onnx.__version__} ships no node tests")
    models = {f.name: f / "model.onnx" for f in sorted(root.iterdir()) if (f / "model.onnx").is_file()}
    graphs = {name: onnx.load(model, load_external_data=False).graph for name, model in models.items()}
    tests = []
    for name, graph in graphs.items():
        # An expanded test is that of the operator whose definition it holds.
        plain = graphs.get(name.split("_expanded")[0], graph)
        folders = sorted(models[name].parent.glob("test_data_set_*"))
        tests.append(
            {
                "name": name,
                "operator": plain.node[0].op_type if plain.node else "none",
                "model": str(models[name]),
                "data": [data_set(folder, graph) for folder in folders],
            }
        )
    json.dump({"version": onnx.__version__, "tests": tests}, sys.stdout)


if __name__ == "__main__":
    main()
