//! Portable Rust.

use super::instantiate;
use crate::vector::portable::Portable;

instantiate!(wide: Portable<8>, quad: Portable<4>, single: Portable<1>, attributes: {});
