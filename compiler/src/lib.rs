//! Lepid: a compiler for adaptive neural networks.
//!
//! What it is: the front ends, the driver that takes a model through passes to a target, and the
//! command line over it. It may know of every other crate; no other crate knows of it. A target
//! outside of the tree is a `main` that says `Driver::new().with_target(Acme::new()).main()`.
//!
//! Begin with [`driver::Driver`]; each command of `lepid` is one file of `cli`.

mod cli;
pub mod driver;
pub mod frontends;
