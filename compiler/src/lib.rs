//! Lepid.
