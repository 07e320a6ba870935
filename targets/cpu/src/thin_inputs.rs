//! Gives convolutions of few channels the padding beside their rows in memory.
//!
//! ```text
//! %1 = kernel.conv(%0, %w) {pad = [1, 1, 1, 1]}   =>   %1 = tensor.pad(%0) {low = [0, 0, 1, 0], high = [0, 0, 1, 0]}
//!                                                      %2 = kernel.conv(%1, %w) {pad = [1, 0, 1, 0]}
//! ```
//!
//! A row of such a window is then one run of elements: sums of 9 in place of 3 times 3. The first
//! layer's input is moved into channels-last order in any case, and the padding with it.

use lepid_ir::core::{Builder, Module, Op, OpResult, OpView};
use lepid_ir::dialects::kernel;
use lepid_ir::dialects::tensor::build;
use lepid_passes::core::rewrite::create_like;
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
    let [top, left, bottom, right] = match kernel::Conv::pad(view)[..] {
        [top, left, bottom, right] => [top, left, bottom, right],
        _ => lepid_ir::bug!("a kernel.conv with a window that is not of rank 2"),
    };
    let mut b = Builder::before(module, op);
    operands[0] = build::pad(
        &mut b,
        operands[0],
        0.0,
        &[0, 0, left, 0],
        &[0, 0, right, 0],
    )?;
    let conv = create_like(
        &mut b,
        op,
        &operands,
        &[("pad", [top, 0, bottom, 0].into())],
    )?;
    let results = module.results(conv).to_vec();
    module.replace_op(op, &results);
    Ok(())
}
