//! What tools outside of the terminal show: traces for Chrome and Perfetto, pages for a browser.
//!
//! Knows modules and packages, nothing of the command line. Begin with [`page::html`].

pub mod escape;
pub mod graph;
pub mod layout;
mod memory;
pub mod page;
mod svg;
pub mod trace;
pub mod units;
