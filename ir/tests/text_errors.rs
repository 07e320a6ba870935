//! What the reader says about broken texts: each case with all its messages.

use std::fmt::Write;

use lepid_ir::core::{
    Attr, Elem, OpDef, OpInfo, OpResult, OpView, PrintOptions, Registry, Resources, Type,
    print_module,
};
use lepid_ir::op;
use lepid_ir::text::parse;

op! {
    /// A unary op with all kinds of attributes.
    "test.unary" => Unary {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 1.0, axis: Int = 0, mode: Str = "a", to: OptElem = Attr::Absent, values: Floats = Attr::List(Vec::new())],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Unary {
    fn info(&self) -> &'static OpInfo {
        &Unary::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![op.operand_type(0)])
    }
}

op! {
    /// Two results, one required attribute.
    "test.split" => Split {
        operands: [x: TENSOR; rest: TENSOR],
        attributes: [axis: Int],
        results: [first, second],
    }
}

impl OpDef for Split {
    fn info(&self) -> &'static OpInfo {
        &Split::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![op.operand_type(0), Type::scalar(Elem::I64)])
    }
}

op! {
    /// Any number of regions.
    "test.regions" => Regions {
        operands: [],
        results: [],
        regions: [; bodies],
    }
}

impl OpDef for Regions {
    fn info(&self) -> &'static OpInfo {
        &Regions::INFO
    }
    fn infer(&self, _: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}

fn registry() -> Registry {
    let mut ops = Registry::default();
    lepid_ir::dialects::core::register(&mut ops);
    ops.add(&[&Unary, &Split, &Regions]);
    ops
}

/// The text, then its messages: `code line:column-column message`.
fn report(text: &str) -> String {
    let (_, diagnostics) = parse(text, "test.lir", &registry(), None);
    let place = |start: u32, end: u32| {
        let before = &text[..(start as usize).min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
        format!("{line}:{column}-{}", column + (end - start) as usize)
    };
    let mut out = String::new();
    for (i, line) in text.lines().enumerate() {
        let _ = writeln!(out, "{:2} | {line}", i + 1);
    }
    for d in &diagnostics {
        let span = d.primary.span().expect("each message has a place");
        let _ = writeln!(
            out,
            "{} {} {}",
            d.code,
            place(span.start, span.end),
            d.message
        );
        for label in &d.labels {
            let at = place(label.span.start, label.span.end);
            let _ = writeln!(out, "      {at} {}", label.message);
        }
        if let Some(help) = &d.help {
            let _ = writeln!(out, "      help: {help}");
        }
    }
    if diagnostics.is_empty() {
        out.push_str("no errors\n");
    }
    out
}

/// Each text as the body of a function of `%x: tensor<2xf32>` and `%n: tensor<i64>`.
fn report_bodies(bodies: &[&str]) -> String {
    let mut out = String::new();
    for body in bodies {
        let text = format!("func @f(%x: tensor<2xf32>, %n: tensor<i64>) {{\n{body}\nreturn\n}}");
        out.push_str(&report(&text));
        out.push('\n');
    }
    out
}

fn report_texts(texts: &[&str]) -> String {
    let reports: Vec<String> = texts.iter().map(|t| report(t)).collect();
    reports.join("\n")
}

#[test]
fn syntax() {
    insta::assert_snapshot!(report_bodies(&[
        // Several errors, one message each, and what follows is still read.
        "%0 = test.unary(%x : tensor<2xf32>\n%1 = test.unary(%0)\n%2 test.unary(%1)\n%3 = test.unary(%q)",
        "%0 = test.unary(%x) {alpha 1.0} : tensor<2xf32>",
        "%0 = test.unary(%x) {alpha = } : tensor<2xf32>",
        "%0 = test.unary(%x) : f32",
        "test.regions( {\n%1 = test.unary(%x)\ncore.yield()\n}\n%2 = test.unary(%q)",
        "%0, = test.unary(%x)",
        "%0 = test.unary(%x) $ : tensor<2xf32>",
        "%0 = test.unary(%x) {mode = \"abc} : tensor<2xf32>",
        "func @g() { return }",
        "return %x\n%1 = test.unary(%x)",
    ]));
}

#[test]
fn functions_and_modules() {
    insta::assert_snapshot!(report_texts(&[
        "",
        "module @m {\nfunc @f() { return }\n",
        "func @f() { return }\nfunc @f() { return }",
        "func f() { return }\nfunc @g() { return }",
        "func @f(%x: tensor<f32>) {\nreturn %x\n}",
        "func @f(%x: tensor<f32>) -> (tensor<f64>) {\nreturn %x\n}",
        "func @f(%x: tensor<f32>, %x: tensor<f32>) { return }",
        "func @f(%x: tensor<f32>) attributes {inputs = [\"a\", \"b\"]} { return }",
        "func @f(%x: tensor<f32>) attributes {imputs = [\"a\"], name = \"g\"} { return }",
        "func @f() {\n}",
        "func @f() {\ncore.yield()\ncore.constant() {value = dense<f32>[0.0]}\n}",
        "func @f(%x: tensor<f32>) -> (tensor<f32>) {\n%y = core.call(%x) {callee = @g}\nreturn %y\n}\nfunc @g(%x: tensor<f32>) -> (tensor<f32>) { return %x }",
        "func @f() {\ncore.call() {callee = @g}\nreturn\n}\nfunc @g() {\ncore.call() {callee = @f}\nreturn\n}",
        "func @main() {\ncore.call() {callee = @mian}\nreturn\n}",
        "func @f() {\ncore.call() {callee = @broken}\nreturn\n}\nfunc @broken() {\nnn.what()\nreturn\n}",
        "func @f(%x: tensor<f32>) {\n%y = test.unary(%x)\n",
        "nn.relu()",
    ]));
}

#[test]
fn names() {
    insta::assert_snapshot!(report_bodies(&[
        "%0 = test.unray(%x) : tensor<2xf32>\n%1 = test.unary(%0) : tensor<2xf32>",
        "%0 = zzz(%x)\n%1 = test.unary(%0)",
        "%hidden = test.unary(%x)\n%1 = test.unary(%hiden)",
        "%1 = test.unary(%late)\n%late = test.unary(%x)",
        "test.regions() {\n%in = test.unary(%x)\ncore.yield()\n}\n%1 = test.unary(%in)",
        "test.regions() {\n^a(%h: tensor<f32>):\ncore.yield()\n^b(%h: tensor<f32>):\ncore.yield()\n}",
        "test.regions() {\n^a(%x: tensor<f32>):\ncore.yield()\n}",
        "%0 = test.unary(%x)\n%0 = test.unary(%x)",
        "%0 = test.unary(%x) {axes = 1}",
        "%0 = test.unary(%x) {axis = 1, axis = 2}",
        "core.yield(%x)\n%1 = test.unary(%x)",
    ]));
}

#[test]
fn op_rules() {
    insta::assert_snapshot!(report_bodies(&[
        "%0 = test.unary()",
        "%0 = test.unary(%x, %x)",
        "%0 = test.unary(%n)",
        "%0, %1 = test.split(%x) {axis = 0} : tensor<2xf32>, tensor<i64>",
        "%0 = test.split(%x) {axis = 0} : tensor<2xf32>, tensor<i64>",
        "test.unary(%x)",
        "%0, %1 = test.split(%x)",
        "%0 = test.unary(%x) : tensor<3xf32>\n%1 = test.unary(%0) : tensor<2xf32>",
        "%0 = test.unary(%x) {alpha = 1}",
        "%0 = test.unary(%x) {values = [1, 2.0]}",
        "%0 = test.unary(%x) {axis = 1.0}",
        "%0 = test.unary(%x) {to = tensor<f32>}",
        "%0 = test.unary(%x) {\ncore.yield()\n}",
        "test.regions() {\n}",
        "core.func() {name = \"g\"} {\nreturn\n}",
    ]));
}

#[test]
fn literals() {
    insta::assert_snapshot!(report_bodies(&[
        "%0 = test.unary(%x) {axis = 9223372036854775808}",
        "%0 = test.unary(%x) {axis = 3x4}",
        "%0 = test.unary(%x) {alpha = 1e999}",
        "%0 = test.unary(%x) {alpha = 0x7fc0}",
        "%0 = test.unary(%x) {mode = \"\\q\"}",
        "%0 = test.unary(%x) {mode = fast}",
        "%0 = test.unary(%x) {to = f23}",
        "%0 = test.unary(%x) : tensor<2xf31>",
        "%0 = test.unary(%x) : tensor<2x-3xf32>",
        "%0 = test.unary(%x) : tensor<2xf32",
        "%0 = test.unary(%x) : !nested<a = 1>",
        "%0 = test.unary(%x) : !quant.nested<a = 1, a = 2>",
        "%0 = core.constant() {value = dense<2x3xf32>[1.0, 2.0]}",
        "%0 = core.constant() {value = dense<99999999999xf32>[0.0]}",
        "%0 = core.constant() {value = dense<99999999999x99999999999xf32>[0.0]}",
        "%0 = core.constant() {value = dense<?Nxf32>[0.0]}",
        "%0 = core.constant() {value = dense<0xf32>[0.0]}",
        "%0 = core.constant() {value = dense<3xi8>[127, 128, -129]}",
        "%0 = core.constant() {value = dense<2xi4>[7, 8]}",
        "%0 = core.constant() {value = dense<2xf16>[65504, 1e6]}",
        "%0 = core.constant() {value = dense<2xi1>[true, 1]}",
        "%0 = core.constant() {value = dense<f32>[0x7fc0]}",
        "%0 = core.constant() {value = resource<2xf32>[\"w0\"]}",
    ]));
}

#[test]
fn nesting_is_limited() {
    let lists = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let regions = "test.regions() {\n".repeat(5000);
    for body in [format!("test.unary(%x) {{values = {lists}}}"), regions] {
        let text = format!("func @f(%x: tensor<f32>) {{\n{body}\n}}");
        let (_, diagnostics) = parse(&text, "deep.lir", &registry(), None);
        assert_eq!(diagnostics.len(), 1);
        assert!(
            diagnostics[0].message.contains("nest deeper"),
            "{diagnostics:?}"
        );
    }
}

#[test]
fn the_deepest_text_is_read_printed_and_verified() {
    let depth = 126;
    let open = "test.regions() {\n".repeat(depth);
    let close = "core.yield()\n}\n".repeat(depth);
    let text = format!("func @f() {{\n{open}{close}return\n}}");
    let (module, diagnostics) = parse(&text, "deep.lir", &registry(), None);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(module.walk().len(), 2 * depth + 2);
    let printed = print_module(&module, &PrintOptions::default(), &mut Resources::default());
    let (_, diagnostics) = parse(&printed, "deep.lir", &registry(), None);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
}

#[test]
fn texts_full_of_errors_take_linear_time() {
    let lines: String = (0..20_000)
        .map(|i| format!("%v{i} = core.call(%w{i}) {{callee = @g{i}, x{i} = 1}}\n"))
        .collect();
    let params: Vec<String> = (0..50_000).map(|i| format!("p{i} = {i}")).collect();
    let text = format!(
        "func @f(%x: !a.b<{}>) {{\n{lines}return\n}}",
        params.join(", ")
    );
    let (_, diagnostics) = parse(&text, "wrong.lir", &registry(), None);
    assert_eq!(diagnostics.len(), 3 * 20_000);
}
