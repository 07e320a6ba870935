//! Builds the module of a syntax tree through the registry.
//!
//! It goes on after an error: the results of an op that cannot be built stand for values of their
//! stated types, so that the ops after it are checked, too; without stated types they are unknown,
//! and ops that use them are passed over in silence.

use indexmap::IndexMap;

use crate::core::verify::result_type_error;
use crate::core::{
    Attr, Block, Builder, Code, Diagnostics, Limits, Module, OpDef, Region, Registry, Symbol,
    Trait, Type, Value,
};
use crate::text::Weights;
use crate::text::lexer::shorten;
use crate::text::literal::{Reader, plural};
use crate::text::order::callees_first;
use crate::text::scope::{Scopes, Sight};
use crate::text::syntax::{self, File, Func, Name, Op, OpSyntax, Span, TypeList};

pub(crate) fn resolve(
    text: &str,
    file: &File<'_>,
    name: Symbol,
    registry: &Registry,
    weights: Option<&Weights>,
    limits: Limits,
) -> (Module, Diagnostics) {
    let mut resolver = Resolver {
        text,
        registry,
        module: Module::new(),
        reader: Reader::new(name, weights, limits),
        scopes: Scopes::default(),
        placeholders: None,
    };
    resolver.file(file);
    (resolver.module, resolver.reader.diagnostics)
}

struct Resolver<'a, 's> {
    text: &'s str,
    registry: &'a Registry,
    module: Module,
    reader: Reader<'a>,
    scopes: Scopes<'s>,
    /// Its arguments stand for the results of ops that could not be built.
    placeholders: Option<Block>,
}

impl<'s> Resolver<'_, 's> {
    fn file(&mut self, file: &File<'s>) {
        if let Some(name) = file.name
            && let Some(name) = self.reader.maybe_quoted(name.span, name.text)
        {
            self.module.name = Some(Symbol::new(&name));
        }
        let funcs: Vec<&Func<'s>> = file.funcs.iter().flatten().collect();
        let mut first: IndexMap<String, Span> = IndexMap::new();
        let mut names = Vec::new();
        for func in &funcs {
            let name = self.reader.maybe_quoted(func.name.span, func.name.text);
            if let Some(name) = &name {
                match first.get(name) {
                    Some(&earlier) => {
                        self.reader
                            .duplicate(&format!("@{name}"), func.name.span, earlier)
                    }
                    None => {
                        first.insert(name.clone(), func.name.span);
                    }
                }
            }
            names.push(name.unwrap_or_default());
        }
        self.reader.funcs = first.keys().cloned().collect();
        // A call takes its types from a function that is whole.
        let (order, cycles) = callees_first(&funcs, &names);
        for span in cycles {
            let message = "a function may not call itself, not even through others";
            let error = self.reader.error(Code::OP_RULE, span, message);
            self.reader.diagnostics.push(error);
        }
        let mut ops = vec![None; funcs.len()];
        for index in order {
            ops[index] = self.func(funcs[index], &names[index]);
            if ops[index].is_some() {
                self.reader.built.insert(names[index].clone());
            }
        }
        let body = self.module.body();
        for op in ops.into_iter().flatten() {
            self.module.move_to_end(op, body);
        }
    }

    fn func(&mut self, func: &Func<'s>, name: &str) -> Option<crate::core::Op> {
        let before = self.reader.diagnostics.len();
        let Some(def) = self.registry.get("core.func") else {
            crate::bug!("the registry lacks `core.func`");
        };
        let region = self.module.new_region();
        let block = self.module.new_block(region, None);
        self.scopes.open(Sight::Isolated);
        self.args(&func.args, block);
        let body = Body {
            ops: &func.body,
            end: func.end,
            owner: "func",
        };
        self.ops(body, block);
        self.scopes.close();
        self.scopes.label_definitions(&mut self.reader, func);
        let mut attrs = vec![("name", Attr::from(name))];
        let (named, given): (Vec<_>, Vec<_>) =
            func.attrs.iter().partition(|a| a.name.text == "name");
        for attr in named {
            let message = "the name of a function stands after `func`";
            let error = self
                .reader
                .error(Code::UNKNOWN_ATTR, attr.name.span, message);
            self.reader.diagnostics.push(error);
        }
        attrs.extend(self.reader.attrs(def, &given)?);
        let stated = self.types(&func.types);
        if self.reader.diagnostics.len() > before {
            return None;
        }
        let returned: Vec<Type> = match self.module.terminator(block) {
            Some(op) => self.module.operands(op),
            None => &[],
        }
        .iter()
        .map(|&v| self.module.value_type(v))
        .collect();
        let stated: Vec<Type> = stated.into_iter().flatten().collect();
        if stated != returned {
            let types: Vec<String> = returned.iter().map(Type::to_string).collect();
            let error = result_type_error(&format!("@{name}"), &stated, &returned)
                .help(format!("write `-> ({})`", types.join(", ")));
            let loc = self.reader.loc(func.types.span);
            return self.reader.report(error.at(loc));
        }
        let loc = self.reader.loc(func.name.span);
        let body = self.module.body();
        let mut b = Builder::at_end(&mut self.module, body);
        b.at(loc.clone());
        match b.create_with_regions(def, &[], &attrs, &[region]) {
            Ok(op) => Some(op),
            Err(error) => self.reader.report(error.at(loc)),
        }
    }

    fn args(&mut self, args: &[syntax::Arg<'s>], block: Block) {
        for arg in args {
            let ty = self.reader.ty(&arg.ty);
            let value = ty.map(|ty| self.module.add_block_arg(block, ty));
            self.scopes.bind(&mut self.reader, arg.name, value);
        }
    }

    fn ops(&mut self, body: Body<'_, 's>, block: Block) {
        let mut terminated = false;
        let mut sound = true;
        for op in body.ops {
            let (Op::Known(OpSyntax {
                name: Name { span, .. },
                ..
            })
            | Op::Broken(span)) = op;
            if terminated {
                let message = "an op stands after the terminator of its block";
                let error = self.reader.error(Code::STRUCTURE, *span, message);
                self.reader.diagnostics.push(error);
                // Once is enough.
                terminated = false;
                sound = false;
            }
            match op {
                Op::Known(op) => {
                    let def = self.registry.get(op.name.text);
                    let ends = def.is_some_and(|d| d.info().has(Trait::Terminator));
                    terminated = ends && sound;
                    sound &= def.is_some();
                    self.op(op, def, block);
                }
                Op::Broken(span) => {
                    sound = false;
                    self.scopes.bind_broken(&mut self.reader, self.text, *span);
                }
            }
        }
        if sound && !terminated {
            let end = Span {
                start: body.end,
                end: body.end,
            };
            let (message, help) = match body.owner {
                "func" => (
                    "the function has no `return` at its end".to_string(),
                    "write `return`, with the values that it gives",
                ),
                owner => (
                    format!("a block of `{owner}` must end in a terminator"),
                    "end it with `core.yield(…)`, or as the op around it asks",
                ),
            };
            let error = self.reader.error(Code::STRUCTURE, end, message);
            self.reader.diagnostics.push(error.with_help(help));
        }
    }

    fn op(&mut self, op: &OpSyntax<'s>, def: Option<&'static dyn OpDef>, block: Block) {
        if def.is_none() {
            self.unknown_op(op.name);
        }
        let operands: Vec<Option<Value>> = op
            .operands
            .iter()
            .map(|&n| self.scopes.lookup(&mut self.reader, n))
            .collect();
        let given: Vec<&syntax::Attr<'s>> = op.attrs.iter().collect();
        let attrs = match def {
            Some(def) => self.reader.attrs(def, &given),
            None => self.reader.untyped_attrs(&given),
        };
        let before = self.reader.diagnostics.len();
        let sight = match def.is_some_and(|d| d.info().has(Trait::Isolated)) {
            true => Sight::Isolated,
            false => Sight::Outside,
        };
        let regions: Vec<Region> = op
            .regions
            .iter()
            .map(|r| self.region(r, op.name.text, sight))
            .collect();
        // A region with errors in it would only make further ones.
        let whole = self.reader.diagnostics.len() == before && !op.has_broken_region();
        let regions = whole.then_some(regions);
        let stated = op.types.as_ref().map(|types| self.types(types));
        let operands: Option<Vec<Value>> = operands.into_iter().collect();
        let parts = match (def, operands, attrs, regions) {
            (Some(def), Some(operands), Some(attrs), Some(regions)) => Some(Parts {
                def,
                operands,
                attrs,
                regions,
            }),
            _ => None,
        };
        let results = parts.and_then(|parts| self.build(op, parts, block));
        match results {
            Some(results) => self.results(op, &results, stated),
            None => self.stand_in(op, stated),
        }
    }

    /// Makes the op. `None`: it breaks a rule, which is reported.
    fn build(&mut self, op: &OpSyntax<'s>, parts: Parts<'_>, block: Block) -> Option<Vec<Value>> {
        let info = parts.def.info();
        if info.name == "core.func" {
            let message = "a function is written `func @name(…) { … }`, outside of all others";
            let error = self.reader.error(Code::STRUCTURE, op.name.span, message);
            return self.reader.report(error);
        }
        // Here the operand is known whose type is wrong.
        let declared = info.operands.iter();
        let declared = declared.chain(info.rest.iter().cycle());
        let before = self.reader.diagnostics.len();
        for ((declared, &value), name) in declared.zip(&parts.operands).zip(&op.operands) {
            let ty = self.module.value_type(value);
            if !(declared.rule.admits)(ty) {
                let message = format!(
                    "operand `{}` of `{}` must be {}, found `{ty}`",
                    declared.name, info.name, declared.rule.expected
                );
                let error = self.reader.error(Code::OPERAND_TYPE, name.span, message);
                self.reader.diagnostics.push(error);
            }
        }
        if self.reader.diagnostics.len() > before {
            return None;
        }
        let loc = self.reader.loc(op.name.span);
        let mut b = Builder::at_end(&mut self.module, block);
        b.at(loc.clone());
        let made = b.create_with_regions(parts.def, &parts.operands, &parts.attrs, &parts.regions);
        match made {
            Ok(made) => Some(self.module.results(made).to_vec()),
            Err(error) => self.reader.report(error.at(loc)),
        }
    }

    /// Holds the written results against those of the op that was made.
    fn results(&mut self, op: &OpSyntax<'s>, results: &[Value], stated: Option<Vec<Option<Type>>>) {
        let (found, expected) = (op.results.len(), results.len());
        if found != expected {
            let span = match (op.results.first(), op.results.last()) {
                (Some(first), Some(last)) => Span {
                    start: first.span.start,
                    end: last.span.end,
                },
                _ => op.name.span,
            };
            let are = if found == 1 { "is" } else { "are" };
            let message = format!(
                "`{}` gives {}, {found} {are} named",
                op.name.text,
                plural(expected as u64, "result")
            );
            let error = self.reader.error(Code::ARITY, span, message);
            self.reader.diagnostics.push(error);
        }
        for (i, &name) in op.results.iter().enumerate() {
            self.scopes
                .bind(&mut self.reader, name, results.get(i).copied());
        }
        // A stated type that cannot be read was reported.
        let stated: Option<Vec<Type>> = stated.and_then(|s| s.into_iter().collect());
        let (Some(stated), Some(types)) = (stated, &op.types) else {
            return;
        };
        let inferred: Vec<Type> = results.iter().map(|&v| self.module.value_type(v)).collect();
        if stated != inferred {
            let error = result_type_error(op.name.text, &stated, &inferred);
            let loc = self.reader.loc(types.span);
            self.reader.diagnostics.push(error.at(loc));
        }
    }

    /// Binds the results of an op that could not be made.
    fn stand_in(&mut self, op: &OpSyntax<'s>, stated: Option<Vec<Option<Type>>>) {
        let stated = stated.unwrap_or_default();
        for (i, &name) in op.results.iter().enumerate() {
            let ty = stated.get(i).copied().flatten();
            let value = ty.map(|ty| {
                let block = self.placeholders();
                self.module.add_block_arg(block, ty)
            });
            self.scopes.bind(&mut self.reader, name, value);
        }
    }

    fn placeholders(&mut self) -> Block {
        match self.placeholders {
            Some(block) => block,
            None => {
                let region = self.module.new_region();
                let block = self.module.new_block(region, None);
                self.placeholders = Some(block);
                block
            }
        }
    }

    fn region(&mut self, region: &syntax::Region<'s>, owner: &str, sight: Sight) -> Region {
        let made = self.module.new_region();
        for block in &region.blocks {
            let label = block.label.filter(|l| !l.text.is_empty());
            let label = label.and_then(|l| self.reader.maybe_quoted(l.span, l.text));
            let label = label.map(|l| Symbol::new(&l));
            let inner = self.module.new_block(made, label);
            self.scopes.open(sight);
            self.args(&block.args, inner);
            let body = Body {
                ops: &block.ops,
                end: block.end,
                owner,
            };
            self.ops(body, inner);
            self.scopes.close();
        }
        made
    }

    fn types(&mut self, list: &TypeList<'s>) -> Vec<Option<Type>> {
        list.types.iter().map(|t| self.reader.ty(t)).collect()
    }

    fn unknown_op(&mut self, name: Name<'s>) {
        let message = format!("unknown op `{}`", shorten(name.text));
        let error = self.reader.error(Code::UNKNOWN_OP, name.span, message);
        let suggestion = match self.reader.may_suggest() {
            true => self.registry.suggest(name.text),
            false => None,
        };
        let error = match suggestion {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => error.with_help("`lepid list ops` shows all"),
        };
        self.reader.diagnostics.push(error);
    }
}

/// The ops of a block, and what messages say about it.
#[derive(Copy, Clone)]
struct Body<'f, 's> {
    ops: &'f [Op<'s>],
    /// Where it ends.
    end: u32,
    owner: &'f str,
}

/// What an op is made of, all of it sound.
struct Parts<'p> {
    def: &'static dyn OpDef,
    operands: Vec<Value>,
    attrs: Vec<(&'p str, Attr)>,
    regions: Vec<Region>,
}
