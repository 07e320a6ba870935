//! Finding and shrinking faults that are planted in a target of the test's own.

mod faulty;

use lepid::driver::Driver;
use lepid::driver::bisect::{Bisect, Culprit, Search};
use lepid::driver::compare::{Scale, Tolerance};
use lepid::driver::property::{Failure, Property, failure, with_seed};
use lepid::driver::trial::Trial;
use lepid::reduce::{self, Case};
use lepid_ir::core::{
    Code, Elem, Limits, Module, PrintOptions, Resources, Tensor, print_module, verify,
};
use lepid_ir::dialects::core::Func;
use lepid_ir::interp::random::Random;
use lepid_ir::text;
use lepid_passes::core::Silent;
use lepid_target_api::{CompileOptions, LoadOptions, Signature};

use faulty::{Fault, Faulty};

const TOLERANCE: Tolerance = Tolerance {
    relative: 1e-4,
    absolute: 0.0,
    scale: Scale::Largest,
};

/// Thirty ops: a chain with a subtraction and an exponential in it, beside another chain.
fn net() -> String {
    let ty = "tensor<6x5xf32>";
    let mut lines = vec![format!(
        "func @main(%x: {ty}, %z: {ty}) -> ({ty}, {ty}) attributes {{inputs = [\"x\", \"z\"], outputs = [\"p\", \"q\"]}} {{"
    )];
    lines.push(format!(
        "  %w = core.constant() {{value = dense<6x5xf32>[0.5]}} : {ty}"
    ));
    let mut chain = |name: &str, start: &str, special: &dyn Fn(usize) -> Option<&'static str>| {
        let mut before = start.to_string();
        for i in 0..15 {
            let op = match (special(i), i % 4) {
                (Some(op), _) => op,
                (None, 0) => "tensor.mul(IN, %w)",
                (None, 1) => "nn.relu(IN)",
                (None, 2) => "tensor.add(IN, %z)",
                (None, _) => "tensor.tanh(IN)",
            };
            let op = op.replace("IN", &before);
            lines.push(format!("  %{name}{i} = {op} : {ty}"));
            before = format!("%{name}{i}");
        }
        before
    };
    let p = chain("a", "%x", &|i| match i {
        5 => Some("tensor.sub(IN, %x)"),
        9 => Some("tensor.exp(IN)"),
        _ => None,
    });
    let q = chain("b", "%z", &|_| None);
    lines.push(format!("  return {p}, {q}\n}}\n"));
    lines.join("\n")
}

fn case(driver: &Driver, text: &str) -> Case {
    let (module, found) = text::parse(text, "net.lir", driver.ops(), None);
    assert!(found.is_empty(), "{}", found[0].message);
    let func = module.funcs().next().unwrap();
    let mut random = Random::new(1);
    let inputs = Signature::of(&module, func).inputs.into_iter();
    let inputs = inputs.map(|port| {
        let ty = port.ty.as_tensor().unwrap();
        random.tensor(ty.elem, &ty.known_dims().unwrap())
    });
    Case {
        inputs: inputs.collect(),
        func: Func::name(module.view(func)).to_string(),
        module,
    }
}

fn trial(driver: &Driver) -> Trial<'_> {
    Trial {
        driver,
        target: driver.targets().get("faulty").unwrap(),
        options: CompileOptions::default(),
        load: LoadOptions::default(),
        limits: Limits::default(),
    }
}

fn search(fault: Fault, every_pass: bool) -> Search {
    let driver = Driver::new().with_target(Faulty(fault));
    let case = case(&driver, &net());
    let bisect = Bisect {
        trial: &trial(&driver),
        inputs: &case.inputs,
        tolerance: TOLERANCE,
        every_pass,
        progress: &mut |_| {},
    }
    .run(&case.module, &mut Silent);
    bisect.unwrap_or_else(|found| panic!("{}", found[0].message))
}

#[test]
fn bisect_finds_the_pass() {
    for every_pass in [false, true] {
        let search = search(Fault::Pass, every_pass);
        let Culprit::Pass(at, found) = &search.culprit else {
            panic!("a pass is to blame");
        };
        assert_eq!(search.stages[*at].pass, "swap-sub");
        assert!(!found.agrees());
        let looked_at = search.checked.iter().flatten().count();
        assert!(!every_pass || looked_at == search.stages.len());
    }
}

#[test]
fn bisect_finds_the_rules_of_a_pass() {
    let search = search(Fault::Rules, false);
    let Culprit::Pass(at, _) = &search.culprit else {
        panic!("a pass is to blame");
    };
    assert_eq!(search.stages[*at].pass, "wrong-rules");
    let applied = &search.report.passes[*at].rules;
    assert!(applied.len() > 2, "{applied:?}");
    let blame = search.blame.unwrap();
    assert_eq!(blame.sets, [["abs-exp-to-nothing", "exp-to-abs"]]);
    assert_eq!(blame.without, "all -abs-exp-to-nothing -exp-to-abs");
    assert!(blame.right_without && !blame.unfinished);
}

#[test]
fn bisect_finds_the_op_whose_code_is_wrong() {
    let search = search(Fault::Code, false);
    let Culprit::Code(found, checks) = &search.culprit else {
        panic!("the code is to blame");
    };
    assert!(!found.agrees());
    let module = &search.stages.last().unwrap().module;
    let wrong: Vec<&str> = checks
        .iter()
        .filter(|c| c.mismatch(module).is_some())
        .map(|c| module.op_name(c.op))
        .collect();
    assert_eq!(wrong, ["tensor.exp"]);
    assert!(checks.len() > 20);
}

#[test]
fn bisect_blames_nobody_without_a_fault() {
    assert!(matches!(
        search(Fault::None, false).culprit,
        Culprit::Nobody
    ));
}

#[test]
fn bisect_says_in_which_pass_compiling_fails() {
    let driver = Driver::new().with_target(Faulty(Fault::Refusal));
    let case = case(&driver, &net());
    let search = Bisect {
        trial: &trial(&driver),
        inputs: &case.inputs,
        tolerance: TOLERANCE,
        every_pass: false,
        progress: &mut |_| {},
    }
    .run(&case.module, &mut Silent);
    let Err(found) = search else {
        panic!("compiling fails");
    };
    assert_eq!(found[0].code, Code::UNSUPPORTED_OP);
    let notes = found[0].notes.join("\n");
    assert!(notes.contains("found in pass `expand`"), "{notes}");
}

/// Shrinks the net under a fault; checks what must hold of every result.
fn shrink(fault: Fault, text: &str, property: &Property) -> (Case, reduce::Report) {
    let driver = Driver::new().with_target(Faulty(fault));
    let trial = trial(&driver);
    let run = || {
        let mut test = |case: &Case| property.holds(&trial, case).unwrap();
        reduce::reduce(case(&driver, text), 2000, &mut test, &mut |_, _| {})
    };
    let (small, report) = run();
    assert!(verify(&small.module).is_empty());
    assert!(property.holds(&trial, &small).unwrap());
    assert_eq!(
        printed(&small.module),
        printed(&run().0.module),
        "not the same twice"
    );
    (small, report)
}

fn printed(module: &Module) -> String {
    print_module(module, &PrintOptions::default(), &mut Resources::default())
}

#[test]
fn reduce_leaves_the_op_that_differs() {
    let (small, report) = shrink(Fault::Code, &net(), &Property::Differs(TOLERANCE));
    assert!(small.size() <= 1, "{}", printed(&small.module));
    assert!(printed(&small.module).contains("tensor.exp"));
    assert_eq!(small.inputs.len(), 1);
    assert_eq!(small.inputs[0].len(), 1, "{}", printed(&small.module));
    assert!(report.steps < 300 && !report.out_of_steps);
}

#[test]
fn reduce_keeps_what_a_fault_needs() {
    let (small, _) = shrink(Fault::Pass, &net(), &Property::Differs(TOLERANCE));
    assert!(small.size() <= 3, "{}", printed(&small.module));
    assert!(printed(&small.module).contains("tensor.sub"));
}

#[test]
fn reduce_keeps_the_failure_and_no_other() {
    for (fault, failed) in [
        (Fault::Refusal, Failure::Code(Code::UNSUPPORTED_OP)),
        (Fault::Panic, Failure::Panic),
    ] {
        let driver = Driver::new().with_target(Faulty(fault));
        let whole = case(&driver, &net());
        assert_eq!(failure(&trial(&driver), &whole), Some(failed.clone()));
        let (small, _) = shrink(fault, &net(), &Property::Fails(failed));
        assert_eq!(small.size(), 1, "{}", printed(&small.module));
        assert!(printed(&small.module).contains("tensor.exp"));
    }
}

#[test]
fn reduce_looks_into_regions() {
    let net = "\
func @main(%c: tensor<i1>, %x: tensor<4xf32>) -> (tensor<4xf32>) {
  %a = tensor.neg(%x) : tensor<4xf32>
  %y = tensor.if(%c) : tensor<4xf32> {
    %t = tensor.tanh(%a) : tensor<4xf32>
    %e = tensor.exp(%t) : tensor<4xf32>
    %f = tensor.abs(%e) : tensor<4xf32>
    core.yield(%f)
  } {
    %g = tensor.exp(%a) : tensor<4xf32>
    core.yield(%g)
  }
  %z = nn.relu(%y) : tensor<4xf32>
  return %z
}
";
    let failed = Failure::Code(Code::UNSUPPORTED_OP);
    let (small, _) = shrink(Fault::Refusal, net, &Property::Fails(failed));
    let text = printed(&small.module);
    assert!(small.size() <= 2 && text.contains("tensor.exp"), "{text}");
}

#[test]
fn reduce_stops_at_its_bound() {
    let driver = Driver::new().with_target(Faulty(Fault::Code));
    let trial = trial(&driver);
    let mut test = |case: &Case| Property::Differs(TOLERANCE).holds(&trial, case).unwrap();
    let whole = case(&driver, &net());
    let before = whole.size();
    let (small, report) = reduce::reduce(whole, 3, &mut test, &mut |_, _| {});
    assert!(report.out_of_steps && report.steps == 3);
    assert!(small.size() < before && test(&small));
}

#[test]
fn seeded_inputs_replace_those_that_do_not_matter() {
    let driver = Driver::new().with_target(Faulty(Fault::Code));
    let trial = trial(&driver);
    let mut whole = case(&driver, &net());
    let property = Property::Differs(TOLERANCE);
    let before = whole.inputs.clone();
    assert!(with_seed(&trial, &property, &mut whole, 7).unwrap());
    assert_ne!(whole.inputs, before);
    // Where only one value shows the fault, the inputs stay.
    let never = Property::Differs(Tolerance {
        relative: 1e9,
        absolute: 0.0,
        scale: Scale::Largest,
    });
    let mut kept = case(&driver, &net());
    kept.inputs[0] = Tensor::splat(Elem::F32, &[6, 5], lepid_ir::core::Num::Int(2));
    let inputs = kept.inputs.clone();
    assert!(!with_seed(&trial, &never, &mut kept, 7).unwrap());
    assert_eq!(kept.inputs, inputs);
}
