//! States that stay in a session change from step to step as the interpreter changes them when each
//! result is fed back as an argument, in place wherever that can be.

mod support;

use lepid_ir::core::{Attr, Builder, Dim, Elem, Module, Op, Tensor, Type, Value};
use lepid_ir::dialects;
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};
use lepid_ir::interp;
use lepid_ir::interp::random::Random;
use lepid_passes::transform::memory_plan::values;
use lepid_passes::transform::states::{Update, states};
use lepid_target_api::{
    CompileOptions, Executable, LoadOptions, Package, Target, TensorView, TensorViewMut,
};
use lepid_target_cpu::Cpu;

fn parse(text: &str) -> (Module, Op) {
    let (module, found) = lepid_ir::text::parse(text, "step.lir", &dialects::registry(), None);
    assert!(found.is_empty(), "{}", found[0].message);
    let func = module.funcs().next().unwrap();
    (module, func)
}

fn view(tensor: &Tensor) -> TensorView<'_> {
    TensorView::raw(tensor.elem(), tensor.shape(), tensor.bytes()).unwrap()
}

fn session(package: &Package, threads: usize) -> Box<dyn Executable> {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    Cpu.load(package, &options).unwrap()
}

/// Why each state of a compiled function is not changed in place; `None` for what is.
fn reasons(package: &Package) -> Vec<Option<String>> {
    let module = &package.module;
    let func = module.funcs().next().unwrap();
    let states = states(module, func).into_iter();
    states
        .map(|state| match state.update {
            Update::InPlace(_) => None,
            Update::Apart(reason) => Some(reason),
        })
        .collect()
}

/// What the ports of a step are in the interpreter: the states stand among them.
struct Meant<'m> {
    module: &'m Module,
    func: Op,
    states: Vec<Tensor>,
}

impl Meant<'_> {
    fn step(&mut self, ports: &[Tensor]) -> Vec<Tensor> {
        let pairs = Func::state_pairs(self.module.view(self.func));
        let mut ports = ports.iter().cloned();
        let count = Func::args(self.module.view(self.func)).len();
        let all: Vec<Tensor> = (0..count)
            .map(|i| match pairs.iter().position(|p| p.0 == i) {
                Some(state) => self.states[state].clone(),
                None => ports.next().unwrap(),
            })
            .collect();
        let results = interp::run(self.module, self.func, &all).unwrap();
        let mut outputs = Vec::new();
        for (i, result) in results.into_iter().enumerate() {
            match pairs.iter().position(|p| p.1 == i) {
                Some(state) => self.states[state] = result,
                None => outputs.push(result),
            }
        }
        outputs
    }
}

fn close(found: &Tensor, meant: &Tensor, what: &str) {
    assert_eq!(found.ty(), meant.ty(), "{what}");
    for (f, m) in found.to_f64s().into_iter().zip(meant.to_f64s()) {
        assert!((f - m).abs() <= 1e-4 * m.abs().max(1.0), "{what}: {f} {m}");
    }
}

/// Runs steps on sessions of several numbers of threads beside the interpreter, from states of random
/// values; `index` gives the integers of a step. The package is what was run.
fn check(text: &str, steps: usize, index: impl Fn(usize) -> i64) -> Package {
    check_module(&parse(text).0, steps, index)
}

fn check_module(module: &Module, steps: usize, index: impl Fn(usize) -> i64) -> Package {
    check_named(module, "", steps, index)
}

fn check_named(module: &Module, name: &str, steps: usize, index: impl Fn(usize) -> i64) -> Package {
    let func = module.funcs().next().unwrap();
    let package = support::package(module, &CompileOptions::default());
    let signature = package.signature.clone();
    for threads in [1, 3] {
        let mut random = Random::new(7);
        let mut session = session(&package, threads);
        let types = signature.states.iter().map(|s| s.ty.as_tensor().unwrap());
        let begin: Vec<Tensor> = types
            .map(|ty| random.tensor(ty.elem, &ty.known_dims().unwrap()))
            .collect();
        for (i, tensor) in begin.iter().enumerate() {
            session.set_state(i, &view(tensor)).unwrap();
        }
        let mut meant = Meant {
            module,
            func,
            states: begin,
        };
        for step in 0..steps {
            let ports = signature.inputs.iter().map(|p| p.ty.as_tensor().unwrap());
            let inputs: Vec<Tensor> = ports
                .map(|ty| match ty.elem {
                    Elem::I64 => {
                        let dims = ty.known_dims().unwrap();
                        let all = vec![index(step); dims.iter().product()];
                        Tensor::from_i64s(all).reshaped(dims)
                    }
                    elem => random.tensor(elem, &ty.known_dims().unwrap()),
                })
                .collect();
            let expected = meant.step(&inputs);
            // By both ways of running in turn.
            let found = match step % 2 {
                0 => session.run(&inputs).unwrap(),
                _ => run_into(session.as_mut(), &inputs, &expected),
            };
            assert_eq!(found.len(), expected.len());
            for (found, meant) in found.iter().zip(&expected) {
                close(found, meant, &format!("{name}step {step}"));
            }
            for (i, meant) in meant.states.iter().enumerate() {
                let found = session.state(i).unwrap();
                close(&found, meant, &format!("{name}step {step}, state {i}"));
            }
        }
        session.reset_states();
        for i in 0..signature.states.len() {
            let state = session.state(i).unwrap();
            assert!(state.to_f64s().iter().all(|&x| x == 0.0));
        }
    }
    package
}

fn run_into(session: &mut dyn Executable, inputs: &[Tensor], like: &[Tensor]) -> Vec<Tensor> {
    let views: Vec<TensorView<'_>> = inputs.iter().map(view).collect();
    let mut rooms: Vec<Vec<u8>> = like.iter().map(|t| vec![0; t.bytes().len()]).collect();
    let mut outputs: Vec<TensorViewMut<'_>> = rooms
        .iter_mut()
        .zip(like)
        .map(|(room, t)| TensorViewMut::raw(t.elem(), t.shape(), room).unwrap())
        .collect();
    session.run_into(&views, &mut outputs).unwrap();
    rooms
        .into_iter()
        .zip(like)
        .map(|(room, t)| {
            Tensor::new(
                t.elem(),
                t.shape().to_vec(),
                lepid_ir::core::Bytes::from_vec(room),
            )
        })
        .collect()
}

/// Rows at one place of the second axis, written by coordinates.
fn cache(rows: usize, room: usize, width: usize, more: &str, results: &str) -> String {
    let (state, new) = (
        format!("tensor<{rows}x{room}x{width}xf32>"),
        format!("tensor<{rows}x1x{width}xf32>"),
    );
    let places = format!("tensor<{rows}x1x1xi64>");
    let both = format!("tensor<{rows}x1x2xi64>");
    let types = match results.contains("%z") {
        true => format!("{state}, {state}"),
        false => state.clone(),
    };
    format!(
        "func @main(%past: {state}, %rows: {new}, %at: {places}) -> ({types}) attributes {{states = [0, 0]}} {{
  %row = tensor.iota() {{axis = 0, to = i64, shape = [{rows}, 1, 1]}} : {places}
  %i = tensor.concat(%row, %at) {{axis = 2}} : {both}
  %y = tensor.scatter_nd(%past, %i, %rows) : {state}
{more}  return {results}
}}"
    )
}

#[test]
fn rows_are_written_where_the_state_lies() {
    for (rows, room, width) in [(1, 4, 3), (3, 5, 1), (16, 40, 64), (2, 600, 33)] {
        let package = check(&cache(rows, room, width, "", "%y"), 5, |step| step as i64);
        assert_eq!(reasons(&package), [None]);
        // Neither in the arena nor anywhere else: what is returned is the state's own memory.
        let module = &package.module;
        let func = module.funcs().next().unwrap();
        let result = Func::returned(module.view(func))[0];
        let plan = values(module, func).into_iter();
        let slot = plan
            .zip(Func::slots(module.view(func)))
            .find(|(v, _)| *v == result);
        assert_eq!(slot.map(|(_, slot)| slot), Some(-1));
        let state_bytes = (4 * rows * room * width) as i64;
        assert!(Func::arena_bytes(module.view(func)) < state_bytes.max(1024));
    }
}

#[test]
fn places_out_of_range_change_nothing() {
    let package = check(&cache(2, 4, 3, "", "%y"), 9, |step| step as i64 - 2);
    assert_eq!(reasons(&package), [None]);
}

#[test]
fn a_state_may_be_read_after_its_update() {
    let more = "  %z = tensor.neg(%y) : tensor<3x8x4xf32>\n";
    let package = check(&cache(3, 8, 4, more, "%y, %z"), 6, |step| step as i64);
    assert_eq!(reasons(&package), [None]);
}

#[test]
fn a_state_that_is_an_output_too_is_copied_there() {
    let text = cache(3, 8, 4, "", "%y, %y").replace(
        "-> (tensor<3x8x4xf32>)",
        "-> (tensor<3x8x4xf32>, tensor<3x8x4xf32>)",
    );
    let package = check(&text, 6, |step| step as i64);
    assert_eq!(reasons(&package), [None]);
}

#[test]
fn what_is_read_after_the_update_stays() {
    let more = "  %z = tensor.neg(%past) : tensor<3x8x4xf32>\n";
    let package = check(&cache(3, 8, 4, more, "%y, %z"), 6, |step| step as i64);
    let reason = reasons(&package)[0].clone().unwrap();
    assert!(reason.contains("is read after the update"), "{reason}");
    let text = cache(3, 8, 4, "", "%y, %past").replace(
        "-> (tensor<3x8x4xf32>)",
        "-> (tensor<3x8x4xf32>, tensor<3x8x4xf32>)",
    );
    let package = check(&text, 6, |step| step as i64);
    let reason = reasons(&package)[0].clone().unwrap();
    assert!(reason.contains("is a result, too"), "{reason}");
}

#[test]
fn an_update_from_the_state_itself_goes_elsewhere() {
    // Each element moves one place on: what is read must be what was there before the step.
    let text = "func @main(%past: tensor<6xf32>, %at: tensor<6x1xi64>) -> (tensor<6xf32>) attributes {states = [0, 0]} {
  %i = tensor.iota() {axis = 0, to = i64, shape = [6, 1]} : tensor<6x1xi64>
  %j = tensor.add(%i, %at) : tensor<6x1xi64>
  %y = tensor.scatter_nd(%past, %j, %past) : tensor<6xf32>
  return %y
}";
    let package = check(text, 4, |_| 1);
    let reason = reasons(&package)[0].clone().unwrap();
    assert!(reason.contains("read from it"), "{reason}");
}

#[test]
fn updates_one_after_the_other_and_views_are_in_place() {
    let text = "func @main(%past: tensor<1x4x6xf32>, %a: tensor<1x6xf32>, %at: tensor<1x1xi64>, %b: tensor<2x1x3xf32>, %places: tensor<2x1x3xi64>) -> (tensor<1x4x6xf32>) attributes {states = [0, 0]} {
  %flat = tensor.reshape(%past) {shape = [4, 6]} : tensor<4x6xf32>
  %one = tensor.scatter_nd(%flat, %at, %a) : tensor<4x6xf32>
  %split = tensor.reshape(%one) {shape = [2, 4, 3]} : tensor<2x4x3xf32>
  %two = tensor.scatter_elements(%split, %places, %b) {axis = 1, kind = \"add\"} : tensor<2x4x3xf32>
  %y = tensor.reshape(%two) {shape = [1, 4, 6]} : tensor<1x4x6xf32>
  return %y
}";
    let package = check(text, 6, |step| step as i64 % 4);
    assert_eq!(reasons(&package), [None]);
    // A value between the updates that is needed later is not overwritten.
    let text = text
        .replace(
            "tensor<2x1x3xi64>) -> (",
            "tensor<2x1x3xi64>) -> (tensor<4x6xf32>, ",
        )
        .replace("states = [0, 0]", "states = [0, 1]")
        .replace(
            "return %y",
            "%z = tensor.neg(%one) : tensor<4x6xf32>\n  return %z, %y",
        );
    let package = check(&text, 6, |step| step as i64 % 4);
    assert!(reasons(&package)[0].is_some());
}

#[test]
fn two_states_may_change_places() {
    let text = "func @main(%a: tensor<5xf32>, %x: tensor<5xf32>, %b: tensor<5xf32>) -> (tensor<5xf32>, tensor<5xf32>, tensor<5xf32>) attributes {states = [0, 0, 2, 2]} {
  %y = tensor.add(%a, %x) : tensor<5xf32>
  return %b, %y, %a
}";
    let package = check(text, 5, |_| 0);
    assert!(reasons(&package).iter().all(Option::is_some));
}

#[test]
fn what_is_no_scatter_is_computed_apart() {
    let text = "func @main(%x: tensor<5xf32>, %sum: tensor<5xf32>, %still: tensor<2xf32>) -> (tensor<5xf32>, tensor<2xf32>, tensor<2xf32>) attributes {states = [1, 0, 2, 1]} {
  %y = tensor.add(%sum, %x) : tensor<5xf32>
  %z = tensor.neg(%still) : tensor<2xf32>
  return %y, %still, %z
}";
    let package = check(text, 5, |_| 0);
    let reasons = reasons(&package);
    // The second never changes.
    assert!(reasons[0].is_some() && reasons[1].is_none(), "{reasons:?}");
}

#[test]
fn a_scatter_that_may_not_run_is_done_apart() {
    let text = "func @main(%past: tensor<4x2xf32>, %at: tensor<1x1xi64>, %row: tensor<1x2xf32>) -> (tensor<4x2xf32>) attributes {states = [0, 0]} {
  %i = tensor.reshape(%at) {shape = []} : tensor<i64>
  %two = core.constant() {value = dense<i64>[2]} : tensor<i64>
  %c = tensor.compare(%i, %two) {direction = \"lt\"} : tensor<i1>
  %y = tensor.if(%c) : tensor<4x2xf32> {
    %s = tensor.scatter_nd(%past, %at, %row) : tensor<4x2xf32>
    core.yield(%s)
  } {
    core.yield(%past)
  }
  return %y
}";
    let package = check(text, 5, |step| step as i64);
    assert!(reasons(&package)[0].is_some());
}

#[test]
fn a_state_of_another_type_is_refused() {
    let (module, _) = parse(&cache(2, 4, 3, "", "%y"));
    let package = support::package(&module, &CompileOptions::default());
    let mut session = session(&package, 1);
    let wrong = Tensor::zeros(Elem::F32, &[2, 4, 4]);
    assert!(session.set_state(0, &view(&wrong)).is_err());
    assert!(session.set_state(1, &view(&wrong)).is_err());
    assert!(session.state(1).is_err());
}

/// One layer of a decoder: the new row of keys and values goes into caches, and attention sees those
/// up to its place.
fn decoder(random: &mut Random, [heads, room, features]: [usize; 3]) -> Module {
    let width = heads * features;
    let cache = [1, heads, room, features];
    let types = [
        Type::known_tensor(Elem::F32, &[1, width]),
        Type::known_tensor(Elem::F32, &cache),
        Type::known_tensor(Elem::I64, &[1]),
        Type::known_tensor(Elem::F32, &cache),
    ];
    let mut module = Module::new();
    let func = Func::create(&mut module, "main", &types, &[]).unwrap();
    let block = Func::block(module.view(func));
    let args = module.block_args(block).to_vec();
    let [x, keys, at, values] = args[..] else {
        panic!("four arguments");
    };
    let mut b = Builder::at_end(&mut module, block);
    let b = &mut b;
    let mut project = |b: &mut Builder<'_>, x: Value| {
        let weights = constant(b, random.tensor(Elem::F32, &[width, width])).unwrap();
        b.one(&nn::Linear, &[x, weights], &[]).unwrap()
    };
    let known = |dims: &[usize]| {
        dims.iter()
            .map(|&n| (n as u64).into())
            .collect::<Vec<Dim>>()
    };
    let row = known(&[1, heads, 1, features]);
    let mut rows = Vec::new();
    for _ in 0..3 {
        let y = project(b, x);
        rows.push(build::reshape(b, y, &row).unwrap());
    }
    let one = known(&[1, heads, 1, 1]);
    let batch = build::iota(b, &one, 0, Elem::I64).unwrap();
    let head = build::iota(b, &one, 1, Elem::I64).unwrap();
    let place = build::reshape(b, at, &known(&[1, 1, 1, 1])).unwrap();
    let there = build::binary(b, &tensor::Add, batch, place).unwrap();
    let places = build::concat(b, &[batch, head, there], 3).unwrap();
    let keys = b
        .one(&tensor::ScatterNd, &[keys, places, rows[1]], &[])
        .unwrap();
    let values = b
        .one(&tensor::ScatterNd, &[values, places, rows[2]], &[])
        .unwrap();
    let seen = build::iota(b, &known(&[1, 1, 1, room]), 3, Elem::I64).unwrap();
    let seen = build::compare(b, "le", seen, place).unwrap();
    let (shown, hidden) = (
        build::scalar(b, Elem::F32, 0.0).unwrap(),
        build::scalar(b, Elem::F32, -1e9).unwrap(),
    );
    let mask = build::select(b, seen, shown, hidden).unwrap();
    let y = b
        .one(&nn::Attention, &[rows[0], keys, values, mask], &[])
        .unwrap();
    let y = build::reshape(b, y, &known(&[1, width])).unwrap();
    let y = project(b, y);
    Return::build(b, &[keys, y, values], &[]).unwrap();
    module.set_attr(func, "states", vec![1i64, 0, 3, 2].into());
    assert!(lepid_ir::core::verify(&module).is_empty());
    module
}

#[test]
fn a_decoder_takes_twenty_steps() {
    for extents in [[4, 24, 8], [3, 150, 16]] {
        let module = decoder(&mut Random::new(3), extents);
        let package = check_module(&module, 20, |step| step as i64);
        assert_eq!(reasons(&package), [None, None]);
        // No task but the updates themselves, the projections and attention.
        let bytes = 4 * extents.iter().product::<usize>();
        let func = package.module.funcs().next().unwrap();
        assert!(Func::arena_bytes(package.module.view(func)) < bytes as i64);
    }
}

#[test]
fn a_step_with_states_gives_what_one_without_gives() {
    // The same code with caches that the caller feeds back, to the bit.
    let module = decoder(&mut Random::new(5), [2, 40, 16]);
    let stepwise = support::package(&module, &CompileOptions::default());
    let mut whole = module.clone();
    let func = whole.funcs().next().unwrap();
    whole.set_attr(func, "states", Attr::List(Vec::new()));
    let whole = support::package(&whole, &CompileOptions::default());
    assert_eq!(whole.signature.inputs.len(), 4);
    let (mut kept, mut fed) = (session(&stepwise, 2), session(&whole, 1));
    let mut random = Random::new(6);
    let mut caches = [0; 2].map(|_| Tensor::zeros(Elem::F32, &[1, 2, 40, 16]));
    for step in 0..12 {
        let x = random.tensor(Elem::F32, &[1, 32]);
        let at = Tensor::from_i64s([step]);
        let found = kept.run(&[x.clone(), at.clone()]).unwrap();
        let [keys, values] = caches;
        let mut all = fed.run(&[x, keys, at, values]).unwrap();
        let (values, y, keys) = (all.remove(2), all.remove(1), all.remove(0));
        assert!(found[0].bytes() == y.bytes());
        assert!(kept.state(0).unwrap().bytes() == keys.bytes());
        assert!(kept.state(1).unwrap().bytes() == values.bytes());
        caches = [keys, values];
    }
}

/// A program of three states of one type, with updates, reads and results at random.
fn any_program(random: &mut Random) -> Module {
    let state = Type::known_tensor(Elem::F32, &[4, 3]);
    let types = [
        state,
        Type::known_tensor(Elem::I64, &[1, 1]),
        state,
        Type::known_tensor(Elem::F32, &[1, 3]),
        state,
    ];
    let mut module = Module::new();
    let func = Func::create(&mut module, "main", &types, &[]).unwrap();
    let block = Func::block(module.view(func));
    let args = module.block_args(block).to_vec();
    let mut b = Builder::at_end(&mut module, block);
    let b = &mut b;
    let mut all = vec![args[0], args[2], args[4]];
    let known = |dims: &[u64]| dims.iter().map(|&n| n.into()).collect::<Vec<Dim>>();
    for _ in 0..2 + random.below(7) {
        // Rather what is new: chains are what it is about.
        let near = all.len() - 1 - random.below(3) as usize;
        let x = all[near];
        let other = all[random.below(all.len() as u64) as usize];
        let y = match random.below(8) {
            0..4 => {
                let kind = if random.below(2) == 0 { "set" } else { "add" };
                let row = match random.below(4) {
                    0 => build::slice_axis(b, other, 0, 1, 2).unwrap(),
                    _ => args[3],
                };
                let attrs = [("kind", kind.into())];
                b.one(&tensor::ScatterNd, &[x, args[1], row], &attrs)
                    .unwrap()
            }
            4 => {
                let flat = build::reshape(b, x, &known(&[12])).unwrap();
                build::reshape(b, flat, &known(&[4, 3])).unwrap()
            }
            5 => build::unary(b, &tensor::Neg, x).unwrap(),
            _ => build::binary(b, &tensor::Max, x, other).unwrap(),
        };
        all.push(y);
    }
    let mut results = Vec::new();
    for _ in 0..5 {
        let last = all.len() as u64;
        let at = match random.below(2) {
            0 => last - 1 - random.below(3),
            _ => random.below(last),
        };
        results.push(all[at as usize]);
    }
    Return::build(b, &results, &[]).unwrap();
    module.set_attr(func, "states", vec![0i64, 3, 2, 0, 4, 1].into());
    assert!(lepid_ir::core::verify(&module).is_empty());
    module
}

#[test]
fn any_program_changes_its_states_as_the_interpreter_does() {
    let (mut in_place, mut updated) = (0, 0);
    for seed in 0..200 {
        let module = any_program(&mut Random::new(seed));
        let package = check_named(&module, &format!("seed {seed}, "), 4, |step| {
            step as i64 - 1
        });
        let compiled = &package.module;
        let func = compiled.funcs().next().unwrap();
        for state in states(compiled, func) {
            in_place += usize::from(state.in_place().is_some());
            updated += usize::from(!state.changed().is_empty());
        }
    }
    assert!(in_place > 30 && updated > 15, "{in_place} {updated}");
}
