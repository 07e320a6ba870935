//! Builds what a plan says in place of a piece.

use lepid_ir::core::{Builder, Code, Diagnostic, Diagnostics, Loc, Module, Op, Value};

use super::pieces::Piece;
use super::plan::{Make, Plan, Step};
use crate::core::rewrite::At;

/// Replaces a piece. Gives the new values of its roots.
pub(super) fn replay(
    module: &mut Module,
    piece: &Piece,
    plan: &Plan,
) -> Result<Vec<Value>, Diagnostics> {
    let anchor = behind(module, piece)?;
    // The results of each step.
    let mut made: Vec<Vec<Value>> = Vec::new();
    for step in &plan.steps {
        let loc = location(module, piece, step);
        let values = match &step.make {
            Make::Input(index) => vec![piece.inputs[*index]],
            Make::Get { tuple, index } => vec![made[*tuple][*index]],
            Make::Op {
                def,
                operands,
                attrs,
            } => {
                let operands: Vec<Value> = operands.iter().map(|&o| made[o][0]).collect();
                let names = def.info().attrs.iter().map(|a| a.name);
                let attrs: Vec<_> = names.zip(attrs.iter().cloned()).collect();
                let mut b = Builder::before(module, anchor);
                b.at(loc.clone());
                let op = b.create(*def, &operands, &attrs).at(&loc)?;
                module.results(op).to_vec()
            }
        };
        made.push(values);
    }
    let roots: Vec<Value> = plan.roots.iter().map(|&r| made[r][0]).collect();
    for (&old, &new) in piece.roots.iter().zip(&roots) {
        module.replace_all_uses(old, new);
    }
    for &op in piece.ops.iter().rev() {
        module.erase(op);
    }
    Ok(roots)
}

/// The op behind a piece: nothing before it reads from the piece.
fn behind(module: &Module, piece: &Piece) -> Result<Op, Diagnostics> {
    let last = piece.ops.last().copied();
    let block = last.and_then(|op| module.op_block(op));
    let after = block.and_then(|block| {
        let mut ops = module.ops_in(block).skip_while(|&op| Some(op) != last);
        ops.nth(1)
    });
    after.ok_or_else(|| {
        let message = "a block has no terminator";
        vec![Diagnostic::error(Code::PASS_FAILED, Loc::Unknown, message)]
    })
}

fn location(module: &Module, piece: &Piece, step: &Step) -> Loc {
    let locs = step.origins.iter().map(|&i| module.loc(piece.ops[i]));
    locs.fold(Loc::Unknown, |all, loc| all.join(loc))
}
