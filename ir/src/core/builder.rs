//! The only way to make an op: it checks the declared shape, infers the results, verifies.

use crate::core::module::NewOp;
use crate::core::{
    Attr, Block, Code, Loc, Module, Op, OpDef, OpError, OpInfo, OpResult, OpView, Region, Type,
    Value,
};

/// Where new ops go.
#[derive(Copy, Clone, Debug)]
pub enum InsertPoint {
    /// At the end of a block.
    End(Block),
    /// Just before an op.
    Before(Op),
}

/// Makes ops at one place, with one location.
pub struct Builder<'m> {
    pub module: &'m mut Module,
    point: InsertPoint,
    loc: Loc,
}

impl<'m> Builder<'m> {
    pub fn new(module: &'m mut Module, point: InsertPoint) -> Builder<'m> {
        Builder {
            module,
            point,
            loc: Loc::Unknown,
        }
    }

    /// Appends to a block.
    pub fn at_end(module: &'m mut Module, block: Block) -> Builder<'m> {
        Builder::new(module, InsertPoint::End(block))
    }

    /// Inserts before an op and takes over its location.
    pub fn before(module: &'m mut Module, op: Op) -> Builder<'m> {
        let loc = module.loc(op).clone();
        let mut b = Builder::new(module, InsertPoint::Before(op));
        b.loc = loc;
        b
    }

    /// Sets the location of the ops that follow.
    pub fn at(&mut self, loc: Loc) -> &mut Builder<'m> {
        self.loc = loc;
        self
    }

    pub fn loc(&self) -> &Loc {
        &self.loc
    }

    pub fn point(&self) -> InsertPoint {
        self.point
    }

    pub fn set_point(&mut self, point: InsertPoint) {
        self.point = point;
    }

    pub fn view(&self, op: Op) -> OpView<'_> {
        self.module.view(op)
    }

    pub fn value_type(&self, value: Value) -> Type {
        self.module.value_type(value)
    }

    /// Makes an op without regions. Attributes that are left out take their defaults.
    pub fn create(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Value],
        attrs: &[(&str, Attr)],
    ) -> OpResult<Op> {
        self.create_with_regions(def, operands, attrs, &[])
    }

    /// Makes an op around regions that were filled before.
    pub fn create_with_regions(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Value],
        attrs: &[(&str, Attr)],
        regions: &[Region],
    ) -> OpResult<Op> {
        let info = def.info();
        let attrs = complete_attrs(info, attrs)?;
        let (block, anchor) = match self.point {
            InsertPoint::End(block) => (block, None),
            InsertPoint::Before(op) => match self.module.op_block(op) {
                Some(block) => (block, Some(op)),
                None => crate::bug!("the builder stands before an erased op"),
            },
        };
        let new = NewOp {
            def,
            operands,
            attrs,
            regions,
            loc: self.loc.clone(),
        };
        let op = self.module.insert(new, block, anchor);
        match self.check_and_infer(op) {
            Ok(()) => Ok(op),
            Err(error) => {
                self.module.erase(op);
                Err(error)
            }
        }
    }

    /// Makes an op and gives its only result.
    pub fn one(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Value],
        attrs: &[(&str, Attr)],
    ) -> OpResult<Value> {
        let op = self.create(def, operands, attrs)?;
        Ok(self.module.results(op)[0])
    }

    /// A region of one block with arguments of these types; `fill` builds its ops.
    pub fn region(
        &mut self,
        args: &[Type],
        fill: impl FnOnce(&mut Builder<'_>, &[Value]) -> OpResult<()>,
    ) -> OpResult<Region> {
        let region = self.module.new_region();
        let block = self.module.new_block(region, None);
        let args: Vec<Value> = args
            .iter()
            .map(|&ty| self.module.add_block_arg(block, ty))
            .collect();
        let mut inner = Builder::at_end(self.module, block);
        inner.loc = self.loc.clone();
        fill(&mut inner, &args)?;
        Ok(region)
    }

    fn check_and_infer(&mut self, op: Op) -> OpResult<()> {
        let view = self.module.view(op);
        check_shape(view)?;
        let types = view.def().infer(view)?;
        self.module.add_results(op, &types);
        let view = self.module.view(op);
        check_result_count(view)?;
        view.def().verify(view)
    }
}

/// Puts attributes into declared order and fills in the defaults.
fn complete_attrs(info: &OpInfo, given: &[(&str, Attr)]) -> OpResult<Vec<Attr>> {
    for (i, (name, _)) in given.iter().enumerate() {
        if info.attr_index(name).is_none() {
            let help = crate::core::registry::nearest(name, info.attrs.iter().map(|a| a.name));
            let error = OpError::with_code(
                Code::UNKNOWN_ATTR,
                format!("`{}` has no attribute `{name}`", info.name),
            );
            return Err(match help {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            });
        }
        if given[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(OpError::with_code(
                Code::DUPLICATE_NAME,
                format!("attribute `{name}` is given twice"),
            ));
        }
    }
    info.attrs
        .iter()
        .map(|a| {
            let given = given.iter().find(|(name, _)| *name == a.name);
            match (given, a.default) {
                (Some((_, attr)), _) => Ok(attr.clone()),
                (None, Some(default)) => Ok(default()),
                (None, None) => Err(OpError::with_code(
                    Code::ATTR_KIND,
                    format!("`{}` needs the attribute `{}`", info.name, a.name),
                )),
            }
        })
        .collect()
}

/// Checks operand count and types, attribute kinds and the number of regions.
pub(crate) fn check_shape(op: OpView<'_>) -> OpResult<()> {
    let info = op.info();
    let (found, expected) = (op.operands().len(), info.operands.len());
    if found < expected || (found > expected && info.rest.is_none()) {
        let least = if info.rest.is_some() { "at least " } else { "" };
        return Err(OpError::with_code(
            Code::ARITY,
            format!(
                "`{}` takes {least}{expected} operand{}, found {found}",
                info.name,
                if expected == 1 { "" } else { "s" }
            ),
        ));
    }
    for (i, &value) in op.operands().iter().enumerate() {
        let Some(declared) = info.operands.get(i).or(info.rest.as_ref()) else {
            continue;
        };
        let ty = op.module.value_type(value);
        if !(declared.rule.admits)(ty) {
            return Err(OpError::with_code(
                Code::OPERAND_TYPE,
                format!(
                    "operand `{}` of `{}` must be {}, found `{ty}`",
                    declared.name, info.name, declared.rule.expected
                ),
            ));
        }
    }
    for (declared, attr) in info.attrs.iter().zip(op.attrs()) {
        let required = attr.is_absent() && declared.default.is_none();
        if required || !declared.kind.admits(attr) {
            return Err(OpError::with_code(
                Code::ATTR_KIND,
                format!(
                    "attribute `{}` of `{}` must be {}, found {attr}",
                    declared.name,
                    info.name,
                    declared.kind.name()
                ),
            ));
        }
    }
    let (found, expected) = (op.regions().len(), info.regions.len());
    if found < expected || (found > expected && info.rest_regions.is_none()) {
        return Err(OpError::with_code(
            Code::ARITY,
            format!(
                "`{}` takes {expected} region{}, found {found}",
                info.name,
                if expected == 1 { "" } else { "s" }
            ),
        ));
    }
    Ok(())
}

pub(crate) fn check_result_count(op: OpView<'_>) -> OpResult<()> {
    let results = &op.info().results;
    let (found, expected) = (op.results().len(), results.fixed.len());
    if found < expected || (found > expected && results.rest.is_none()) {
        crate::bug!(
            "`{}` infers {found} results, declares {expected}",
            op.name()
        );
    }
    Ok(())
}
