//! The rules: what is equal to what, as tables.
//!
//! A rule is one row: a name, a left side, a right side, and where needed conditions (`if`), how far
//! values may move (`within`), and the shapes on which it is tested (`on`). Its summary stands above
//! it. `notation.rs` explains the terms, `functions.rs` lists the functions.
//!
//! A right side is never worse under the plain cost, save where a rule of the same family undoes
//! the difference; extraction chooses.

mod algebra;
mod fold;
mod movement;
mod quant;
mod recognize;
mod reduce;
mod siblings;

use lepid_ir::core::{Code, Diagnostic, Loc, nearest};

use crate::core::Values;

/// A rule as a row of a table.
#[derive(Debug)]
pub struct RuleDef {
    /// Lower case with hyphens; unique.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    pub left: &'static str,
    pub right: &'static str,
    /// Terms that must be `true`.
    pub conditions: &'static [&'static str],
    /// How far it may move values.
    pub values: Values,
    /// What its variables are in tests; see `check/sample.rs`. Empty: one random shape for all.
    pub samples: &'static str,
}

/// Rules of one subject.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub summary: &'static str,
    pub rules: &'static [RuleDef],
}

/// All families, sorted by name.
pub const FAMILIES: &[Family] = &[
    algebra::FAMILY,
    fold::FAMILY,
    movement::FAMILY,
    quant::FAMILY,
    recognize::FAMILY,
    reduce::FAMILY,
    siblings::FAMILY,
];

/// All rules with their families.
pub fn all() -> impl Iterator<Item = (&'static Family, &'static RuleDef)> {
    FAMILIES
        .iter()
        .flat_map(|family| family.rules.iter().map(move |rule| (family, rule)))
}

pub fn find(name: &str) -> Option<(&'static Family, &'static RuleDef)> {
    all().find(|(_, rule)| rule.name == name)
}

pub fn find_family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

/// The rule or family whose name is nearest to `name`, if one is near enough to be meant.
pub fn suggest(name: &str) -> Option<&'static str> {
    let families = FAMILIES.iter().map(|family| family.name);
    nearest(name, families.chain(all().map(|(_, rule)| rule.name)))
}

/// The rules that a list names: families and rules, in order, `-name` to leave out; `all` and `none`
/// for all and none. A list that begins by leaving out begins with all.
pub fn select(list: &str) -> Result<Vec<&'static RuleDef>, Diagnostic> {
    let mut chosen: Vec<bool> = all().map(|_| false).collect();
    let words = list.split([' ', '+']).filter(|w| !w.is_empty());
    for (i, word) in words.enumerate() {
        let (name, wanted) = match word.strip_prefix('-') {
            Some(name) => (name, false),
            None => (word, true),
        };
        if i == 0 && !wanted {
            chosen.fill(true);
        }
        if name == ALL || (name == NONE && wanted) {
            chosen.fill(wanted && name == ALL);
            continue;
        }
        let mut known = false;
        for ((family, rule), chosen) in all().zip(&mut chosen) {
            if name == family.name || name == rule.name {
                known = true;
                *chosen = wanted;
            }
        }
        if !known {
            return Err(unknown(Code::PASS_OPTION, name));
        }
    }
    let rules = all().zip(chosen).filter(|(_, chosen)| *chosen);
    Ok(rules.map(|((_, rule), _)| rule).collect())
}

/// What a list may name beside families and rules.
const ALL: &str = "all";
const NONE: &str = "none";

/// The error for what is neither a rule nor a family.
pub fn unknown(code: Code, name: &str) -> Diagnostic {
    let message = format!("`{name}` is neither a rule nor a family of rules");
    let help = match suggest(name) {
        Some(near) => format!("did you mean `{near}`? `lepid list rules` shows all"),
        None => {
            let families: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
            format!(
                "the families are {}; `lepid list rules` shows all",
                families.join(", ")
            )
        }
    };
    Diagnostic::error(code, Loc::Unknown, message).with_help(help)
}

/// Rows of rules.
macro_rules! rules {
    ($(
        $(#[doc = $doc:literal])+
        $name:literal: $left:literal => $right:literal
        $(if $($condition:literal),+)? $(, within $bound:literal)? $(, on $samples:literal)?;
    )*) => {
        &[$($crate::eqsat::rules::RuleDef {
            name: $name,
            summary: concat!($($doc),+),
            left: $left,
            right: $right,
            conditions: &[$($($condition),+)?],
            values: rules!(@values $($bound)?),
            samples: rules!(@samples $($samples)?),
        }),*]
    };
    (@values) => { $crate::core::Values::Exact };
    (@values $bound:literal) => { $crate::core::Values::Within($bound) };
    (@samples) => { "" };
    (@samples $samples:literal) => { $samples };
}
pub(super) use rules;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_families_sorted() {
        let mut names: Vec<&str> = all().map(|(_, rule)| rule.name).collect();
        names.extend(FAMILIES.iter().map(|f| f.name));
        names.extend([ALL, NONE]);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(FAMILIES.iter().map(|f| f.name).is_sorted());
    }

    #[test]
    fn lists_choose_and_leave_out() {
        let count = |list: &str| select(list).map(|rules| rules.len()).map_err(|e| e.help);
        assert_eq!(count("all"), Ok(all().count()));
        assert_eq!(count(""), Ok(0));
        assert_eq!(count("algebra"), Ok(algebra::FAMILY.rules.len()));
        assert_eq!(
            count("algebra -add-zero"),
            Ok(algebra::FAMILY.rules.len() - 1)
        );
        assert_eq!(
            count("-algebra"),
            Ok(all().count() - algebra::FAMILY.rules.len())
        );
        assert_eq!(count("add-zero+mul-one"), Ok(2));
        assert_eq!(count("none"), Ok(0));
        assert_eq!(count("-all"), Ok(0));
        assert_eq!(count("algebra none mul-one"), Ok(1));
        assert!(count("-none").is_err());
        let help = count("algebr").unwrap_err().unwrap();
        assert!(help.contains("did you mean `algebra`?"), "{help}");
    }
}
