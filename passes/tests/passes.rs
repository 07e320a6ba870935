//! Every pass on every `tests/<pass>/*.lir`: its output is a snapshot, and the values stay.
//!
//! A file may begin with `// dims: N=4` (bindings), `// expand: nn.softplus` (what the target does
//! not have) and `// ranges: 1 3` (the interval of random inputs).

mod support;

use std::path::Path;

use lepid_ir::core::{PrintOptions, Resources, print_module};
use lepid_passes::core::{Pipeline, Values};
use support::{Input, all_inputs, outputs, worst_difference};

#[test]
fn outputs_are_as_recorded() {
    for input in all_inputs() {
        let after = input.run(&input.pass);
        let text = print_module(&after, &PrintOptions::default(), &mut Resources::default());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new("snapshots").join(&input.pass));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(input.name.as_str(), text));
    }
}

/// Passes that bring a module to one target's ops, which the interpreter does not run.
const LOWERING: &[&str] = &[
    "fuse-epilogues",
    "fuse-nests",
    "memory-plan",
    "nn-to-kernel",
];

#[test]
fn every_pass_keeps_values() {
    let passes = lepid_passes::registry();
    for input in all_inputs() {
        for pass in passes.iter().filter(|p| !LOWERING.contains(&p.name)) {
            check(&input, pass.name, pass.values);
        }
        // Passes meet what others leave.
        let all = "canonicalize,fold,fold-batch-norm,layout,canonicalize,cse,expand,fold,dead-ops";
        check(&input, all, Values::Within(1e-4));
    }
}

fn check(input: &Input, pipeline: &str, values: Values) {
    let bound = match values {
        Values::Exact => 0.0,
        Values::Within(bound) => bound,
    };
    let after = input.run(pipeline);
    for seed in 0..3 {
        let expected = outputs(&input.module, input, seed);
        let found = outputs(&after, input, seed);
        let worst = worst_difference(&expected, &found);
        assert!(
            worst <= bound,
            "{}/{}: `{pipeline}` moves values by {worst}, {bound} is allowed (seed {seed})",
            input.pass,
            input.name
        );
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let print = |m| print_module(&m, &PrintOptions::default(), &mut Resources::default());
    for input in all_inputs() {
        let once = print(input.run(&input.pass));
        let twice = print(input.run(&format!("{0},{0}", input.pass)));
        assert_eq!(once, twice, "{}/{}", input.pass, input.name);
    }
}

#[test]
fn pipelines_print_as_they_are_read() {
    let passes = lepid_passes::registry();
    let names: Vec<&str> = passes.iter().map(|p| p.name).collect();
    let text = names.join(",");
    let pipeline = Pipeline::parse(&text, &passes, &[]).unwrap();
    assert_eq!(pipeline.to_string(), text);
}
