//! Compiles a case, runs it and compares with the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lepid_ir::core::{
    Code, Diagnostics, Elem, Num, PrintOptions, Registry, Resources, Tensor, print_module,
};
use lepid_ir::{dialects, interp};
use lepid_passes::core::{PassRegistry, Silent};
use lepid_target_api::{
    CompileEnv, CompileOptions, Compiled, LoadOptions, Package, Target, compile,
};

use crate::case::{Case, Scale};
use crate::tables::family;

/// What came of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Passed,
    /// Refused with E0401, and with which messages.
    Unsupported(Vec<String>),
    Failed(String),
}

/// Runs a case on a target, with one thread and with two.
pub fn check(target: &dyn Target, case: &Case) -> Outcome {
    let run = AssertUnwindSafe(|| run(target, case));
    match catch_unwind(run) {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed("panics".to_string()),
    }
}

/// Runs the cases of a family. Panics with all that fails, or that is refused although its op is
/// not among those named.
pub fn assert_family(target: &dyn Target, name: &str, unsupported: &[&str]) {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in family(name) {
        count += 1;
        let message = match check(target, &case) {
            Outcome::Passed => continue,
            Outcome::Unsupported(messages) => {
                let named =
                    |m: &String| unsupported.iter().any(|op| m.contains(&format!("`{op}`")));
                if messages.iter().all(named) {
                    continue;
                }
                format!("is refused: {}", messages.join("; "))
            }
            Outcome::Failed(message) => message,
        };
        failures.push(format!("{}: {message}", case.name));
    }
    let failed = failures.len();
    assert!(
        failures.is_empty(),
        "{failed} of {count} cases fail\n{}",
        failures.join("\n")
    );
}

fn run(target: &dyn Target, case: &Case) -> Outcome {
    let main = match case.module.funcs().next() {
        Some(func) => func,
        None => return Outcome::Failed("has no function".to_string()),
    };
    let expected = match interp::run(&case.module, main, &case.inputs) {
        Ok(expected) => expected,
        Err(error) => return Outcome::Failed(format!("is not a case: {}", error.message)),
    };
    let package = match compile_case(target, case) {
        Ok(compiled) => compiled.package,
        Err(found) => {
            let messages: Vec<String> = found.iter().map(|d| d.message.clone()).collect();
            return match found.iter().all(|d| d.code == Code::UNSUPPORTED_OP) {
                true => Outcome::Unsupported(messages),
                false => Outcome::Failed(format!("does not compile: {}", messages.join("; "))),
            };
        }
    };
    match execute(target, case, &package, &expected) {
        Ok(()) => Outcome::Passed,
        Err(message) => {
            let text = print_module(
                &package.module,
                &PrintOptions::default(),
                &mut Resources::default(),
            );
            Outcome::Failed(format!("{message}\n{text}"))
        }
    }
}

fn compile_case(target: &dyn Target, case: &Case) -> Result<Compiled, Diagnostics> {
    let mut ops: Registry = dialects::registry();
    let mut passes: PassRegistry = lepid_passes::registry();
    target.register(&mut ops, &mut passes);
    let options = CompileOptions {
        verify_each: true,
        ..CompileOptions::default()
    };
    let env = CompileEnv {
        ops: &ops,
        passes: &passes,
        aliases: &[],
        observer: &mut Silent,
    };
    compile(target, case.module.clone(), &options, env)
}

fn execute(
    target: &dyn Target,
    case: &Case,
    package: &Package,
    expected: &[Tensor],
) -> Result<(), String> {
    let mut first: Option<Vec<Tensor>> = None;
    for threads in [1, 2] {
        let options = LoadOptions {
            threads,
            ..LoadOptions::default()
        };
        let loaded = target.load(package, &options);
        let mut executable = loaded.map_err(|e| format!("does not load: {e}"))?;
        // The second run must not see anything of the first.
        for again in [false, true] {
            let found = executable
                .run(&case.inputs)
                .map_err(|e| format!("does not run: {}", e.message))?;
            match &first {
                None => {
                    agree(&found, expected, case.scale)?;
                    first = Some(found);
                }
                Some(first) if *first != found => {
                    return Err(match again {
                        true => "a second run gives other bits".to_string(),
                        false => format!("{threads} threads give other bits than one"),
                    });
                }
                Some(_) => {}
            }
        }
        executable
            .rerun()
            .map_err(|e| format!("does not run again: {}", e.message))?;
    }
    Ok(())
}

fn agree(found: &[Tensor], expected: &[Tensor], scale: Scale) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!(
            "gives {} outputs of {}",
            found.len(),
            expected.len()
        ));
    }
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found.ty() != expected.ty() {
            let (found, expected) = (found.ty(), expected.ty());
            return Err(format!("output {i} is `{found}`, expected `{expected}`"));
        }
        let (a, b) = (found.nums(), expected.nums());
        let finite = b.iter().map(|x| x.as_f64().abs()).filter(|x| x.is_finite());
        let largest = finite.fold(0.0, f64::max);
        for (at, (&a, &b)) in a.iter().zip(&b).enumerate() {
            let unit = match scale {
                Scale::Element => b.as_f64().abs().max(1.0),
                Scale::Output => largest,
            };
            if !close(a, b, tolerance(expected.elem()) * unit) {
                let (a, b) = (a.as_f64(), b.as_f64());
                return Err(format!("output {i} at {at}: found {a}, expected {b}"));
            }
        }
    }
    Ok(())
}

/// A few units in the last place of the element, as sums and approximations lose them.
pub fn tolerance(elem: Elem) -> f64 {
    match elem {
        Elem::F64 => 1e-10,
        Elem::F32 => 1e-5,
        Elem::F16 => 4e-3,
        Elem::BF16 => 3e-2,
        Elem::I64 | Elem::I32 | Elem::I16 | Elem::I8 | Elem::I4 | Elem::I2 => 0.0,
        Elem::U64 | Elem::U32 | Elem::U16 | Elem::U8 | Elem::U4 | Elem::U2 => 0.0,
        Elem::Bool => 0.0,
    }
}

fn close(a: Num, b: Num, bound: f64) -> bool {
    match (a, b) {
        (Num::Int(a), Num::Int(b)) => a == b,
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= bound
        }
    }
}
