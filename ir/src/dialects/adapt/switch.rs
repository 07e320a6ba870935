//! A number that selects one of the prepared variants.

use crate::core::{
    Block, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::dialects::tensor::control::join;
use crate::op;

op! {
    /// Runs the region with the number `which`, the first one for what is below 0, the last one for
    /// what is beyond. The regions see the values around them, take none, and yield as many values each;
    /// an extent that differs between them is `?`.
    "adapt.switch" => Switch {
        operands: [which: INT_TENSOR],
        results: [; results],
        regions: [; variants],
    }
}

impl Switch {
    /// The block of each variant.
    pub fn variants(op: OpView<'_>) -> OpResult<Vec<Block>> {
        let regions = op.regions().iter().enumerate();
        let blocks = regions.map(|(number, &region)| {
            let block = op.module.region_blocks(region).first().copied();
            block.ok_or_else(|| OpError::new(format!("variant {number} has no block")))
        });
        blocks.collect()
    }
}

impl OpDef for Switch {
    fn info(&self) -> &'static OpInfo {
        &Switch::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let ty = op.module.value_type(op.operand(0));
        if ty != Type::scalar(Elem::I64) {
            let wanted = Type::scalar(Elem::I64);
            return Err(OpError::new(format!(
                "`which` must be `{wanted}`, found `{ty}`"
            )));
        }
        let mut types: Option<Vec<Type>> = None;
        for (number, block) in Switch::variants(op)?.into_iter().enumerate() {
            if !op.module.block_args(block).is_empty() {
                return Err(OpError::new(format!("variant {number} takes arguments")));
            }
            let values: Vec<Value> = super::yielded(op, block)?;
            let own: Vec<Type> = values.iter().map(|&v| op.module.value_type(v)).collect();
            types = Some(match types {
                None => own,
                Some(first) if first.len() != own.len() => {
                    return Err(OpError::new(format!(
                        "variant {number} yields {} values, but the first one yields {}",
                        own.len(),
                        first.len()
                    )));
                }
                Some(first) => {
                    let pairs = first.into_iter().zip(own);
                    pairs.map(|(a, b)| join(a, b)).collect::<OpResult<_>>()?
                }
            });
        }
        types.ok_or_else(|| OpError::new("there must be a variant"))
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let variants = Switch::variants(op)?;
        let last = variants.len() as i64 - 1;
        let which = x[0].to_i64s()[0].clamp(0, last);
        cx.blocks.run_block(variants[which as usize], Vec::new())
    }
}
