//! Layers on one input become one layer with the weights of all, of which slices are taken.
//!
//! These rules have several left sides, joined by `&`, and as many right sides. They are applied
//! once, between two saturations, to what the first has found: a joined layer is not joined again.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "siblings",
    summary: "Convolutions and linear layers that share an input.",
    rules: rules! {
        /// Two linear layers on one input are one.
        "linear-pair": "(nn.linear ?x ?v) & (nn.linear ?x ?w)"
            => "(tensor.slice (nn.linear ?x (tensor.concat ?v ?w 1)) (cut-starts ?x (last-axis ?x)) (cut-stops ?x (last-axis ?x) ?v 1) (cut-steps ?x))
              & (tensor.slice (nn.linear ?x (tensor.concat ?v ?w 1)) (cut-starts ?x (last-axis ?x) ?v 1) (cut-stops ?x (last-axis ?x) ?v 1 ?w 1) (cut-steps ?x))"
            if "(fixed ?v)", "(fixed ?w)", within 1e-6, on "?x: AxBxC, ?v: const CxD, ?w: const CxE";
        /// Two linear layers with biases on one input are one.
        "linear-bias-pair": "(nn.linear ?x ?v ?c) & (nn.linear ?x ?w ?d)"
            => "(tensor.slice (nn.linear ?x (tensor.concat ?v ?w 1) (tensor.concat ?c ?d 0)) (cut-starts ?x (last-axis ?x)) (cut-stops ?x (last-axis ?x) ?v 1) (cut-steps ?x))
              & (tensor.slice (nn.linear ?x (tensor.concat ?v ?w 1) (tensor.concat ?c ?d 0)) (cut-starts ?x (last-axis ?x) ?v 1) (cut-stops ?x (last-axis ?x) ?v 1 ?w 1) (cut-steps ?x))"
            if "(fixed ?v)", "(fixed ?w)", "(fixed ?c)", "(fixed ?d)", within 1e-6, on "?x: AxBxC, ?v: const CxD, ?w: const CxE, ?c: const D, ?d: const E";
        /// Three linear layers with biases on one input, such as query, key and value, are one.
        "linear-bias-triple": "(nn.linear ?x ?u ?b) & (nn.linear ?x ?v ?c) & (nn.linear ?x ?w ?d)"
            => "(tensor.slice (nn.linear ?x (tensor.concat ?u ?v ?w 1) (tensor.concat ?b ?c ?d 0)) (cut-starts ?x (last-axis ?x)) (cut-stops ?x (last-axis ?x) ?u 1) (cut-steps ?x))
              & (tensor.slice (nn.linear ?x (tensor.concat ?u ?v ?w 1) (tensor.concat ?b ?c ?d 0)) (cut-starts ?x (last-axis ?x) ?u 1) (cut-stops ?x (last-axis ?x) ?u 1 ?v 1) (cut-steps ?x))
              & (tensor.slice (nn.linear ?x (tensor.concat ?u ?v ?w 1) (tensor.concat ?b ?c ?d 0)) (cut-starts ?x (last-axis ?x) ?u 1 ?v 1) (cut-stops ?x (last-axis ?x) ?u 1 ?v 1 ?w 1) (cut-steps ?x))"
            if "(fixed ?u)", "(fixed ?v)", "(fixed ?w)", "(fixed ?b)", "(fixed ?c)", "(fixed ?d)", within 1e-6,
            on "?x: AxC, ?u: const CxB, ?v: const CxD, ?w: const CxE, ?b: const B, ?c: const D, ?d: const E";
        /// Two convolutions of one kind on one input are one.
        "conv-pair": "(nn.conv ?x ?v ?stride ?dilation ?pad 1 ?layout) & (nn.conv ?x ?w ?stride ?dilation ?pad 1 ?layout)"
            => "(tensor.slice (nn.conv ?x (tensor.concat ?v ?w 0) ?stride ?dilation ?pad 1 ?layout) (cut-starts ?x (channel-axis ?x ?layout)) (cut-stops ?x (channel-axis ?x ?layout) ?v 0) (cut-steps ?x))
              & (tensor.slice (nn.conv ?x (tensor.concat ?v ?w 0) ?stride ?dilation ?pad 1 ?layout) (cut-starts ?x (channel-axis ?x ?layout) ?v 0) (cut-stops ?x (channel-axis ?x ?layout) ?v 0 ?w 0) (cut-steps ?x))"
            if "(fixed ?v)", "(fixed ?w)", "(same-window ?v ?w)", within 1e-6,
            on "?x: Ax2x5x6, ?v: const Bx2x3x3, ?w: const Cx2x3x3, ?stride: [1, 2], ?dilation: [1, 1], ?pad: [1, 0, 0, 1], ?layout: \"nchw\"";
        /// Two convolutions of one kind with biases on one input are one.
        "conv-bias-pair": "(nn.conv ?x ?v ?c ?stride ?dilation ?pad 1 ?layout) & (nn.conv ?x ?w ?d ?stride ?dilation ?pad 1 ?layout)"
            => "(tensor.slice (nn.conv ?x (tensor.concat ?v ?w 0) (tensor.concat ?c ?d 0) ?stride ?dilation ?pad 1 ?layout) (cut-starts ?x (channel-axis ?x ?layout)) (cut-stops ?x (channel-axis ?x ?layout) ?v 0) (cut-steps ?x))
              & (tensor.slice (nn.conv ?x (tensor.concat ?v ?w 0) (tensor.concat ?c ?d 0) ?stride ?dilation ?pad 1 ?layout) (cut-starts ?x (channel-axis ?x ?layout) ?v 0) (cut-stops ?x (channel-axis ?x ?layout) ?v 0 ?w 0) (cut-steps ?x))"
            if "(fixed ?v)", "(fixed ?w)", "(fixed ?c)", "(fixed ?d)", "(same-window ?v ?w)", within 1e-6,
            on "?x: Ax2x5x6, ?v: const Bx2x3x3, ?w: const Cx2x3x3, ?c: const B, ?d: const C, ?stride: [1, 2], ?dilation: [1, 1], ?pad: [1, 0, 0, 1], ?layout: \"nchw\"";
    },
};
