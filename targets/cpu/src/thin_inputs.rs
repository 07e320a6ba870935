//! Gives convolutions of few channels the padding beside their rows in memory.
//!
//! ```text
//! %1 = kernel.conv(%0, %w) {pad = [1, 1, 1, 1]}   =>   %1 = tensor.pad(%0) {low = [0, 0, 1, 0], high = [0, 0, 1, 0]}
//!                                                      %2 = kernel.conv(%1, %w) {pad = [1, 0, 1, 0]}
//! ```
//!
//! A row of such a window is then one run of elements: sums of 9 in place of 3 times 3. The first
//! layer's input is moved into channels-last order in any case, and the padding with it.

use lepid_ir::core::{Attr, Builder, Module, Op, OpResult, OpView};
use lepid_ir::dialects::kernel;
use lepid_ir::dialects::tensor::build;
use lepid_passes::core::{Changed, PassCx, PassDef, PassResult, Values};

pub(crate) const PASS: PassDef = PassDef {
    name: "pad-thin-inputs",
    summary: "Pads the rows of images with few channels before their convolutions.",
    values: Values::Exact,
    options: &[],
    run,
};

/// With more channels, the run of one tap is long enough.
const FEW_CHANNELS: usize = 4;

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk() {
        if !kernel::is_inside_kernel(module, op) && is_thin(module.view(op)) {
            let loc = module.loc(op).clone();
            pad(module, op).map_err(|error| vec![error.at(loc)])?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

fn is_thin(op: OpView<'_>) -> bool {
    if op.name() != "kernel.conv" || kernel::Conv::algorithm(op) != "direct" {
        return false;
    }
    let pad = kernel::Conv::pad(op);
    let known = op.operand_tensor(0).known_dims();
    let few = known.is_some_and(|dims| dims[3] <= FEW_CHANNELS);
    few && kernel::Conv::groups(op) == 1
        && !kernel::Conv::gather(op)
        && kernel::Conv::layout(op) == "nhwc"
        && kernel::Conv::dilation(op)[1] == 1
        && pad[1] + pad[3] > 0
}

fn pad(module: &mut Module, op: Op) -> OpResult<()> {
    let view = module.view(op);
    let mut operands = view.operands().to_vec();
    let names = view.info().attrs.iter().map(|a| a.name);
    let mut attrs: Vec<(&str, Attr)> = names.zip(view.attrs().iter().cloned()).collect();
    let [top, left, bottom, right] = match kernel::Conv::pad(view)[..] {
        [top, left, bottom, right] => [top, left, bottom, right],
        _ => lepid_ir::bug!("a kernel.conv with a window that is not of rank 2"),
    };
    let (def, loc) = (view.def(), module.loc(op).clone());
    let mut b = Builder::before(module, op);
    b.at(loc);
    operands[0] = build::pad(
        &mut b,
        operands[0],
        0.0,
        &[0, 0, left, 0],
        &[0, 0, right, 0],
    )?;
    if let Some(attr) = attrs.iter_mut().find(|(name, _)| *name == "pad") {
        attr.1 = vec![top, 0, bottom, 0].into();
    }
    let y = b.one(def, &operands, &attrs)?;
    module.replace_op(op, &[y]);
    Ok(())
}
