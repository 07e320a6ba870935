//! Random modules over all registered ops, driven by their tables.

use lepid_ir::core::{
    Attr, AttrKind, Block, Builder, Dim, Elem, Module, OpDef, Region, Registry, Symbol, Tensor,
    Trait, Type, Value,
};
use lepid_ir::dialects::core::{Func, Return, Yield, constant};
use lepid_ir::generate::Choices;

use crate::{Any, Isolated};

const MAX_DEPTH: usize = 3;

/// A module that is made of the choices: fewer or smaller ones make it simpler.
pub(crate) fn module(registry: &Registry, choices: &[u8]) -> Module {
    let mut random = Choices::new(choices);
    let mut module = Module::new();
    if random.below(3) == 1 {
        module.name = Some(random.name());
    }
    for index in 0..=random.below(3) {
        let types: Vec<Type> = (0..random.below(5)).map(|_| random.ty(MAX_DEPTH)).collect();
        let mut attrs = Vec::new();
        if random.below(2) == 1 {
            let names = types.iter().map(|_| Attr::from(random.name().as_str()));
            attrs.push(("inputs", Attr::List(names.collect())));
        }
        let name = format!("f{index}");
        let Ok(func) = Func::create(&mut module, &name, &types, &attrs) else {
            continue;
        };
        let block = Func::block(module.view(func));
        let mut values = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut maker = Maker {
            registry,
            random: &mut random,
            // A function may name those before it.
            callees: (0..index).map(|i| format!("f{i}")).collect(),
        };
        maker.ops(&mut b, &mut values, 0);
        let returned = maker.random.some(&values);
        Return::build(&mut b, &returned, &[]).expect("a return takes anything");
    }
    module
}

/// Adds a function with the text as an attribute and the label on a block, both of any characters.
pub(crate) fn named(module: &mut Module, text: &str, label: &str) {
    let func = Func::create(module, text, &[], &[]).expect("a function of any name");
    let block = Func::block(module.view(func));
    let mut b = Builder::at_end(module, block);
    let region = b.module.new_region();
    let label = Some(label).filter(|l| !l.is_empty()).map(Symbol::new);
    for dim in [Dim::Sym(Symbol::new(text)), Dim::Known(3)] {
        let inner = b.module.new_block(region, label);
        b.module
            .add_block_arg(inner, Type::tensor(Elem::F32, [dim, dim]));
        let mut b = Builder::at_end(b.module, inner);
        Yield::build(&mut b, &[], &[]).expect("a yield takes anything");
    }
    let attrs = [
        ("string", text.into()),
        ("strings", Attr::from(&[text, text][..])),
    ];
    b.create_with_regions(&Any, &[], &attrs, &[region])
        .expect("the op takes anything");
    Return::build(&mut b, &[], &[]).expect("a return takes anything");
}

/// Adds a function that gives a constant.
pub(crate) fn constant_func(module: &mut Module, tensor: Tensor) {
    let func = Func::create(module, "constant", &[], &[]).expect("a function");
    let block = Func::block(module.view(func));
    let mut b = Builder::at_end(module, block);
    let value = constant(&mut b, tensor).expect("a constant");
    Return::build(&mut b, &[value], &[]).expect("a return");
}

struct Maker<'a, 'c> {
    registry: &'a Registry,
    random: &'a mut Choices<'c>,
    callees: Vec<String>,
}

impl Maker<'_, '_> {
    fn ops(&mut self, b: &mut Builder<'_>, values: &mut Vec<Value>, depth: usize) {
        let defs: Vec<&'static dyn OpDef> = self
            .registry
            .iter()
            .filter(|d| !d.info().has(Trait::Terminator) && d.info().name != "core.func")
            .collect();
        for _ in 0..self.random.below(14) {
            let def = match self.random.below(4) {
                0 => &Any,
                _ => defs[self.random.below(defs.len())],
            };
            self.op(b, def, values, depth);
        }
    }

    /// Tries to make an op; most attempts at most ops fail.
    fn op(
        &mut self,
        b: &mut Builder<'_>,
        def: &'static dyn OpDef,
        values: &mut Vec<Value>,
        depth: usize,
    ) {
        let info = def.info();
        let rest = if info.rest.is_some() {
            self.random.below(3)
        } else {
            0
        };
        let mut operands = Vec::new();
        for i in 0..info.operands.len() + rest {
            let rule = info.operands.get(i).or(info.rest.as_ref());
            let fits = |&&v: &&Value| rule.is_some_and(|r| (r.rule.admits)(b.value_type(v)));
            let fitting: Vec<Value> = values.iter().filter(fits).copied().collect();
            match fitting.is_empty() {
                true => return,
                false => operands.push(fitting[self.random.below(fitting.len())]),
            }
        }
        let mut attrs = Vec::new();
        for declared in info.attrs {
            let given = declared.default.is_none() || self.random.below(3) == 1;
            // A function may be declared but optional; there may be none to name.
            let possible = declared.kind != AttrKind::Func || !self.callees.is_empty();
            if given && possible {
                attrs.push((declared.name, self.attr(declared.kind)));
            }
        }
        let more = match (info.rest_regions, depth < MAX_DEPTH) {
            (Some(_), true) => self.random.below(3),
            (Some(_), false) | (None, _) => 0,
        };
        if depth == MAX_DEPTH && !info.regions.is_empty() {
            return;
        }
        let isolated = info.has(Trait::Isolated) || info.name == Isolated.info().name;
        let regions: Vec<Region> = (0..info.regions.len() + more)
            .map(|_| {
                let outside = if isolated { Vec::new() } else { values.clone() };
                self.region(b, outside, depth + 1)
            })
            .collect();
        if let Ok(op) = b.create_with_regions(def, &operands, &attrs, &regions) {
            values.extend(b.module.results(op));
        }
    }

    fn region(&mut self, b: &mut Builder<'_>, outside: Vec<Value>, depth: usize) -> Region {
        let region = b.module.new_region();
        for _ in 0..=self.random.below(3) {
            let label = Some(self.random.name()).filter(|l| !l.as_str().is_empty());
            let block: Block = b.module.new_block(region, label);
            let mut values = outside.clone();
            for _ in 0..self.random.below(3) {
                let ty = self.random.ty(MAX_DEPTH);
                values.push(b.module.add_block_arg(block, ty));
            }
            let mut inner = Builder::at_end(b.module, block);
            self.ops(&mut inner, &mut values, depth);
            let given = self.random.some(&values);
            Yield::build(&mut inner, &given, &[]).expect("a yield takes anything");
        }
        region
    }

    fn attr(&mut self, kind: AttrKind) -> Attr {
        let random = &mut *self.random;
        match kind {
            AttrKind::Bool => Attr::Bool(random.below(2) == 1),
            AttrKind::Int => Attr::Int(random.int()),
            AttrKind::Float => Attr::Float(random.float()),
            AttrKind::Str => Attr::from(random.name().as_str()),
            AttrKind::Elem => Attr::Elem(random.elem()),
            AttrKind::Type => Attr::Type(random.ty(MAX_DEPTH)),
            AttrKind::Func => {
                Attr::Func(Symbol::new(&self.callees[random.below(self.callees.len())]))
            }
            AttrKind::Tensor => Attr::Tensor(random.tensor()),
            AttrKind::Ints => random.list(|r| Attr::Int(r.int())),
            AttrKind::Floats => random.list(|r| Attr::Float(r.float())),
            AttrKind::Strs => random.list(|r| Attr::from(r.name().as_str())),
            AttrKind::Dims => random.list(|r| Attr::dim(r.dim())),
        }
    }
}
