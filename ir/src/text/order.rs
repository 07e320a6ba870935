//! The order in which functions are resolved: each after those that it names.

use std::collections::HashMap;

use crate::core::attr::unquote;
use crate::text::syntax::{Func, Span, func_references};

#[derive(Copy, Clone, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// The indices of all functions, callees first, otherwise in the order of the text; and the
/// references that close a cycle.
pub(crate) fn callees_first(funcs: &[&Func<'_>], names: &[String]) -> (Vec<usize>, Vec<Span>) {
    // Of two functions of one name the first is meant.
    let mut indices: HashMap<&str, usize> = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        indices.entry(name).or_insert(i);
    }
    let callees: Vec<Vec<(usize, Span)>> = funcs
        .iter()
        .map(|func| {
            let mut callees = Vec::new();
            func_references(&func.body, &mut |name| {
                let text = unquote(name.text).unwrap_or_else(|| name.text.to_string());
                if let Some(&index) = indices.get(text.as_str()) {
                    callees.push((index, name.span));
                }
            });
            callees
        })
        .collect();
    let mut states = vec![State::New; funcs.len()];
    let mut order = Vec::new();
    let mut cycles = Vec::new();
    for root in 0..funcs.len() {
        if states[root] != State::New {
            continue;
        }
        // A stack of our own: a chain of calls may be as long as the text.
        states[root] = State::Open;
        let mut stack = vec![(root, 0)];
        while let Some((func, next)) = stack.last_mut() {
            let func = *func;
            match callees[func].get(*next) {
                Some(&(callee, span)) => {
                    *next += 1;
                    match states[callee] {
                        State::New => {
                            states[callee] = State::Open;
                            stack.push((callee, 0));
                        }
                        State::Open => cycles.push(span),
                        State::Done => {}
                    }
                }
                None => {
                    states[func] = State::Done;
                    order.push(func);
                    stack.pop();
                }
            }
        }
    }
    (order, cycles)
}
