//! The choice of kernels, for `lepid inspect --kernels`.

use lepid_ir::core::{Module, Op};
use lepid_ir::dialects::kernel;
use lepid_target_api::{Choice, CostModel};
use serde_json::json;

use super::Cx;
use super::output::{Table, json_number};

/// Each op of a compiled module with the kernel that computes it, why, and what else there was.
pub(super) fn table(module: &Module, func: Op, model: &dyn CostModel, cx: &mut Cx<'_>) -> String {
    let columns = ["op", "result", "kernel", "predicted ms", "why", "instead"];
    let mut table = Table::new(&columns, &[3]);
    let mut rows = Vec::new();
    let mut total = 0.0;
    for op in module.walk_inside(func) {
        let view = module.view(op);
        let choices = model.choices(view);
        let Some((taken, others)) = choices
            .split_first()
            .filter(|_| !kernel::is_inside_kernel(module, op))
        else {
            continue;
        };
        total += taken.seconds.unwrap_or(0.0);
        let result = view.results().first();
        let result = result.map(|&v| module.value_type(v).to_string());
        let result = result.unwrap_or_default();
        let instead: Vec<String> = others.iter().map(alternative).collect();
        table.row(vec![
            view.name().to_string(),
            result.clone(),
            taken.kernel.to_string(),
            format!("{:.4}", 1e3 * taken.seconds.unwrap_or(0.0)),
            taken.reason.clone(),
            instead.join("; "),
        ]);
        rows.push(json!({"op": view.name(), "result": result, "choices": choices}));
    }
    cx.report("kernels", rows);
    cx.report("predicted_ms", json_number(1e3 * total));
    format!(
        "\n{}\npredicted: {:.3} ms on one thread\n",
        table.text(),
        1e3 * total
    )
}

fn alternative(choice: &Choice) -> String {
    format!("{}: {}", choice.kernel, choice.reason)
}
