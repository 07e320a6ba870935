//! The text form of a module. Printing is total: a broken module prints, too.

use std::collections::HashMap;
use std::fmt::Write;

use cranelift_entity::SecondaryMap;
use indexmap::IndexMap;

use crate::core::attr::{is_plain_name, write_func_name};
use crate::core::types::Quoted;
use crate::core::{Attr, Block, Loc, Module, Op, OpView, Symbol, Tensor, Value};

/// How to print.
#[derive(Clone, Debug)]
pub struct PrintOptions {
    /// Constants with more elements than this go into the side file.
    pub inline_elements: usize,
    /// Whether each op carries its origin as a comment.
    pub locations: bool,
    pub names: ValueNames,
}

/// The names of values in a text.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum ValueNames {
    /// Numbers in the order of definition.
    #[default]
    InOrder,
    /// Their ids: what a pass does not touch keeps its name, so that texts before and after it can
    /// be compared line by line.
    ById,
}

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions {
            inline_elements: 16,
            locations: false,
            names: ValueNames::InOrder,
        }
    }
}

/// Larger constants go into the side file even if they have one value everywhere, so that reading
/// a text takes memory in proportion to it.
const MAX_SPLAT_BYTES: usize = 1 << 16;

/// The large constants that a text names, for its side file: equal tensors share one key.
#[derive(Default)]
pub struct Resources {
    keys: HashMap<Tensor, String>,
    tensors: IndexMap<String, Tensor>,
}

impl Resources {
    /// The key of a tensor, which is added if it is new.
    pub fn key(&mut self, tensor: &Tensor) -> String {
        if let Some(key) = self.keys.get(tensor) {
            return key.clone();
        }
        let key = format!("w{}", self.tensors.len());
        self.keys.insert(tensor.clone(), key.clone());
        self.tensors.insert(key.clone(), tensor.clone());
        key
    }

    /// Keys with their tensors, in the order of their appearance in the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(k, t)| (k.as_str(), t))
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

/// The text of a module; its large constants are added to `resources`.
pub fn print_module(module: &Module, options: &PrintOptions, resources: &mut Resources) -> String {
    let mut printer = Printer::new(module, options, resources);
    match module.name {
        Some(name) => {
            printer.out.push_str("module ");
            printer.func_name(name.as_str());
            printer.out.push_str(" {\n");
            printer.indent = 1;
            printer.ops(module.body());
            printer.out.push_str("}\n");
        }
        None => printer.ops(module.body()),
    }
    printer.out
}

/// The text of one op with its regions, for messages.
pub fn print_op(view: OpView<'_>) -> String {
    let mut resources = Resources::default();
    let options = PrintOptions::default();
    let mut printer = Printer::new(view.module, &options, &mut resources);
    for &value in view.operands() {
        printer.define(value);
    }
    printer.op(view.op);
    printer.out.trim_end().to_string()
}

struct Printer<'a> {
    module: &'a Module,
    options: &'a PrintOptions,
    resources: &'a mut Resources,
    names: SecondaryMap<Value, Option<u32>>,
    next_name: u32,
    indent: usize,
    out: String,
}

impl<'a> Printer<'a> {
    fn new(
        module: &'a Module,
        options: &'a PrintOptions,
        resources: &'a mut Resources,
    ) -> Printer<'a> {
        Printer {
            module,
            options,
            resources,
            names: SecondaryMap::new(),
            next_name: 0,
            indent: 0,
            out: String::new(),
        }
    }

    fn ops(&mut self, block: Block) {
        let mut first = true;
        for op in self.module.ops_in(block) {
            let func = self.module.op_name(op) == "core.func";
            if func && !first {
                self.out.push('\n');
            }
            first = false;
            self.op(op);
        }
    }

    fn op(&mut self, op: Op) {
        let view = self.module.view(op);
        self.pad();
        match view.name() {
            "core.func" => return self.func(view),
            "core.return" => {
                self.out.push_str("return");
                if !view.operands().is_empty() {
                    self.out.push(' ');
                    self.uses(view.operands());
                }
            }
            _ => self.generic(view),
        }
        self.location(view);
        self.out.push('\n');
    }

    fn func(&mut self, view: OpView<'_>) {
        self.next_name = 0;
        self.out.push_str("func ");
        let name = match &view.attrs()[0] {
            Attr::Str(name) => name,
            _ => "",
        };
        self.func_name(name);
        let blocks = view
            .regions()
            .iter()
            .flat_map(|&r| self.module.region_blocks(r));
        let Some(&block) = blocks.into_iter().next() else {
            self.out.push_str("()\n");
            return;
        };
        self.args(block);
        let returned = match self.module.terminator(block) {
            Some(op) => self.module.operands(op),
            None => &[],
        };
        if !returned.is_empty() {
            self.out.push_str(" -> (");
            self.types(returned);
            self.out.push(')');
        }
        // The name has its own place in the text.
        if view.info().attrs[1..]
            .iter()
            .zip(&view.attrs()[1..])
            .any(|(i, a)| is_shown(i.default, a))
        {
            self.out.push_str(" attributes");
            self.attrs(view, 1);
        }
        self.out.push_str(" {");
        self.location(view);
        self.out.push('\n');
        self.indent += 1;
        self.ops(block);
        self.indent -= 1;
        self.pad();
        self.out.push_str("}\n");
    }

    fn generic(&mut self, view: OpView<'_>) {
        for (i, &result) in view.results().iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let name = self.define(result);
            let _ = write!(self.out, "{comma}%{name}");
        }
        if !view.results().is_empty() {
            self.out.push_str(" = ");
        }
        self.out.push_str(view.name());
        self.out.push('(');
        self.uses(view.operands());
        self.out.push(')');
        self.attrs(view, 0);
        if !view.results().is_empty() {
            self.out.push_str(" : ");
            self.types(view.results());
        }
        for &region in view.regions() {
            self.out.push_str(" {\n");
            let blocks = self.module.region_blocks(region);
            for &block in blocks {
                self.block_head(block, blocks.len());
                self.indent += 1;
                self.ops(block);
                self.indent -= 1;
            }
            self.pad();
            self.out.push('}');
        }
    }

    /// `^label(%0: T):`; nothing for the only block of a region if it has neither.
    fn block_head(&mut self, block: Block, blocks: usize) {
        let label = self.module.block_label(block).map_or("", Symbol::as_str);
        let args = self.module.block_args(block);
        if blocks == 1 && label.is_empty() && args.is_empty() {
            return;
        }
        self.pad();
        self.out.push('^');
        let _ = match is_plain_name(label) {
            true => self.out.write_str(label),
            false => write!(self.out, "{}", Quoted(label)),
        };
        if !args.is_empty() {
            self.args(block);
        }
        self.out.push_str(":\n");
    }

    /// ` {a = 1, b = 2}` of the attributes that differ from their defaults.
    fn attrs(&mut self, view: OpView<'_>, skip: usize) {
        let infos = &view.info().attrs[skip..];
        // An erased op has no attributes left.
        let attrs = view.attrs().get(skip..).unwrap_or(&[]);
        let mut first = true;
        for (info, attr) in infos.iter().zip(attrs) {
            if !is_shown(info.default, attr) {
                continue;
            }
            let open = if first { " {" } else { ", " };
            let _ = write!(self.out, "{open}{} = ", info.name);
            self.attr(attr);
            first = false;
        }
        if !first {
            self.out.push('}');
        }
    }

    fn attr(&mut self, attr: &Attr) {
        match attr {
            Attr::Tensor(t) if !self.is_inline(t) => {
                let key = self.resources.key(t);
                let _ = write!(self.out, "resource<");
                for d in t.shape() {
                    let _ = write!(self.out, "{d}x");
                }
                let _ = write!(self.out, "{}>[{}]", t.elem(), Quoted(&key));
            }
            _ => {
                let _ = write!(self.out, "{attr}");
            }
        }
    }

    fn is_inline(&self, tensor: &Tensor) -> bool {
        tensor.len() <= self.options.inline_elements
            || (tensor.bytes().len() <= MAX_SPLAT_BYTES && is_splat(tensor))
    }

    fn args(&mut self, block: Block) {
        self.out.push('(');
        for (i, &arg) in self.module.block_args(block).iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let name = self.define(arg);
            let _ = write!(self.out, "{comma}%{name}: {}", self.module.value_type(arg));
        }
        self.out.push(')');
    }

    fn types(&mut self, values: &[Value]) {
        for (i, &value) in values.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(self.out, "{comma}{}", self.module.value_type(value));
        }
    }

    fn uses(&mut self, values: &[Value]) {
        for (i, &value) in values.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            // A value that is used before its definition prints under a name that cannot be
            // defined by the numbering.
            let _ = match self.names[value] {
                Some(name) => write!(self.out, "{comma}%{name}"),
                None => write!(self.out, "{comma}%undefined_{}", value.as_u32()),
            };
        }
    }

    fn define(&mut self, value: Value) -> u32 {
        let name = match self.options.names {
            ValueNames::InOrder => self.next_name,
            ValueNames::ById => value.as_u32(),
        };
        self.next_name += 1;
        self.names[value] = Some(name);
        name
    }

    fn func_name(&mut self, name: &str) {
        let _ = write_func_name(&mut self.out, name);
    }

    fn location(&mut self, view: OpView<'_>) {
        if !self.options.locations {
            return;
        }
        let parts: Vec<String> = view
            .loc()
            .parts()
            .iter()
            .filter_map(|p| match p {
                Loc::Name(name) => Some(format!("{:?}", name.as_str())),
                Loc::Span(s) => Some(format!("{}:{}..{}", s.file, s.start, s.end)),
                Loc::Unknown | Loc::Fused(_) => None,
            })
            .collect();
        if !parts.is_empty() {
            let _ = write!(self.out, " // {}", parts.join(", "));
        }
    }

    fn pad(&mut self) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
    }
}

fn is_shown(default: Option<fn() -> Attr>, attr: &Attr) -> bool {
    match (attr, default) {
        (Attr::Absent, _) => false,
        (_, Some(default)) => *attr != default(),
        (_, None) => true,
    }
}

/// One value everywhere prints as one number, however many there are.
fn is_splat(tensor: &Tensor) -> bool {
    let size = tensor.elem().bytes();
    let bytes = tensor.bytes();
    bytes.chunks(size).all(|c| c == &bytes[..size])
}
