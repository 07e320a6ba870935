//! Names for pipelines: the only place where passes are listed in an order.

use lepid_passes::core::Alias;

/// Every alias, sorted by name.
pub(crate) const ALIASES: &[Alias] = &[Alias {
    name: "clean",
    pipeline: "fold,cse,dead-ops",
    summary: "What is worth doing after any other pass.",
}];
