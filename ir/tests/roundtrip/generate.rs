//! Random modules over all registered ops, driven by their tables.

use lepid_ir::core::{
    Attr, AttrKind, Block, Builder, Bytes, Dim, Elem, ExtType, Module, OpDef, Region, Registry,
    Symbol, Tensor, Trait, Type, TypeKind, Value,
};
use lepid_ir::dialects::core::{Func, Return, Yield, constant};

use crate::{Any, Isolated};

const MAX_DEPTH: usize = 3;

/// A module that is made of the choices: fewer or smaller ones make it simpler.
pub(crate) fn module(registry: &Registry, choices: &[u8]) -> Module {
    let mut random = Choices { left: choices };
    let mut module = Module::new();
    if random.below(3) == 1 {
        module.name = Some(random.name());
    }
    for index in 0..=random.below(3) {
        let types: Vec<Type> = (0..random.below(5)).map(|_| random.ty(0)).collect();
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
                let ty = self.random.ty(0);
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
            AttrKind::Type => Attr::Type(random.ty(0)),
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

/// A source of decisions that shrinks well: at its end, all of them are 0.
struct Choices<'c> {
    left: &'c [u8],
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.left.split_first() {
            Some((&first, rest)) => {
                self.left = rest;
                first
            }
            None => 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        match n {
            0..=256 => usize::from(self.byte()) % n,
            _ => usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % n,
        }
    }

    fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        items
            .iter()
            .copied()
            .filter(|_| self.below(3) == 1)
            .collect()
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Attr) -> Attr {
        Attr::List((0..self.below(4)).map(|_| item(self)).collect())
    }

    fn name(&mut self) -> Symbol {
        let names = [
            "N", "x", "max", "a b", "é", "\"", "\\", "\n\t", "", "f32", "x3xf32", "segment0", "//",
            ">",
        ];
        Symbol::new(names[self.below(names.len())])
    }

    fn int(&mut self) -> i64 {
        match self.below(4) {
            0 => self.below(4) as i64,
            1 => -(self.below(4) as i64),
            2 => [i64::MIN, i64::MAX][self.below(2)],
            _ => self.bits() as i64,
        }
    }

    fn float(&mut self) -> f64 {
        match self.below(3) {
            0 => self.below(4) as f64 * 0.5,
            1 => [
                f64::NAN,
                -0.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                5e-324,
            ][self.below(6)],
            _ => f64::from_bits(self.bits()),
        }
    }

    fn elem(&mut self) -> Elem {
        match self.below(2) {
            0 => Elem::F32,
            _ => Elem::ALL[self.below(Elem::ALL.len())],
        }
    }

    fn dim(&mut self) -> Dim {
        match self.below(6) {
            4 => Dim::Sym(self.name()),
            5 => Dim::Unknown,
            n => Dim::Known(n as u64),
        }
    }

    fn ty(&mut self, depth: usize) -> Type {
        if self.below(8) != 7 || depth == MAX_DEPTH {
            let dims: Vec<Dim> = (0..self.below(4)).map(|_| self.dim()).collect();
            return Type::tensor(self.elem(), dims);
        }
        let params = ["bits", "axis", "of"];
        let params = params[..self.below(4)].iter().map(|p| {
            let value = match self.below(4) {
                0 => Attr::Int(self.int()),
                1 => Attr::Type(self.ty(depth + 1)),
                2 => Attr::Elem(self.elem()),
                _ => self.list(|r| Attr::Float(r.float())),
            };
            (Symbol::new(p), value)
        });
        let params = params.collect();
        Type::new(TypeKind::Ext(ExtType {
            dialect: Symbol::new("test"),
            name: Symbol::new("some"),
            params,
        }))
    }

    /// Any bits for floats, any valid storage for the rest.
    fn tensor(&mut self) -> Tensor {
        let elem = self.elem();
        let shape: Vec<usize> = (0..self.below(4)).map(|_| self.below(4)).collect();
        let count: usize = shape.iter().product();
        let same = self.below(3) == 0;
        let mut first: Vec<u8> = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..count {
            let mut one: Vec<u8> = (0..elem.bytes()).map(|_| self.byte()).collect();
            match elem {
                Elem::Bool => one[0] &= 1,
                Elem::U4 => one[0] &= 0xf,
                Elem::U2 => one[0] &= 0x3,
                Elem::I2 => one[0] = (((one[0] as i8) << 6) >> 6) as u8,
                Elem::I4 => one[0] = (((one[0] as i8) << 4) >> 4) as u8,
                _ => {}
            }
            if first.is_empty() {
                first.clone_from(&one);
            }
            bytes.extend(if same { &first } else { &one });
        }
        Tensor::new(elem, shape, Bytes::from_vec(bytes))
    }
}
