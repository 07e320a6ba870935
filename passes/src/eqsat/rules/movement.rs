//! Shape ops through each other and through elementwise ops.
//!
//! A transpose or a reshape costs as much on either side of an elementwise op, so these rules come
//! in pairs; the rest move in one direction: slices towards the inputs, broadcasts towards the outputs.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "movement",
    summary: "Transposes, reshapes, broadcasts, slices and concats through each other and through elementwise ops.",
    rules: rules! {
        /// A permutation in order does nothing.
        "transpose-nothing": "(tensor.transpose ?x ?p)" => "?x"
            if "(is-identity ?p)", on "?x: AxBxC, ?p: [0, 1, 2] | ?x: A, ?p: [0]";
        /// Two permutations are one.
        "transpose-transpose": "(tensor.transpose (tensor.transpose ?x ?p) ?q)" => "(tensor.transpose ?x (compose ?p ?q))",
            on "?x: AxBxC, ?p: perm 3, ?q: perm 3 | ?x: AxBxCxD, ?p: perm 4, ?q: perm 4";
        /// Moving axes of extent 1 alone moves no element.
        "transpose-units": "(tensor.transpose ?x ?p)" => "(tensor.reshape ?x (permuted ?x ?p))"
            if "(moves-units ?x ?p)", on "?x: Ax1xB, ?p: [1, 0, 2] | ?x: 1xAx1, ?p: perm 3";
        /// A transpose goes below an elementwise op.
        "unary-transpose": "(*unary (tensor.transpose ?x ?p) ..a)" => "(tensor.transpose (*unary ?x ..a) ?p)", on "?x: AxB, ?p: [1, 0], ?a: any";
        /// A transpose goes above an elementwise op.
        "transpose-unary": "(tensor.transpose (*unary ?x ..a) ?p)" => "(*unary (tensor.transpose ?x ?p) ..a)", on "?x: AxB, ?p: [1, 0], ?a: any";
        /// Equal transposes of both operands become one of the result.
        "binary-transpose": "(*binary (tensor.transpose ?x ?p) (tensor.transpose ?y ?p) ..a)" => "(tensor.transpose (*binary ?x ?y ..a) ?p)", on "?x: AxB, ?y: AxB, ?p: [1, 0], ?a: any";
        /// A transpose goes below an op with a constant, which is transposed back while compiling.
        "binary-transpose-fixed": "(*binary (tensor.transpose ?x ?p) ?c ..a)" => "(tensor.transpose (*binary ?x (tensor.transpose ?c (inverse ?p)) ..a) ?p)"
            if "(fixed ?c)", on "?x: AxB, ?p: [1, 0], ?c: const BxA, ?a: any";
        /// A transpose goes above an op with a constant, which is transposed while compiling.
        "transpose-binary-fixed": "(tensor.transpose (*binary ?x ?c ..a) ?p)" => "(*binary (tensor.transpose ?x ?p) (tensor.transpose ?c ?p) ..a)"
            if "(fixed ?c)", on "?x: AxB, ?p: [1, 0], ?c: const AxB, ?a: any";
        /// A transpose of a repeated value repeats a transpose.
        "transpose-broadcast": "(tensor.transpose (tensor.broadcast ?x ?s ?a) ?p)"
            => "(tensor.broadcast (tensor.transpose ?x (order (places ?a ?p))) (pick ?s ?p) (sorted (places ?a ?p)))",
            on "?x: AxB, ?s: [A, C, B], ?a: [0, 2], ?p: perm 3";

        /// A reshape to the shape that a value has does nothing.
        "reshape-nothing": "(tensor.reshape ?x ?s)" => "?x"
            if "(has-shape ?x ?s)", on "?x: AxB, ?s: [A, B]";
        /// Of two reshapes the second counts.
        "reshape-reshape": "(tensor.reshape (tensor.reshape ?x ?s) ?t)" => "(tensor.reshape ?x ?t)",
            on "?x: AxBxC, ?s: [A*B, C], ?t: [C, A, B]";
        /// A reshape goes below an elementwise op.
        "unary-reshape": "(*unary (tensor.reshape ?x ?s) ..a)" => "(tensor.reshape (*unary ?x ..a) ?s)", on "?x: AxB, ?s: [A*B], ?a: any";
        /// A reshape goes above an elementwise op.
        "reshape-unary": "(tensor.reshape (*unary ?x ..a) ?s)" => "(*unary (tensor.reshape ?x ?s) ..a)", on "?x: AxB, ?s: [A*B], ?a: any";
        /// Equal reshapes of both operands become one of the result.
        "binary-reshape": "(*binary (tensor.reshape ?x ?s) (tensor.reshape ?y ?s) ..a)" => "(tensor.reshape (*binary ?x ?y ..a) ?s)"
            if "(same-type ?x ?y)", on "?x: AxB, ?y: AxB, ?s: [A*B], ?a: any";
        /// A reshape goes below an op with a number.
        "binary-reshape-number": "(*binary (tensor.reshape ?x ?s) ?c ..a)" => "(tensor.reshape (*binary ?x (tensor.broadcast (core.constant (scalar ?c)) (shape ?x) []) ..a) ?s)"
            if "(uniform ?c)", on "?x: AxB, ?s: [A*B], ?c: ? A*B, ?a: any";
        /// A reshape goes above an op with a number.
        "reshape-binary-number": "(tensor.reshape (*binary ?x ?c ..a) ?s)" => "(*binary (tensor.reshape ?x ?s) (tensor.broadcast (core.constant (scalar ?c)) ?s []) ..a)"
            if "(uniform ?c)", on "?x: AxB, ?s: [A*B], ?c: ? AxB, ?a: any";

        /// A broadcast to the shape that a value has does nothing.
        "broadcast-nothing": "(tensor.broadcast ?x ?s ?a)" => "?x"
            if "(has-shape ?x ?s)", on "?x: AxB, ?s: [A, B], ?a: [0, 1]";
        /// Two broadcasts are one.
        "broadcast-broadcast": "(tensor.broadcast (tensor.broadcast ?x ?s ?a) ?t ?b)" => "(tensor.broadcast ?x ?t (pick ?b ?a))",
            on "?x: Ax1, ?s: [A, B], ?a: [0, 1], ?t: [C, A, B], ?b: [1, 2] | ?x: A, ?s: [B, A], ?a: [1], ?t: [B, C, A], ?b: [0, 2]";
        /// A broadcast needs no axes of extent 1.
        "broadcast-reshape": "(tensor.broadcast (tensor.reshape ?x ?s) ?t ?a)" => "(tensor.broadcast ?x ?t (skip-units ?x ?s ?a ?t))",
            on "?x: AxB, ?s: [A, 1, B], ?t: [A, C, B], ?a: [0, 1, 2] | ?x: Ax1xB, ?s: [A, B], ?t: [A, B, C], ?a: [0, 1]";
        /// What is computed on a repeated value is computed once and repeated.
        "unary-broadcast": "(*unary (tensor.broadcast ?x ?s ?b) ..a)" => "(tensor.broadcast (*unary ?x ..a) ?s ?b)", on "?x: A, ?s: [B, A], ?b: [1], ?a: any";
        /// What is computed on values repeated alike is computed once and repeated.
        "binary-broadcast": "(*binary (tensor.broadcast ?x ?s ?b) (tensor.broadcast ?y ?s ?b) ..a)" => "(tensor.broadcast (*binary ?x ?y ..a) ?s ?b)"
            if "(same-type ?x ?y)", on "?x: A, ?y: A, ?s: [B, A], ?b: [1], ?a: any";
        /// What is computed on a repeated value and a number is computed once and repeated.
        "binary-broadcast-number": "(*binary (tensor.broadcast ?x ?s ?b) ?c ..a)" => "(tensor.broadcast (*binary ?x (tensor.broadcast (core.constant (scalar ?c)) (shape ?x) []) ..a) ?s ?b)"
            if "(uniform ?c)", on "?x: A, ?s: [B, A], ?b: [1], ?c: ? BxA, ?a: any";

        /// A choice between two numbers by a repeated condition is made once and repeated.
        "select-broadcast-numbers": "(tensor.select (tensor.broadcast ?m ?s ?b) ?x ?y)"
            => "(tensor.broadcast (tensor.select ?m (tensor.broadcast (core.constant (scalar ?x)) (shape ?m) []) (tensor.broadcast (core.constant (scalar ?y)) (shape ?m) [])) ?s ?b)"
            if "(uniform ?x)", "(uniform ?y)", on "?m: Axi1, ?s: [B, A], ?b: [1], ?x: ? BxA, ?y: ? BxA";

        /// A slice of everything does nothing.
        "slice-nothing": "(tensor.slice ?x ?start ?stop ?step)" => "?x"
            if "(is-whole ?x ?start ?stop ?step)", on "?x: AxB, ?start: [0, 0], ?stop: [A, 99], ?step: [1, 1]";
        /// A slice of a slice is a slice.
        "slice-slice": "(tensor.slice (tensor.slice ?x ?a ?b ?c) ?d ?e ?f)"
            => "(tensor.slice ?x (slice-start ?a ?c ?d) (slice-stop ?x ?a ?b ?c ?e) (slice-step ?c ?f))",
            on "?x: A+3xB+2, ?a: [1, 0], ?b: [A+2, 99], ?c: [2, 1], ?d: [0, 1], ?e: [2, B], ?f: [1, 2]";
        /// What is sliced off need not be computed.
        "slice-unary": "(tensor.slice (*unary ?x ..a) ?start ?stop ?step)" => "(*unary (tensor.slice ?x ?start ?stop ?step) ..a)",
            on "?x: A+1xB, ?start: [1, 0], ?stop: [A+1, B], ?step: [1, 2], ?a: any";
        /// What is sliced off need not be computed.
        "slice-binary": "(tensor.slice (*binary ?x ?y ..a) ?start ?stop ?step)" => "(*binary (tensor.slice ?x ?start ?stop ?step) (tensor.slice ?y ?start ?stop ?step) ..a)",
            on "?x: A+1xB, ?y: A+1xB, ?start: [1, 0], ?stop: [A+1, B], ?step: [1, 2], ?a: any";
        /// What is sliced off need not be repeated.
        "slice-broadcast": "(tensor.slice (tensor.broadcast ?x ?s ?b) ?start ?stop ?step)"
            => "(tensor.broadcast (tensor.slice ?x (own-entries ?x ?s ?b ?start 0) (own-entries ?x ?s ?b ?stop 9223372036854775807) (own-entries ?x ?s ?b ?step 1))
                (shape (tensor.slice (tensor.broadcast ?x ?s ?b) ?start ?stop ?step)) ?b)",
            on "?x: A+1x1xB+2, ?s: [A+1, C, D, B+2], ?b: [0, 2, 3], ?start: [1, 0, 0, 1], ?stop: [A+1, C, 1, B+2], ?step: [1, 2, 1, 2] | ?x: B*2, ?s: [A, B*2], ?b: [1], ?start: [0, 0], ?stop: [A, B], ?step: [1, 1]";
        /// One number of each of the runs that the last axis is split into lies a run apart from the next.
        "slice-split": "(tensor.reshape (tensor.slice (tensor.reshape ?x ?s) ?start ?stop ?step) ?t)"
            => "(tensor.slice ?x (strided-starts ?x ?start) (shape ?x) (strided-steps ?x ?s))"
            if "(splits-off ?x ?s ?t)", "(takes-one ?s ?start ?stop ?step)", on "?x: AxB*2, ?s: [A, B, 2], ?start: [0, 0, 1], ?stop: [A, B, 2], ?step: [1, 1, 1], ?t: [A, B] | ?x: AxB*3, ?s: [A, B, 3], ?start: [0, 0, 1], ?stop: [A, B, 2], ?step: [1, 1, 1], ?t: [A, B]";
        /// One item along an axis is a slice.
        "gather-item": "(tensor.gather ?x ?i ?axis)"
            => "(tensor.reshape (tensor.slice ?x (item-starts ?x ?axis ?i) (item-stops ?x ?axis ?i) (cut-steps ?x)) (shape (tensor.gather ?x ?i ?axis)))"
            if "(rank-is ?i 0)", on "?x: AxB+2xC, ?i: 1 i64, ?axis: 1 | ?x: AxB, ?i: 9 i64, ?axis: 0";
        /// What is sliced off need not be transposed.
        "slice-transpose": "(tensor.slice (tensor.transpose ?x ?p) ?start ?stop ?step)"
            => "(tensor.transpose (tensor.slice ?x (pick ?start (inverse ?p)) (pick ?stop (inverse ?p)) (pick ?step (inverse ?p))) ?p)",
            on "?x: AxB+1xC, ?p: [1, 2, 0], ?start: [1, 0, 0], ?stop: [B+1, C, A], ?step: [1, 2, 1]";
        /// A slice within the first of two is one of the first.
        "slice-concat-first": "(tensor.slice (tensor.concat ?x ?y ?axis) ?start ?stop ?step)" => "(tensor.slice ?x ?start ?stop ?step)"
            if "(ends-within ?x ?stop ?axis)", on "?x: AxB, ?y: AxC, ?axis: 1, ?start: [0, 0], ?stop: [A, B], ?step: [1, 1]";
        /// A slice within the second of two is one of the second.
        "slice-concat-second": "(tensor.slice (tensor.concat ?x ?y ?axis) ?start ?stop ?step)"
            => "(tensor.slice ?y (shifted-back ?x ?start ?axis) (shifted-back ?x ?stop ?axis) ?step)"
            if "(starts-behind ?x ?start ?axis)", on "?x: AxB, ?y: AxC, ?axis: 1, ?start: [0, B], ?stop: [A, B+C], ?step: [1, 1]";
        /// A slice within the first of three is one of the first.
        "slice-concat-first-of-three": "(tensor.slice (tensor.concat ?x ?y ?z ?axis) ?start ?stop ?step)" => "(tensor.slice ?x ?start ?stop ?step)"
            if "(ends-within ?x ?stop ?axis)", on "?x: AxB, ?y: AxC, ?z: AxD, ?axis: 1, ?start: [0, 0], ?stop: [A, B], ?step: [1, 1]";
        /// A slice behind the first of three is one of the others.
        "slice-concat-rest-of-three": "(tensor.slice (tensor.concat ?x ?y ?z ?axis) ?start ?stop ?step)"
            => "(tensor.slice (tensor.concat ?y ?z ?axis) (shifted-back ?x ?start ?axis) (shifted-back ?x ?stop ?axis) ?step)"
            if "(starts-behind ?x ?start ?axis)", on "?x: AxB, ?y: AxC, ?z: AxD, ?axis: 1, ?start: [0, B], ?stop: [A, B+C], ?step: [1, 1]";

        /// Two slices that follow each other are one.
        "concat-slices": "(tensor.concat (tensor.slice ?x ?a ?b ?c) (tensor.slice ?x ?d ?e ?c) ?axis)" => "(tensor.slice ?x ?a (joined-stop ?b ?e ?axis) ?c)"
            if "(adjoin ?x ?a ?b ?c ?d ?e ?c ?axis)", on "?x: AxB+C, ?a: [0, 0], ?b: [A, B], ?c: [1, 1], ?d: [0, B], ?e: [A, B+C], ?axis: 1";
        /// A concat of one is that one.
        "concat-one": "(tensor.concat ?x ?axis)" => "?x", on "?x: AxB, ?axis: 1";
        /// A concat of a concat is a concat of all.
        "concat-concat-first": "(tensor.concat (tensor.concat ?x ?y ?axis) ?z ?axis)" => "(tensor.concat ?x ?y ?z ?axis)", on "?x: AxB, ?y: AxC, ?z: AxD, ?axis: 1";
        /// A concat of a concat is a concat of all.
        "concat-concat-second": "(tensor.concat ?x (tensor.concat ?y ?z ?axis) ?axis)" => "(tensor.concat ?x ?y ?z ?axis)", on "?x: AxB, ?y: AxC, ?z: AxD, ?axis: 1";
        /// What is computed on each of two is computed on both together.
        "concat-unary": "(tensor.concat (*unary ?x ..a) (*unary ?y ..a) ?axis)" => "(*unary (tensor.concat ?x ?y ?axis) ..a)", on "?x: AxB, ?y: AxC, ?axis: 1, ?a: any";
        /// What is computed on each of two is computed on both together.
        "concat-binary": "(tensor.concat (*binary ?x ?u ..a) (*binary ?y ?v ..a) ?axis)" => "(*binary (tensor.concat ?x ?y ?axis) (tensor.concat ?u ?v ?axis) ..a)"
            if "(fixed ?u)", "(fixed ?v)", on "?x: AxB, ?y: AxC, ?u: const AxB, ?v: const AxC, ?axis: 1, ?a: any";
        /// Equal transposes of both become one of the whole.
        "concat-transpose": "(tensor.concat (tensor.transpose ?x ?p) (tensor.transpose ?y ?p) ?axis)" => "(tensor.transpose (tensor.concat ?x ?y (item ?p ?axis)) ?p)", on "?x: AxBxC, ?y: AxBxD, ?p: [2, 0, 1], ?axis: 0";

        /// Padding by nothing does nothing.
        "pad-nothing": "(tensor.pad ?x ?value ?low ?high)" => "?x"
            if "(are-zero ?low)", "(are-zero ?high)", on "?x: AxB, ?value: const f32, ?low: [0, 0], ?high: [0, 0]";
        /// An order reversed twice is as before.
        "reverse-reverse": "(tensor.reverse (tensor.reverse ?x ?a) ?a)" => "?x", on "?x: AxBxC, ?a: [0, 2]";
        /// A reversal goes below an elementwise op.
        "unary-reverse": "(*unary (tensor.reverse ?x ?b) ..a)" => "(tensor.reverse (*unary ?x ..a) ?b)", on "?x: AxB, ?b: [1], ?a: any";
        /// A transposed first operand is contracted along other axes, where the others keep their order.
        "contract-transpose-first": "(tensor.contract (tensor.transpose ?x ?p) ?y ?b ?d ?c ?e ?to)" => "(tensor.contract ?x ?y (pick ?p ?b) ?d (pick ?p ?c) ?e ?to)"
            if "(keeps-free ?p ?b ?c)", within 1e-6, on "?x: AxBxC, ?p: [0, 2, 1], ?y: AxDxC, ?b: [0], ?d: [0], ?c: [1], ?e: [2], ?to: absent";
        /// A transposed second operand is contracted along other axes, where the others keep their order.
        "contract-transpose-second": "(tensor.contract ?x (tensor.transpose ?y ?p) ?b ?d ?c ?e ?to)" => "(tensor.contract ?x ?y ?b (pick ?p ?d) ?c (pick ?p ?e) ?to)"
            if "(keeps-free ?p ?d ?e)", within 1e-6, on "?x: AxDxC, ?y: AxBxC, ?p: [0, 2, 1], ?b: [0], ?d: [0], ?c: [2], ?e: [1], ?to: absent";
    },
};
