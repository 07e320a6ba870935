//! The names that ops, passes and targets may have, and what follows from them.

use crate::workspace::Result;

/// The name of an op, `nn.layer_norm`, with its type, `LayerNorm`.
pub(super) struct OpName {
    pub(super) dialect: String,
    pub(super) op: String,
    pub(super) ty: String,
}

impl OpName {
    pub(super) fn parse(name: &str) -> Result<OpName> {
        let parts = name
            .split_once('.')
            .ok_or("an op is `DIALECT.NAME`, such as `nn.layer_norm`");
        let (dialect, op) = parts?;
        check(dialect)?;
        check(op)?;
        Ok(OpName {
            dialect: dialect.to_owned(),
            op: op.to_owned(),
            ty: camel_case(op),
        })
    }
}

/// A lower-case name of letters, digits and `_`.
pub(super) fn check(name: &str) -> Result<()> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if starts && name.chars().all(valid) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a name of lower-case letters, digits and `_`"
    ))
}

/// `layer_norm` and `layer-norm` to `LayerNorm`.
pub(super) fn camel_case(name: &str) -> String {
    let words = name.split(['_', '-']);
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    words.filter(|word| !word.is_empty()).map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types() {
        let name = OpName::parse("nn.layer_norm2").unwrap();
        assert_eq!(
            (name.op.as_str(), name.ty.as_str()),
            ("layer_norm2", "LayerNorm2")
        );
        assert_eq!(camel_case("dead-ops"), "DeadOps");
        for wrong in ["relu", "nn.Relu", "nn.", "nn.2d", "nn.a-b"] {
            assert!(OpName::parse(wrong).is_err(), "{wrong}");
        }
    }
}
