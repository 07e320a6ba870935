//! Reductions: of each other, of repeated and permuted values, and means.
//!
//! Folding with max, min, and, or is exact in any order, and so is arithmetic of integers, which
//! wraps; sums and products of floats round, so those rules say `within`.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "reduce",
    summary: "Reductions of reductions, of permuted values, and means.",
    rules: rules! {
        /// Two reductions of one kind that rounds nothing are one.
        "reduce-reduce": "(tensor.reduce (tensor.reduce ?x ?k ?a) ?k ?b)" => "(tensor.reduce ?x ?k (joined-axes ?x ?a ?b))"
            if "(folds-exactly ?x ?k)", on "?x: AxBxC, ?k: \"max\", ?a: [1], ?b: [1] | ?x: AxBxCxi32, ?k: \"sum\", ?a: [0], ?b: [0, 1] | ?x: AxBxC, ?k: \"min\", ?a: [2], ?b: [0]";
        /// Two sums of floats are one.
        "sum-sum": "(tensor.reduce (tensor.reduce ?x \"sum\" ?a) \"sum\" ?b)" => "(tensor.reduce ?x \"sum\" (joined-axes ?x ?a ?b))"
            if "(is-float ?x)", within 1e-6, on "?x: AxBxC, ?a: [1], ?b: [1]";
        /// A reduction of a permuted value is one of the value, where the other axes keep their order.
        "reduce-transpose": "(tensor.reduce (tensor.transpose ?x ?p) ?k ?a)" => "(tensor.reduce ?x ?k (sorted (pick ?p ?a)))"
            if "(keeps-order ?p ?a)", "(folds-exactly ?x ?k)", on "?x: AxBxC, ?p: [2, 0, 1], ?k: \"max\", ?a: [0] | ?x: AxBxCxi32, ?p: [1, 0, 2], ?k: \"sum\", ?a: [0]";
        /// A sum of a permuted value is one of the value, where the other axes keep their order.
        "sum-transpose": "(tensor.reduce (tensor.transpose ?x ?p) \"sum\" ?a)" => "(tensor.reduce ?x \"sum\" (sorted (pick ?p ?a)))"
            if "(keeps-order ?p ?a)", "(is-float ?x)", within 1e-6, on "?x: AxBxC, ?p: [2, 0, 1], ?a: [0]";
        /// Reducing axes of extent 1 drops them.
        "reduce-units": "(tensor.reduce ?x ?k ?a)" => "(tensor.reshape ?x (reduced ?x ?a))"
            if "(are-units ?x ?a)", "(folds-one ?k)", within 0.0, on "?x: Ax1xB, ?k: \"sum\", ?a: [1] | ?x: Ax1, ?k: \"max\", ?a: [1]";
        /// A number leaves a sum.
        "sum-number": "(tensor.reduce (tensor.mul ?x ?c) \"sum\" ?a)"
            => "(tensor.mul (tensor.reduce ?x \"sum\" ?a) (tensor.broadcast (core.constant (scalar ?c)) (reduced ?x ?a) []))"
            if "(uniform ?c)", "(is-float ?x)", "(varies ?x)", within 1e-5, on "?x: AxB, ?c: ? AxB, ?a: [1]";
        /// A number leaves a mean.
        "mean-number": "(nn.mean (tensor.mul ?x ?c) ?a false)"
            => "(tensor.mul (nn.mean ?x ?a false) (tensor.broadcast (core.constant (scalar ?c)) (reduced ?x ?a) []))"
            if "(uniform ?c)", "(varies ?x)", within 1e-5, on "?x: AxB, ?c: ? AxB, ?a: [1]";
        /// A maximum of a repeated value need not look at the repetitions.
        "max-broadcast": "(tensor.reduce (tensor.broadcast ?x ?s ?b) \"max\" ?a)" => "(tensor.reshape ?x (reduced-shape ?s ?a))"
            if "(is-repetition ?x ?s ?b ?a)", on "?x: AxB, ?s: [A, C, B], ?b: [0, 2], ?a: [1]";

        /// A mean that keeps its axes is a reshape of one that does not.
        "mean-keep": "(nn.mean ?x ?a true)" => "(tensor.reshape (nn.mean ?x ?a false) (kept ?x ?a))", on "?x: AxBxC, ?a: [1]";
        /// A reshape of a mean to axes of extent 1 is a mean that keeps them.
        "keep-mean": "(tensor.reshape (nn.mean ?x ?a false) ?s)" => "(nn.mean ?x ?a true)"
            if "(same ?s (kept ?x ?a))", on "?x: AxBxC, ?a: [1], ?s: [A, 1, C]";
        /// A sum times one by the count is a mean.
        "sum-mean": "(tensor.mul (tensor.reduce ?x \"sum\" ?a) ?c)" => "(nn.mean ?x ?a false)"
            if "(counts-inversely ?x ?a ?c)", within 1e-6, on "?x: Ax4xB, ?a: [1], ?c: 0.25 AxB";
        /// A sum by the count is a mean.
        "sum-div-mean": "(tensor.div (tensor.reduce ?x \"sum\" ?a) ?c)" => "(nn.mean ?x ?a false)"
            if "(counts ?x ?a ?c)", "(is-float ?x)", within 1e-6, on "?x: Ax3xB, ?a: [1], ?c: 3 AxB";
        /// A mean of a permuted value is one of the value, where the other axes keep their order.
        "mean-transpose": "(nn.mean (tensor.transpose ?x ?p) ?a false)" => "(nn.mean ?x (sorted (pick ?p ?a)) false)"
            if "(keeps-order ?p ?a)", within 1e-6, on "?x: AxBxC, ?p: [2, 0, 1], ?a: [0]";
        /// An average over everything is a mean.
        "pool-mean": "(nn.avg_pool ?x ?kernel ?stride ?dilation ?pad ?ceil ?include ?layout)" => "(nn.mean ?x (space-axes ?x ?layout) true)"
            if "(are-zero ?pad)", "(is-window-over-all ?x ?kernel ?dilation ?layout)", within 1e-6,
            on "?x: AxBx3x4, ?kernel: [3, 4], ?stride: [1, 1], ?dilation: [1, 1], ?pad: [0, 0, 0, 0], ?ceil: false, ?include: false, ?layout: \"nchw\"";
    },
};
