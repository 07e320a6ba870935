//! Elementwise ops of every element type between others, as targets fuse them.

use lepid_ir::core::{Builder, Elem, OpDef, Trait, Type, Value};
use lepid_ir::dialects;
use lepid_ir::dialects::tensor::{Abs, Compare, Reverse, Select, build};

use crate::case::{Case, Scale, build as case};

/// Each op of `tensor` on each element type that it takes: its results are compared with one
/// another, so that what does not fit into the element must have been cut off by then.
pub(super) fn cases() -> Vec<Case> {
    let ops = dialects::registry();
    let mut out = Vec::new();
    for def in ops.iter().filter(|def| is_plain(*def)) {
        for elem in Elem::ALL {
            let ty = Type::known_tensor(elem, &[5, 7]);
            let condition = Type::known_tensor(Elem::Bool, &[5, 7]);
            // The last operand is of the element; those before it may ask for truth values.
            let operands = def.info().operands.iter();
            let operands: Option<Vec<Type>> = operands
                .enumerate()
                .map(|(i, operand)| match i + 1 < def.info().operands.len() {
                    true if !(operand.rule.admits)(ty) => Some(condition),
                    _ => (operand.rule.admits)(ty).then_some(ty),
                })
                .collect();
            if let Some(operands) = operands {
                out.push(one(def, elem, &operands));
            }
        }
    }
    out.extend(thinned());
    out
}

/// Every so many elements, counted from the end, of what is put together: the parts end between two
/// of them.
fn thinned() -> Vec<Case> {
    let steps = [2, 3];
    let pairs = steps.into_iter().flat_map(|step| {
        let backwards = move |b: &mut Builder<'_>, x: Value| {
            let x = b.one(&Reverse, &[x], &[("axes", [0].into())])?;
            let y = build::slice(b, x, &[0], &[i64::MAX], &[step])?;
            Ok(vec![b.one(&Abs, &[y], &[])?])
        };
        let concat = case(
            &format!("each {step} of a concat, backwards"),
            Scale::Element,
            &["5xf32", "8xf32", "4xf32"],
            |b, v| {
                let x = build::concat(b, v, 0)?;
                backwards(b, x)
            },
        );
        let pad = case(
            &format!("each {step} of a pad, backwards"),
            Scale::Element,
            &["7xf32"],
            |b, v| {
                let x = build::pad(b, v[0], 0.5, &[4], &[3])?;
                backwards(b, x)
            },
        );
        [concat, pad]
    });
    pairs.collect()
}

/// Whether an op needs no attributes. The others have their own rows.
fn is_plain(def: &dyn OpDef) -> bool {
    let info = def.info();
    info.dialect() == "tensor"
        && info.has(Trait::Elementwise)
        && info.attrs.iter().all(|a| a.default.is_some())
}

fn one(def: &'static dyn OpDef, elem: Elem, operands: &[Type]) -> Case {
    let name = format!("nest around {} of {elem}", def.info().name);
    let texts = operands.iter().map(|ty| match ty.as_tensor() {
        Some(ty) => ty.to_string(),
        None => String::new(),
    });
    let texts: Vec<String> = texts.collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    case(&name, Scale::Element, &texts, |b, v| {
        let y = b.one(def, v, &[])?;
        let turned = b.one(&Reverse, &[y], &[("axes", [0, 1].into())])?;
        let less = b.one(&Compare, &[y, turned], &[("direction", "le".into())])?;
        Ok(vec![b.one(&Select, &[less, y, turned], &[])?])
    })
}
