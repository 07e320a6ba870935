//! Any number of samples on a program that computes whole batches.

use lepid_ir::core::{Bytes, Code, Diagnostic, Loc, Tensor, Type};

use crate::{DYNAMIC_BYTES, SampleRows, Signature};

/// Runs a function for whole batches as often as the samples of `inputs` ask for: `run` gets as many
/// as the batch holds, the last one filled up with the last sample. Without a batch it runs once. For
/// targets whose programs cannot compute fewer.
pub fn in_turns(
    signature: &Signature,
    inputs: &[Tensor],
    mut run: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>, Diagnostic>,
) -> Result<Vec<Tensor>, Diagnostic> {
    let Some(batch) = &signature.batch else {
        return run(inputs);
    };
    let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
    let (wanted, samples) = signature.for_inputs(&types, DYNAMIC_BYTES)?;
    let mut turns = Vec::new();
    let mut first = 0;
    while first < samples {
        let pairs = inputs.iter().zip(&batch.inputs);
        let full: Vec<Tensor> = pairs
            .map(|(input, &rows)| match rows {
                0 => input.clone(),
                _ => whole_batch(input, rows as usize, first as usize, batch),
            })
            .collect();
        turns.push(run(&full)?);
        first += batch.most;
    }
    let outputs = wanted.outputs.iter().enumerate();
    let joined = outputs.map(|(i, port)| {
        let mut parts = turns.iter().filter_map(|turn| turn.get(i));
        match (batch.outputs[i], port.ty.as_tensor()) {
            (1.., Some(ty)) => Ok(joined(parts, ty.known_dims().unwrap_or_default(), port.ty)),
            // The same in each turn.
            _ => parts.next_back().cloned().ok_or_else(|| {
                let message = format!("output `{}` of no samples is not known", port.name);
                Diagnostic::error(Code::RUN_FAILED, Loc::Unknown, message)
            }),
        }
    });
    joined.collect()
}

/// The samples from `first` on.
fn whole_batch(input: &Tensor, rows: usize, first: usize, batch: &SampleRows) -> Tensor {
    let most = batch.most as usize;
    let count = input.shape()[0] / rows;
    let size = input.bytes().len() / count;
    let mut bytes = Vec::with_capacity(size * most);
    for sample in first..first + most {
        bytes.extend_from_slice(&input.bytes()[sample.min(count - 1) * size..][..size]);
    }
    let mut shape = input.shape().to_vec();
    shape[0] = rows * most;
    Tensor::new(input.elem(), shape, Bytes::from_vec(bytes))
}

/// What the turns gave, cut to the shape.
fn joined<'a>(parts: impl Iterator<Item = &'a Tensor>, shape: Vec<usize>, ty: Type) -> Tensor {
    let elem = match ty.elem() {
        Some(elem) => elem,
        None => lepid_ir::bug!("an output of samples is no tensor"),
    };
    let mut bytes: Vec<u8> = parts
        .flat_map(|part| part.bytes().iter().copied())
        .collect();
    bytes.truncate(shape.iter().product::<usize>() * elem.bytes());
    Tensor::new(elem, shape, Bytes::from_vec(bytes))
}
