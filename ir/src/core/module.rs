//! The owner of all entities of one compilation.

use cranelift_entity::PrimaryMap;
use smallvec::SmallVec;

use crate::core::{
    Attr, Block, Loc, Op, OpDef, OpView, Region, Symbol, Tensor, Trait, Type, Value,
};

/// A program: one block of functions, and the arenas of everything inside them.
#[derive(Clone)]
pub struct Module {
    /// The name in text, if it has one.
    pub name: Option<Symbol>,
    ops: PrimaryMap<Op, OpData>,
    values: PrimaryMap<Value, ValueData>,
    blocks: PrimaryMap<Block, BlockData>,
    regions: PrimaryMap<Region, RegionData>,
    body: Block,
}

#[derive(Clone)]
struct OpData {
    def: &'static dyn OpDef,
    operands: SmallVec<[Value; 3]>,
    results: SmallVec<[Value; 1]>,
    attrs: Vec<Attr>,
    regions: SmallVec<[Region; 1]>,
    loc: Loc,
    block: Option<Block>,
    prev: Option<Op>,
    next: Option<Op>,
}

#[derive(Clone)]
struct ValueData {
    ty: Type,
    def: ValueDef,
    uses: Vec<Use>,
}

/// What defines a value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ValueDef {
    Result(Op, usize),
    Arg(Block, usize),
}

/// One operand position that reads a value.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Use {
    pub op: Op,
    pub operand: usize,
}

#[derive(Clone, Default)]
struct BlockData {
    label: Option<Symbol>,
    args: Vec<Value>,
    first: Option<Op>,
    last: Option<Op>,
    region: Option<Region>,
}

#[derive(Clone, Default)]
struct RegionData {
    blocks: Vec<Block>,
    op: Option<Op>,
}

impl Default for Module {
    fn default() -> Module {
        Module::new()
    }
}

/// Reading.
impl Module {
    pub fn new() -> Module {
        let mut blocks = PrimaryMap::new();
        let body = blocks.push(BlockData::default());
        Module {
            name: None,
            ops: PrimaryMap::new(),
            values: PrimaryMap::new(),
            blocks,
            regions: PrimaryMap::new(),
            body,
        }
    }

    /// The block that holds the functions.
    pub fn body(&self) -> Block {
        self.body
    }

    pub fn view(&self, op: Op) -> OpView<'_> {
        OpView { module: self, op }
    }

    pub fn def(&self, op: Op) -> &'static dyn OpDef {
        self.ops[op].def
    }

    pub fn op_name(&self, op: Op) -> &'static str {
        self.ops[op].def.info().name
    }

    pub fn operands(&self, op: Op) -> &[Value] {
        &self.ops[op].operands
    }

    pub fn results(&self, op: Op) -> &[Value] {
        &self.ops[op].results
    }

    pub fn attrs(&self, op: Op) -> &[Attr] {
        &self.ops[op].attrs
    }

    pub fn regions(&self, op: Op) -> &[Region] {
        &self.ops[op].regions
    }

    pub fn loc(&self, op: Op) -> &Loc {
        &self.ops[op].loc
    }

    /// The block that an op stands in; `None` once it is erased, or while it is not yet placed.
    pub fn op_block(&self, op: Op) -> Option<Block> {
        self.ops[op].block
    }

    pub fn value_type(&self, value: Value) -> Type {
        self.values[value].ty
    }

    pub fn value_def(&self, value: Value) -> ValueDef {
        self.values[value].def
    }

    /// The op that defines a value, if it is not a block argument.
    pub fn defining_op(&self, value: Value) -> Option<Op> {
        match self.values[value].def {
            ValueDef::Result(op, _) => Some(op),
            ValueDef::Arg(..) => None,
        }
    }

    /// Where a value is read, in no meaningful order.
    pub fn uses(&self, value: Value) -> &[Use] {
        &self.values[value].uses
    }

    /// The tensor that a constant op gives as this value.
    pub fn constant_value(&self, value: Value) -> Option<&Tensor> {
        let op = self.defining_op(value)?;
        let data = &self.ops[op];
        let constant = data.def.info().has(Trait::Constant);
        constant.then(|| data.attrs[0].as_tensor()).flatten()
    }

    pub fn block_args(&self, block: Block) -> &[Value] {
        &self.blocks[block].args
    }

    pub fn block_label(&self, block: Block) -> Option<Symbol> {
        self.blocks[block].label
    }

    pub fn block_region(&self, block: Block) -> Option<Region> {
        self.blocks[block].region
    }

    /// The ops of a block, in order. Collect before changing the block.
    pub fn ops_in(&self, block: Block) -> impl DoubleEndedIterator<Item = Op> + '_ {
        BlockOps {
            module: self,
            front: self.blocks[block].first,
            back: self.blocks[block].last,
        }
    }

    pub fn last_op(&self, block: Block) -> Option<Op> {
        self.blocks[block].last
    }

    /// The last op, if it is a terminator.
    pub fn terminator(&self, block: Block) -> Option<Op> {
        let last = self.blocks[block].last?;
        self.def(last).info().has(Trait::Terminator).then_some(last)
    }

    pub fn region_blocks(&self, region: Region) -> &[Block] {
        &self.regions[region].blocks
    }

    /// The op that owns a region.
    pub fn region_op(&self, region: Region) -> Option<Op> {
        self.regions[region].op
    }

    /// The op whose region holds the block of `op`.
    pub fn parent_op(&self, op: Op) -> Option<Op> {
        let region = self.blocks[self.ops[op].block?].region?;
        self.regions[region].op
    }

    /// The functions, in order.
    pub fn funcs(&self) -> impl Iterator<Item = Op> + '_ {
        self.ops_in(self.body)
    }

    /// All placed ops, each before those of its regions.
    pub fn walk(&self) -> Vec<Op> {
        let mut out = Vec::new();
        self.walk_block(self.body, &mut out);
        out
    }

    /// All ops inside an op's regions, each before those of its own regions.
    pub fn walk_inside(&self, op: Op) -> Vec<Op> {
        let mut out = Vec::new();
        for &region in self.regions(op) {
            for &block in self.region_blocks(region) {
                self.walk_block(block, &mut out);
            }
        }
        out
    }

    fn walk_block(&self, block: Block, out: &mut Vec<Op>) {
        for op in self.ops_in(block) {
            out.push(op);
            for &region in self.regions(op) {
                for &inner in self.region_blocks(region) {
                    self.walk_block(inner, out);
                }
            }
        }
    }

    /// How many ops were ever made.
    pub fn op_count(&self) -> usize {
        self.ops.len()
    }

    /// The placed ops that were made when there were already `count` ops, in order of making.
    pub fn ops_since(&self, count: usize) -> Vec<Op> {
        let new = self.ops.keys().skip(count);
        new.filter(|&op| self.ops[op].block.is_some()).collect()
    }

    /// How many values were ever made: the size for a dense side table.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }
}

struct BlockOps<'m> {
    module: &'m Module,
    front: Option<Op>,
    back: Option<Op>,
}

impl Iterator for BlockOps<'_> {
    type Item = Op;
    fn next(&mut self) -> Option<Op> {
        let op = self.front?;
        if Some(op) == self.back {
            (self.front, self.back) = (None, None);
        } else {
            self.front = self.module.ops[op].next;
        }
        Some(op)
    }
}

impl DoubleEndedIterator for BlockOps<'_> {
    fn next_back(&mut self) -> Option<Op> {
        let op = self.back?;
        if Some(op) == self.front {
            (self.front, self.back) = (None, None);
        } else {
            self.back = self.module.ops[op].prev;
        }
        Some(op)
    }
}

/// Changing. Ops are made by `Builder` alone.
impl Module {
    /// A region that no op owns yet.
    pub fn new_region(&mut self) -> Region {
        self.regions.push(RegionData::default())
    }

    /// Appends an empty block to a region.
    pub fn new_block(&mut self, region: Region, label: Option<Symbol>) -> Block {
        let block = self.blocks.push(BlockData {
            label,
            region: Some(region),
            ..BlockData::default()
        });
        self.regions[region].blocks.push(block);
        block
    }

    pub fn add_block_arg(&mut self, block: Block, ty: Type) -> Value {
        let index = self.blocks[block].args.len();
        let value = self.values.push(ValueData {
            ty,
            def: ValueDef::Arg(block, index),
            uses: Vec::new(),
        });
        self.blocks[block].args.push(value);
        value
    }

    /// Removes a block argument. Panics if it is used.
    pub fn remove_block_arg(&mut self, block: Block, index: usize) {
        let value = self.blocks[block].args.remove(index);
        assert!(self.values[value].uses.is_empty(), "argument is used");
        for (i, &arg) in self.blocks[block].args.iter().enumerate() {
            self.values[arg].def = ValueDef::Arg(block, i);
        }
    }

    /// States a better type for a value. The verifier holds it against `infer`.
    pub fn set_value_type(&mut self, value: Value, ty: Type) {
        self.values[value].ty = ty;
    }

    pub fn set_attr(&mut self, op: Op, name: &str, attr: Attr) {
        match self.def(op).info().attr_index(name) {
            Some(index) => self.ops[op].attrs[index] = attr,
            None => crate::bug!("`{}` has no attribute `{name}`", self.op_name(op)),
        }
    }

    pub fn set_loc(&mut self, op: Op, loc: Loc) {
        self.ops[op].loc = loc;
    }

    pub fn set_operand(&mut self, op: Op, index: usize, value: Value) {
        let old = std::mem::replace(&mut self.ops[op].operands[index], value);
        let place = Use { op, operand: index };
        self.drop_use(old, place);
        self.values[value].uses.push(place);
    }

    /// Replaces all operands; the count may change.
    pub fn set_operands(&mut self, op: Op, operands: &[Value]) {
        self.drop_operands(op);
        for (operand, &value) in operands.iter().enumerate() {
            self.values[value].uses.push(Use { op, operand });
        }
        self.ops[op].operands = operands.into();
    }

    pub fn replace_all_uses(&mut self, old: Value, new: Value) {
        if old == new {
            return;
        }
        let uses = std::mem::take(&mut self.values[old].uses);
        for place in &uses {
            self.ops[place.op].operands[place.operand] = new;
        }
        self.values[new].uses.extend(uses);
    }

    /// Replaces all results of `op` by `values` and erases it.
    pub fn replace_op(&mut self, op: Op, values: &[Value]) {
        let results = self.ops[op].results.clone();
        assert_eq!(
            results.len(),
            values.len(),
            "results of {}",
            self.op_name(op)
        );
        for (&old, &new) in results.iter().zip(values) {
            self.replace_all_uses(old, new);
        }
        self.erase(op);
    }

    /// Unlinks an op and all ops in its regions. Panics if a result is still used.
    pub fn erase(&mut self, op: Op) {
        for inner in self.walk_inside(op).into_iter().rev() {
            self.drop_operands(inner);
            self.unlink(inner);
        }
        for &result in &self.ops[op].results {
            if !self.values[result].uses.is_empty() {
                crate::bug!("`{}` is erased while it is used", self.op_name(op));
            }
        }
        self.drop_operands(op);
        self.unlink(op);
        // Large constants are freed with the op that held them.
        self.ops[op].attrs = Vec::new();
    }

    /// Moves an op to just before another.
    pub fn move_before(&mut self, op: Op, anchor: Op) {
        self.unlink(op);
        let block = match self.ops[anchor].block {
            Some(block) => block,
            None => crate::bug!("anchor is not in a block"),
        };
        self.link(op, block, Some(anchor));
    }

    /// Moves an op to the end of a block.
    pub fn move_to_end(&mut self, op: Op, block: Block) {
        self.unlink(op);
        self.link(op, block, None);
    }

    /// A module without the entities that nothing reaches any more.
    pub fn compact(&self) -> Module {
        let mut new = Module::new();
        new.name = self.name;
        let mut values = cranelift_entity::SecondaryMap::new();
        self.copy_block(self.body, &mut new, self.body, &mut values);
        new
    }

    fn copy_block(
        &self,
        from: Block,
        new: &mut Module,
        to: Block,
        values: &mut cranelift_entity::SecondaryMap<Value, Option<Value>>,
    ) {
        for &arg in self.block_args(from) {
            values[arg] = Some(new.add_block_arg(to, self.value_type(arg)));
        }
        for op in self.ops_in(from) {
            let data = &self.ops[op];
            let regions: Vec<Region> = data.regions.iter().map(|_| new.new_region()).collect();
            let operands: Vec<Value> = data.operands.iter().filter_map(|&v| values[v]).collect();
            // Regions may use the values around them, which are all mapped by now.
            for (&region, &copy) in data.regions.iter().zip(&regions) {
                for &block in self.region_blocks(region) {
                    let inner = new.new_block(copy, self.block_label(block));
                    self.copy_block(block, new, inner, values);
                }
            }
            let types: Vec<Type> = data.results.iter().map(|&v| self.value_type(v)).collect();
            let copy = new.insert(
                NewOp {
                    def: data.def,
                    operands: &operands,
                    attrs: data.attrs.clone(),
                    regions: &regions,
                    loc: data.loc.clone(),
                },
                to,
                None,
            );
            new.add_results(copy, &types);
            for (&old, &result) in data.results.iter().zip(new.results(copy)) {
                values[old] = Some(result);
            }
        }
    }

    fn drop_operands(&mut self, op: Op) {
        let operands = std::mem::take(&mut self.ops[op].operands);
        for (operand, value) in operands.into_iter().enumerate() {
            self.drop_use(value, Use { op, operand });
        }
    }

    /// From the end, since ops are mostly erased in the order opposite to their making: a value may
    /// have as many uses as there are ops.
    fn drop_use(&mut self, value: Value, place: Use) {
        let uses = &mut self.values[value].uses;
        if let Some(index) = uses.iter().rposition(|u| *u == place) {
            uses.swap_remove(index);
        }
    }

    /// Makes an op without results, before `anchor` or at the end of `block`.
    pub(crate) fn insert(&mut self, new: NewOp<'_>, block: Block, anchor: Option<Op>) -> Op {
        let op = self.ops.push(OpData {
            def: new.def,
            operands: new.operands.into(),
            results: SmallVec::new(),
            attrs: new.attrs,
            regions: new.regions.into(),
            loc: new.loc,
            block: None,
            prev: None,
            next: None,
        });
        for (operand, &value) in new.operands.iter().enumerate() {
            self.values[value].uses.push(Use { op, operand });
        }
        for &region in new.regions {
            self.regions[region].op = Some(op);
        }
        self.link(op, block, anchor);
        op
    }

    pub(crate) fn add_results(&mut self, op: Op, types: &[Type]) {
        for &ty in types {
            let index = self.ops[op].results.len();
            let value = self.values.push(ValueData {
                ty,
                def: ValueDef::Result(op, index),
                uses: Vec::new(),
            });
            self.ops[op].results.push(value);
        }
    }

    fn link(&mut self, op: Op, block: Block, anchor: Option<Op>) {
        let prev = match anchor {
            Some(anchor) => self.ops[anchor].prev,
            None => self.blocks[block].last,
        };
        self.ops[op].block = Some(block);
        self.ops[op].prev = prev;
        self.ops[op].next = anchor;
        match prev {
            Some(prev) => self.ops[prev].next = Some(op),
            None => self.blocks[block].first = Some(op),
        }
        match anchor {
            Some(anchor) => self.ops[anchor].prev = Some(op),
            None => self.blocks[block].last = Some(op),
        }
    }

    fn unlink(&mut self, op: Op) {
        let Some(block) = self.ops[op].block.take() else {
            return;
        };
        let (prev, next) = (self.ops[op].prev.take(), self.ops[op].next.take());
        match prev {
            Some(prev) => self.ops[prev].next = next,
            None => self.blocks[block].first = next,
        }
        match next {
            Some(next) => self.ops[next].prev = prev,
            None => self.blocks[block].last = prev,
        }
    }
}

/// What `Module::insert` needs.
pub(crate) struct NewOp<'a> {
    pub(crate) def: &'static dyn OpDef,
    pub(crate) operands: &'a [Value],
    pub(crate) attrs: Vec<Attr>,
    pub(crate) regions: &'a [Region],
    pub(crate) loc: Loc,
}
