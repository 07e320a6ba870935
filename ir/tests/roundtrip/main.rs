//! The law of the text form: a printed module reads back as itself, and printing it again gives
//! the same text.

mod generate;

use lepid_ir::core::{
    Attr, Elem, Module, OpDef, OpInfo, OpResult, OpView, PrintOptions, Registry, Resources, Type,
    print_module, same_modules, verify,
};
use lepid_ir::op;
use lepid_ir::text::{Weights, parse};
use proptest::prelude::*;

op! {
    /// Takes anything; gives its operands, and a value of type `ty` if it has one.
    "test.any" => Any {
        operands: [; operands: ANY],
        attributes: [
            bool: Bool = false, int: Int = 0, float: Float = 0.0, string: Str = "", elem: OptElem = Attr::Absent,
            ty: AnyType = Attr::Absent, callee: Func = Attr::Absent, tensor: Dense = Attr::Absent,
            ints: Ints = Attr::List(Vec::new()), floats: Floats = Attr::List(Vec::new()),
            strings: Strs = Attr::List(Vec::new()), dims: Dims = Attr::List(Vec::new())
        ],
        results: [; results],
        regions: [; bodies],
    }
}

impl OpDef for Any {
    fn info(&self) -> &'static OpInfo {
        &Any::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let operands = (0..op.operands().len()).map(|i| op.operand_type(i));
        let more = match op.attr("ty") {
            Attr::Type(ty) => Some(*ty),
            _ => None,
        };
        Ok(operands.chain(more).collect())
    }
}

op! {
    /// Its region sees nothing of what is around it.
    "test.isolated" => Isolated {
        operands: [],
        attributes: [required: Float],
        results: [],
        regions: [body],
        traits: [Isolated],
    }
}

impl OpDef for Isolated {
    fn info(&self) -> &'static OpInfo {
        &Isolated::INFO
    }
    fn infer(&self, _: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}

fn registry() -> Registry {
    let mut ops = lepid_ir::dialects::registry();
    ops.add(&[&Any, &Isolated]);
    ops
}

fn print(module: &Module, inline_elements: usize) -> (String, Resources) {
    let options = PrintOptions {
        inline_elements,
        ..PrintOptions::default()
    };
    let mut resources = Resources::default();
    let text = print_module(module, &options, &mut resources);
    (text, resources)
}

fn check(registry: &Registry, module: &Module, inline_elements: usize) -> Result<(), String> {
    let (text, resources) = print(module, inline_elements);
    let weights = Weights::from(&resources);
    let (read, diagnostics) = parse(&text, "printed.lir", registry, Some(&weights));
    if !diagnostics.is_empty() {
        return Err(format!("{diagnostics:#?}\n{text}"));
    }
    same_modules(module, &read).map_err(|difference| format!("{difference}\n{text}"))?;
    let (again, _) = print(&read, inline_elements);
    match again == text {
        true => Ok(()),
        false => Err(format!("{text}\nprints again as\n{again}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_modules_survive_the_text(choices in prop::collection::vec(any::<u8>(), 0..3000)) {
        let registry = registry();
        let module = generate::module(&registry, &choices);
        let inline_elements = if choices.len() % 2 == 0 { 16 } else { 0 };
        prop_assume!(verify(&module).is_empty());
        let checked = check(&registry, &module, inline_elements);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn strings_survive_the_text(text in any::<String>(), label in any::<String>(), name in "\\PC+") {
        let registry = registry();
        let mut module = generate::module(&registry, &[]);
        module.name = Some(name.as_str().into());
        generate::named(&mut module, &text, &label);
        let checked = check(&registry, &module, 16);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

#[test]
fn most_random_modules_are_valid_and_use_most_ops() {
    let registry = registry();
    let mut seen = std::collections::BTreeSet::new();
    let mut valid = 0;
    for seed in 0..600u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let choices: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .take(3000)
        .collect();
        let module = generate::module(&registry, &choices);
        if !verify(&module).is_empty() {
            continue;
        }
        valid += 1;
        seen.extend(module.walk().into_iter().map(|op| module.op_name(op)));
        if let Err(message) = check(&registry, &module, 16) {
            panic!("seed {seed}: {message}");
        }
    }
    let all = registry.iter().count();
    assert!(valid >= 500, "{valid} of 600 are valid");
    assert!(
        2 * seen.len() > all,
        "only {} of {all} ops: {seen:?}",
        seen.len()
    );
}

#[test]
fn floats_keep_every_bit() {
    let registry = registry();
    let sixteen = |elem| {
        (0..=u16::MAX).map(move |bits| match elem {
            Elem::F16 => half::f16::from_bits(bits).to_le_bytes(),
            _ => half::bf16::from_bits(bits).to_le_bytes(),
        })
    };
    for elem in [Elem::F16, Elem::BF16] {
        let bytes: Vec<u8> = sixteen(elem).flatten().collect();
        let tensor =
            lepid_ir::core::Tensor::new(elem, [1 << 16], lepid_ir::core::Bytes::from_vec(bytes));
        let mut module = Module::new();
        generate::constant_func(&mut module, tensor);
        check(&registry, &module, usize::MAX).unwrap();
    }
}

#[test]
fn written_files_read_back() {
    let registry = registry();
    let values = (0..1000).map(|i| f64::from(i) / 7.0);
    let tensor = lepid_ir::core::Tensor::from_f64s(Elem::F32, [10, 100], values);
    let mut module = Module::new();
    generate::constant_func(&mut module, tensor);
    let (text, resources) = print(&module, 16);
    assert!(text.contains("resource<10x100xf32>[\"w0\"]"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.lir.safetensors");
    lepid_ir::text::write_weights(&path, &resources).unwrap();
    let weights = Weights::open(&path).unwrap();
    let (read, diagnostics) = parse(&text, "m.lir", &registry, Some(&weights));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    same_modules(&module, &read).unwrap();
}
