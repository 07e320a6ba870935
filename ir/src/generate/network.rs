//! Networks of ops that fit each other, all of fixed extents.

use std::collections::BTreeMap;

use crate::core::{
    Attr, AttrKind, Block, Builder, Elem, InsertPoint, Module, Num, OpDef, OpError, OpResult,
    Registry, Tensor, TensorType, Trait, Type, Value,
};
use crate::dialects::core::{Func, Return, constant};
use crate::generate::{Choices, control, layers, shapes};
use crate::interp::random::Random;

/// Larger values cost time and show nothing new.
const MOST_ELEMENTS: usize = 1 << 11;
/// Ops of the outermost block.
const MOST_OPS: usize = 12;

/// Operands and attributes for an op; none if the values at hand do not suit it.
pub(crate) type Found = OpResult<Option<Use>>;
type Attrs = Vec<(&'static str, Attr)>;

/// A use of an op.
pub(crate) struct Use {
    pub(crate) operands: Vec<Value>,
    pub(crate) attrs: Attrs,
}

impl Use {
    pub(crate) fn of(operands: impl Into<Vec<Value>>, attrs: impl Into<Attrs>) -> Found {
        Ok(Some(Use {
            operands: operands.into(),
            attrs: attrs.into(),
        }))
    }
}

/// Finds a use of one op.
pub(crate) type Recipe = fn(&mut Maker<'_, '_, '_>) -> Found;

/// A module with the function `main`, made of the choices: fewer make it simpler. What the ops
/// compute is of moderate size, loops end, and no extent is open.
pub fn network(registry: &Registry, choices: &[u8]) -> Module {
    let mut random = Choices::new(choices);
    let mut module = Module::new();
    let func = match Func::create(&mut module, "main", &[], &[]) {
        Ok(func) => func,
        Err(error) => crate::bug!("a function without arguments is refused: {error}"),
    };
    let block = Func::block(module.view(func));
    let mut maker = Maker {
        defs: registry.iter().filter(|def| has_recipe(*def)).collect(),
        recipes: recipes().collect(),
        random: &mut random,
        b: Builder::at_end(&mut module, block),
        main: block,
        values: Vec::new(),
        depth: 0,
    };
    let count = 1 + maker.random.below(MOST_OPS);
    maker.ops(count);
    let returned = maker.returned();
    if let Err(error) = Return::build(&mut maker.b, &returned, &[]) {
        crate::bug!("a return is refused: {error}");
    }
    module
}

/// The ops that have a recipe of their own, in order of their families.
fn recipes() -> impl Iterator<Item = (&'static str, Recipe)> {
    let rows = [control::RECIPES, layers::RECIPES, shapes::RECIPES];
    rows.into_iter().flatten().copied()
}

fn has_recipe(def: &dyn OpDef) -> bool {
    let info = def.info();
    info.has(Trait::Elementwise) || recipes().any(|(name, _)| name == info.name)
}

/// Makes ops at one place after the other.
pub(crate) struct Maker<'a, 'c, 'm> {
    defs: Vec<&'static dyn OpDef>,
    recipes: BTreeMap<&'static str, Recipe>,
    pub(crate) random: &'a mut Choices<'c>,
    pub(crate) b: Builder<'m>,
    /// Where inputs are added.
    main: Block,
    /// What can be seen at the builder's point, the newest last.
    pub(crate) values: Vec<Value>,
    pub(crate) depth: usize,
}

/// Ops.
impl Maker<'_, '_, '_> {
    /// Tries to make that many ops.
    pub(crate) fn ops(&mut self, count: usize) {
        for _ in 0..count {
            let def = self.defs[self.random.below(self.defs.len())];
            // What a recipe gets wrong the builder refuses, and another op takes its turn.
            if let Ok(Some(results)) = self.op(def) {
                self.values.extend(results);
            }
        }
    }

    fn op(&mut self, def: &'static dyn OpDef) -> OpResult<Option<Vec<Value>>> {
        let name = def.info().name;
        if control::RECIPES.iter().any(|(n, _)| *n == name) {
            return control::make(self, def);
        }
        let found = match self.recipes.get(name) {
            Some(recipe) => recipe(self)?,
            None => self.elementwise(def)?,
        };
        let Some(Use { operands, attrs }) = found else {
            return Ok(None);
        };
        let op = self.b.create(def, &operands, &attrs)?;
        let results = self.b.module.results(op).to_vec();
        let small = |&v: &Value| elements(self.b.module, v).is_some_and(|n| n <= MOST_ELEMENTS);
        if results.iter().all(small) {
            return Ok(Some(results));
        }
        self.b.module.erase(op);
        Ok(None)
    }

    /// Operands of one type, and attributes by what their names mean in elementwise ops.
    fn elementwise(&mut self, def: &'static dyn OpDef) -> Found {
        let info = def.info();
        let Some(rule) = info.operands.first() else {
            return Ok(None);
        };
        let x = self.value(|ty| (rule.rule.admits)(Type::from(ty.clone())))?;
        let mut operands = vec![x];
        for _ in 1..info.operands.len() {
            operands.push(self.like(x)?);
        }
        let mut attrs = Vec::new();
        for attr in info.attrs {
            if attr.default.is_some() && self.random.below(2) == 0 {
                continue;
            }
            let value = match (attr.name, attr.kind) {
                ("approximate", _) => Attr::from("tanh"),
                (_, AttrKind::Bool) => Attr::Bool(self.random.below(2) == 0),
                (_, AttrKind::Float) => Attr::Float(self.random.below(9) as f64 * 0.25 - 0.5),
                _ => return Ok(None),
            };
            attrs.push((attr.name, value));
        }
        Use::of(operands, attrs)
    }

    /// What the function gives: the newest value and some others.
    fn returned(&mut self) -> Vec<Value> {
        let mut returned: Vec<Value> = self.values.last().copied().into_iter().collect();
        for _ in 0..self.random.below(3) {
            let values = std::mem::take(&mut self.values);
            if !values.is_empty() {
                returned.push(values[self.random.below(values.len())]);
            }
            self.values = values;
        }
        returned
    }
}

/// Values.
impl Maker<'_, '_, '_> {
    pub(crate) fn ty(&self, value: Value) -> TensorType {
        match self.b.value_type(value).as_tensor() {
            Some(ty) => ty.clone(),
            None => crate::bug!("a network holds tensors only"),
        }
    }

    /// The extents of a value, all of which are known.
    pub(crate) fn shape(&self, value: Value) -> Vec<usize> {
        self.ty(value).known_dims().unwrap_or_default()
    }

    /// A value at hand of known extents whose type will do; the newer the likelier.
    pub(crate) fn find(&mut self, fits: impl Fn(&TensorType) -> bool) -> Option<Value> {
        let module = &self.b.module;
        let fitting = |&&v: &&Value| {
            let ty = module.value_type(v).as_tensor();
            ty.is_some_and(|ty| ty.known_dims().is_some() && fits(ty))
        };
        let fitting: Vec<Value> = self.values.iter().filter(fitting).copied().collect();
        if fitting.is_empty() {
            return None;
        }
        let back = match self.random.below(2) {
            0 => self.random.below(fitting.len().min(3)),
            _ => self.random.below(fitting.len()),
        };
        Some(fitting[fitting.len() - 1 - back])
    }

    /// A value at hand or a new one whose type will do.
    pub(crate) fn value(&mut self, fits: impl Fn(&TensorType) -> bool) -> OpResult<Value> {
        if self.random.below(8) != 7
            && let Some(value) = self.find(&fits)
        {
            return Ok(value);
        }
        let (rank, elem) = (self.random.below(5), self.random.elem());
        for rank in (rank..5).chain(0..rank) {
            let shape = self.extents(rank);
            let all = Elem::ALL.into_iter();
            let elem = std::iter::once(elem)
                .chain(all)
                .find(|&e| fits(&type_of(e, &shape)));
            if let Some(elem) = elem {
                return self.fresh(elem, &shape);
            }
        }
        Err(OpError::new("no value of a small rank will do"))
    }

    /// Another value of the same type.
    pub(crate) fn like(&mut self, value: Value) -> OpResult<Value> {
        let ty = self.ty(value);
        let shape = self.shape(value);
        self.of(ty.elem, &shape)
    }

    /// A value of that type: one at hand, or a new one.
    pub(crate) fn of(&mut self, elem: Elem, shape: &[usize]) -> OpResult<Value> {
        let wanted = type_of(elem, shape);
        if self.random.below(4) != 3
            && let Some(value) = self.find(|ty| *ty == wanted)
        {
            return Ok(value);
        }
        self.fresh(elem, shape)
    }

    /// A new input or constant.
    pub(crate) fn fresh(&mut self, elem: Elem, shape: &[usize]) -> OpResult<Value> {
        if self.random.below(2) == 0 {
            let ty = Type::known_tensor(elem, shape);
            let value = self.b.module.add_block_arg(self.main, ty);
            // Within a region it is seen from now on as well, but it outlives the region.
            self.values.push(value);
            return Ok(value);
        }
        let tensor = self.tensor(elem, shape);
        self.constant(tensor)
    }

    pub(crate) fn constant(&mut self, tensor: Tensor) -> OpResult<Value> {
        constant(&mut self.b, tensor)
    }

    pub(crate) fn ints(&mut self, ints: impl IntoIterator<Item = usize>) -> OpResult<Value> {
        let ints: Vec<i64> = ints.into_iter().map(|n| n as i64).collect();
        self.constant(Tensor::from_i64s(ints))
    }

    /// Numbers of moderate size, seldom of any.
    fn tensor(&mut self, elem: Elem, shape: &[usize]) -> Tensor {
        let kind = self.random.below(8);
        let mut random = Random::new(self.random.bits());
        match kind {
            7 => any_numbers(&mut random, elem, shape),
            _ => random.tensor(elem, shape),
        }
    }

    /// Indices, mostly within the extent.
    pub(crate) fn indices(&mut self, extent: usize, shape: &[usize]) -> OpResult<Value> {
        let elem = [Elem::I64, Elem::I32][self.random.below(2)];
        if self.random.below(4) == 0 {
            return self.of(elem, shape);
        }
        let mut random = Random::new(self.random.bits());
        let count = shape.iter().product::<usize>();
        let nums: Vec<Num> = (0..count)
            .map(|_| Num::Int(i128::from(random.below(extent as u64 + 1))))
            .collect();
        let tensor = Tensor::from_nums(elem, shape.iter().copied(), nums);
        self.constant(tensor)
    }
}

/// Numbers.
impl Maker<'_, '_, '_> {
    pub(crate) fn extent(&mut self) -> usize {
        const EXTENTS: [usize; 12] = [1, 2, 3, 4, 5, 1, 2, 7, 8, 16, 17, 0];
        EXTENTS[self.random.below(EXTENTS.len())]
    }

    /// Extents of a value that is not too large.
    pub(crate) fn extents(&mut self, rank: usize) -> Vec<usize> {
        let mut extents: Vec<usize> = Vec::new();
        for _ in 0..rank {
            let extent = self.extent();
            let total = extent * extents.iter().product::<usize>();
            extents.push(if total > MOST_ELEMENTS { 1 } else { extent });
        }
        extents
    }

    /// A number from 1.
    pub(crate) fn small(&mut self, most: usize) -> usize {
        1 + self.random.below(most.max(1))
    }

    pub(crate) fn axis(&mut self, rank: usize) -> usize {
        self.random.below(rank.max(1))
    }

    pub(crate) fn flag(&mut self) -> Attr {
        Attr::Bool(self.random.below(2) == 0)
    }

    pub(crate) fn choice(&mut self, choices: &[&'static str]) -> Attr {
        Attr::from(choices[self.random.below(choices.len())])
    }

    /// Some of the axes, in any order.
    pub(crate) fn axes(&mut self, rank: usize) -> Vec<usize> {
        let mut axes = self.permutation(rank);
        axes.truncate(self.random.below(rank + 1));
        axes
    }

    pub(crate) fn permutation(&mut self, rank: usize) -> Vec<usize> {
        let mut perm: Vec<usize> = (0..rank).collect();
        for i in (1..rank).rev() {
            perm.swap(i, self.random.below(i + 1));
        }
        perm
    }

    /// Runs with the builder at the end of a block inside of the current op.
    pub(crate) fn inside<T>(
        &mut self,
        block: Block,
        fill: impl FnOnce(&mut Self) -> OpResult<T>,
    ) -> OpResult<T> {
        let (point, seen) = (self.b.point(), self.values.len());
        self.b.set_point(InsertPoint::End(block));
        self.depth += 1;
        let filled = fill(self);
        self.depth -= 1;
        self.b.set_point(point);
        self.values.truncate(seen);
        filled
    }
}

pub(crate) fn ints(values: impl IntoIterator<Item = usize>) -> Attr {
    Attr::List(values.into_iter().map(|n| Attr::Int(n as i64)).collect())
}

fn type_of(elem: Elem, shape: &[usize]) -> TensorType {
    TensorType::new(elem, shape.iter().map(|&n| (n as u64).into()))
}

fn elements(module: &Module, value: Value) -> Option<usize> {
    let count = module.value_type(value).as_tensor()?.element_count()?;
    usize::try_from(count).ok()
}

/// Numbers of the whole range of the element, and for floats the special ones.
fn any_numbers(random: &mut Random, elem: Elem, shape: &[usize]) -> Tensor {
    const SPECIAL: [f64; 8] = [
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        0.0,
        -0.0,
        0.5,
        88.5,
        -1e6,
    ];
    let count = shape.iter().product::<usize>();
    let nums: Vec<Num> = (0..count)
        .map(|_| match (elem, elem.is_float()) {
            (_, true) if random.below(2) == 0 => {
                Num::Float(SPECIAL[random.below(SPECIAL.len() as u64) as usize])
            }
            (_, true) => Num::Float(100.0 * random.normal()),
            (Elem::Bool, false) => Num::Int(i128::from(random.below(2))),
            (_, false) => Num::Int(i128::from(random.bits() as i64)),
        })
        .collect();
    Tensor::from_nums(elem, shape.iter().copied(), nums)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::verify;
    use crate::dialects;

    #[test]
    fn networks_are_valid_and_use_every_op_that_has_a_recipe() {
        let registry = dialects::registry();
        let mut seen = BTreeSet::new();
        for seed in 0..1500 {
            let mut random = Random::new(seed);
            let choices: Vec<u8> = (0..1500).map(|_| random.bits() as u8).collect();
            let module = network(&registry, &choices);
            assert_eq!(verify(&module), vec![], "seed {seed}");
            seen.extend(module.walk().into_iter().map(|op| module.op_name(op)));
        }
        let missing: Vec<&str> = registry
            .iter()
            .filter(|def| has_recipe(*def))
            .map(|def| def.info().name)
            .filter(|name| !seen.contains(name))
            .collect();
        assert!(missing.is_empty(), "never made: {missing:?}");
    }

    #[test]
    fn no_choices_give_a_module_all_the_same() {
        let module = network(&dialects::registry(), &[]);
        assert_eq!(verify(&module), vec![]);
    }
}
