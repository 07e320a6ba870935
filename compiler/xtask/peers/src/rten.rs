//! Runs a model in rten.

mod protocol;

use std::sync::Arc;
use std::time::Instant;

use rten::{ModelOptions, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use protocol::{Job, Result};

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let start = Instant::now();
    let mut options = ModelOptions::with_all_ops();
    let options = options.enable_optimization(true).prepack_weights(true);
    let model = options.load_file(&job.model)?;
    let pool = Arc::new(ThreadPool::with_num_threads(job.threads));
    let load_seconds = start.elapsed().as_secs_f64();
    let mut inputs = Vec::new();
    for input in job.inputs {
        let place = model.node_id(&input.name)?;
        inputs.push((place, Tensor::from_data(&input.shape, input.values)));
    }
    let run = || {
        let views = inputs
            .iter()
            .map(|(place, tensor)| (*place, ValueOrView::from(tensor.view())));
        let mut options = RunOptions::default();
        options.thread_pool = Some(pool.clone());
        Ok(model.run(views.collect(), model.output_ids(), Some(options))?)
    };
    protocol::serve(load_seconds, run, |outputs: &Vec<Value>| {
        let first: Tensor<f32> = outputs[0].clone().try_into()?;
        Ok(first.to_vec())
    })
}
