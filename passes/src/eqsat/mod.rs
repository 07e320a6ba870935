//! Equality saturation: one graph that holds many equal programs, and the choice of the best.

pub mod extract;
