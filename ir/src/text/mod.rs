//! The text form, read.
