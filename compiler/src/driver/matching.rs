//! Which input and which output of one model is which of another.

use std::collections::BTreeMap;

use lepid_ir::core::{Code, Diagnostic, Loc, Tensor};
use lepid_target_api::Signature;

/// The tensors of one model by the names of another's inputs: by equal names or, if those differ,
/// by their order.
pub fn inputs(
    from: &Signature,
    tensors: &[Tensor],
    to: &Signature,
) -> Result<BTreeMap<String, Tensor>, Diagnostic> {
    let at = |name: &str| from.inputs.iter().position(|p| p.name == name);
    let by_name: Option<Vec<usize>> = to.inputs.iter().map(|p| at(&p.name)).collect();
    let places = match by_name {
        Some(places) => places,
        None if to.inputs.len() == tensors.len() => (0..tensors.len()).collect(),
        None => {
            let (n, m) = (from.inputs.len(), to.inputs.len());
            let message =
                format!("the models take {n} and {m} inputs, of which not all have the same names");
            return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
        }
    };
    let names = to.inputs.iter().map(|p| p.name.clone());
    let tensors = places.into_iter().map(|i| tensors[i].clone());
    Ok(names.zip(tensors).collect())
}

/// For each output of one side the number of the other's: by equal names or, if those differ, by
/// their order. NumPy names arrays without names `arr_0`, `arr_1`, ….
pub fn outputs(names: &[String], others: &[String]) -> Result<Vec<usize>, Diagnostic> {
    let at = |name: &String| others.iter().position(|o| o == name);
    if let Some(places) = names.iter().map(at).collect::<Option<Vec<usize>>>() {
        return Ok(places);
    }
    let numbered = (0..names.len()).map(|i| at(&format!("arr_{i}")));
    if let Some(places) = numbered.collect::<Option<Vec<usize>>>() {
        return Ok(places);
    }
    if names.len() == others.len() {
        return Ok((0..names.len()).collect());
    }
    let missing: Vec<String> = names
        .iter()
        .filter(|n| at(n).is_none())
        .map(|n| format!("`{n}`"))
        .collect();
    let all: Vec<String> = others.iter().map(|n| format!("`{n}`")).collect();
    let message = format!("the other side has no output {}", missing.join(", "));
    let help = format!("it has {}", all.join(", "));
    Err(Diagnostic::error(Code::MISMATCH, Loc::Unknown, message).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs_of(names: &[&str], others: &[&str]) -> Option<Vec<usize>> {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| n.to_string()).collect() };
        outputs(&owned(names), &owned(others)).ok()
    }

    #[test]
    fn names_go_before_order() {
        assert_eq!(outputs_of(&["a", "b"], &["b", "c", "a"]), Some(vec![2, 0]));
        assert_eq!(outputs_of(&["a", "b"], &["x", "y"]), Some(vec![0, 1]));
        assert_eq!(
            outputs_of(&["a", "b"], &["arr_1", "arr_0"]),
            Some(vec![1, 0])
        );
        assert_eq!(outputs_of(&["a", "b"], &["a"]), None);
    }
}
