//! Runs a model in tract.

mod protocol;

use std::time::Instant;

use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

use protocol::{Job, Result};

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    if job.threads > 1 {
        set_default_executor(Executor::multithread(job.threads));
    }
    let start = Instant::now();
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut model = onnx.model_for_path(&job.model)?;
    // Inputs come in the order of the graph.
    for (index, input) in job.inputs.iter().enumerate() {
        let fact = f32::fact(&input.shape[..]).into();
        let set = model.set_input_fact(index, fact);
        set.map_err(|error| format!("input `{}`: {error}", input.name))?;
    }
    let model = model.into_optimized()?.into_runnable()?;
    let load_seconds = start.elapsed().as_secs_f64();
    let mut inputs: TVec<TValue> = tvec!();
    for input in &job.inputs {
        inputs.push(Tensor::from_shape(&input.shape, &input.values)?.into_tvalue());
    }
    let run = || Ok(model.run(inputs.clone())?);
    protocol::serve(load_seconds, run, |outputs: &TVec<TValue>| {
        let first = outputs[0].cast_to::<f32>()?;
        let view = first.view();
        Ok(view.as_slice::<f32>()?.to_vec())
    })
}
