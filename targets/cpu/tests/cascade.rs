//! Cascades: a sample leaves where the interpreter says, and has the same bits whatever the batch and
//! the number of threads.

mod support;

use std::fmt::Write;

use lepid_ir::core::{Elem, Module, Num, Tensor};
use lepid_ir::dialects::adapt::policies::{self, Kept, Policy};
use lepid_ir::dialects::core::Func;
use lepid_ir::interp::{self, random::Random};
use lepid_ir::{dialects, text};
use lepid_target_api::{CompileOptions, Executable, LoadOptions, Package, Target};
use lepid_target_cpu::Cpu;

use support::layers::opened;
use support::sample;

const CLASSES: usize = 5;
const SIDE: usize = 8;
const CHANNELS: usize = 6;
const STAGES: usize = 3;
const MOST: u64 = 6;

/// Three stages of convolutions with a head behind each, as text.
fn network(n: usize, policy: &Policy, fallback: &str) -> Module {
    let mut random = Random::new(11);
    let mut out = String::new();
    let image = format!("tensor<{n}x{CHANNELS}x{SIDE}x{SIDE}xf32>");
    let emitted = match policy.name {
        "pixels" => format!("tensor<{n}x{CLASSES}x{SIDE}x{SIDE}xf32>"),
        _ => format!("tensor<{n}x{CLASSES}xf32>"),
    };
    let kept = policy.kept.iter().map(|kept| match kept {
        Kept::Class | Kept::Count => format!("tensor<{n}xi64>"),
        Kept::Outputs => emitted.clone(),
    });
    let kept: Vec<String> = kept.collect();
    let numbers: Vec<String> = (0..policy.numbers.len())
        .map(|i| format!("%t{i}"))
        .collect();
    let args: String = numbers
        .iter()
        .map(|t| format!(", {t}: tensor<f32>"))
        .collect();
    let exit = format!("tensor<{n}xi32>");
    writeln!(
        out,
        "func @main(%x: {image}{args}) -> ({emitted}, {exit}) {{"
    )
    .unwrap();
    let mut constant = |out: &mut String, name: &str, shape: &[usize], scale: f64| {
        let values = random.tensor(Elem::F32, shape).map(|x| scale * x);
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        let ty = format!("{}xf32", dims.join("x"));
        let values = format!("{:?}", values.to_f64s());
        writeln!(
            out,
            "  %{name} = core.constant() {{value = dense<{ty}>{values}}} : tensor<{ty}>"
        )
        .unwrap();
    };
    let (classifier, scale) = match policy.name {
        "pixels" => (vec![CLASSES, CHANNELS, 1, 1], 1.5),
        _ => (vec![CHANNELS, CLASSES], 0.06),
    };
    for stage in 0..STAGES {
        constant(
            &mut out,
            &format!("w{stage}"),
            &[CHANNELS, CHANNELS, 3, 3],
            0.35,
        );
    }
    constant(&mut out, "v", &classifier, scale);
    write!(
        out,
        "  %y, %exit = adapt.cascade(%x) {{fallback = \"{fallback}\"}} : {emitted}, {exit}"
    )
    .unwrap();
    for stage in 0..STAGES {
        let names = |prefix: &str| -> Vec<String> {
            (0..kept.len()).map(|i| format!("%{prefix}{i}")).collect()
        };
        let before = if stage == 0 { Vec::new() } else { names("k") };
        let args: String = before
            .iter()
            .zip(&kept)
            .map(|(k, ty)| format!(", {k}: {ty}"))
            .collect();
        writeln!(out, " {{\n  ^(%h: {image}{args}):").unwrap();
        let window = "layout = \"nchw\", stride = [1, 1], dilation = [1, 1]";
        writeln!(
            out,
            "    %c = nn.conv(%h, %w{stage}) {{{window}, pad = [1, 1, 1, 1]}} : {image}\n    \
             %a = nn.relu(%c) : {image}"
        )
        .unwrap();
        match policy.name {
            "pixels" => writeln!(
                out,
                "    %z = nn.conv(%a, %v) {{{window}, pad = [0, 0, 0, 0]}} : {emitted}"
            ),
            _ => writeln!(
                out,
                "    %s = tensor.reduce(%a) {{kind = \"sum\", axes = [2, 3]}} : \
                 tensor<{n}x{CHANNELS}xf32>\n    %z = nn.linear(%s, %v) : {emitted}"
            ),
        }
        .unwrap();
        let operands = ["%z".to_string()]
            .into_iter()
            .chain(numbers.iter().cloned())
            .chain(before);
        let operands: Vec<String> = operands.collect();
        let results: Vec<String> = ["%go".to_string(), "%score".to_string()]
            .into_iter()
            .chain(names("n"))
            .collect();
        let types: String = kept.iter().map(|ty| format!(", {ty}")).collect();
        writeln!(
            out,
            "    {} = adapt.decide({}) {{policy = \"{}\", last = 3, weight = {:?}, horizon = 8.0}} : \
             tensor<{n}xi1>, tensor<{n}xf32>{types}",
            results.join(", "),
            operands.join(", "),
            policy.name,
            1.0 / (stage + 1) as f64
        )
        .unwrap();
        let kept: String = names("n").iter().map(|k| format!(", {k}")).collect();
        match (stage + 1 == STAGES, fallback) {
            (false, _) => writeln!(out, "    adapt.leave(%go, %score, %z, %a{kept})"),
            (true, "last") => writeln!(out, "    adapt.emit(%z)"),
            (true, _) => writeln!(out, "    adapt.emit(%score, %z)"),
        }
        .unwrap();
        write!(out, "  }}").unwrap();
    }
    write!(out, "\n  return %y, %exit\n}}\n").unwrap();
    let (module, problems) = text::parse(&out, "network.lir", &dialects::registry(), None);
    assert!(problems.is_empty(), "{problems:?}\n{out}");
    module
}

/// Some settings of a policy's numbers, under which samples leave by all exits.
fn numbers(policy: &Policy) -> Vec<Vec<f64>> {
    let list: &[&[f64]] = match policy.name {
        "entropy" => &[&[0.1], &[0.6], &[2.0]],
        "patience" => &[&[0.0], &[1.0], &[2.0]],
        "pixels" => &[&[0.5, 0.5], &[0.6, 0.4], &[0.3, 0.9]],
        "decaying" => &[&[0.2, 1.0], &[0.6, 3.0], &[0.9, 20.0]],
        "deadline" => &[&[1.0, 1.0, 3.0], &[1.0, 1.0, 1.5]],
        _ => &[&[0.4], &[0.7], &[0.9]],
    };
    list.iter().map(|numbers| numbers.to_vec()).collect()
}

fn inputs(n: usize, numbers: &[f64], seed: u64) -> Vec<Tensor> {
    let mut random = Random::new(seed);
    let image = random.tensor(Elem::F32, &[n, CHANNELS, SIDE, SIDE]);
    let numbers = numbers
        .iter()
        .map(|&t| Tensor::scalar(Elem::F32, Num::Float(t)));
    [image.map(|x| 0.4 * x)]
        .into_iter()
        .chain(numbers)
        .collect()
}

fn session(package: &Package, threads: usize) -> Box<dyn Executable> {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    Cpu.load(package, &options).unwrap()
}

fn close(found: &Tensor, wanted: &Tensor) -> bool {
    let pairs = found.to_f64s().into_iter().zip(wanted.to_f64s());
    let far = |(a, b): (f64, f64)| (a - b).abs() > 1e-4 * b.abs().max(1.0);
    found.shape() == wanted.shape() && !pairs.into_iter().any(far)
}

fn interpreted(module: &Module, given: &[Tensor]) -> Vec<Tensor> {
    let func = Func::find(module, "main").unwrap();
    interp::run(module, func, given).unwrap()
}

#[test]
fn samples_leave_where_the_interpreter_says_whatever_the_batch() {
    let last = policies::ALL.iter().map(|policy| (*policy, "last"));
    let best = ["top1", "entropy", "ensemble"].map(|name| policies::policy(name).unwrap());
    let best = best.into_iter().map(|policy| (policy, "most-confident"));
    for (policy, fallback) in last.chain(best) {
        let model = |n| network(n, policy, fallback);
        let package = support::package(&opened(model, MOST).unwrap(), &CompileOptions::default());
        let rows = package.signature.batch.clone().unwrap();
        let mut sessions = [session(&package, 1), session(&package, 3)];
        let mut seen = [0; STAGES];
        for (seed, numbers) in numbers(policy).iter().enumerate() {
            for n in 1..=33 {
                let given = inputs(n, numbers, 100 * n as u64 + seed as u64);
                let found = sessions[0].run(&given).unwrap();
                let at = format!("{} {fallback}, {numbers:?}, {n} samples", policy.name);
                assert!(sessions[1].run(&given).unwrap() == found, "{at}");
                for i in 0..n {
                    let alone = sessions[1]
                        .run(&sample(&given, i, n, &rows.inputs))
                        .unwrap();
                    assert!(alone == sample(&found, i, n, &rows.outputs), "{i}: {at}");
                }
                let exits = found[1].to_i64s();
                exits.iter().for_each(|&exit| seen[exit as usize] += 1);
                if [1, 6, 13].contains(&n) {
                    let wanted = interpreted(&model(n), &given);
                    assert!(close(&found[0], &wanted[0]), "{at}");
                    assert_eq!(exits, wanted[1].to_i64s(), "{at}");
                }
            }
        }
        let all = match policy.name {
            "deadline" => [0, STAGES - 1].to_vec(),
            // At the first exit there is nothing that could be the same.
            "patience" => vec![1, STAGES - 1],
            _ => (0..STAGES).collect(),
        };
        let some = all.iter().all(|&exit| seen[exit] > 0);
        assert!(some, "{} {fallback}: {seen:?}", policy.name);
    }
}

#[test]
fn rows_that_stay_where_they_are_give_the_same() {
    let policy = policies::policy("top1").unwrap();
    for fallback in ["last", "most-confident"] {
        let module = opened(|n| network(n, policy, fallback), 16).unwrap();
        let package = |compaction: &str| {
            let mut options = CompileOptions::default();
            let values = &mut options.target.values;
            values.insert("compaction".to_string(), compaction.to_string());
            support::package(&module, &options)
        };
        let [mut together, mut apart] = ["auto", "off"].map(|c| session(&package(c), 2));
        for n in [1, 2, 7, 16, 40] {
            let given = inputs(n, &[0.7], n as u64);
            let found = together.run(&given).unwrap();
            assert!(
                apart.run(&given).unwrap() == found,
                "{fallback}, {n} samples"
            );
        }
    }
}

#[test]
fn one_sample_is_a_branch() {
    let policy = policies::policy("top1").unwrap();
    let module = network(1, policy, "last");
    let package = support::package(&module, &CompileOptions::default());
    let mut session = session(&package, 2);
    let mut seen = [0; STAGES];
    for seed in 0..40 {
        let given = inputs(1, &[[0.4, 0.7, 0.95][seed as usize % 3]], seed);
        let (found, wanted) = (session.run(&given).unwrap(), interpreted(&module, &given));
        assert!(close(&found[0], &wanted[0]));
        assert_eq!(found[1], wanted[1]);
        seen[found[1].to_i64s()[0] as usize] += 1;
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn cascades_may_follow_each_other_but_not_interleave() {
    let gate = |name: &str, value: &str| {
        format!(
            "%e{name}, %t{name}, %h{name} = adapt.gate(%go, %none, {value}, {value}, %x) {{stage = 0, emits = 1}} : tensor<1xi32>, tensor<1x4xf32>, tensor<1x4xf32>\n"
        )
    };
    let join = |name: &str| {
        format!(
            "%z{name} = nn.relu(%h{name}) : tensor<1x4xf32>\n%f{name}, %y{name} = adapt.join(%e{name}, %t{name}, %z{name}) {{stage = 1, emits = 1}} : tensor<1xi32>, tensor<1x4xf32>\n"
        )
    };
    let compiled = |steps: [String; 4]| {
        let source = format!(
            "func @main(%x: tensor<1x4xf32>, %go: tensor<1xi1>) -> (tensor<1x4xf32>, tensor<1x4xf32>) {{
               %none = core.constant() {{value = dense<1xi32>[-1]}} : tensor<1xi32>
               %a = tensor.neg(%x) : tensor<1x4xf32>
               {}
               return %ya, %yb
             }}",
            steps.concat()
        );
        let (module, problems) = text::parse(&source, "gates.lir", &dialects::registry(), None);
        assert!(problems.is_empty(), "{problems:?}");
        (
            support::try_package(&module, &CompileOptions::default()),
            module,
        )
    };
    let (package, module) = compiled([gate("a", "%a"), join("a"), gate("b", "%x"), join("b")]);
    let package = package.unwrap();
    for go in [0, 1] {
        let go = Tensor::from_nums(Elem::Bool, [1], [Num::Int(go)]);
        let given = [Random::new(1).tensor(Elem::F32, &[1, 4]), go];
        assert_eq!(
            session(&package, 1).run(&given).unwrap(),
            interpreted(&module, &given)
        );
    }
    let (package, _) = compiled([gate("a", "%a"), gate("b", "%x"), join("a"), join("b")]);
    let errors = package.err().unwrap();
    assert!(errors[0].message.contains("another cascade"), "{errors:?}");
}

#[test]
fn a_fixed_batch_computes_all_rows() {
    let policy = policies::policy("margin").unwrap();
    let module = network(4, policy, "most-confident");
    let package = support::package(&module, &CompileOptions::default());
    let given = inputs(4, &[0.5], 3);
    let (found, wanted) = (
        session(&package, 2).run(&given).unwrap(),
        interpreted(&module, &given),
    );
    assert!(close(&found[0], &wanted[0]));
    assert_eq!(found[1], wanted[1]);
}
