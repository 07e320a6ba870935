#!/usr/bin/env python3
"""Make models of one operator each, with inputs, and ONNX Runtime's outputs for them.

    ops.py OUT [--only TEXT]

Writes to OUT one folder per case: model.onnx, inK.npy, reference.npz (the outputs by name); and last
cases.json, which lists the cases with these files and how far outputs may differ. Operators whose
standard node tests are run elsewhere have no case here.
"""

import argparse
import copy
import json
import math
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
CASES = []


class Case:
    """One node. Inputs are arrays in order, None where one is left out; `weights` are the places of those that the model holds."""

    def __init__(self, name, op, inputs, outputs=1, domain=MICROSOFT, opset=21, rtol=1e-5, atol=0, weights=(), compared=None, pending=(), more=None, **attributes):
        self.name, self.op, self.inputs, self.domain, self.opset = name, op, inputs, domain, opset
        # True for each output that is asked for.
        self.outputs = [True] * outputs if isinstance(outputs, int) else outputs
        self.rtol, self.atol, self.weights, self.attributes = rtol, atol, weights, attributes | (more or {})
        # How many outputs count; all without a number.
        self.compared = compared
        # The targets that have no code for it yet.
        self.pending = list(pending)
        # Whether the batch is a name in the model.
        self.open = False
        CASES.append(self)

    def build(self):
        names = [None if x is None else f"in{i}" for i, x in enumerate(self.inputs)]
        outs = [f"out{i}" if wanted else "" for i, wanted in enumerate(self.outputs)]
        while names and names[-1] is None:
            names.pop()
        node = helper.make_node(self.op, [n or "" for n in names], outs, domain=self.domain, **self.attributes)
        given, held, feeds = [], [], {}
        for index, (name, array) in enumerate(zip(names, self.inputs)):
            if name is None:
                continue
            if index in self.weights:
                held.append(numpy_helper.from_array(array, name))
                continue
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            given.append(helper.make_tensor_value_info(name, kind, self.shape(array)))
            feeds[name] = array
        results = [helper.make_empty_tensor_value_info(o) for o in outs if o]
        graph = helper.make_graph([node], self.name, given, results, held)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10), feeds


    def shape(self, array):
        extents = list(array.shape)
        if self.open and extents and extents[0] == self.inputs[0].shape[0]:
            extents[0] = "batch"
        return extents

    def opened(self):
        """The same node in a model for any number of samples."""
        other = copy.copy(self)
        other.name, other.open = f"{self.name}-open", True
        return other


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0, scale=1.0):
    return (rng(seed).standard_normal(shape) * scale).astype(np.float32)


def ints(low, high, *shape, dtype=np.int64, seed=0):
    return rng(seed).integers(low, high, shape).astype(dtype)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def elementwise():
    x, bias = normal(2, 5, 8), normal(8, seed=1)
    Case("gelu", "Gelu", [x])
    Case("fast-gelu", "FastGelu", [x])
    Case("fast-gelu-bias", "FastGelu", [x, bias])
    Case("bias-gelu", "BiasGelu", [x, bias])
    Case("quick-gelu", "QuickGelu", [x])
    Case("quick-gelu-alpha", "QuickGelu", [x], alpha=0.5)


def products():
    a, b = normal(2, 3, 4, 5), normal(2, 3, 5, 6, seed=1)
    Case("fused-matmul", "FusedMatMul", [a, b], alpha=0.5)
    Case("fused-matmul-a", "FusedMatMul", [a.swapaxes(2, 3).copy(), b], transA=1)
    Case("fused-matmul-b", "FusedMatMul", [a, b.swapaxes(2, 3).copy()], transB=1)
    Case("fused-matmul-batch-a", "FusedMatMul", [normal(4, 2, 3, 5), b], transBatchA=1)
    Case("fused-matmul-batch-b", "FusedMatMul", [a, normal(5, 2, 3, 6)], transBatchB=1)
    both = [normal(5, 2, 3, 4), normal(6, 2, 3, 5, seed=1)]
    Case("fused-matmul-all", "FusedMatMul", both, transBatchA=1, transBatchB=1, transA=1, transB=1)
    Case("transpose-matmul", "TransposeMatMul", [a, b.swapaxes(2, 3).copy()], transB=1, alpha=2.0)
    x, w, c = normal(3, 4), normal(4, 5, seed=1), normal(5, seed=2)
    Case("fused-gemm-relu", "FusedGemm", [x, w, c], activation="Relu")
    Case("fused-gemm-leaky", "FusedGemm", [x, w.T.copy(), c], activation="LeakyRelu", activation_alpha=0.3, transB=1)


def convolutions():
    x, w, b = normal(1, 3, 7, 6), normal(4, 3, 3, 3, seed=1), normal(4, seed=2)
    Case("fused-conv", "FusedConv", [x, w, b], pads=[1, 1, 1, 1], activation="Relu")
    Case("fused-conv-clip", "FusedConv", [x, w, b], activation="Clip", activation_params=[-0.5, 0.5], strides=[2, 1])
    Case("fused-conv-leaky", "FusedConv", [x, w], activation="LeakyRelu", activation_params=[0.2])
    Case("fused-conv-tanh", "FusedConv", [x, w, b], activation="Tanh")
    Case("fused-conv-sigmoid", "FusedConv", [x, w, b], activation="Sigmoid")
    Case("fused-conv-hard-sigmoid", "FusedConv", [x, w, b], activation="HardSigmoid", activation_params=[0.3, 0.4])
    Case("fused-conv-sum", "FusedConv", [x, w, b, normal(1, 4, 5, 4, seed=3)], activation="Relu")


def norms():
    x, skip, scale, bias, more = normal(2, 5, 8), normal(2, 5, 8, seed=1), normal(8, seed=2), normal(8, seed=3), normal(8, seed=4)
    sums = [True, False, False, True]
    Case("skip-layer-norm", "SkipLayerNormalization", [x, skip, scale, bias, more], sums)
    Case("skip-layer-norm-plain", "SkipLayerNormalization", [x, skip, scale], epsilon=1e-3)
    Case("skip-layer-norm-broadcast", "SkipLayerNormalization", [x, skip[:1], scale, bias], sums)
    Case("skip-layer-norm-rank-2", "SkipLayerNormalization", [x, skip[0], scale, None, more])
    Case("skip-rms-norm", "SkipSimplifiedLayerNormalization", [x, skip, scale, more], sums)
    Case("skip-rms-norm-plain", "SkipSimplifiedLayerNormalization", [x, skip, scale], epsilon=1e-3)
    Case("rms-norm", "SimplifiedLayerNormalization", [x, scale], domain="", axis=-1, epsilon=1e-5)
    Case("rms-norm-statistics", "SimplifiedLayerNormalization", [x, scale], 2, domain="", axis=-1, epsilon=1e-3)
    ids, segments = ints(0, 11, 2, 5, dtype=np.int32), ints(0, 2, 2, 5, dtype=np.int32)
    tables = [normal(11, 8), normal(6, 8, seed=1)]
    two, mask = normal(2, 8, seed=2), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    gamma = [scale, bias]
    Case("embed", "EmbedLayerNormalization", [ids, segments, *tables, two, *gamma, mask], 3, epsilon=1e-6)
    Case("embed-plain", "EmbedLayerNormalization", [ids, None, *tables, None, *gamma], 2)
    places = ints(0, 6, 2, 5, dtype=np.int32, seed=5)
    Case("embed-positions", "EmbedLayerNormalization", [ids, segments, *tables, two, *gamma, None, places], 2)


def attentions():
    x = normal(2, 5, 8)
    w, b = normal(8, 24, seed=1, scale=0.4), normal(24, seed=2, scale=0.3)
    heads = {"num_heads": 2}
    Case("attention", "Attention", [x, w, b], **heads)
    Case("attention-no-bias", "Attention", [x, w], scale=0.3, **heads)
    Case("attention-present", "Attention", [x, w, b], 2, unidirectional=1, **heads)
    lengths = np.array([3, 5], np.int32)
    Case("attention-lengths", "Attention", [x, w, b, lengths], **heads)
    ends = np.array([5, 4, 2, 0], np.int32)
    Case("attention-ends-and-starts", "Attention", [x, w, b, ends], **heads)
    raw = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)
    Case("attention-raw-mask", "Attention", [x, w, b, raw], **heads)
    Case("attention-raw-mask-causal", "Attention", [x, w, b, raw], unidirectional=1, **heads)
    Case("attention-all-masked", "Attention", [x, w, b, raw * 0], mask_filter_value=-500.0, **heads)
    pairs = ints(0, 2, 2, 5, 5, dtype=np.int32) | np.eye(5, dtype=np.int32)
    Case("attention-query-mask", "Attention", [x, w, b, pairs], **heads)
    past = normal(2, 2, 2, 3, 4, seed=3)
    Case("attention-past", "Attention", [x, w, b, None, past], 2, **heads)
    Case("attention-past-causal", "Attention", [x, w, b, None, past], 2, unidirectional=1, **heads)
    long = np.array([[0, 1, 1, 1, 1, 1, 1, 0], [1] * 8], np.int32)
    Case("attention-past-mask", "Attention", [x, w, b, long, past], 2, unidirectional=1, **heads)
    Case("attention-bias", "Attention", [x, w, b, None, None, normal(2, 2, 5, 5, seed=4)], **heads)
    Case("attention-bias-shared", "Attention", [x, w, b, raw, None, normal(1, 1, 5, 5, seed=4)], **heads)
    wide = normal(8, 28, seed=1, scale=0.4)
    Case("attention-sizes", "Attention", [x, wide, normal(28)], qkv_hidden_sizes=[8, 8, 12], **heads)

    q, k, v = normal(2, 5, 8), normal(2, 6, 8, seed=1), normal(2, 6, 12, seed=2)
    Case("multi-head", "MultiHeadAttention", [q, k, v], **heads)
    Case("multi-head-scale", "MultiHeadAttention", [q, k, v], scale=0.2, **heads)
    Case("multi-head-bias", "MultiHeadAttention", [q, k, v, normal(28, seed=3)], **heads)
    padding = np.array([[1, 1, 1, 1, 0, 0], [1] * 6], np.int32)
    Case("multi-head-padding", "MultiHeadAttention", [q, k, v, None, padding], **heads)
    bias = normal(1, 2, 5, 6, seed=4)
    Case("multi-head-attention-bias", "MultiHeadAttention", [q, k, v, None, padding, bias], **heads)
    same = [normal(2, 5, 8), normal(2, 5, 8, seed=1), normal(2, 5, 8, seed=2)]
    Case("multi-head-causal", "MultiHeadAttention", same, unidirectional=1, **heads)
    pasts = [normal(2, 2, 3, 4, seed=5), normal(2, 2, 3, 4, seed=6)]
    Case("multi-head-past", "MultiHeadAttention", [*same, None, None, None, *pasts], 3, **heads)
    projection = normal(24, seed=7)
    Case("multi-head-past-causal", "MultiHeadAttention", [*same, projection, None, None, *pasts], 3, unidirectional=1, **heads)
    over = normal(2, 2, 5, 8, seed=8)
    Case("multi-head-past-bias", "MultiHeadAttention", [*same, None, None, over, *pasts], 3, **heads)
    cross = [normal(2, 2, 6, 4, seed=1), normal(2, 2, 6, 4, seed=2)]
    Case("multi-head-cross", "MultiHeadAttention", [q, *cross], **heads)


def grouped():
    def caches(half, rows=16):
        angle = np.arange(rows)[:, None] * (1.0 / 10 ** (np.arange(half) / half))[None]
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    heads = {"num_heads": 4, "kv_num_heads": 2}
    q, k, v = normal(2, 5, 64), normal(2, 5, 32, seed=1), normal(2, 5, 32, seed=2)
    empty = np.zeros((2, 2, 0, 16), np.float32)
    full, total = np.array([4, 4], np.int32), scalar(5, np.int32)
    prompt = [q, k, v, None, None, full, total]
    Case("grouped-prompt", "GroupQueryAttention", prompt, 3, weights=(6,), **heads)
    Case("grouped-prompt-empty", "GroupQueryAttention", [q, k, v, empty, empty, full, total], 3, weights=(6,), **heads)
    Case("grouped-prompt-window", "GroupQueryAttention", prompt, 3, weights=(6,), local_window_size=2, **heads)
    Case("grouped-prompt-softcap", "GroupQueryAttention", prompt, 3, weights=(6,), softcap=1.5, scale=0.7, **heads)
    Case("grouped-prompt-smooth", "GroupQueryAttention", prompt, 3, weights=(6,), smooth_softmax=1, **heads)
    Case("grouped-prompt-rotary", "GroupQueryAttention", [*prompt, *caches(8)], 3, weights=(6,), do_rotary=1, **heads)
    turned = {"do_rotary": 1, "rotary_interleaved": 1}
    Case("grouped-prompt-interleaved", "GroupQueryAttention", [*prompt, *caches(8)], 3, weights=(6,), **turned, **heads)
    packed = normal(2, 5, 128, seed=3)
    Case("grouped-packed", "GroupQueryAttention", [packed, None, None, *prompt[3:], *caches(8)], 3, weights=(6,), do_rotary=1, **heads)
    bias = normal(1, 4, 5, 5, seed=4)
    Case("grouped-bias", "GroupQueryAttention", [*prompt, None, None, None, bias], 3, weights=(6,), **heads)
    sink = normal(4, seed=5)
    Case("grouped-sink", "GroupQueryAttention", [*prompt, None, None, None, None, sink], 3, weights=(6,), **heads)

    one = [normal(2, 1, 64, seed=6), normal(2, 1, 32, seed=7), normal(2, 1, 32, seed=8)]
    pasts = [normal(2, 2, 6, 16, seed=9), normal(2, 2, 6, 16, seed=10)]
    step = [*one, *pasts, np.array([6, 6], np.int32), scalar(7, np.int32)]
    Case("grouped-step", "GroupQueryAttention", step, 3, weights=(6,), **heads)
    Case("grouped-step-rotary", "GroupQueryAttention", [*step, *caches(8)], 3, weights=(6,), do_rotary=1, **heads)
    Case("grouped-step-window", "GroupQueryAttention", step, 3, weights=(6,), local_window_size=3, softcap=2.0, **heads)
    # What a shorter sample of the batch has behind its keys is left open.
    ragged = [*one, *pasts, np.array([3, 6], np.int32), scalar(7, np.int32)]
    Case("grouped-step-ragged", "GroupQueryAttention", [*ragged, *caches(8)], 3, compared=1, weights=(6,), do_rotary=1, **heads)
    alone = [normal(1, 3, 64, seed=6), normal(1, 3, 32, seed=7), normal(1, 3, 32, seed=8)]
    past = [normal(1, 2, 6, 16, seed=9), normal(1, 2, 6, 16, seed=10)]
    more = [*alone, *past, np.array([8], np.int32), scalar(9, np.int32)]
    Case("grouped-continued", "GroupQueryAttention", [*more, *caches(8)], 3, weights=(6,), do_rotary=1, **heads)

    padded = [normal(2, 3, 64, seed=6), normal(2, 3, 32, seed=7), normal(2, 3, 32, seed=8)]
    room = [normal(2, 2, 9, 16, seed=9), normal(2, 2, 9, 16, seed=10)]
    lengths = [np.array([3, 6], np.int32), scalar(9, np.int32)]
    chunk = [*padded, *room, *lengths, *caches(8), *[None] * 7, np.array([3, 3], np.int32)]
    Case("grouped-chunks", "GroupQueryAttention", chunk, 3, compared=1, weights=(6,), do_rotary=1, **heads)

    cos, sin = caches(4)
    places = ints(0, 16, 2, 5)
    Case("rotary", "RotaryEmbedding", [normal(2, 5, 16), places, cos, sin])
    Case("rotary-interleaved", "RotaryEmbedding", [normal(2, 5, 16), places, cos, sin], interleaved=1)
    Case("rotary-offset", "RotaryEmbedding", [normal(2, 5, 16), np.array([3], np.int64), cos, sin])
    Case("rotary-heads", "RotaryEmbedding", [normal(2, 3, 5, 8), places, cos, sin])
    part = {"num_heads": 2, "rotary_embedding_dim": 8}
    Case("rotary-part", "RotaryEmbedding", [normal(2, 5, 24), places, cos, sin], **part)


def low_bits():
    columns, depth = 6, 40
    for bits in (2, 4, 8):
        for block in (16, 32):
            blocks = math.ceil(depth / block)
            packed = ints(0, 256, columns, blocks, block * bits // 8, dtype=np.uint8, seed=bits)
            scales = normal(columns * blocks, seed=1)
            zeros = ints(0, 256, columns * math.ceil(blocks * bits / 8), dtype=np.uint8, seed=2)
            sizes = {"K": depth, "N": columns, "bits": bits, "block_size": block}
            x = normal(2, 3, depth, seed=3)
            fixed = (1, 2, 3)
            name = f"matmul-{bits}-bits-{block}"
            Case(name, "MatMulNBits", [x, packed, scales], weights=fixed, **sizes)
            Case(f"{name}-zeros", "MatMulNBits", [x, packed, scales, zeros], weights=fixed, **sizes)
    four, floats = ints(0, 256, columns, blocks, block // 2, dtype=np.uint8), normal(columns, blocks, seed=4)
    Case("matmul-4-bits-float-zeros", "MatMulNBits", [x, four, scales, floats], weights=fixed, **(sizes | {"bits": 4}))
    bias = normal(columns, seed=5)
    Case("matmul-8-bits-bias", "MatMulNBits", [x, packed, scales, None, None, bias], weights=(1, 2, 5), **sizes)

    for kind in (np.uint8, np.int8):
        name = np.dtype(kind).name
        # Its sums of two products saturate at 16 bits without VNNI, which small numbers do not reach.
        low, high = (0, 256) if kind == np.uint8 else (-60, 61)
        a, b = ints(low, high, 2, 3, 8, dtype=kind), ints(low, high, 8, 5, dtype=kind, seed=1)
        scale, many = scalar(0.02), np.abs(normal(5)) * 0.01
        zero, zeros = scalar(3, kind), ints(low // 4, high // 4, 5, dtype=kind, seed=2)
        Case(f"integer-to-float-{name}", "MatMulIntegerToFloat", [a, b, scale, scale, zero, zero, normal(5)], weights=(1,))
        Case(f"integer-to-float-columns-{name}", "MatMulIntegerToFloat", [a, b, scale, many, zero, zeros], weights=(1,))
        Case(f"dynamic-quantize-{name}", "DynamicQuantizeMatMul", [normal(2, 3, 8), b, many, zeros, normal(5)], weights=(1,))
        Case(f"gemm-{name}", "QGemm", [a[0], scale, zero, b, scale, zero, None, scalar(0.5), scalar(1, kind)], atol=1)
        addend = ints(-500, 500, 5, dtype=np.int32)
        Case(f"gemm-float-{name}", "QGemm", [a[0], scale, zero, b, scale, zero, addend], alpha=0.5)
        w = ints(low, high, 8, 24, dtype=kind, seed=3)
        x = ints(0, 256, 2, 5, 8, dtype=np.uint8)
        inputs = [x, w, normal(24), scalar(0.01), scalar(0.01), None, scalar(128, np.uint8), scalar(2, kind)]
        Case(f"quantised-attention-{name}", "QAttention", inputs, num_heads=2, weights=(1,))

    table = ints(0, 256, 7, 16, dtype=np.uint8)
    rows = ints(-7, 7, 2, 3)
    scales, zeros = normal(7, 2), ints(0, 256, 7, 1, dtype=np.uint8)
    blocks = {"block_size": 16, "gather_axis": 0, "quantize_axis": 1}
    fixed = (0, 2, 3)
    Case("gather-4-bits", "GatherBlockQuantized", [table, rows, scales], weights=fixed, bits=4, **blocks)
    Case("gather-4-bits-zeros", "GatherBlockQuantized", [table, rows, scales, zeros], weights=fixed, bits=4, **blocks)
    eight = [ints(0, 256, 7, 32, dtype=np.uint8), rows, scales, ints(0, 256, 7, 2, dtype=np.uint8)]
    Case("gather-8-bits", "GatherBlockQuantized", eight, weights=fixed, bits=8, **blocks)


def quantised():
    scales = [scalar(0.05), scalar(0.03), scalar(0.08)]
    for kind in (np.uint8, np.int8):
        name = np.dtype(kind).name
        low, high = (0, 256) if kind == np.uint8 else (-128, 128)
        zero = [scalar(z + (128 if kind == np.uint8 else 0), kind) for z in (3, -5, 7)]
        a, b = ints(low, high, 2, 3, 8, dtype=kind), ints(low, high, 3, 8, dtype=kind, seed=1)
        first, second, last = [scales[0], zero[0]], [scales[1], zero[1]], [scales[2], zero[2]]
        # ONNX Runtime computes in other steps, so that a number between two may become either.
        close = {"atol": 1}
        Case(f"add-{name}", "QLinearAdd", [a, *first, b, *second, *last], **close)
        Case(f"multiply-{name}", "QLinearMul", [a, *first, b, *second, *last], **close)
        Case(f"sigmoid-{name}", "QLinearSigmoid", [a, *first, scalar(1 / 256), scalar(low, kind)], **close)
        Case(f"leaky-{name}", "QLinearLeakyRelu", [a, *first, *last], alpha=0.2, **close)
        soft = [a, *first, scalar(1 / 256), scalar(low, kind)]
        Case(f"softmax-{name}", "QLinearSoftmax", soft, more={"opset": 13}, axis=-1, **close)
        Case(f"softmax-flat-{name}", "QLinearSoftmax", soft, more={"opset": 12}, axis=1, **close)
        image = ints(low, high, 1, 3, 6, 7, dtype=kind)
        Case(f"global-average-{name}", "QLinearGlobalAveragePool", [image, *first, *last], **close)
        last_axis = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
        Case(f"global-average-last-{name}", "QLinearGlobalAveragePool", [last_axis, *first, *last], channels_last=1, **close)
        Case(f"average-{name}", "QLinearAveragePool", [image, *first, *last], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **close)
        Case(f"concat-{name}", "QLinearConcat", [*last, a, *first, ints(low, high, 2, 4, 8, dtype=kind), *second], axis=1, weights=(0, 1, 3, 4, 6, 7), **close)
        condition = ints(0, 2, 2, 3, 8).astype(bool)
        Case(f"where-{name}", "QLinearWhere", [condition, a, *first, a[::-1].copy(), *second, *last], **close)


def standard():
    def case(name, op, inputs, *args, **attributes):
        Case(name, op, inputs, *args, domain="", **attributes)

    def found(*args, **attributes):
        case(*args, pending=["cpu"], **attributes)

    holes = ints(0, 2, 3, 4, 5).astype(np.float32) * normal(3, 4, 5)
    found("non-zero", "NonZero", [holes])
    found("non-zero-none", "NonZero", [np.zeros((2, 3), np.int64)])
    found("non-zero-bool", "NonZero", [ints(0, 2, 7).astype(bool)])
    found("compress", "Compress", [normal(3, 4, 5), np.array([1, 0, 1], bool)], axis=1)
    found("compress-flat", "Compress", [normal(3, 4), ints(0, 2, 12).astype(bool)])
    found("compress-none", "Compress", [normal(3, 4), np.zeros(4, bool)], axis=-1)
    repeated = ints(0, 4, 3, 4, 2).astype(np.float32)
    found("unique", "Unique", [repeated], 4)
    found("unique-unsorted", "Unique", [repeated], 4, sorted=0)
    for axis in range(3):
        found(f"unique-axis-{axis}", "Unique", [ints(0, 2, 4, 5, 2)], 4, axis=axis)
    found("unique-axis-unsorted", "Unique", [ints(0, 2, 6, 2)], 4, axis=0, sorted=0)
    found("unique-empty", "Unique", [np.zeros(0, np.int64)], 4)
    corner = np.sort(np.abs(normal(2, 9, 2, 2)), axis=2).reshape(2, 9, 4)
    scores = normal(2, 3, 9, seed=1)
    few, part, least = np.array([4], np.int64), np.array([0.3], np.float32), np.array([-0.5], np.float32)
    found("suppression", "NonMaxSuppression", [corner, scores, few, part, least])
    found("suppression-all", "NonMaxSuppression", [corner, scores, np.array([50], np.int64), part])
    found("suppression-centre", "NonMaxSuppression", [np.abs(normal(2, 9, 4)), scores, few, part], center_point_box=1)
    found("suppression-none", "NonMaxSuppression", [corner, scores, few, part, np.array([9], np.float32)])
    found("suppression-zero", "NonMaxSuppression", [corner, scores])
    for extents in ([2], [3], [5], [2, 4]):
        size = extents[-1]
        case(f"determinant-{'-'.join(map(str, extents))}", "Det", [normal(*extents, size, seed=size)], rtol=1e-4)
    singular = np.array([[1, 2, 3], [2, 4, 6], [0, 1, 5]], np.float32)
    case("determinant-zero", "Det", [singular])
    shape, block = np.array([6, 7], np.int64), np.array([2, 3], np.int64)
    case("col2im", "Col2Im", [normal(2, 18, 25), shape, block], weights=(1, 2))
    spread = {"strides": [2, 2], "pads": [1, 0, 1, 0], "dilations": [1, 2]}
    case("col2im-strides", "Col2Im", [normal(2, 18, 8), shape, block], weights=(1, 2), **spread)
    image = normal(2, 4, 9, 8)
    rois = np.array([[0, 0, 6, 5], [1.3, 2.2, 7.7, 6.1], [-3, -2, 3, 2], [4, 4, 4, 4]], np.float32)
    batch = np.array([0, 1, 1, 0], np.int64)
    sizes = {"output_height": 3, "output_width": 2}
    case("roi-align", "RoiAlign", [image, rois, batch], opset=16, **sizes)
    case("roi-align-ratio", "RoiAlign", [image, rois, batch], opset=16, sampling_ratio=2, spatial_scale=0.5, **sizes)
    case("roi-align-old", "RoiAlign", [image, rois, batch], opset=10, **sizes)
    case("roi-align-max", "RoiAlign", [image, rois, batch], opset=16, mode="max", sampling_ratio=2, **sizes)
    five = np.concatenate([batch[:, None].astype(np.float32), np.abs(rois)], axis=1)
    case("max-roi", "MaxRoiPool", [image, five], pooled_shape=[3, 2])
    case("max-roi-scale", "MaxRoiPool", [image, five], pooled_shape=[2, 2], spatial_scale=0.6)
    weight, offset = normal(6, 2, 3, 2, seed=1), normal(2, 24, 7, 7, seed=2)
    groups = {"group": 2, "offset_group": 2}
    case("deformed", "DeformConv", [image, weight, offset, normal(6, seed=3)], opset=19, **groups)
    mask = np.abs(normal(2, 12, 4, 4, seed=4))
    some = [image, weight, normal(2, 24, 4, 4, seed=2) * 3, None, mask]
    case("deformed-mask", "DeformConv", some, opset=19, strides=[2, 2], pads=[1, 0, 0, 1], dilations=[1, 2], **groups)
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    places = np.array([[[[5, 7], [13, 15]]]], np.int64)
    case("max-unpool", "MaxUnpool", [normal(1, 1, 2, 2), places], **pool)
    mel = [scalar(n, np.int64) for n in (8, 64, 8000)] + [scalar(0.0), scalar(4000.0)]
    case("mel", "MelWeightMatrix", mel, weights=(0, 1, 2, 3, 4))
    Case("unique-as-they-occur", "Unique", [ints(0, 5, 12).astype(np.float32)], 3, pending=["cpu"])
    Case("expand-dims", "ExpandDims", [normal(2, 3), scalar(-1, np.int32)], weights=(1,))
    Case("trilu", "Trilu", [normal(2, 4, 5), scalar(1, np.int64)], upper=0)
    Case("quantize", "QuantizeLinear", [normal(3, 4), scalar(0.05), scalar(100, np.uint8)])
    Case("dequantize", "DequantizeLinear", [ints(0, 256, 3, 4, dtype=np.uint8), scalar(0.05), scalar(100, np.uint8)])


def states():
    heads = {"q_num_heads": 2, "kv_num_heads": 2}
    q, k, v = normal(2, 5, 8), normal(2, 5, 8, seed=1, scale=0.4), normal(2, 5, 12, seed=2)
    past = normal(2, 2, 4, 6, seed=3)
    decay, each = -np.abs(normal(2, 5, 2, seed=4)), -np.abs(normal(2, 5, 8, seed=4))
    rate, shared = np.abs(normal(2, 5, 2, seed=5)) * 0.4, np.abs(normal(2, 5, 1, seed=5)) * 0.4
    for rule, gates in {
        "linear": [None, None],
        "gated": [decay, None],
        "delta": [None, rate],
        "gated_delta": [each, rate],
    }.items():
        Case(f"linear-attention-{rule}", "LinearAttention", [q, k, v, past, *gates], 2, update_rule=rule, **heads)
    Case("linear-attention-start", "LinearAttention", [q, k, v, None, decay, shared], 2, scale=0.7, **heads)
    more = {"q_num_heads": 4, "kv_num_heads": 2}
    Case("linear-attention-grouped", "LinearAttention", [normal(2, 5, 16), k, v, past, decay, rate], 2, **more)
    x, w, bias = normal(2, 3, 6), normal(3, 1, 4, seed=1), normal(3, seed=2)
    Case("causal", "CausalConvWithState", [x, w], 2)
    Case("causal-state", "CausalConvWithState", [x, w, bias, normal(2, 3, 3, seed=3)], 2, activation="silu")
    Case("causal-step", "CausalConvWithState", [x[:, :, :1].copy(), w, bias, normal(2, 3, 3, seed=3)], 2)
    for kind in (0, 1):
        packed, scales = ints(0, 256, 48, dtype=np.uint8), np.abs(normal(6))
        sizes = {"K": 16, "N": 6, "block_size": 16, "quant_type": kind}
        Case(f"matmul-codes-{kind}", "MatMulBnb4", [normal(2, 3, 16), packed, scales], weights=(1, 2), **sizes)


def write(case, out):
    folder = out / case.name
    folder.mkdir(parents=True, exist_ok=True)
    model, feeds = case.build()
    path = folder / "model.onnx"
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = list(zip(names, session.run(names, feeds)))[: case.compared]
    np.savez(folder / "reference.npz", **dict(outputs))
    inputs = []
    for name, array in feeds.items():
        file = folder / f"{name}.npy"
        np.save(file, array)
        inputs.append({"name": name, "file": str(file)})
    return {
        "name": case.name,
        "operator": case.op,
        "rtol": case.rtol,
        "atol": case.atol,
        "pending": case.pending,
        "model": str(path),
        "inputs": inputs,
        "reference": str(folder / "reference.npz"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    arguments = parser.parse_args()
    for make in (norms, attentions, grouped, states):
        make()
    # A batch as a second extent of a mask says nothing of a batch that is not known.
    CASES.extend([case.opened() for case in CASES if case.name != "attention-ends-and-starts"])
    for make in (elementwise, products, convolutions, low_bits, quantised, standard):
        make()
    chosen = [case for case in CASES if arguments.only in case.name]
    listed, failed = [], []
    for case in chosen:
        try:
            listed.append(write(case, arguments.out))
        except Exception as error:  # One wrong case must not hide the others.
            failed.append(f"{case.name}: {str(error).splitlines()[0][:300]}")
    if failed:
        raise SystemExit("\n".join(failed))
    with open(arguments.out / "cases.json", "w") as file:
        json.dump(listed, file, indent=1)


main()
