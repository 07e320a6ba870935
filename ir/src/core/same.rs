//! Equality of modules up to ids and locations.

use std::collections::HashMap;

use crate::core::{Block, Module, Value};

/// The first difference of two modules, as `Err`; ids and locations do not count.
pub fn same_modules(a: &Module, b: &Module) -> Result<(), String> {
    if a.name != b.name {
        return Err(format!("names {:?} and {:?}", a.name, b.name));
    }
    let mut pairs = HashMap::new();
    blocks((a, a.body()), (b, b.body()), &mut pairs)
}

type Place<'m> = (&'m Module, Block);

fn blocks(
    (a, in_a): Place<'_>,
    (b, in_b): Place<'_>,
    pairs: &mut HashMap<Value, Value>,
) -> Result<(), String> {
    if a.block_label(in_a) != b.block_label(in_b) {
        return Err("labels differ".to_string());
    }
    define((a, a.block_args(in_a)), (b, b.block_args(in_b)), pairs)?;
    let (ops_a, ops_b): (Vec<_>, Vec<_>) = (a.ops_in(in_a).collect(), b.ops_in(in_b).collect());
    if ops_a.len() != ops_b.len() {
        return Err(format!("{} and {} ops", ops_a.len(), ops_b.len()));
    }
    for (x, y) in ops_a.into_iter().zip(ops_b) {
        let (x, y) = (a.view(x), b.view(y));
        if x.name() != y.name() {
            return Err(format!("ops {} and {}", x.name(), y.name()));
        }
        if x.attrs() != y.attrs() {
            let (found, expected) = (x.attrs(), y.attrs());
            return Err(format!("{}: {found:?} and {expected:?}", x.name()));
        }
        let mapped: Vec<_> = x.operands().iter().map(|v| pairs.get(v)).collect();
        if mapped != y.operands().iter().map(Some).collect::<Vec<_>>() {
            return Err(format!("operands of {}", x.name()));
        }
        if x.regions().len() != y.regions().len() {
            return Err(format!("regions of {}", x.name()));
        }
        for (&r, &s) in x.regions().iter().zip(y.regions()) {
            let (r, s) = (a.region_blocks(r), b.region_blocks(s));
            if r.len() != s.len() {
                return Err(format!("blocks of {}", x.name()));
            }
            for (&r, &s) in r.iter().zip(s) {
                blocks((a, r), (b, s), pairs)?;
            }
        }
        define((a, x.results()), (b, y.results()), pairs)?;
    }
    Ok(())
}

fn define(
    (a, in_a): (&Module, &[Value]),
    (b, in_b): (&Module, &[Value]),
    pairs: &mut HashMap<Value, Value>,
) -> Result<(), String> {
    let types = |module: &Module, values: &[Value]| -> Vec<_> {
        values.iter().map(|&v| module.value_type(v)).collect()
    };
    let (x, y) = (types(a, in_a), types(b, in_b));
    if x != y {
        return Err(format!("types {x:?} and {y:?}"));
    }
    pairs.extend(in_a.iter().copied().zip(in_b.iter().copied()));
    Ok(())
}
