//! What the pass does to whole modules, beyond the snapshots.

use lepid_ir::core::{Module, PrintOptions, Resources, print_module};
use lepid_ir::{dialects, text};

use super::{Options, Outcome, Report, Unproven, dump, optimize, prove, rules};
use crate::core::PassEnv;

fn parse(source: &str) -> Module {
    let (module, found) = text::parse(source, "test.lir", &dialects::registry(), None);
    assert!(found.is_empty(), "{}", found[0].message);
    module
}

fn print(module: &Module) -> String {
    print_module(module, &PrintOptions::default(), &mut Resources::default())
}

fn run(source: &str, options: &Options) -> (Module, Report) {
    let ops = dialects::registry();
    let mut module = parse(source);
    let report = optimize(&mut module, &PassEnv::generic(&ops), options);
    (
        module,
        report.unwrap_or_else(|found| panic!("{}", found[0].message)),
    )
}

/// Residual blocks, each with something to improve.
fn blocks(count: usize) -> String {
    let mut text = "func @f(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>) {\n".to_string();
    let mut last = "%x".to_string();
    for i in 0..count {
        text += &format!(
            "  %a{i} = tensor.transpose({last}) {{perm = [1, 0]}} : tensor<8x4xf32>
  %b{i} = tensor.exp(%a{i}) : tensor<8x4xf32>
  %c{i} = tensor.neg(%b{i}) : tensor<8x4xf32>
  %d{i} = tensor.transpose(%c{i}) {{perm = [1, 0]}} : tensor<4x8xf32>
  %e{i} = tensor.tanh(%d{i}) : tensor<4x8xf32>
  %f{i} = tensor.add(%e{i}, {last}) : tensor<4x8xf32>\n"
        );
        last = format!("%f{i}");
    }
    text + &format!("  return {last}\n}}\n")
}

#[test]
fn equal_blocks_are_saturated_once() {
    let options = Options {
        piece: 16,
        ..Options::default()
    };
    let (module, report) = run(&blocks(40), &options);
    let count: usize = report.pieces.iter().map(|p| p.count).sum();
    let ops: usize = report.pieces.iter().map(|p| p.count * p.ops).sum();
    assert_eq!(ops, 240);
    assert!(count >= 15, "{report}");
    assert!(report.pieces.len() <= 4, "{report}");
    assert!(!print(&module).contains("transpose"), "{}", print(&module));
}

#[test]
fn equal_inputs_give_equal_outputs() {
    let (one, first) = run(&blocks(9), &Options::default());
    let (two, second) = run(&blocks(9), &Options::default());
    assert_eq!(print(&one), print(&two));
    assert_eq!(first.to_string(), second.to_string());
}

#[test]
fn costs_never_rise() {
    // So few nodes that saturation stops in the middle.
    for nodes in [10, 40, 100, 1000] {
        let options = Options {
            nodes,
            ..Options::default()
        };
        let (_, report) = run(&blocks(3), &options);
        for piece in &report.pieces {
            assert!(piece.after <= piece.before, "{report}");
        }
    }
}

#[test]
fn without_rules_a_program_is_kept() {
    let options = Options {
        rules: Vec::new(),
        ..Options::default()
    };
    let (module, report) = run(&blocks(2), &options);
    assert_eq!(report.pieces[0].outcome, Outcome::Best);
    assert_eq!(print(&module), print(&parse(&blocks(2))));
}

/// A function of one op after another on `%x`, of which each is `(op, its result type)`.
fn chain(from: &str, steps: &[(&str, &str)]) -> String {
    let mut text = format!(
        "(%v0: tensor<{from}>) -> (tensor<{}>) {{\n",
        steps.last().unwrap().1
    );
    for (i, (op, ty)) in steps.iter().enumerate() {
        let operand = format!("%v{i}");
        text += &format!(
            "  %v{} = {} : tensor<{ty}>\n",
            i + 1,
            op.replace("%", &operand)
        );
    }
    format!("func @f{text}  return %v{}\n}}\n", steps.len())
}

fn is_kept(source: &str) -> bool {
    let (module, _) = run(source, &Options::default());
    print(&module) == print(&parse(source))
}

#[test]
fn casts_that_saturate_stay() {
    let casts = |from: &str, through: &str, to: &str| {
        let step = |elem: &str| {
            (
                format!("tensor.cast(%) {{to = {elem}}}"),
                format!("8x{elem}"),
            )
        };
        let (first, second) = (step(through), step(to));
        let steps = [(&*first.0, &*first.1), (&*second.0, &*second.1)];
        chain(&format!("8x{from}"), &steps)
    };
    // 200 is 127 by way of floats, and -56 without.
    assert!(is_kept(&casts("u8", "f32", "i8")));
    assert!(is_kept(&casts("i16", "f32", "i8")));
    assert!(is_kept(&casts("i8", "f32", "u16")));
    assert!(!is_kept(&casts("i8", "f32", "i16")));
    assert!(!is_kept(&casts("u8", "i16", "i8")));
    assert!(!is_kept(&casts("i16", "f32", "i1")));
}

#[test]
fn few_digits_do_not_requantise() {
    let round_trip = |float: &str| {
        let ty = format!("8x{float}");
        format!(
            "func @f(%q: tensor<8xi8>) -> (tensor<{ty}>) {{
  %c = core.constant() {{value = dense<{ty}>[0.3]}} : tensor<{ty}>
  %x = tensor.cast(%q) {{to = {float}}} : tensor<{ty}>
  %m = tensor.mul(%x, %c) : tensor<{ty}>
  %d = tensor.div(%m, %c) : tensor<{ty}>
  %r = tensor.round(%d) : tensor<{ty}>
  return %r
}}
"
        )
    };
    let rules = |float: &str| {
        let options = Options {
            rules: vec![rules::find("requantize").unwrap().1],
            ..Options::default()
        };
        print(&run(&round_trip(float), &options).0)
    };
    assert!(rules("bf16").contains("tensor.round"));
    assert!(!rules("f32").contains("tensor.round"));
}

#[test]
fn the_least_integer_has_no_absolute_value() {
    let relu = |elem: &str| {
        let ty = format!("8x{elem}");
        chain(&ty, &[("tensor.abs(%)", &ty), ("nn.relu(%)", &ty)])
    };
    assert!(is_kept(&relu("i8")));
    assert!(!is_kept(&relu("f32")));
}

#[test]
fn truth_values_fold_in_any_order() {
    for kind in ["any", "all"] {
        let reduce = |axis| format!("tensor.reduce(%) {{kind = \"{kind}\", axes = [{axis}]}}");
        let source = chain("4x5x6xi1", &[(&reduce(1), "4x6xi1"), (&reduce(1), "4xi1")]);
        assert!(!is_kept(&source), "{kind}");
    }
}

#[test]
fn plans_are_for_inputs_that_are_related_alike() {
    // The constants are too large to be compared; `%n` is the negative of the first.
    let zeros: Vec<String> = (0..600).map(|i| format!("{i}.0")).collect();
    let block = |x: &str, w: &str, i: usize| {
        format!(
            "  %a{i} = tensor.mul({x}, {w}) : tensor<600xf32>
  %b{i} = tensor.exp({x}) : tensor<600xf32>
  %m{i} = tensor.neg(%n) : tensor<600xf32>
  %c{i} = tensor.mul(%b{i}, %m{i}) : tensor<600xf32>
  %d{i} = tensor.add(%a{i}, %c{i}) : tensor<600xf32>\n"
        )
    };
    let dim =
        |v: &str, name: &str| format!("  {name} = tensor.dim({v}) {{axis = 0}} : tensor<i64>\n");
    let source = format!(
        "func @f(%x: tensor<600xf32>) -> (tensor<600xf32>, tensor<600xf32>) {{
  %w = core.constant() {{value = dense<600xf32>[{0}]}} : tensor<600xf32>
  %o = core.constant() {{value = dense<600xf32>[{0}]}} : tensor<600xf32>
  %n = tensor.neg(%w) : tensor<600xf32>
{1}{2}{3}{4}  return %d0, %d1
}}
",
        zeros.join(", "),
        dim("%n", "%e0"),
        block("%x", "%w", 0),
        dim("%d0", "%e1"),
        block("%x", "%o", 1),
    );
    let options = Options {
        rules: ["neg-neg", "factor-sum"]
            .iter()
            .map(|name| rules::find(name).unwrap().1)
            .collect(),
        ..Options::default()
    };
    let (module, report) = run(&source, &options);
    let text = print(&module);
    assert_eq!(text.matches("tensor.add").count(), 2, "{report}\n{text}");
    assert_eq!(text.matches("tensor.mul").count(), 3, "{report}\n{text}");
}

#[test]
fn the_smallest_pieces_end() {
    for piece in 0..4 {
        let options = Options {
            piece,
            ..Options::default()
        };
        let (_, report) = run(&blocks(3), &options);
        assert!(report.pieces.iter().all(|p| p.ops <= piece.max(1)));
    }
}

const SILU: &str = "func @f(%x: tensor<8xf32>) -> (tensor<8xf32>) {
  %y = nn.silu(%x) : tensor<8xf32>
  return %y
}
";
const GATED: &str = "func @f(%x: tensor<8xf32>) -> (tensor<8xf32>) {
  %one = core.constant() {value = dense<8xf32>[1.0]} : tensor<8xf32>
  %a = tensor.neg(%x) : tensor<8xf32>
  %b = tensor.exp(%a) : tensor<8xf32>
  %c = tensor.add(%b, %one) : tensor<8xf32>
  %d = tensor.div(%one, %c) : tensor<8xf32>
  %y = tensor.mul(%d, %x) : tensor<8xf32>
  return %y
}
";

fn proof(a: &str, b: &str) -> Result<Vec<String>, Unproven> {
    let (a, b) = (parse(a), parse(b));
    let func = |module: &Module| module.funcs().next().unwrap();
    let ops = dialects::registry();
    let proof = prove((&a, func(&a)), (&b, func(&b)), &Options::default(), &ops)?;
    let steps = proof.results.into_iter().flatten();
    Ok(steps.map(|s| s.rule).collect())
}

#[test]
fn proofs_name_the_rules() {
    assert_eq!(proof(GATED, SILU).unwrap(), ["sigmoid", "silu"]);
    assert_eq!(proof(SILU, GATED).unwrap(), ["silu", "sigmoid"]);
    assert_eq!(proof(SILU, SILU).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_not_equal_is_not_proved() {
    let relu = SILU.replace("silu", "relu");
    assert_eq!(proof(SILU, &relu), Err(Unproven::Different(vec![0])));
    let other = SILU.replace("8x", "9x");
    assert!(matches!(proof(SILU, &other), Err(Unproven::Signature(_))));
    let open = "func @f(%x: tensor<8xf32>) -> (tensor<8xf32>) {
  %n = core.constant() {value = dense<1xi64>[8]} : tensor<1xi64>
  %y = tensor.dyn_reshape(%x, %n) : tensor<8xf32>
  return %y
}
";
    let outside = Unproven::Outside("tensor.dyn_reshape");
    assert_eq!(proof(SILU, open), Err(outside));
}

#[test]
fn a_dump_has_all_nodes_and_the_roots() {
    let ops = dialects::registry();
    let env = PassEnv::generic(&ops);
    let text = dump(&parse(GATED), &env, &Options::default()).unwrap();
    for op in ["tensor.mul", "nn.sigmoid", "nn.silu", "%0"] {
        assert!(text.contains(&format!("\"op\": \"{op}\"")), "{text}");
    }
    assert!(text.contains("\"root_eclasses\": [\"g0."), "{text}");
}

#[test]
fn every_condition_and_function_is_used() {
    let texts: Vec<&str> = rules::all()
        .flat_map(|(_, r)| {
            [r.left, r.right]
                .into_iter()
                .chain(r.conditions.iter().copied())
        })
        .collect();
    for function in super::functions::all() {
        let call = format!("({} ", function.name);
        let used = texts.iter().any(|t| t.contains(&call));
        assert!(used, "no rule uses `{}`", function.name);
    }
}
