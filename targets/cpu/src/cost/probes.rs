//! Networks whose kernels are timed: those of well-known families, in small.
//!
//! Whole networks, since a kernel by itself finds its weights in the caches. No two layers share
//! weights, and each output is a mean of inputs, so that no value overflows or becomes subnormal.

use lepid_ir::core::{
    Attr, Builder, Dim, Elem, Module, Num, Op, OpDef, OpResult, Tensor, Type, Value,
};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{nn, tensor};
use lepid_target_api::Probe;

/// All probes.
pub(super) fn all() -> Vec<Probe> {
    let plain = |module: Module| Probe {
        module,
        options: Vec::new(),
    };
    let mut probes = vec![
        plain(network(&[1, 3, 160, 160], mobile)),
        plain(network(&[1, 16, 112, 112], dense)),
        plain(network(&[64, 512], |n, x| {
            n.transformer(x, 2, Scores::Products)
        })),
        plain(network(&[128, 256], |n, x| {
            n.transformer(x, 3, Scores::Attention)
        })),
        plain(network(&[1, 768], |n, x| {
            n.perceptron(x, &[768, 2304, 768, 3072, 768, 10_000], Network::linear)
        })),
        plain(network(&[4, 512], |n, x| {
            n.perceptron(x, &[512, 2048, 1024, 4096, 512], Network::linear)
        })),
        plain(network(&[16, 1, 256], |n, x| n.lstm(x, 256))),
        plain(network(&[24, 2, 128], |n, x| n.lstm(x, 128))),
        plain(network(&[16, 1, 256], |n, x| n.gru(x, 256))),
        plain(network(&[24, 2, 128], |n, x| n.gru(x, 128))),
    ];
    for strassen in ["off", "on"] {
        for rows in [64, 128] {
            probes.push(Probe {
                module: network(&[rows, 512], |n, x| {
                    n.perceptron(x, &[512, 2048, 512, 1024, 768], Network::linear)
                }),
                options: vec![("strassen", strassen)],
            });
        }
    }
    for rows in [1, 4] {
        probes.push(Probe {
            module: network(&[rows, 768], |n, x| {
                n.perceptron(x, &[2304, 768, 3072, 768, 10_000], Network::quantised)
            }),
            options: vec![("quantised", "on")],
        });
    }
    for scheme in ["off", "f2", "f4"] {
        for side in [112, 160] {
            probes.push(Probe {
                module: network(&[1, 3, side, side], residual),
                options: vec![("winograd", scheme), ("winograd-error", "1")],
            });
        }
    }
    probes
}

fn network(
    input: &[usize],
    layers: impl FnOnce(&mut Network<'_, '_>, Value) -> OpResult<Value>,
) -> Module {
    let mut module = Module::new();
    let built = (|| {
        let func = Func::create(
            &mut module,
            "main",
            &[Type::known_tensor(Elem::F32, input)],
            &[],
        )?;
        let block = Func::block(module.view(func));
        let x = module.block_args(block)[0];
        let mut b = Builder::at_end(&mut module, block);
        let y = layers(
            &mut Network {
                b: &mut b,
                count: 0,
            },
            x,
        )?;
        Return::build(&mut b, &[y], &[])?;
        OpResult::Ok(())
    })();
    match built {
        Ok(()) => module,
        Err(error) => lepid_ir::bug!("a probe cannot be built: {error}"),
    }
}

/// Bottleneck blocks as in ResNet, from 1/4 of the side to 1/32.
fn residual(n: &mut Network<'_, '_>, x: Value) -> OpResult<Value> {
    let mut x = n.conv(x, 64, 7, 2, 1)?;
    x = n.max_pool(x)?;
    for (stage, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let mut y = n.conv(x, channels, 1, 1, 1)?;
            y = n.conv(y, channels, 3, stride, 1)?;
            y = n.plain_conv(y, 4 * channels, 1, 1, 1)?;
            if block == 0 {
                x = n.plain_conv(x, 4 * channels, 1, stride, 1)?;
            }
            x = n.b.one(&tensor::Add, &[x, y], &[])?;
            x = n.b.one(&nn::Relu, &[x], &[])?;
        }
        x = n.conv(x, channels, 3, 1, 1)?;
    }
    n.classify(x)
}

/// Inverted bottlenecks as in MobileNet v2.
fn mobile(n: &mut Network<'_, '_>, x: Value) -> OpResult<Value> {
    let mut x = n.conv(x, 32, 3, 2, 1)?;
    for (channels, stride) in [
        (16, 1),
        (24, 2),
        (24, 1),
        (32, 2),
        (64, 2),
        (96, 1),
        (160, 2),
        (160, 1),
    ] {
        let wide = 6 * n.channels(x);
        x = n.conv(x, wide, 1, 1, 1)?;
        x = n.conv(x, wide, 3, stride, wide)?;
        x = n.plain_conv(x, channels, 1, 1, 1)?;
    }
    n.classify(x)
}

/// Concatenations before normalised convolutions as in DenseNet, and groups with a shuffle as in
/// ShuffleNet.
fn dense(n: &mut Network<'_, '_>, x: Value) -> OpResult<Value> {
    let mut x = n.conv(x, 64, 3, 2, 1)?;
    for _ in 0..3 {
        for _ in 0..3 {
            let y = n.scale(x)?;
            let y = n.conv(y, 128, 1, 1, 1)?;
            let y = n.plain_conv(y, 32, 3, 1, 1)?;
            x = n.b.one(&tensor::Concat, &[x, y], &[("axis", 1.into())])?;
        }
        x = n.conv(x, 128, 1, 1, 4)?;
        x = n.shuffle(x, 4)?;
        x = n.avg_pool(x, 2)?;
    }
    n.classify(x)
}

fn shape(extents: &[u64]) -> Attr {
    Attr::dims(extents.iter().map(|&n| Dim::Known(n)))
}

/// How a transformer computes what its positions have to do with each other.
#[derive(Copy, Clone)]
enum Scores {
    /// As products with a softmax between them.
    Products,
    /// By the op for it.
    Attention,
}

/// Builds layers.
struct Network<'b, 'm> {
    b: &'b mut Builder<'m>,
    count: u32,
}

impl Network<'_, '_> {
    fn dims(&self, x: Value) -> Vec<u64> {
        let ty = self.b.value_type(x).as_tensor();
        let dims = ty.map_or(&[][..], |ty| &ty.dims);
        dims.iter().map(|d| d.known().unwrap_or(1)).collect()
    }

    fn channels(&self, x: Value) -> u64 {
        self.dims(x)[1]
    }

    /// Weights that nothing else has, whose sums over `depth` products are means.
    fn weights(&mut self, shape: &[u64], depth: u64) -> OpResult<Value> {
        self.count += 1;
        let value = (1.0 + 1e-4 * f64::from(self.count)) / depth as f64;
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        constant(self.b, Tensor::splat(Elem::F32, &shape, Num::Float(value)))
    }

    fn conv(
        &mut self,
        x: Value,
        channels: u64,
        side: u64,
        stride: i64,
        groups: u64,
    ) -> OpResult<Value> {
        let y = self.plain_conv(x, channels, side, stride, groups)?;
        self.b.one(&nn::Relu, &[y], &[])
    }

    fn plain_conv(
        &mut self,
        x: Value,
        channels: u64,
        side: u64,
        stride: i64,
        groups: u64,
    ) -> OpResult<Value> {
        let inner = self.channels(x) / groups;
        let w = self.weights(&[channels, inner, side, side], inner * side * side)?;
        let bias = self.weights(&[channels], 1)?;
        let pad = (side / 2) as i64;
        self.b.one(
            &nn::Conv,
            &[x, w, bias],
            &[
                ("stride", [stride; 2].into()),
                ("dilation", [1; 2].into()),
                ("pad", [pad; 4].into()),
                ("groups", (groups as i64).into()),
            ],
        )
    }

    /// A multiple of each channel, shifted, and what is negative cut off.
    fn scale(&mut self, x: Value) -> OpResult<Value> {
        let dims = self.dims(x);
        let mut y = x;
        let steps: [&'static dyn OpDef; 2] = [&tensor::Mul, &tensor::Add];
        for def in steps {
            let row = self.weights(&dims[1..2], 1)?;
            let row = self.b.one(
                &tensor::Broadcast,
                &[row],
                &[("shape", shape(&dims)), ("axes", [1].into())],
            )?;
            y = self.b.one(def, &[y, row], &[])?;
        }
        self.b.one(&nn::Relu, &[y], &[])
    }

    /// Channels of groups by turns.
    fn shuffle(&mut self, x: Value, groups: u64) -> OpResult<Value> {
        let d = self.dims(x);
        let apart = self.reshape(x, &[d[0], groups, d[1] / groups, d[2], d[3]])?;
        let turned = self.b.one(
            &tensor::Transpose,
            &[apart],
            &[("perm", [0, 2, 1, 3, 4].into())],
        )?;
        self.reshape(turned, &d)
    }

    fn reshape(&mut self, x: Value, shape: &[u64]) -> OpResult<Value> {
        self.b
            .one(&tensor::Reshape, &[x], &[("shape", self::shape(shape))])
    }

    fn max_pool(&mut self, x: Value) -> OpResult<Value> {
        self.b.one(
            &nn::MaxPool,
            &[x],
            &[
                ("kernel", [3; 2].into()),
                ("stride", [2; 2].into()),
                ("dilation", [1; 2].into()),
                ("pad", [1; 4].into()),
            ],
        )
    }

    fn avg_pool(&mut self, x: Value, side: u64) -> OpResult<Value> {
        self.b.one(
            &nn::AvgPool,
            &[x],
            &[
                ("kernel", [side as i64; 2].into()),
                ("stride", [side as i64; 2].into()),
                ("dilation", [1; 2].into()),
                ("pad", [0; 4].into()),
            ],
        )
    }

    /// Means over the image, one linear layer, probabilities.
    fn classify(&mut self, x: Value) -> OpResult<Value> {
        let side = self.dims(x)[2];
        let x = self.avg_pool(x, side)?;
        let (images, channels) = (self.dims(x)[0], self.channels(x));
        let x = self.reshape(x, &[images, channels])?;
        let x = self.linear(x, 1000)?;
        self.b.one(&nn::Softmax, &[x], &[("axis", 1.into())])
    }

    fn linear(&mut self, x: Value, columns: u64) -> OpResult<Value> {
        let depth = self.dims(x).last().copied().unwrap_or(1);
        let w = self.weights(&[depth, columns], depth)?;
        self.product(x, w)
    }

    /// A linear layer whose weights are integers of eight bits times one scale for each column.
    fn quantised(&mut self, x: Value, columns: u64) -> OpResult<Value> {
        let depth = self.dims(x)[1];
        // Integers that differ: equal ones would be folded into floats.
        let attrs = [
            ("shape", shape(&[depth, columns])),
            ("axis", 1.into()),
            ("to", Elem::I8.into()),
        ];
        let integers = self.b.one(&tensor::Iota, &[], &attrs)?;
        let floats = tensor::build::cast(self.b, integers, Elem::F32)?;
        let scales = self.weights(&[columns], 128 * depth)?;
        let scales = self.b.one(
            &tensor::Broadcast,
            &[scales],
            &[("shape", shape(&[depth, columns])), ("axes", [1].into())],
        )?;
        let w = self.b.one(&tensor::Mul, &[floats, scales], &[])?;
        self.product(x, w)
    }

    fn product(&mut self, x: Value, w: Value) -> OpResult<Value> {
        let columns = self.dims(w)[1];
        let bias = self.weights(&[columns], 1)?;
        self.b.one(&nn::Linear, &[x, w, bias], &[])
    }

    /// Layers of these widths with activations between them.
    fn perceptron(
        &mut self,
        x: Value,
        widths: &[u64],
        layer: impl Fn(&mut Self, Value, u64) -> OpResult<Value>,
    ) -> OpResult<Value> {
        let mut x = x;
        for &width in widths {
            x = layer(self, x, width)?;
            x = self.b.one(&nn::Relu, &[x], &[])?;
        }
        Ok(x)
    }

    fn layer_norm(&mut self, x: Value) -> OpResult<Value> {
        let width = self.dims(x)[1];
        let (scale, bias) = (self.weights(&[width], 1)?, self.weights(&[width], 1)?);
        self.b
            .one(&nn::LayerNorm, &[x, scale, bias], &[("axis", 1.into())])
    }

    /// Layers of attention with heads of 64, and a feed-forward part of four times the width.
    fn transformer(&mut self, x: Value, layers: usize, scores: Scores) -> OpResult<Value> {
        let mut x = x;
        let (rows, width) = (self.dims(x)[0], self.dims(x)[1]);
        let heads = width / 64;
        for _ in 0..layers {
            let mut parts = Vec::new();
            for _ in 0..3 {
                let part = self.linear(x, width)?;
                let part = self.reshape(part, &[rows, heads, 64])?;
                parts.push(self.b.one(
                    &tensor::Transpose,
                    &[part],
                    &[("perm", [1, 0, 2].into())],
                )?);
            }
            let mixed = match scores {
                Scores::Products => self.products(&parts)?,
                Scores::Attention => {
                    for part in &mut parts {
                        *part = self.reshape(*part, &[1, heads, rows, 64])?;
                    }
                    let mixed = self.b.one(&nn::Attention, &parts, &[])?;
                    self.reshape(mixed, &[heads, rows, 64])?
                }
            };
            let mixed = self
                .b
                .one(&tensor::Transpose, &[mixed], &[("perm", [1, 0, 2].into())])?;
            let mixed = self.reshape(mixed, &[rows, width])?;
            let mixed = self.linear(mixed, width)?;
            x = self.b.one(&tensor::Add, &[x, mixed], &[])?;
            x = self.layer_norm(x)?;
            let wide = self.linear(x, 4 * width)?;
            let wide = self.b.one(&nn::Gelu, &[wide], &[])?;
            let narrow = self.linear(wide, width)?;
            x = self.b.one(&tensor::Add, &[x, narrow], &[])?;
            x = self.layer_norm(x)?;
        }
        Ok(x)
    }

    /// Attention of queries to keys and values, in steps.
    fn products(&mut self, parts: &[Value]) -> OpResult<Value> {
        let turned = [("perm", [0, 2, 1].into())];
        let keys = self.b.one(&tensor::Transpose, &parts[1..2], &turned)?;
        let scores = self.b.one(&nn::MatMul, &[parts[0], keys], &[])?;
        let shares = self.b.one(&nn::Softmax, &[scores], &[("axis", 2.into())])?;
        self.b.one(&nn::MatMul, &[shares, parts[2]], &[])
    }

    /// Two layers of an LSTM, one after the other.
    fn lstm(&mut self, x: Value, hidden: u64) -> OpResult<Value> {
        self.recurrent(x, hidden, 4, |b, v| {
            b.create(&nn::Lstm, &[v, &v[4..]].concat(), &[])
        })
    }

    /// Two layers of a GRU, one of each kind.
    fn gru(&mut self, x: Value, hidden: u64) -> OpResult<Value> {
        let mut linear_before_reset = false;
        self.recurrent(x, hidden, 3, |b, v| {
            linear_before_reset = !linear_before_reset;
            let attrs = [("linear_before_reset", linear_before_reset.into())];
            b.create(&nn::Gru, v, &attrs)
        })
    }

    /// Two layers, one after the other; `layer` takes the input, both weights, bias and state.
    fn recurrent(
        &mut self,
        x: Value,
        hidden: u64,
        gates: u64,
        mut layer: impl FnMut(&mut Builder<'_>, &[Value]) -> OpResult<Op>,
    ) -> OpResult<Value> {
        let mut x = x;
        for _ in 0..2 {
            let d = self.dims(x);
            let (batch, inner) = (d[1], d[2]);
            let w = self.weights(&[1, gates * hidden, inner], inner)?;
            let r = self.weights(&[1, gates * hidden, hidden], hidden)?;
            let bias = self.weights(&[1, 2 * gates * hidden], 1)?;
            let state = self.weights(&[1, batch, hidden], 1)?;
            let op = layer(self.b, &[x, w, r, bias, state])?;
            let y = self.b.module.results(op)[0];
            x = self.reshape(y, &[d[0], batch, hidden])?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_hold_all_that_has_a_kernel_of_its_own() {
        let probes = all();
        let names: Vec<&str> = probes
            .iter()
            .flat_map(|p| p.module.walk().into_iter().map(|op| p.module.op_name(op)))
            .collect();
        for name in [
            "nn.conv",
            "nn.linear",
            "nn.matmul",
            "nn.lstm",
            "nn.gru",
            "nn.attention",
            "nn.softmax",
            "nn.max_pool",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }
}
