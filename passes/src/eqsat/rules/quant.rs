//! Quantised values: what commutes with casts and scales, and what undoes itself.
//!
//! Quantising is `cast(clip(round(x / s) + z))`, dequantising `(cast(q) - z) · s`. Casts are
//! elementwise, so `movement` moves shapes through them already; here are windows, which an order-
//! preserving function passes through, and the steps that make quantising a dequantised value
//! nothing.

use super::{Family, rules};

pub(super) const FAMILY: Family = Family {
    name: "quant",
    summary: "Movement of quantising and dequantising.",
    rules: rules! {
        /// The greatest in a window can be found among the narrower numbers.
        "max-pool-cast": "(nn.max_pool (tensor.cast ?q ?to) ..a)" => "(tensor.cast (nn.max_pool ?q ..a) ?to)"
            if "(holds-all ?q ?to)", on "?q: AxBx5x6xi8, ?to: f32, ?a: pool | ?q: AxBx5x6xu8, ?to: f32, ?a: pool";
        /// The greatest in a window can be found before a positive scale.
        "max-pool-scale": "(nn.max_pool (tensor.mul ?x ?c) ..a)"
            => "(tensor.mul (nn.max_pool ?x ..a) (tensor.broadcast (core.constant (scalar ?c)) (shape (nn.max_pool ?x ..a)) []))"
            if "(positive ?c)", "(is-float ?x)", on "?x: AxBx5x6, ?c: 0.5 AxBx5x6, ?a: pool";
        /// The greatest in a window can be found before a shift.
        "max-pool-shift": "(nn.max_pool (tensor.add ?x ?c) ..a)"
            => "(tensor.add (nn.max_pool ?x ..a) (tensor.broadcast (core.constant (scalar ?c)) (shape (nn.max_pool ?x ..a)) []))"
            if "(uniform ?c)", "(is-float ?x)", on "?x: AxBx5x6, ?c: ? AxBx5x6, ?a: pool";
        /// The greatest in a window can be found before a relu.
        "max-pool-relu": "(nn.max_pool (nn.relu ?x) ..a)" => "(nn.relu (nn.max_pool ?x ..a))", within 0.0,
            on "?x: AxBx5x6, ?a: pool";
        /// What was an integer is rounded already.
        "round-cast": "(tensor.round (tensor.cast ?q ?to))" => "(tensor.cast ?q ?to)"
            if "(is-int ?q)", on "?q: AxBxi8, ?to: f32 | ?q: AxBxi32, ?to: f64";
        /// What lies between the bounds by its type needs no clip.
        "clip-cast": "(nn.clip (tensor.cast ?q ?to) ?low ?high)" => "(tensor.cast ?q ?to)"
            if "(covers ?q ?low ?high)", "(holds-all ?q ?to)", on "?q: AxBxi8, ?to: f32, ?low: -128.0, ?high: 127.0 | ?q: AxBxu8, ?to: f32, ?low: 0.0, ?high: 255.0";
        /// Rounding a product by its own factor again gives back an integer of few digits.
        "requantize": "(tensor.round (tensor.div (tensor.mul (tensor.cast ?q ?to) ?c) ?c))" => "(tensor.cast ?q ?to)"
            if "(is-int ?q)", "(small-elem ?q ?to)", "(good-factor ?c)", on "?q: AxBxi8, ?to: f32, ?c: 0.37 AxB";
        /// An integer that is shifted by a number and back is as before.
        "shift-and-back": "(tensor.add (tensor.sub (tensor.cast ?q ?to) ?z) ?z)" => "(tensor.cast ?q ?to)"
            if "(small-integer ?z)", "(small-elem ?q ?to)", on "?q: AxBxi8, ?to: f32, ?z: 3 AxB";
        /// Shapes move before values are widened.
        "gather-cast": "(tensor.gather (tensor.cast ?q ?to) ?i ?axis)" => "(tensor.cast (tensor.gather ?q ?i ?axis) ?to)",
            on "?q: AxBxi8, ?to: f32, ?i: Cxi64, ?axis: 0";
        /// What is gathered need alone be computed.
        "gather-unary": "(tensor.gather (*unary ?x ..a) ?i ?axis)" => "(*unary (tensor.gather ?x ?i ?axis) ..a)"
            if "(fewer ?i ?x ?axis)", on "?x: A+3xB, ?i: 2xi64, ?axis: 0, ?a: any";
    },
};
