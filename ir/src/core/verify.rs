//! Checks what every module must fulfil between passes.

use cranelift_entity::EntityRef;

use crate::core::builder::{check_result_count, check_shape};
use crate::core::{
    Block, Code, Diagnostic, Diagnostics, Module, Op, OpError, OpView, Trait, Type, Value, ValueDef,
};

/// All that is wrong with a module; empty if it is valid.
pub fn verify(module: &Module) -> Diagnostics {
    let mut verifier = Verifier {
        module,
        visible: vec![false; module.value_count()],
        found: Vec::new(),
    };
    verifier.block(module.body());
    verifier.found
}

struct Verifier<'m> {
    module: &'m Module,
    /// Values defined before the current op, in its block or one around it.
    visible: Vec<bool>,
    found: Diagnostics,
}

impl Verifier<'_> {
    fn block(&mut self, block: Block) {
        let args = self.module.block_args(block);
        self.show(args, true);
        let ops: Vec<Op> = self.module.ops_in(block).collect();
        for (i, &op) in ops.iter().enumerate() {
            let view = self.module.view(op);
            if let Err(error) = self.op(view) {
                self.found.push(error.at(view.loc().clone()));
            }
            self.regions(view);
            self.show(view.results(), true);
            let last = i + 1 == ops.len();
            if view.info().has(Trait::Terminator) && !last {
                self.report(view, "a terminator must be the last op of its block");
            }
        }
        for &op in &ops {
            self.show(self.module.results(op), false);
        }
        self.show(args, false);
    }

    fn show(&mut self, values: &[Value], visible: bool) {
        for value in values {
            self.visible[value.index()] = visible;
        }
    }

    fn regions(&mut self, view: OpView<'_>) {
        let outside = match view.info().has(Trait::Isolated) {
            true => {
                let hidden = vec![false; self.visible.len()];
                Some(std::mem::replace(&mut self.visible, hidden))
            }
            false => None,
        };
        for &region in view.regions() {
            if self.module.region_blocks(region).is_empty() {
                self.report(view, "a region must have a block");
            }
            for &block in self.module.region_blocks(region) {
                self.block(block);
                if self.module.terminator(block).is_none() {
                    self.report(view, "a block in a region must end in a terminator");
                }
            }
        }
        if let Some(outside) = outside {
            self.visible = outside;
        }
    }

    fn op(&self, view: OpView<'_>) -> Result<(), OpError> {
        for (i, &value) in view.operands().iter().enumerate() {
            if !self.visible[value.index()] {
                let kind = match self.module.value_def(value) {
                    ValueDef::Result(..) => "a result",
                    ValueDef::Arg(..) => "an argument",
                };
                return Err(OpError::with_code(
                    Code::UNDEFINED_VALUE,
                    format!(
                        "operand {i} of `{}` is {kind} that is not defined before it",
                        view.name()
                    ),
                ));
            }
        }
        check_shape(view)?;
        let inferred = view.def().infer(view)?;
        check_result_count(view)?;
        let stated: Vec<Type> = view
            .results()
            .iter()
            .map(|&v| self.module.value_type(v))
            .collect();
        if inferred != stated {
            return Err(result_type_error(view.name(), &stated, &inferred));
        }
        view.def().verify(view)
    }

    fn report(&mut self, view: OpView<'_>, message: &str) {
        let message = format!("`{}`: {message}", view.name());
        self.found.push(Diagnostic::error(
            Code::STRUCTURE,
            view.loc().clone(),
            message,
        ));
    }
}

/// The error for stated types that differ from the inferred ones; the parser gives the same.
pub(crate) fn result_type_error(name: &str, stated: &[Type], inferred: &[Type]) -> OpError {
    let list = |types: &[Type]| {
        let types: Vec<String> = types.iter().map(|t| format!("`{t}`")).collect();
        match types.is_empty() {
            true => "no result".to_string(),
            false => types.join(", "),
        }
    };
    OpError::with_code(
        Code::RESULT_TYPE,
        format!(
            "`{name}` gives {}, but {} is stated",
            list(inferred),
            list(stated)
        ),
    )
    .help(format!("write {}", list(inferred)))
}
