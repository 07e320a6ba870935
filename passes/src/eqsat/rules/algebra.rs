//! Arithmetic that does nothing, and chains of constants.
//!
//! Floats round after each op, so moving a bracket moves values: such rules say `within`, which is
//! promised for finite numbers. `within 0.0` moves nothing but the sign of a zero.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "algebra",
    summary: "Identities, and arithmetic with constants.",
    rules: rules! {
        /// The constant operand of a commutative op is its second, so that rules need not look twice.
        "constant-right": "(*commutative ?c ?x)" => "(*commutative ?x ?c)"
            if "(fixed ?c)", "(varies ?x)", on "?c: const AxB, ?x: AxB | ?c: const AxBxi32, ?x: AxBxi32 | ?c: const AxBxi1, ?x: AxBxi1";

        /// Adding zero does nothing.
        "add-zero": "(tensor.add~ ?x ?zero)" => "?x"
            if "(is ?zero 0.0)", within 0.0, on "?x: AxB, ?zero: 0 AxB | ?x: Axi32, ?zero: 0 Axi32";
        /// Subtracting zero does nothing.
        "sub-zero": "(tensor.sub ?x ?zero)" => "?x"
            if "(is ?zero 0.0)", within 0.0, on "?x: AxB, ?zero: 0 AxB | ?x: AxB, ?zero: -0.0 AxB | ?x: Axi32, ?zero: 0 Axi32";
        /// Multiplying by one does nothing.
        "mul-one": "(tensor.mul~ ?x ?one)" => "?x"
            if "(is ?one 1.0)", on "?x: AxB, ?one: 1 AxB | ?x: Axi32, ?one: 1 Axi32";
        /// Dividing by one does nothing.
        "div-one": "(tensor.div ?x ?one)" => "?x"
            if "(is ?one 1.0)", on "?x: AxB, ?one: 1 AxB | ?x: Axi32, ?one: 1 Axi32";
        /// The first power is the number itself.
        "pow-one": "(tensor.pow ?x ?one)" => "?x"
            if "(is ?one 1.0)", on "?x: AxB, ?one: 1 AxB";
        /// An integer times zero is zero; a float may be infinite.
        "mul-zero": "(tensor.mul~ ?x ?zero)" => "?zero"
            if "(is ?zero 0.0)", "(is-int ?zero)", on "?x: AxBxi32, ?zero: 0 AxBxi32";
        /// An integer less itself is zero; a float may be infinite.
        "sub-itself": "(tensor.sub ?x ?x)" => "(tensor.broadcast (core.constant (scalar-like ?x 0.0)) (shape ?x) [])"
            if "(is-int ?x)", on "?x: AxBxi32";

        /// A square is a product.
        "pow-two": "(tensor.pow ?x ?c)" => "(tensor.mul ?x ?x)"
            if "(is ?c 2.0)", within 1e-6, on "?x: AxB, ?c: 2 AxB";
        /// A cube is two products.
        "pow-three": "(tensor.pow ?x ?c)" => "(tensor.mul (tensor.mul ?x ?x) ?x)"
            if "(is ?c 3.0)", within 1e-6, on "?x: AxB, ?c: 3 AxB";
        /// The power of one half is the square root.
        "pow-half": "(tensor.pow ?x ?c)" => "(tensor.sqrt ?x)"
            if "(is ?c 0.5)", within 1e-6, on "?x: abs AxB, ?c: 0.5 AxB";
        /// The power of minus one is the reciprocal.
        "pow-minus-one": "(tensor.pow ?x ?c)" => "(tensor.div (tensor.broadcast (core.constant (scalar-like ?x 1.0)) (shape ?x) []) ?x)"
            if "(is ?c -1.0)", within 1e-6, on "?x: abs AxB, ?c: -1 AxB";
        /// Dividing by a number is multiplying by its reciprocal.
        "div-constant": "(tensor.div ?x ?c)" => "(tensor.mul ?x (tensor.broadcast (core.constant (reciprocal ?c)) (shape ?x) []))"
            if "(varies ?x)", within 1e-6, on "?x: AxB, ?c: ? AxB";
        /// Subtracting a number is adding its negative.
        "sub-constant": "(tensor.sub ?x ?c)" => "(tensor.add ?x (tensor.broadcast (core.constant (negative ?c)) (shape ?x) []))"
            if "(varies ?x)", on "?x: AxB, ?c: ? AxB";

        /// Two numbers that are added in turn are added as one.
        "add-add": "(tensor.add (tensor.add ?x ?c) ?d)" => "(tensor.add ?x (tensor.broadcast (core.constant (sum ?c ?d)) (shape ?x) []))"
            if "(varies ?x)", within 1e-6, on "?x: AxB, ?c: ? AxB, ?d: ? AxB";
        /// Two numbers that are multiplied by in turn are multiplied by as one.
        "mul-mul": "(tensor.mul (tensor.mul ?x ?c) ?d)" => "(tensor.mul ?x (tensor.broadcast (core.constant (product ?c ?d)) (shape ?x) []))"
            if "(varies ?x)", within 1e-6, on "?x: AxB, ?c: ? AxB, ?d: ? AxB";
        /// Two constants that are added in turn are added as one.
        "add-add-fixed": "(tensor.add (tensor.add ?x ?c) ?d)" => "(tensor.add ?x (tensor.add ?c ?d))"
            if "(varies ?x)", "(is-float ?x)", "(fixed ?c)", "(fixed ?d)", within 1e-6, on "?x: AxB, ?c: const AxB, ?d: const AxB";
        /// Two constants that are multiplied by in turn are multiplied by as one.
        "mul-mul-fixed": "(tensor.mul (tensor.mul ?x ?c) ?d)" => "(tensor.mul ?x (tensor.mul ?c ?d))"
            if "(varies ?x)", "(is-float ?x)", "(fixed ?c)", "(fixed ?d)", within 1e-6, on "?x: AxB, ?c: const AxB, ?d: const AxB";
        /// Two constants per channel that are added in turn are added as one vector.
        "add-add-repeated": "(tensor.add (tensor.add ?x (tensor.broadcast ?c ?s ?a)) (tensor.broadcast ?d ?s ?a))"
            => "(tensor.add ?x (tensor.broadcast (tensor.add ?c ?d) ?s ?a))"
            if "(is-float ?x)", "(fixed ?c)", "(fixed ?d)", "(same-type ?c ?d)", within 1e-6, on "?x: AxB, ?c: const A, ?d: const A, ?s: [A, B], ?a: [0]";
        /// Two constants per channel that are multiplied by in turn are multiplied by as one vector.
        "mul-mul-repeated": "(tensor.mul (tensor.mul ?x (tensor.broadcast ?c ?s ?a)) (tensor.broadcast ?d ?s ?a))"
            => "(tensor.mul ?x (tensor.broadcast (tensor.mul ?c ?d) ?s ?a))"
            if "(is-float ?x)", "(fixed ?c)", "(fixed ?d)", "(same-type ?c ?d)", within 1e-6, on "?x: AxB, ?c: const A, ?d: const A, ?s: [A, B], ?a: [0]";
        /// A scale of an affine form is one on both of its constants.
        "scale-of-affine": "(tensor.mul~ (tensor.add (tensor.mul ?x ?s) ?t) ?g)" => "(tensor.add (tensor.mul ?x (tensor.mul ?s ?g)) (tensor.mul ?t ?g))"
            if "(is-float ?x)", "(varies ?x)", "(fixed ?s)", "(fixed ?t)", "(fixed ?g)", within 1e-6, on "?x: AxB, ?s: const AxB, ?t: const AxB, ?g: const AxB";
        /// A number leaves a product, so that what remains is seen.
        "number-outwards": "(tensor.mul~ (tensor.mul ?x ?c) ?y)" => "(tensor.mul (tensor.mul ?x ?y) ?c)"
            if "(uniform ?c)", "(good-factor ?c)", "(is-float ?x)", "(varies ?y)", within 1e-6, on "?x: AxB, ?c: ? AxB, ?y: AxB";
        /// A factor of both summands is one of the sum.
        "factor-sum": "(tensor.add (tensor.mul~ ?x ?c) (tensor.mul~ ?y ?c))" => "(tensor.mul (tensor.add ?x ?y) ?c)"
            if "(is-float ?x)", "(varies ?x)", "(varies ?y)", within 1e-5;
        /// A factor of both sides is one of the difference.
        "factor-difference": "(tensor.sub (tensor.mul~ ?x ?c) (tensor.mul~ ?y ?c))" => "(tensor.mul (tensor.sub ?x ?y) ?c)"
            if "(is-float ?x)", "(varies ?x)", "(varies ?y)", within 1e-5;
        /// A product of integers distributes backwards, since wrapping loses nothing.
        "factor-integers": "(tensor.add (tensor.mul~ ?x ?c) (tensor.mul~ ?y ?c))" => "(tensor.mul (tensor.add ?x ?y) ?c)"
            if "(is-int ?x)", on "?x: AxBxi32, ?y: AxBxi32, ?c: AxBxi32";
        /// A number that is multiplied by and divided by again leaves the other factor.
        "mul-div": "(tensor.div (tensor.mul~ ?x ?c) ?c)" => "?x"
            if "(is-float ?x)", "(good-factor ?c)", within 1e-6, on "?x: AxB, ?c: ? AxB";

        /// The negative of the negative is the number itself.
        "neg-neg": "(tensor.neg (tensor.neg ?x))" => "?x";
        /// The negation of the negation is the truth value itself.
        "not-not": "(tensor.not (tensor.not ?x))" => "?x", on "?x: AxBxi1";
        /// All bits flipped twice are as before.
        "bit-not-twice": "(tensor.bit_not (tensor.bit_not ?x))" => "?x", on "?x: AxBxi32";
        /// An absolute value is its own.
        "abs-abs": "(tensor.abs (tensor.abs ?x))" => "(tensor.abs ?x)";
        /// A number and its negative have one absolute value.
        "abs-neg": "(tensor.abs (tensor.neg ?x))" => "(tensor.abs ?x)";
        /// Subtracting the negative is adding.
        "sub-neg": "(tensor.sub ?x (tensor.neg ?y))" => "(tensor.add ?x ?y)";
        /// Adding the negative is subtracting.
        "add-neg": "(tensor.add~ ?x (tensor.neg ?y))" => "(tensor.sub ?x ?y)";
        /// Two negatives make a positive product.
        "mul-neg-neg": "(tensor.mul (tensor.neg ?x) (tensor.neg ?y))" => "(tensor.mul ?x ?y)";
        /// Two negatives make a positive quotient.
        "div-neg-neg": "(tensor.div (tensor.neg ?x) (tensor.neg ?y))" => "(tensor.div ?x ?y)"
            if "(is-float ?x)";
        /// A square does not see the sign.
        "square-neg": "(tensor.mul (tensor.neg ?x) (tensor.neg ?x))" => "(tensor.mul ?x ?x)";
        /// A square does not see the sign.
        "square-abs": "(tensor.mul (tensor.abs ?x) (tensor.abs ?x))" => "(tensor.mul ?x ?x)";
        /// Cosine is even.
        "cos-neg": "(tensor.cos (tensor.neg ?x))" => "(tensor.cos ?x)";
        /// The rounded is an integer, which rounds to itself.
        "round-round": "(tensor.round (tensor.round ?x))" => "(tensor.round ?x)";
        /// The floor is an integer, which is its own.
        "floor-floor": "(tensor.floor (tensor.floor ?x))" => "(tensor.floor ?x)";
        /// The ceiling is an integer, which is its own.
        "ceil-ceil": "(tensor.ceil (tensor.ceil ?x))" => "(tensor.ceil ?x)";

        /// The greater of equals is either.
        "max-itself": "(tensor.max ?x ?x)" => "?x";
        /// The smaller of equals is either.
        "min-itself": "(tensor.min ?x ?x)" => "?x";
        /// Both of equals is either.
        "and-itself": "(tensor.and ?x ?x)" => "?x", on "?x: AxBxi1";
        /// One of equals is either.
        "or-itself": "(tensor.or ?x ?x)" => "?x", on "?x: AxBxi1";
        /// The greater of a number twice is that of once.
        "max-max": "(tensor.max~ (tensor.max~ ?x ?y) ?y)" => "(tensor.max ?x ?y)", within 0.0;
        /// The smaller of a number twice is that of once.
        "min-min": "(tensor.min~ (tensor.min~ ?x ?y) ?y)" => "(tensor.min ?x ?y)", within 0.0;
        /// Either of the same is the same.
        "select-same": "(tensor.select ?c ?x ?x)" => "?x", on "?c: AxBxi1, ?x: AxB";
        /// A negated condition swaps what it chooses from.
        "select-not": "(tensor.select (tensor.not ?c) ?x ?y)" => "(tensor.select ?c ?y ?x)", on "?c: AxBxi1, ?x: AxB, ?y: AxB";
        /// A condition that always holds chooses the first.
        "select-true": "(tensor.select ?c ?x ?y)" => "?x"
            if "(is ?c 1.0)", on "?c: 1 AxBxi1, ?x: AxB, ?y: AxB";
        /// A condition that never holds chooses the second.
        "select-false": "(tensor.select ?c ?x ?y)" => "?y"
            if "(is ?c 0.0)", on "?c: 0 AxBxi1, ?x: AxB, ?y: AxB";

        /// The reciprocal of a square root has an op of its own.
        "rsqrt": "(tensor.div ?one (tensor.sqrt ?x))" => "(tensor.rsqrt ?x)"
            if "(is ?one 1.0)", within 1e-6, on "?one: 1 AxB, ?x: abs AxB";
        /// Dividing by a square root is multiplying by its reciprocal.
        "div-sqrt": "(tensor.div ?x (tensor.sqrt ?y))" => "(tensor.mul ?x (tensor.rsqrt ?y))"
            if "(is-float ?x)", within 1e-6, on "?x: AxB, ?y: abs AxB";
        /// Dividing by a repeated square root is multiplying by its repeated reciprocal.
        "div-repeated-sqrt": "(tensor.div ?x (tensor.broadcast (tensor.sqrt ?y) ?s ?b))" => "(tensor.mul ?x (tensor.broadcast (tensor.rsqrt ?y) ?s ?b))"
            if "(is-float ?x)", within 1e-6, on "?x: AxB, ?y: abs A, ?s: [A, B], ?b: [0]";
        /// A product with the reciprocal is a quotient.
        "mul-reciprocal": "(tensor.mul~ ?x (tensor.div ?one ?y))" => "(tensor.div ?x ?y)"
            if "(is ?one 1.0)", "(is-float ?x)", "(varies ?x)", within 1e-6, on "?one: 1 AxB, ?x: AxB, ?y: abs AxB";

        /// The greater of a number and zero is its relu.
        "max-relu": "(tensor.max~ ?x ?zero)" => "(nn.relu ?x)"
            if "(is ?zero 0.0)", within 0.0, on "?x: AxB, ?zero: 0 AxB | ?x: Axi32, ?zero: 0 Axi32";
        /// What is not negative stays so.
        "relu-relu": "(nn.relu (nn.relu ?x))" => "(nn.relu ?x)";
        /// A square root is not negative.
        "relu-sqrt": "(nn.relu (tensor.sqrt ?x))" => "(tensor.sqrt ?x)", within 0.0, on "?x: abs AxB";
        /// An exponential is not negative.
        "relu-exp": "(nn.relu (tensor.exp ?x))" => "(tensor.exp ?x)";
        /// The absolute value of a float is not negative; the least integer has none.
        "relu-abs": "(nn.relu (tensor.abs ?x))" => "(tensor.abs ?x)"
            if "(is-float ?x)";
        /// A sigmoid is not negative.
        "relu-sigmoid": "(nn.relu (nn.sigmoid ?x))" => "(nn.sigmoid ?x)";
        /// A clip at zero alone is a relu.
        "clip-relu": "(nn.clip ?x 0.0 inf)" => "(nn.relu ?x)", within 0.0;
        /// The greater of a number and a constant is a clip from below.
        "max-clip": "(tensor.max~ ?x ?c)" => "(nn.clip ?x (number ?c) inf)"
            if "(varies ?x)", within 0.0, on "?x: AxB, ?c: ? AxB";
        /// The smaller of a number and a constant is a clip from above.
        "min-clip": "(tensor.min~ ?x ?c)" => "(nn.clip ?x -inf (number ?c))"
            if "(varies ?x)", within 0.0, on "?x: AxB, ?c: ? AxB";
        /// Two clips whose bounds do not cross are one.
        "clip-clip": "(nn.clip (nn.clip ?x ?a ?b) ?c ?d)" => "(nn.clip ?x (greater ?a ?c) (smaller ?b ?d))"
            if "(at-most (greater ?a ?c) (smaller ?b ?d))", within 0.0, on "?x: AxB, ?a: -1.5, ?b: 0.5, ?c: -1.0, ?d: 1.5 | ?x: A, ?a: -inf, ?b: 0.5, ?c: -1.0, ?d: inf";
        /// A clip of a relu is a clip.
        "clip-of-relu": "(nn.clip (nn.relu ?x) ?a ?b)" => "(nn.clip ?x (greater ?a 0.0) ?b)"
            if "(at-most 0.0 ?b)", within 0.0, on "?x: AxB, ?a: -inf, ?b: 1.0 | ?x: AxB, ?a: 0.5, ?b: 1.0";
        /// A relu of a clip is a clip.
        "relu-of-clip": "(nn.relu (nn.clip ?x ?a ?b))" => "(nn.clip ?x (greater ?a 0.0) ?b)"
            if "(at-most 0.0 ?b)", within 0.0, on "?x: AxB, ?a: -inf, ?b: 1.0 | ?x: AxB, ?a: 0.5, ?b: 1.0";

        /// A cast to the elements that a value has does nothing.
        "cast-nothing": "(tensor.cast ?x ?to)" => "?x"
            if "(same-elem ?x ?to)", on "?x: AxB, ?to: f32 | ?x: Axi8, ?to: i8";
        /// A cast to what holds all numbers, and on, is one cast.
        "cast-cast": "(tensor.cast (tensor.cast ?x ?a) ?b)" => "(tensor.cast ?x ?b)"
            if "(casts-alike ?x ?a ?b)", on "?x: AxBxi8, ?a: f32, ?b: i8 | ?x: AxBxi8, ?a: i32, ?b: f32 | ?x: AxBxf16, ?a: f32, ?b: f16 | ?x: AxBxu8, ?a: i16, ?b: i64";
    },
};
