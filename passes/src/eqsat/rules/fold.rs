//! What a layer takes over from the ops around it: batch norms, scales, biases, padding.
//!
//! A new weight is an expression on constants: it costs nothing here, and is evaluated by who packs
//! the weights.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "fold",
    summary: "Batch norms, scales, biases and padding into the weights of layers.",
    rules: rules! {
        /// A batch norm with constant statistics is a product and a sum per channel.
        "batch-norm-affine": "(nn.batch_norm ?x ?scale ?bias ?mean ?variance ?epsilon ?axis)"
            => "(tensor.add (tensor.mul ?x (tensor.broadcast
                    (tensor.div ?scale (tensor.sqrt (tensor.add ?variance (tensor.broadcast (core.constant (scalar-like ?variance ?epsilon)) (shape ?variance) []))))
                    (shape ?x) (list ?axis)))
                (tensor.broadcast (tensor.sub ?bias (tensor.mul ?mean
                    (tensor.div ?scale (tensor.sqrt (tensor.add ?variance (tensor.broadcast (core.constant (scalar-like ?variance ?epsilon)) (shape ?variance) []))))))
                    (shape ?x) (list ?axis)))"
            if "(fixed ?scale)", "(fixed ?bias)", "(fixed ?mean)", "(fixed ?variance)", within 1e-5,
            on "?x: AxBxC, ?scale: const B, ?bias: const B, ?mean: const B, ?variance: const abs B, ?epsilon: 0.001, ?axis: 1";

        /// A scale per channel goes into the weights of a convolution.
        "conv-scale": "(tensor.mul~ (nn.conv ?x ?w ..a) (tensor.broadcast ?g ?s ?b))"
            => "(nn.conv ?x (tensor.mul ?w (tensor.broadcast (tensor.reshape ?g (elements ?g)) (shape ?w) [0])) ..a)"
            if "(fixed ?w)", "(fixed ?g)", "(lies-along ?g ?s ?b (channel-axis ?x ?a.layout))", within 1e-5,
            on "?x: Ax2x5x6, ?w: const Bx2x3x3, ?g: const Bx1x1, ?s: [A, B, 3, 4], ?b: [1, 2, 3], ?a: conv";
        /// A scale per channel goes into the weights and the bias of a convolution.
        "conv-bias-scale": "(tensor.mul~ (nn.conv ?x ?w ?v ..a) (tensor.broadcast ?g ?s ?b))"
            => "(nn.conv ?x (tensor.mul ?w (tensor.broadcast (tensor.reshape ?g (elements ?g)) (shape ?w) [0])) (tensor.mul ?v (tensor.reshape ?g (elements ?g))) ..a)"
            if "(fixed ?w)", "(fixed ?v)", "(fixed ?g)", "(lies-along ?g ?s ?b (channel-axis ?x ?a.layout))", within 1e-5,
            on "?x: Ax2x5x6, ?w: const Bx2x3x3, ?v: const B, ?g: const Bx1x1, ?s: [A, B, 3, 4], ?b: [1, 2, 3], ?a: conv";
        /// A number goes into the weights of a convolution.
        "conv-number": "(tensor.mul~ (nn.conv ?x ?w ..a) ?c)"
            => "(nn.conv ?x (tensor.mul ?w (tensor.broadcast (core.constant (scalar ?c)) (shape ?w) [])) ..a)"
            if "(fixed ?w)", "(uniform ?c)", within 1e-5, on "?x: Ax2x5x6, ?w: const Bx2x3x3, ?c: ? AxBx3x4, ?a: conv";
        /// A sum per channel is the bias of a convolution.
        "conv-bias": "(tensor.add~ (nn.conv ?x ?w ..a) (tensor.broadcast ?v ?s ?b))"
            => "(nn.conv ?x ?w (tensor.reshape ?v (elements ?v)) ..a)"
            if "(fixed ?v)", "(lies-along ?v ?s ?b (channel-axis ?x ?a.layout))", within 1e-5,
            on "?x: Ax2x5x6, ?w: const Bx2x3x3, ?v: const Bx1x1, ?s: [A, B, 3, 4], ?b: [1, 2, 3], ?a: conv";
        /// A sum per channel is added to the bias of a convolution.
        "conv-bias-bias": "(tensor.add~ (nn.conv ?x ?w ?u ..a) (tensor.broadcast ?v ?s ?b))"
            => "(nn.conv ?x ?w (tensor.add ?u (tensor.reshape ?v (elements ?v))) ..a)"
            if "(fixed ?u)", "(fixed ?v)", "(lies-along ?v ?s ?b (channel-axis ?x ?a.layout))", within 1e-5,
            on "?x: Ax2x5x6, ?w: const Bx2x3x3, ?u: const B, ?v: const Bx1x1, ?s: [A, B, 3, 4], ?b: [1, 2, 3], ?a: conv";
        /// A convolution pads with zeros itself.
        "pad-conv": "(nn.conv (tensor.pad ?x ?zero ?low ?high) ?w ?stride ?dilation ?pad ?groups ?layout)"
            => "(nn.conv ?x ?w ?stride ?dilation (added-pads ?pad ?x ?low ?high ?layout) ?groups ?layout)"
            if "(is ?zero 0.0)", "(pads-space ?x ?low ?high ?layout)", on "?x: Ax2x4x3, ?zero: 0 f32, ?low: [0, 0, 1, 0], ?high: [0, 0, 0, 2], ?w: const Bx2x3x3, ?stride: [1, 2], ?dilation: [1, 1], ?pad: [0, 1, 1, 0], ?groups: 1, ?layout: \"nchw\"";
        /// A convolution with a bias pads with zeros itself.
        "pad-conv-bias": "(nn.conv (tensor.pad ?x ?zero ?low ?high) ?w ?v ?stride ?dilation ?pad ?groups ?layout)"
            => "(nn.conv ?x ?w ?v ?stride ?dilation (added-pads ?pad ?x ?low ?high ?layout) ?groups ?layout)"
            if "(is ?zero 0.0)", "(pads-space ?x ?low ?high ?layout)", on "?x: Ax2x4x3, ?zero: 0 f32, ?low: [0, 0, 1, 0], ?high: [0, 0, 0, 2], ?w: const Bx2x3x3, ?v: const B, ?stride: [1, 2], ?dilation: [1, 1], ?pad: [0, 1, 1, 0], ?groups: 1, ?layout: \"nchw\"";

        /// A product with a constant matrix is a linear layer.
        "matmul-linear": "(nn.matmul ?x ?w)" => "(nn.linear ?x ?w)"
            if "(fixed ?w)", "(is-float ?w)", "(rank-is ?w 2)", on "?x: AxBxC, ?w: const CxD | ?x: AxC, ?w: const CxD";
        /// A scale per feature goes into the weights of a linear layer.
        "linear-scale": "(tensor.mul~ (nn.linear ?x ?w) (tensor.broadcast ?g ?s ?b))"
            => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (tensor.reshape ?g (elements ?g)) (shape ?w) [1])))"
            if "(fixed ?w)", "(fixed ?g)", "(lies-along ?g ?s ?b (last-axis ?x))", within 1e-5,
            on "?x: AxBxC, ?w: const CxD, ?g: const D, ?s: [A, B, D], ?b: [2]";
        /// A scale per feature goes into the weights and the bias of a linear layer.
        "linear-bias-scale": "(tensor.mul~ (nn.linear ?x ?w ?v) (tensor.broadcast ?g ?s ?b))"
            => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (tensor.reshape ?g (elements ?g)) (shape ?w) [1])) (tensor.mul ?v (tensor.reshape ?g (elements ?g))))"
            if "(fixed ?w)", "(fixed ?v)", "(fixed ?g)", "(lies-along ?g ?s ?b (last-axis ?x))", within 1e-5,
            on "?x: AxBxC, ?w: const CxD, ?v: const D, ?g: const D, ?s: [A, B, D], ?b: [2]";
        /// A number goes into the weights of a linear layer.
        "linear-number": "(tensor.mul~ (nn.linear ?x ?w) ?c)"
            => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (core.constant (scalar ?c)) (shape ?w) [])))"
            if "(fixed ?w)", "(uniform ?c)", within 1e-5, on "?x: AxB, ?w: const BxC, ?c: ? AxC";
        /// A number goes into the weights and the bias of a linear layer.
        "linear-bias-number": "(tensor.mul~ (nn.linear ?x ?w ?v) ?c)"
            => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (core.constant (scalar ?c)) (shape ?w) [])) (tensor.mul ?v (tensor.broadcast (core.constant (scalar ?c)) (shape ?v) [])))"
            if "(fixed ?w)", "(fixed ?v)", "(uniform ?c)", within 1e-5, on "?x: AxB, ?w: const BxC, ?v: const C, ?c: ? AxC";
        /// A sum per feature is the bias of a linear layer.
        "linear-bias": "(tensor.add~ (nn.linear ?x ?w) (tensor.broadcast ?v ?s ?b))" => "(nn.linear ?x ?w (tensor.reshape ?v (elements ?v)))"
            if "(fixed ?v)", "(lies-along ?v ?s ?b (last-axis ?x))", within 1e-5, on "?x: AxBxC, ?w: const CxD, ?v: const D, ?s: [A, B, D], ?b: [2]";
        /// A sum per feature is added to the bias of a linear layer.
        "linear-bias-bias": "(tensor.add~ (nn.linear ?x ?w ?u) (tensor.broadcast ?v ?s ?b))" => "(nn.linear ?x ?w (tensor.add ?u (tensor.reshape ?v (elements ?v))))"
            if "(fixed ?u)", "(fixed ?v)", "(lies-along ?v ?s ?b (last-axis ?x))", within 1e-5, on "?x: AxBxC, ?w: const CxD, ?u: const D, ?v: const D, ?s: [A, B, D], ?b: [2]";
        /// A scale before a linear layer goes into its weights.
        "scale-linear": "(nn.linear (tensor.mul~ ?x (tensor.broadcast ?g ?s ?b)) ?w)"
            => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (tensor.reshape ?g (elements ?g)) (shape ?w) [0])))"
            if "(fixed ?w)", "(fixed ?g)", "(lies-along ?g ?s ?b (last-axis ?x))", within 1e-5,
            on "?x: AxBxC, ?w: const CxD, ?g: const C, ?s: [A, B, C], ?b: [2]";
        /// A number before a linear layer goes into its weights.
        "number-linear": "(nn.linear (tensor.mul~ ?x ?c) ?w)" => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (core.constant (scalar ?c)) (shape ?w) [])))"
            if "(fixed ?w)", "(uniform ?c)", within 1e-5, on "?x: AxB, ?c: ? AxB, ?w: const BxC";
        /// A number before a linear layer with a bias goes into its weights.
        "number-linear-bias": "(nn.linear (tensor.mul~ ?x ?c) ?w ?v)" => "(nn.linear ?x (tensor.mul ?w (tensor.broadcast (core.constant (scalar ?c)) (shape ?w) [])) ?v)"
            if "(fixed ?w)", "(uniform ?c)", within 1e-5, on "?x: AxB, ?c: ? AxB, ?w: const BxC, ?v: const C";
        /// Numbers of both factors of a matrix product are one of the result, if it is smaller.
        "number-matmul-first": "(nn.matmul (tensor.mul ?x ?c) ?y)" => "(tensor.mul (nn.matmul ?x ?y) (tensor.broadcast (core.constant (scalar ?c)) (shape (nn.matmul ?x ?y)) []))"
            if "(uniform ?c)", "(is-float ?x)", "(varies ?x)", within 1e-5, on "?x: AxBxC, ?y: AxCxD, ?c: ? AxBxC";
        /// Numbers of both factors of a matrix product are one of the result, if it is smaller.
        "number-matmul-second": "(nn.matmul ?x (tensor.mul ?y ?c))" => "(tensor.mul (nn.matmul ?x ?y) (tensor.broadcast (core.constant (scalar ?c)) (shape (nn.matmul ?x ?y)) []))"
            if "(uniform ?c)", "(is-float ?x)", "(varies ?y)", within 1e-5, on "?x: AxBxC, ?y: AxCxD, ?c: ? AxCxD";
    },
};
