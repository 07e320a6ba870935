//! Functions of any number of samples, layer by layer.

use lepid_ir::core::{Builder, Diagnostic, Elem, Module, Tensor, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{nn, tensor};
use lepid_ir::interp::random::Random;
use lepid_passes::batch::{self, Batch};

/// A function of so many samples.
pub(crate) type Model = fn(samples: usize) -> Module;

pub(crate) fn function(
    args: &[&[usize]],
    body: impl FnOnce(&mut Layers<'_>, &[Value]) -> Vec<Value>,
) -> Module {
    let mut module = Module::new();
    let types: Vec<_> = args
        .iter()
        .map(|shape| Tensor::zeros(Elem::F32, shape).ty())
        .collect();
    let func = Func::create(&mut module, "main", &types, &[]).unwrap();
    let block = Func::block(module.view(func));
    let args = module.block_args(block).to_vec();
    let mut layers = Layers {
        b: Builder::at_end(&mut module, block),
        random: Random::new(7),
    };
    let results = body(&mut layers, &args);
    Return::build(&mut layers.b, &results, &[]).unwrap();
    module
}

/// Layers with random weights, the same for any number of samples.
pub(crate) struct Layers<'m> {
    pub(crate) b: Builder<'m>,
    random: Random,
}

impl Layers<'_> {
    pub(crate) fn weights(&mut self, shape: &[usize]) -> Value {
        let weights = self.random.tensor(Elem::F32, shape);
        constant(&mut self.b, weights).unwrap()
    }

    pub(crate) fn conv(
        &mut self,
        x: Value,
        weights: [usize; 4],
        stride: i64,
        groups: i64,
    ) -> Value {
        let pad = (weights[2] / 2) as i64;
        let w = self.weights(&weights);
        let bias = self.weights(&weights[..1]);
        let attrs = [
            ("stride", [stride; 2].into()),
            ("dilation", [1; 2].into()),
            ("pad", [pad; 4].into()),
            ("groups", groups.into()),
        ];
        self.b.one(&nn::Conv, &[x, w, bias], &attrs).unwrap()
    }

    pub(crate) fn relu(&mut self, x: Value) -> Value {
        self.b.one(&nn::Relu, &[x], &[]).unwrap()
    }

    pub(crate) fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let attrs = [("shape", shape.into())];
        self.b.one(&tensor::Reshape, &[x], &attrs).unwrap()
    }

    pub(crate) fn transpose(&mut self, x: Value, perm: &[i64]) -> Value {
        let attrs = [("perm", perm.to_vec().into())];
        self.b.one(&tensor::Transpose, &[x], &attrs).unwrap()
    }

    pub(crate) fn linear(&mut self, x: Value, weights: [usize; 2]) -> Value {
        let w = self.weights(&weights);
        let bias = self.weights(&weights[1..]);
        self.b.one(&nn::Linear, &[x, w, bias], &[]).unwrap()
    }

    pub(crate) fn along(
        &mut self,
        op: &'static dyn lepid_ir::core::OpDef,
        x: Value,
        axis: i64,
    ) -> Value {
        self.b.one(op, &[x], &[("axis", axis.into())]).unwrap()
    }
}

/// The model, compiled for any number of samples, so many at a time.
pub(crate) fn opened(model: impl Fn(usize) -> Module, most: u64) -> Result<Module, Diagnostic> {
    let (mut module, other) = (model(most as usize), model(most as usize + 1));
    let batch = Batch {
        name: "N".to_string(),
        most,
    };
    let main = |module: &Module| Func::find(module, "main").unwrap();
    let func = main(&module);
    batch::open(&mut module, func, (&other, main(&other)), &batch)?;
    Ok(module)
}
