//! Every value of a function as a file, with an index that says what each is.

use std::fs;
use std::io::Write;
use std::path::Path;

use lepid_ir::core::{Diagnostic, Tensor};
use lepid_ir::dialects::core::Func;
use serde_json::{Value, json};

use crate::driver::{arrays, files};
use crate::reduce::Observed;

/// The name of the index in the folder.
pub const INDEX: &str = "index.json";

/// Writes the inputs of a run and the results of its ops to `NNNN-op.npy`, and the index. The
/// folder is made if needed.
pub fn write(folder: &Path, target: &str, run: &Observed<'_>) -> Result<(), Diagnostic> {
    fs::create_dir_all(folder).map_err(|error| files::cannot_write(folder, error))?;
    let Observed { module, func, .. } = *run;
    let view = module.view(func);
    let returned: Vec<_> = Func::returned(view).to_vec();
    let outputs = Func::output_names(view);
    let mut number = 0;
    let mut save = |what: &str, tensor: &Tensor| {
        let file = format!("{number:04}-{what}.npy");
        number += 1;
        arrays::write_npy(&folder.join(&file), tensor)?;
        Ok(file)
    };
    let mut inputs: Vec<Value> = Vec::new();
    for (name, tensor) in Func::input_names(view).iter().zip(run.inputs) {
        let file = save("input", tensor)?;
        let mut row = array(&file, tensor);
        row["name"] = json!(name);
        inputs.push(row);
    }
    let mut values: Vec<Value> = Vec::new();
    for (op, results) in run.seen {
        let view = module.view(*op);
        let nodes: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
        for (index, tensor) in results.iter().enumerate() {
            let file = save(view.name(), tensor)?;
            let mut row = array(&file, tensor);
            let result = view.result(index);
            let output = returned.iter().position(|&v| v == result);
            row["op"] = json!(view.name());
            row["result"] = json!(index);
            row["nodes"] = json!(nodes);
            row["output"] = json!(output.map(|i| outputs[i].as_str()));
            values.push(row);
        }
    }
    let index = json!({
        "function": Func::name(view),
        "target": target,
        "inputs": inputs,
        "values": values,
    });
    files::write_atomic(&folder.join(INDEX), |file| writeln!(file, "{index:#}"))
}

fn array(file: &str, tensor: &Tensor) -> Value {
    json!({
        "file": file,
        "type": tensor.ty().to_string(),
        "shape": tensor.shape(),
    })
}
