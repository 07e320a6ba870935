//! Composites spelled out in primitive ops, as raw exports have them, become the named ones.
//!
//! The other families bring them into few forms first: no axes of extent 1 below a broadcast,
//! numbers to the right and outwards, no division by a number. So a composite is a rule or two.
//! Tables of rotary embeddings and masks are recognised by what is regular about them (`regular.rs`).

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "recognize",
    summary: "Softmax, norms, activations, rotary embeddings and attention spelled out in primitive ops.",
    rules: rules! {
        /// `e / Σ e` of exponentials is a softmax.
        "softmax": "(tensor.div (tensor.exp ?x) (tensor.broadcast (tensor.reduce (tensor.exp ?x) \"sum\" ?axes) ?s ?b))" => "(nn.softmax ?x (only ?axes))"
            if "(same ?b (kept-axes ?x ?axes))", "(has-shape ?x ?s)", within 1e-6, on "?x: AxBxC, ?axes: [1], ?s: [A, B, C], ?b: [0, 2] | ?x: AxB, ?axes: [1], ?s: [A, B], ?b: [0]";
        /// What is equal along the axis does not change a softmax.
        "softmax-shift": "(nn.softmax (tensor.sub ?x (tensor.broadcast ?m ?s ?b)) ?axis)" => "(nn.softmax ?x ?axis)"
            if "(repeats-along ?m ?b ?axis)", within 1e-5, on "?x: AxB, ?m: A, ?s: [A, B], ?b: [0], ?axis: 1 | ?x: AxB, ?m: Ax1, ?s: [A, B], ?b: [0, 1], ?axis: 1";
        /// The logarithm of a softmax has an op of its own.
        "log-softmax": "(tensor.log (nn.softmax ?x ?axis))" => "(nn.log_softmax ?x ?axis)", within 1e-5, on "?x: AxB, ?axis: 1";

        /// `1 / (1 + exp(-x))` is the sigmoid.
        "sigmoid": "(tensor.div ?one (tensor.add~ (tensor.exp (tensor.neg ?x)) ?other))" => "(nn.sigmoid ?x)"
            if "(is ?one 1.0)", "(is ?other 1.0)", within 1e-6, on "?one: 1 AxB, ?x: AxB, ?other: 1 AxB";
        /// A number times its sigmoid is SiLU.
        "silu": "(tensor.mul~ ?x (nn.sigmoid ?x))" => "(nn.silu ?x)", within 1e-6;
        /// A number times tanh of its softplus is Mish.
        "mish": "(tensor.mul~ ?x (tensor.tanh (nn.softplus ?x)))" => "(nn.mish ?x)", within 1e-5;
        /// `log(1 + exp(x))` is softplus.
        "softplus": "(tensor.log (tensor.add~ (tensor.exp ?x) ?one))" => "(nn.softplus ?x)"
            if "(is ?one 1.0)", within 1e-5, on "?x: AxB, ?one: 1 AxB";
        /// `clip(x + 3, 0, 6) / 6` is a hard sigmoid.
        "hard-sigmoid": "(tensor.mul (nn.clip (tensor.add ?x ?three) 0.0 6.0) ?c)" => "(nn.hard_sigmoid ?x 0.16666666666666666 0.5)"
            if "(is ?three 3.0)", "(near ?c 0.16666666666666666)", within 1e-5, on "?x: AxB, ?three: 3 AxB, ?c: 0.16666666666666666 AxB";
        /// A number times its hard sigmoid is hard swish.
        "hard-swish": "(tensor.mul~ ?x (nn.hard_sigmoid ?x ?alpha ?beta))" => "(nn.hard_swish ?x)"
            if "(close ?alpha 0.16666666666666666)", "(equal ?beta 0.5)", within 1e-4, on "?x: AxB, ?alpha: 0.16666667, ?beta: 0.5";
        /// `x · clip(x + 3, 0, 6) / 6` is hard swish.
        "hard-swish-product": "(tensor.mul (tensor.mul~ ?x (nn.clip (tensor.add ?x ?three) 0.0 6.0)) ?c)" => "(nn.hard_swish ?x)"
            if "(is ?three 3.0)", "(near ?c 0.16666666666666666)", within 1e-5, on "?x: AxB, ?three: 3 AxB, ?c: 0.16666666666666666 AxB";
        /// `x/2 · (1 + erf(x/√2))` is GELU.
        "gelu": "(tensor.mul (tensor.mul~ ?x (tensor.add (tensor.erf (tensor.mul ?x ?root)) ?one)) ?half)" => "(nn.gelu ?x \"none\")"
            if "(is ?one 1.0)", "(is ?half 0.5)", "(near ?root 0.7071067811865476)", within 1e-4, on "?x: AxB, ?root: 0.7071067811865476 AxB, ?one: 1 AxB, ?half: 0.5 AxB";
        /// `x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))` is GELU by a tanh.
        "gelu-tanh": "(tensor.mul (tensor.mul~ ?x (tensor.add (tensor.tanh (tensor.mul (tensor.add~ ?x (tensor.mul (tensor.mul~ (tensor.mul ?x ?x) ?x) ?c)) ?k)) ?one)) ?half)" => "(nn.gelu ?x \"tanh\")"
            if "(is ?one 1.0)", "(is ?half 0.5)", "(near ?c 0.044715)", "(near ?k 0.7978845608028654)", within 1e-4,
            on "?x: AxB, ?c: 0.044715 AxB, ?k: 0.7978845608028654 AxB, ?one: 1 AxB, ?half: 0.5 AxB";
        /// `x/2 · (1 + tanh(√(2/π) x (1 + 0.044715 x²)))` is GELU by a tanh.
        "gelu-fast": "(tensor.mul (tensor.mul~ ?x (tensor.add (tensor.tanh (tensor.mul (tensor.mul~ ?x (tensor.add (tensor.mul (tensor.mul ?x ?x) ?c) ?other)) ?k)) ?one)) ?half)" => "(nn.gelu ?x \"tanh\")"
            if "(is ?one 1.0)", "(is ?other 1.0)", "(is ?half 0.5)", "(near ?c 0.044715)", "(near ?k 0.7978845608028654)", within 1e-4,
            on "?x: AxB, ?c: 0.044715 AxB, ?k: 0.7978845608028654 AxB, ?one: 1 AxB, ?other: 1 AxB, ?half: 0.5 AxB";

        /// `x / √(mean(x²) + ε)` is an RMS norm.
        "rms-norm": "(tensor.mul~ ?x (tensor.broadcast (tensor.rsqrt (tensor.add (nn.mean (tensor.mul ?x ?x) ?axes false) ?epsilon)) ?s ?b))"
            => "(nn.rms_norm ?x (tensor.broadcast (core.constant (scalar-like ?x 1.0)) (tail ?x (first-axis ?axes)) []) (first-axis ?axes) (number ?epsilon))"
            if "(are-last ?x ?axes)", "(same ?b (kept-axes ?x ?axes))", "(has-shape ?x ?s)", within 1e-5,
            on "?x: AxBxC, ?axes: [2], ?epsilon: 0.001 AxB, ?s: [A, B, C], ?b: [0, 1] | ?x: AxBxC, ?axes: [1, 2], ?epsilon: 0.001 A, ?s: [A, B, C], ?b: [0]";
        /// An RMS norm of what is centred is a layer norm.
        "layer-norm": "(nn.rms_norm (tensor.sub ?x (tensor.broadcast (nn.mean ?x ?axes false) ?s ?b)) ?g ?axis ?epsilon)" => "(nn.layer_norm ?x ?g ?axis ?epsilon)"
            if "(are-last ?x ?axes)", "(same (first-axis ?axes) ?axis)", "(same ?b (kept-axes ?x ?axes))", "(has-shape ?x ?s)", within 1e-5,
            on "?x: AxBxC, ?g: C, ?axes: [2], ?axis: 2, ?epsilon: 0.001, ?s: [A, B, C], ?b: [0, 1]";
        /// The scale after an RMS norm is its own.
        "rms-norm-scale": "(tensor.mul~ (nn.rms_norm ?x ?one ?axis ?epsilon) (tensor.broadcast ?g ?s ?b))" => "(nn.rms_norm ?x (tensor.reshape ?g (tail ?x ?axis)) ?axis ?epsilon)"
            if "(is ?one 1.0)", "(trails-from ?g ?s ?b ?axis)", within 1e-6, on "?x: AxBxC, ?one: 1 C, ?g: C, ?s: [A, B, C], ?b: [2], ?axis: 2, ?epsilon: 0.001";
        /// The scale after a layer norm is its own.
        "layer-norm-scale": "(tensor.mul~ (nn.layer_norm ?x ?one ?axis ?epsilon) (tensor.broadcast ?g ?s ?b))" => "(nn.layer_norm ?x (tensor.reshape ?g (tail ?x ?axis)) ?axis ?epsilon)"
            if "(is ?one 1.0)", "(trails-from ?g ?s ?b ?axis)", within 1e-6, on "?x: AxBxC, ?one: 1 C, ?g: C, ?s: [A, B, C], ?b: [2], ?axis: 2, ?epsilon: 0.001";
        /// The sum after a layer norm is its bias.
        "layer-norm-bias": "(tensor.add~ (nn.layer_norm ?x ?g ?axis ?epsilon) (tensor.broadcast ?v ?s ?b))" => "(nn.layer_norm ?x ?g (tensor.reshape ?v (tail ?x ?axis)) ?axis ?epsilon)"
            if "(trails-from ?v ?s ?b ?axis)", within 1e-6, on "?x: AxBxC, ?g: C, ?v: C, ?s: [A, B, C], ?b: [2], ?axis: 2, ?epsilon: 0.001";

        /// `x · cos + (-x₂, x₁) · sin` of halves x₁, x₂ is a rotary embedding, if the halves of the tables are equal.
        "rotary": "(tensor.add~ (tensor.mul~ ?x ?c) (tensor.mul~ (tensor.concat (tensor.neg (tensor.slice ?x ?k ?l ?m)) (tensor.slice ?x ?h ?i ?j) ?axis) ?d))"
            => "(nn.rotary ?x (tensor.slice ?c (cut-starts ?c ?axis) (half-stops ?c) (cut-steps ?c)) (tensor.slice ?d (cut-starts ?d ?axis) (half-stops ?d) (cut-steps ?d)) false)"
            if "(same ?axis (last-axis ?x))", "(is-half ?x ?h ?i ?j 0)", "(is-half ?x ?k ?l ?m 1)", "(equal-halves ?c)", "(equal-halves ?d)", within 1e-5,
            on "?x: AxBxC*2, ?c: halves AxBxC*2, ?d: halves AxBxC*2, ?axis: 2, ?h: [0, 0, 0], ?i: [A, B, C], ?j: [1, 1, 1], ?k: [0, 0, C], ?l: [A, B, C*2], ?m: [1, 1, 1]";
        /// `(x₁ · cos - x₂ · sin, x₂ · cos + x₁ · sin)` of halves x₁, x₂ is a rotary embedding.
        "rotary-halves": "(tensor.concat (tensor.sub (tensor.mul~ (tensor.slice ?x ?h ?i ?j) ?c) (tensor.mul~ (tensor.slice ?x ?k ?l ?m) ?d)) (tensor.add~ (tensor.mul~ (tensor.slice ?x ?k ?l ?m) ?c) (tensor.mul~ (tensor.slice ?x ?h ?i ?j) ?d)) ?axis)" => "(nn.rotary ?x ?c ?d false)"
            if "(same ?axis (last-axis ?x))", "(is-half ?x ?h ?i ?j 0)", "(is-half ?x ?k ?l ?m 1)", within 1e-5,
            on "?x: AxBxC*2, ?c: AxBxC, ?d: AxBxC, ?axis: 2, ?h: [0, 0, 0], ?i: [A, B, C], ?j: [1, 1, 1], ?k: [0, 0, C], ?l: [A, B, C*2], ?m: [1, 1, 1]";
        /// `x · cos + (-x₂, x₁, -x₄, x₃, …) · sin` is an interleaved rotary embedding, if the tables hold each number twice.
        "rotary-pairs": "(tensor.add~ (tensor.mul~ ?x ?c) (tensor.mul~ (tensor.reshape (tensor.concat (tensor.reshape (tensor.neg (tensor.slice ?x ?k ?l ?m)) ?s) (tensor.reshape (tensor.slice ?x ?h ?i ?j) ?s) ?axis) ?t) ?d))"
            => "(nn.rotary ?x (tensor.slice ?c ?h (shape ?c) (second-steps ?c)) (tensor.slice ?d ?h (shape ?d) (second-steps ?d)) true)"
            if "(stacks (tensor.slice ?x ?h ?i ?j) ?s ?axis)", "(is-second ?x ?h ?i ?j 0)", "(is-second ?x ?k ?l ?m 1)", "(equal-pairs ?c)", "(equal-pairs ?d)", within 1e-5,
            on "?x: AxBxC*2, ?c: pairs AxBxC*2, ?d: pairs AxBxC*2, ?axis: 3, ?s: [A, B, C, 1], ?t: [A, B, C*2], ?h: [0, 0, 0], ?i: [A, B, C*2], ?j: [1, 1, 2], ?k: [0, 0, 1], ?l: [A, B, C*2], ?m: [1, 1, 2]";
        /// `(x₁ · cos - x₂ · sin, x₂ · cos + x₁ · sin, …)` of neighbours x₁, x₂ is an interleaved rotary embedding.
        "rotary-neighbours": "(tensor.reshape (tensor.concat (tensor.reshape (tensor.sub (tensor.mul~ (tensor.slice ?x ?h ?i ?j) ?c) (tensor.mul~ (tensor.slice ?x ?k ?l ?m) ?d)) ?s) (tensor.reshape (tensor.add~ (tensor.mul~ (tensor.slice ?x ?k ?l ?m) ?c) (tensor.mul~ (tensor.slice ?x ?h ?i ?j) ?d)) ?s) ?axis) ?t)" => "(nn.rotary ?x ?c ?d true)"
            if "(stacks ?c ?s ?axis)", "(is-second ?x ?h ?i ?j 0)", "(is-second ?x ?k ?l ?m 1)", within 1e-5,
            on "?x: AxBxC*2, ?c: AxBxC, ?d: AxBxC, ?axis: 3, ?s: [A, B, C, 1], ?t: [A, B, C*2], ?h: [0, 0, 0], ?i: [A, B, C*2], ?j: [1, 1, 2], ?k: [0, 0, 1], ?l: [A, B, C*2], ?m: [1, 1, 2]";
        /// A rotary embedding leaves the features behind those that it turns.
        "rotary-part": "(tensor.concat (nn.rotary (tensor.slice ?x ?h ?i ?j) ?c ?d ?a) (tensor.slice ?x ?k ?l ?j) ?axis)" => "(nn.rotary ?x ?c ?d ?a)"
            if "(same ?axis (last-axis ?x))", "(adjoin ?x ?h ?i ?j ?k ?l ?j ?axis)", "(is-whole ?x ?h (joined-stop ?i ?l ?axis) ?j)",
            on "?x: AxB*2+C, ?c: AxB, ?d: 1xB, ?a: any, ?axis: 1, ?h: [0, 0], ?i: [A, B*2], ?j: [1, 1], ?k: [0, B*2], ?l: [A, B*2+C]";
        /// A rotary embedding repeats its tables itself.
        "rotary-tables-repeated": "(nn.rotary ?x (tensor.broadcast ?c ?s ?b) (tensor.broadcast ?d ?t ?e) ?a)" => "(nn.rotary ?x (tensor.reshape ?c (with-units ?c ?b ?x)) (tensor.reshape ?d (with-units ?d ?e ?x)) ?a)"
            if "(keeps-last ?c ?s ?b)", "(keeps-last ?d ?t ?e)",
            on "?x: AxBxCxD*2, ?c: CxD, ?d: AxCxD, ?s: [A, B, C, D], ?t: [A, B, C, D], ?b: [2, 3], ?e: [0, 2, 3], ?a: any";

        /// `softmax(q·kᵀ · scale) · v` is attention.
        "attention": "(nn.matmul (nn.softmax (tensor.mul (nn.matmul ?q ?k) ?c) 3) ?v)" => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v (number ?c) false 0)"
            if "(rank-is ?v 4)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF, ?c: 0.5 AxBxCxE";
        /// `softmax(q·kᵀ) · v` is attention with scale one.
        "attention-unscaled": "(nn.matmul (nn.softmax (nn.matmul ?q ?k) 3) ?v)" => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v 1.0 false 0)"
            if "(rank-is ?v 4)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF";
        /// `softmax(q·kᵀ · scale + mask) · v` is attention with a mask.
        "attention-mask": "(nn.matmul (nn.softmax (tensor.add~ (tensor.mul (nn.matmul ?q ?k) ?c) ?mask) 3) ?v)" => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v ?mask (number ?c) false 0)"
            if "(rank-is ?v 4)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF, ?c: 0.5 AxBxCxE, ?mask: AxBxCxE";
        /// `softmax(q·kᵀ + mask) · v` is attention with a mask and scale one.
        "attention-mask-unscaled": "(nn.matmul (nn.softmax (tensor.add~ (nn.matmul ?q ?k) ?mask) 3) ?v)" => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v ?mask 1.0 false 0)"
            if "(rank-is ?v 4)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF, ?mask: AxBxCxE";
        /// A softmax that sees some scores alone has a mask that hides the others.
        "attention-where": "(nn.matmul (nn.softmax (tensor.select ?m (tensor.mul (nn.matmul ?q ?k) ?c) ?never) 3) ?v)"
            => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v (tensor.select ?m (tensor.broadcast (core.constant (scalar-like ?v 0.0)) (shape ?m) []) ?never) (number ?c) false 0)"
            if "(rank-is ?v 4)", "(hides ?never)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF, ?c: 0.5 AxBxCxE, ?m: AxBxCxExi1, ?never: -3.4e38 AxBxCxE | ?q: AxBxCxD, ?k: AxBxDxE+1, ?v: AxBxE+1xF, ?c: 0.5 AxBxCxE+1, ?m: steps AxBxCxE+1xi1, ?never: -inf AxBxCxE+1";
        /// A softmax that sees some scores alone has a mask that hides the others.
        "attention-where-unscaled": "(nn.matmul (nn.softmax (tensor.select ?m (nn.matmul ?q ?k) ?never) 3) ?v)"
            => "(nn.attention ?q (tensor.transpose ?k [0, 1, 3, 2]) ?v (tensor.select ?m (tensor.broadcast (core.constant (scalar-like ?v 0.0)) (shape ?m) []) ?never) 1.0 false 0)"
            if "(rank-is ?v 4)", "(hides ?never)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxDxE, ?v: AxBxExF, ?m: AxBxCxExi1, ?never: -3.4e38 AxBxCxE";
        /// Attention repeats its mask itself.
        "attention-mask-repeated": "(nn.attention ?q ?k ?v (tensor.broadcast ?m ?s ?b) ..a)" => "(nn.attention ?q ?k ?v (tensor.reshape ?m (with-units ?m ?b ?q)) ..a)",
            on "?q: AxBxCxD, ?k: AxBxExD, ?v: AxBxExF, ?m: AxE, ?s: [A, B, C, E], ?b: [0, 3], ?a: any";
        /// A mask that hides from each query the keys behind its own, or a fixed number further, is causal.
        "attention-causal": "(nn.attention ?q ?k ?v ?mask ?scale false 0)" => "(nn.attention ?q ?k ?v ?scale true (last-seen ?mask))"
            if "(hides-later ?mask ?q ?k)", within 1e-5, on "?q: AxBxCxD, ?k: AxBxE+1xD, ?v: AxBxE+1xF, ?scale: 0.5, ?mask: steps 1x1xCxE+1 | ?q: AxBxCxD, ?k: AxBxE+1xD, ?v: AxBxE+1xF, ?scale: 0.5, ?mask: steps AxBxCxE+1";
    },
};
