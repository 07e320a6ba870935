//! What goes into a compiled function and what comes out of it.

use lepid_ir::core::{Code, Diagnostic, Dim, Loc, Module, Op, Symbol, TensorType, Type, Value};
use lepid_ir::dialects::core::Func;
use serde::{Deserialize, Serialize};

use super::StatePort;
use crate::memory::tensor_bytes;

/// One input or output: the users' name and the type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    pub name: String,
    pub ty: Type,
}

/// What goes in and what comes out, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// If the function takes any number of samples. The leading extents of ports that hold samples are
    /// not known then.
    pub batch: Option<SampleRows>,
    /// What stays inside of the program; neither among the inputs nor among the outputs.
    pub states: Vec<StatePort>,
}

/// How the samples of a batch lie in the ports of a signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SampleRows {
    /// The users' name of the extent.
    pub name: String,
    /// How many samples are computed at a time at most; more are done in turns.
    pub most: u64,
    /// Rows along the leading axis for each sample; 0 where there are no samples.
    pub inputs: Vec<u64>,
    pub outputs: Vec<u64>,
}

impl Signature {
    /// The signature of a function of the module, in which states are inputs and outputs.
    pub fn of(module: &Module, func: Op) -> Signature {
        let view = module.view(func);
        let batch = SampleRows::of(module, func);
        let ports = |names: Vec<String>, values: &[Value], rows: Option<&Vec<u64>>| {
            let values = values.iter().enumerate();
            let typed = values.map(|(i, &v)| match (&batch, rows.map_or(0, |rows| rows[i])) {
                (None, _) | (_, 0) => module.value_type(v),
                (Some(_), 2..) => with_leading(module.value_type(v), Dim::Unknown),
                (Some(batch), 1) => {
                    let name = Symbol::new(&batch.name);
                    with_leading(module.value_type(v), Dim::Sym(name))
                }
            });
            let pairs = names.into_iter().zip(typed);
            pairs.map(|(name, ty)| Port { name, ty }).collect()
        };
        Signature {
            inputs: ports(
                Func::input_names(view),
                Func::args(view),
                batch.as_ref().map(|b| &b.inputs),
            ),
            outputs: ports(
                Func::output_names(view),
                Func::returned(view),
                batch.as_ref().map(|b| &b.outputs),
            ),
            batch,
            states: Vec::new(),
        }
    }

    /// The signature for a number of samples; itself if it has no batch.
    pub fn of_samples(&self, samples: u64) -> Signature {
        let Some(batch) = &self.batch else {
            return self.clone();
        };
        let ports = |ports: &[Port], rows: &[u64]| {
            let pairs = ports.iter().zip(rows);
            let ports = pairs.map(|(port, &rows)| Port {
                name: port.name.clone(),
                ty: match rows {
                    0 => port.ty,
                    _ => with_leading(port.ty, Dim::Known(rows.saturating_mul(samples))),
                },
            });
            ports.collect()
        };
        Signature {
            inputs: ports(&self.inputs, &batch.inputs),
            outputs: ports(&self.outputs, &batch.outputs),
            batch: None,
            states: self.states.clone(),
        }
    }

    /// The signature for inputs of these types, and how many samples they hold (0 without a batch).
    /// Refuses other types than those of the ports, and outputs of samples that take more than `most`
    /// bytes together.
    pub fn for_inputs(&self, found: &[Type], most: u64) -> Result<(Signature, u64), Diagnostic> {
        let samples = self.samples(found);
        let wanted = self.of_samples(samples);
        if !wanted.inputs.iter().map(|p| p.ty).eq(found.iter().copied()) {
            let ports = self.inputs.iter();
            let expected: Vec<String> =
                ports.map(|p| format!("`{}`: `{}`", p.name, p.ty)).collect();
            let found: Vec<String> = found.iter().map(|ty| format!("`{ty}`")).collect();
            let (expected, found) = (expected.join(", "), found.join(", "));
            let message = format!("expected inputs {expected}, found {found}");
            return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
        }
        let rows = self.batch.iter().flat_map(|batch| &batch.outputs);
        let held = wanted
            .outputs
            .iter()
            .zip(rows)
            .filter(|(_, rows)| **rows > 0);
        let bytes = held.filter_map(|(port, _)| port.ty.as_tensor().map(tensor_bytes));
        let bytes = bytes.fold(0, u64::saturating_add);
        if bytes > most {
            let message =
                format!("the outputs of {samples} samples take {bytes} bytes, more than {most}");
            let error = Diagnostic::error(Code::LIMIT, Loc::Unknown, message);
            return Err(error.with_help("give fewer samples, or allow more with `--max-memory`"));
        }
        Ok((wanted, samples))
    }

    /// How many samples the first input that holds any has, if it has the type of its port.
    fn samples(&self, inputs: &[Type]) -> u64 {
        let rows = self.batch.iter().flat_map(|batch| &batch.inputs);
        let mut held = inputs.iter().zip(rows).filter_map(|(ty, &rows)| {
            let leading = ty.as_tensor()?.dims.first()?.known()?;
            leading.checked_div(rows)
        });
        held.next().unwrap_or(0)
    }
}

impl SampleRows {
    fn of(module: &Module, func: Op) -> Option<SampleRows> {
        let view = module.view(func);
        let most = u64::try_from(Func::batch(view)).ok().filter(|&n| n > 0)?;
        let rows = |listed: Vec<i64>, values: &[Value]| {
            let values = values.iter().enumerate();
            let rows = values.map(|(i, &v)| {
                let ty = module.value_type(v).as_tensor();
                let leading = ty.and_then(|ty| ty.dims.first()?.known());
                match listed.contains(&(i as i64)) {
                    true => leading.unwrap_or(0) / most,
                    false => 0,
                }
            });
            rows.collect()
        };
        Some(SampleRows {
            name: Func::batch_name(view).to_string(),
            most,
            inputs: rows(Func::batch_inputs(view), Func::args(view)),
            outputs: rows(Func::batch_outputs(view), Func::returned(view)),
        })
    }
}

fn with_leading(ty: Type, leading: Dim) -> Type {
    match ty.as_tensor() {
        Some(ty) => {
            let rest = ty.dims.iter().skip(1).copied();
            TensorType::new(ty.elem, [leading].into_iter().chain(rest)).into()
        }
        None => ty,
    }
}
