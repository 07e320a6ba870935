//! A new op: its block in a file of its dialect, its line in the dialect's list, a first row in the tests of the dialect's ops.

use std::fs;
use std::path::{Path, PathBuf};

use super::edit;
use super::names::{self, OpName};
use super::plan::Plan;
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Dialect and name, as in the IR text: `nn.layer_norm`.
    name: String,
    /// The file of the dialect's folder that takes the op; a file of the op's own if absent.
    #[arg(long, value_name = "FILE")]
    family: Option<String>,
}

/// What the block of an op uses from the core.
const IMPORTS: &[&str] = &[
    "Builder", "Cost", "EvalCx", "Op", "OpDef", "OpInfo", "OpResult", "OpView", "Tensor", "Type",
    "Value",
];

const CORE_IMPORT: &str = "use crate::core::{";

pub(super) fn plan(options: &Options) -> Result<Plan> {
    let name = OpName::parse(&options.name)?;
    let dialects = workspace::root().join("ir/src/dialects");
    let single = dialects.join(format!("{}.rs", name.dialect));
    let folder = dialects.join(&name.dialect);
    let mut plan = Plan::default();
    add_sample(&mut plan, &name)?;
    if single.exists() {
        if options.family.is_some() {
            return Err(format!(
                "the dialect `{}` is one file, without families",
                name.dialect
            ));
        }
        let text = plan.read(&single)?;
        refuse_second(&text, &name)?;
        let text = insert_before_register(&with_imports(&text)?, &block(&name))?;
        plan.write(single, register(&text, &name)?);
        return Ok(plan);
    }
    if !folder.is_dir() {
        return Err(format!(
            "there is no dialect `{}` in ir/src/dialects",
            name.dialect
        ));
    }
    let family = options.family.clone().unwrap_or_else(|| name.op.clone());
    names::check(&family)?;
    add_to_folder(&mut plan, &folder, &family, &name)?;
    Ok(plan)
}

fn add_to_folder(plan: &mut Plan, folder: &Path, family: &str, name: &OpName) -> Result<()> {
    for file in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let path = file.map_err(|error| error.to_string())?.path();
        if path.is_file() {
            refuse_second(&plan.read(&path)?, name)?;
        }
    }
    let file: PathBuf = folder.join(format!("{family}.rs"));
    let module = folder.join("mod.rs");
    let mut list = plan.read(&module)?;
    if file.exists() {
        let text = with_imports(&plan.read(&file)?)?;
        let text = insert_before_register(&text, &block(name))?;
        if text.contains(FAMILY_LIST) {
            let item = format!("&{}", name.ty);
            plan.write(file, edit::add_to_list(&text, FAMILY_LIST, &item)?);
            return Ok(());
        }
        plan.write(file, text);
    } else {
        plan.write(file, new_file(name));
        list = edit::add_line(&list, "mod ", &format!("mod {family};"))?;
    }
    list = reexport(&list, family, name)?;
    plan.write(module, register(&list, name)?);
    Ok(())
}

/// The generic tests ask for one use of each op.
fn add_sample(plan: &mut Plan, name: &OpName) -> Result<()> {
    const TABLE: &str = "samples! {\n";
    let rows = workspace::root().join(format!("ir/tests/ops/{}.rs", name.dialect));
    if !rows.exists() {
        return Ok(());
    }
    let text = plan.read(&rows)?;
    let start = text.find(TABLE).ok_or("the samples of ops have no table")? + TABLE.len();
    let row = format!("        {} [\"2x3xf32\"] => \"2x3xf32\";\n", name.ty);
    plan.write(rows, [&text[..start], &row, &text[start..]].concat());
    Ok(())
}

/// A family may keep its own list, which the dialect's `register` takes whole.
const FAMILY_LIST: &str = "OPS: &[&dyn OpDef] = &[";

fn refuse_second(text: &str, name: &OpName) -> Result<()> {
    let quoted = format!("\"{}.{}\" =>", name.dialect, name.op);
    if text.contains(&quoted) || text.contains(&format!("pub struct {};", name.ty)) {
        return Err(format!(
            "there is an op `{}.{}` already",
            name.dialect, name.op
        ));
    }
    Ok(())
}

fn with_imports(text: &str) -> Result<String> {
    let mut text = text.to_owned();
    for import in IMPORTS {
        text = edit::add_to_list(&text, CORE_IMPORT, import)?;
    }
    Ok(text)
}

/// Before `register`, or before the tests, or at the end.
fn insert_before_register(text: &str, block: &str) -> Result<String> {
    let marks = [
        "\npub fn register(",
        "\npub(super) const OPS",
        "\n#[cfg(test)]",
    ];
    let place = marks.iter().filter_map(|mark| text.find(mark)).min();
    let (before, after) = text.split_at(place.unwrap_or(text.len()));
    Ok([before, "\n", block, after].concat())
}

fn register(text: &str, name: &OpName) -> Result<String> {
    edit::add_to_list(text, "ops.add(&[", &format!("&{}", name.ty))
}

fn reexport(text: &str, family: &str, name: &OpName) -> Result<String> {
    let open = format!("pub use {family}::{{");
    if text.contains(&open) {
        return edit::add_to_list(text, &open, &name.ty);
    }
    let all = format!("pub use {family}::*;");
    if text.contains(&all) {
        return Ok(text.to_owned());
    }
    edit::add_line(text, "pub use ", &format!("pub use {family}::{};", name.ty))
}

fn new_file(name: &OpName) -> String {
    format!(
        "//! `{}.{}`: why it is as it is stands here.\n\n{CORE_IMPORT}{}}};\nuse crate::op;\n\n{}",
        name.dialect,
        name.op,
        IMPORTS.join(", "),
        block(name)
    )
}

fn block(name: &OpName) -> String {
    const BLOCK: &str = r#"op! {
    /// The operand as it is: `x`. The formula and the limits stand in this sentence.
    "NAME" => TYPE {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for TYPE {
    fn info(&self) -> &'static OpInfo {
        &TYPE::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![x[0].clone()])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        Ok(Some(vec![TYPE::x(b.view(op))]))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}
"#;
    let full = format!("{}.{}", name.dialect, name.op);
    BLOCK.replace("NAME", &full).replace("TYPE", &name.ty)
}
