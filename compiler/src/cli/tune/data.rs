//! Labelled samples.

use std::collections::BTreeMap;
use std::path::Path;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Tensor};
use lepid_target_api::Signature;

use crate::driver::arrays;
use crate::tune::outputs::Labels;

/// Inputs of samples, and what they are to give.
pub(super) struct Data {
    pub(super) inputs: Vec<Tensor>,
    pub(super) labels: Labels,
}

impl Data {
    pub(super) fn read(
        path: &Path,
        name: &str,
        signature: &Signature,
    ) -> Result<Data, Diagnostics> {
        let mut arrays: BTreeMap<String, Tensor> = arrays::read_npz(path)
            .map_err(|error| vec![error])?
            .into_iter()
            .collect();
        let fail = |message: String| vec![Diagnostic::error(Code::INPUT, Loc::Unknown, message)];
        let missing = |what: &str| fail(format!("`{}` has no array `{what}`", path.display()));
        let labels = arrays.remove(name).ok_or_else(|| missing(name))?;
        let labels = Labels::of(&labels).map_err(fail)?;
        let samples = labels.samples;
        let mut inputs = Vec::new();
        for port in &signature.inputs {
            let array = arrays
                .remove(&port.name)
                .ok_or_else(|| missing(&port.name))?;
            if array.shape().first() != Some(&samples) {
                let ty = array.ty();
                return Err(fail(format!(
                    "`{}` is `{ty}`, but there are labels of {samples} samples",
                    port.name
                )));
            }
            let elem = port.ty.as_tensor().map_or(array.elem(), |ty| ty.elem);
            inputs.push(array.cast(elem));
        }
        Ok(Data { inputs, labels })
    }
}
