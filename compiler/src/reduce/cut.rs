//! Cutting a part out of a function, as a module of its own.

use std::collections::BTreeSet;

use lepid_ir::core::{Attr, Module, Op, OpResult, Trait, Value};
use lepid_ir::dialects::core::{Call, Func};
use lepid_passes::core::rewrite::{is, retype};
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;

/// A part of a function.
pub struct Part {
    pub module: Module,
    /// The values of the module that it was cut from which its arguments stand for, in order.
    pub args: Vec<Value>,
}

/// The part of a function that computes `results` from `given` and from those arguments of the
/// function that it still needs. All are values of the function's own block.
pub fn cut(module: &Module, func: Op, results: &[Value], given: &[Value]) -> OpResult<Part> {
    // Ids are the same in a clone, until it is compacted.
    let mut new = module.clone();
    let block = Func::block(new.view(func));
    let mut args = new.block_args(block).to_vec();
    let mut inputs = Func::input_names(new.view(func));
    let outputs = result_names(module, func, results);
    let Some(end) = new.terminator(block) else {
        lepid_ir::bug!("a function without a return is cut");
    };
    new.set_operands(end, results);
    let mut fresh = Vec::new();
    for &value in given {
        if args.contains(&value) {
            continue;
        }
        let ty = new.value_type(value);
        let arg = new.add_block_arg(block, ty);
        new.replace_all_uses(value, arg);
        args.push(value);
        let taken = inputs.iter().cloned().collect();
        inputs.push(free_name("cut", inputs.len(), &taken));
        fresh.push(arg);
    }
    let lists = [
        "batch_inputs",
        "batch_outputs",
        "inputs",
        "outputs",
        "slots",
        "states",
    ];
    for name in lists {
        new.set_attr(func, name, Attr::List(Vec::new()));
    }
    for name in ["arena_bytes", "batch"] {
        new.set_attr(func, name, Attr::Int(0));
    }
    drop_unused_ops(&mut new, func);
    for index in (0..args.len()).rev() {
        let arg = new.block_args(block)[index];
        if new.uses(arg).is_empty() {
            new.remove_block_arg(block, index);
            args.remove(index);
            inputs.remove(index);
        }
    }
    drop_other_funcs(&mut new, func);
    let name = |names: Vec<String>| Attr::List(names.iter().map(|n| n.as_str().into()).collect());
    new.set_attr(func, "inputs", name(inputs));
    new.set_attr(func, "outputs", name(outputs));
    // Types of ops with dynamic shapes follow from where their operands come from.
    let users = fresh.iter().flat_map(|&v| new.uses(v)).map(|u| u.op);
    let users: BTreeSet<Op> = users.collect();
    retype(&mut new, users)?;
    Ok(Part {
        module: new.compact(),
        args,
    })
}

/// One op by itself: its results, from the values that it reads. Constants, and what is computed
/// from them alone, stay what they are, as targets may want them.
pub fn alone(module: &Module, func: Op, op: Op) -> OpResult<Part> {
    let given = reads(module, op);
    cut(module, func, module.results(op), &given)
}

/// The values from around it that an op and its regions read, each once; no constants.
pub fn reads(module: &Module, op: Op) -> Vec<Value> {
    let inside = module.walk_inside(op);
    let mut own: BTreeSet<Value> = BTreeSet::new();
    for around in inside.iter().chain([&op]) {
        for &region in module.regions(*around) {
            for &block in module.region_blocks(region) {
                own.extend(module.block_args(block));
            }
        }
    }
    own.extend(inside.iter().flat_map(|&o| module.results(o)));
    let mut found = Vec::new();
    for reader in [op].into_iter().chain(inside) {
        for &value in module.operands(reader) {
            let outside = !own.contains(&value) && !is_constant_expression(module, value);
            if outside && !found.contains(&value) {
                found.push(value);
            }
        }
    }
    found
}

/// The ops of a function's own block that compute something at run time, in order.
pub fn steps(module: &Module, func: Op) -> Vec<Op> {
    let all = module.ops_in(Func::block(module.view(func)));
    all.filter(|&op| is_step(module, op)).collect()
}

/// Whether an op computes something that depends on more than constants.
pub fn is_step(module: &Module, op: Op) -> bool {
    let info = module.def(op).info();
    let results = module.results(op);
    !info.has(Trait::Terminator)
        && !results.is_empty()
        && !results.iter().all(|&r| is_constant_expression(module, r))
}

/// The names of results: those that the function had for them, or new ones.
fn result_names(module: &Module, func: Op, results: &[Value]) -> Vec<String> {
    let view = module.view(func);
    let names = Func::output_names(view);
    let mut taken: BTreeSet<String> = names.iter().cloned().collect();
    let mut had: Vec<(Value, String)> = Func::returned(view).iter().copied().zip(names).collect();
    let named = results.iter().enumerate().map(|(index, value)| {
        if let Some(at) = had.iter().position(|(v, _)| v == value) {
            return had.remove(at).1;
        }
        let name = free_name("value", index, &taken);
        taken.insert(name.clone());
        name
    });
    named.collect()
}

/// A prefix with the first number from `from` on that gives a new name.
fn free_name(prefix: &str, from: usize, taken: &BTreeSet<String>) -> String {
    let mut numbers = (from..).map(|number| format!("{prefix}{number}"));
    match numbers.find(|name| !taken.contains(name)) {
        Some(name) => name,
        None => lepid_ir::bug!("all names are taken"),
    }
}

/// Only the results of the function count, so an op that nothing reads goes, whatever it is.
fn drop_unused_ops(module: &mut Module, func: Op) {
    let block = Func::block(module.view(func));
    for op in module.ops_in(block).rev().collect::<Vec<Op>>() {
        let results = module.results(op);
        let unused = results.iter().all(|&r| module.uses(r).is_empty());
        if unused && module.terminator(block) != Some(op) {
            module.erase(op);
        }
    }
}

/// Drops the functions that this one does not call.
fn drop_other_funcs(module: &mut Module, func: Op) {
    let mut kept = BTreeSet::from([func]);
    let mut todo = vec![func];
    while let Some(next) = todo.pop() {
        for op in module.walk_inside(next) {
            if !is(module, op, &Call) {
                continue;
            }
            if let Some(callee) = Func::find(module, Call::callee(module.view(op)).as_str())
                && kept.insert(callee)
            {
                todo.push(callee);
            }
        }
    }
    for other in module.funcs().collect::<Vec<Op>>() {
        if !kept.contains(&other) {
            module.erase(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{PrintOptions, Registry, Resources, print_module, verify};
    use lepid_ir::{dialects, text};

    use super::*;

    const NET: &str = "\
func @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) attributes {inputs = [\"x\", \"y\"], outputs = [\"p\", \"q\"]} {
  %w = core.constant() {value = dense<4xf32>[2.0]} : tensor<4xf32>
  %v = tensor.neg(%w) : tensor<4xf32>
  %a = nn.relu(%x) : tensor<4xf32>
  %b = tensor.mul(%a, %v) : tensor<4xf32>
  %c = tensor.add(%b, %y) : tensor<4xf32>
  return %b, %c
}
func @other() {
  return
}
";

    fn net() -> (Module, Op) {
        let ops: Registry = dialects::registry();
        let (module, found) = text::parse(NET, "net.lir", &ops, None);
        assert!(found.is_empty(), "{}", found[0].message);
        let func = Func::find(&module, "main").unwrap();
        (module, func)
    }

    fn printed(part: &Part) -> String {
        assert!(verify(&part.module).is_empty());
        let options = PrintOptions::default();
        print_module(&part.module, &options, &mut Resources::default())
    }

    #[test]
    fn an_op_alone_keeps_its_constants() {
        let (module, func) = net();
        let mul = steps(&module, func)[1];
        let part = alone(&module, func, mul).unwrap();
        assert_eq!(part.args, reads(&module, mul));
        insta::assert_snapshot!(printed(&part), @r#"
        func @main(%0: tensor<4xf32>) -> (tensor<4xf32>) attributes {inputs = ["cut2"], outputs = ["p"]} {
          %1 = core.constant() {value = dense<4xf32>[2.0]} : tensor<4xf32>
          %2 = tensor.neg(%1) : tensor<4xf32>
          %3 = tensor.mul(%0, %2) : tensor<4xf32>
          return %3
        }
        "#);
    }

    #[test]
    fn arguments_that_are_still_read_stay() {
        let (module, func) = net();
        let [_, mul, add] = steps(&module, func)[..] else {
            panic!("three steps expected");
        };
        let (mul, add) = (module.results(mul)[0], module.results(add)[0]);
        let part = cut(&module, func, &[add, mul], &[mul]).unwrap();
        insta::assert_snapshot!(printed(&part), @r#"
        func @main(%0: tensor<4xf32>, %1: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) attributes {inputs = ["y", "cut2"], outputs = ["q", "p"]} {
          %2 = tensor.add(%1, %0) : tensor<4xf32>
          return %2, %1
        }
        "#);
        assert_eq!(part.args.last(), Some(&mul));
    }
}
