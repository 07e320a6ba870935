//! What goes into a compiled function and what comes out of it.

use lepid_ir::core::{Dim, Module, Op, Symbol, TensorType, Type, Value};
use lepid_ir::dialects::core::Func;
use serde::{Deserialize, Serialize};

use super::StatePort;

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

    /// How many samples inputs of these types hold; `None` if the signature has no batch. Whether
    /// all inputs agree, [`Signature::of_samples`] tells.
    pub fn samples(&self, inputs: impl Iterator<Item = Type>) -> Option<u64> {
        let batch = self.batch.as_ref()?;
        let mut held = inputs.zip(&batch.inputs).filter_map(|(ty, &rows)| {
            let leading = ty.as_tensor()?.dims.first()?.known()?;
            leading.checked_div(rows)
        });
        Some(held.next().unwrap_or(0))
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
