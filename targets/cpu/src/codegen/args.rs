//! Argument structs of microkernels on the stack of generated code.

use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ir::core::{Module, Op};
use lepid_ir::dialects::kernel;
use lepid_ukernels::Activation;
use lepid_ukernels::args::{ConvGeom, Epilogue};
use std::mem::offset_of;

use crate::codegen::function::Gen;
use crate::places::Place;

/// A struct of type `T` on the stack.
pub(crate) struct Args {
    pub(crate) address: Value,
}

impl Args {
    pub(crate) fn new<T>(g: &mut Gen<'_>) -> Args {
        let slot = g.stack(size_of::<T>());
        Args {
            address: g.stack_address(slot),
        }
    }

    /// Sets a pointer or a size at a byte offset.
    pub(crate) fn set(&self, g: &mut Gen<'_>, offset: usize, value: Value) {
        g.store(value, self.address, offset as i32);
    }

    pub(crate) fn set_int(&self, g: &mut Gen<'_>, offset: usize, value: i64) {
        let value = g.int(value);
        self.set(g, offset, value);
    }

    pub(crate) fn set_u32(&self, g: &mut Gen<'_>, offset: usize, value: u32) {
        let value = g.b.ins().iconst(types::I32, i64::from(value));
        self.set(g, offset, value);
    }

    pub(crate) fn set_f32(&self, g: &mut Gen<'_>, offset: usize, value: f32) {
        let value = g.f32(value);
        self.set(g, offset, value);
    }
}

/// The window of a convolution or a pooling over channels-last images.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) input: [usize; 2],
    pub(crate) pixel: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub(crate) pad: [usize; 4],
    pub(crate) output: [usize; 2],
}

impl Geometry {
    pub(crate) fn row(&self) -> usize {
        self.pixel * self.input[1]
    }

    pub(crate) fn image(&self) -> usize {
        self.row() * self.input[0]
    }

    /// Fills in a `ConvGeom` that stands at `at` of a struct.
    pub(crate) fn set(&self, g: &mut Gen<'_>, args: &Args, at: usize) {
        let fields = [
            (offset_of!(ConvGeom, in_h), self.input[0]),
            (offset_of!(ConvGeom, in_w), self.input[1]),
            (offset_of!(ConvGeom, pixel_stride), self.pixel),
            (offset_of!(ConvGeom, row_stride), self.row()),
            (offset_of!(ConvGeom, image_stride), self.image()),
            (offset_of!(ConvGeom, kh), self.kernel[0]),
            (offset_of!(ConvGeom, kw), self.kernel[1]),
            (offset_of!(ConvGeom, stride_h), self.stride[0]),
            (offset_of!(ConvGeom, stride_w), self.stride[1]),
            (offset_of!(ConvGeom, dil_h), self.dilation[0]),
            (offset_of!(ConvGeom, dil_w), self.dilation[1]),
            (offset_of!(ConvGeom, pad_top), self.pad[0]),
            (offset_of!(ConvGeom, pad_left), self.pad[1]),
            (offset_of!(ConvGeom, out_h), self.output[0]),
            (offset_of!(ConvGeom, out_w), self.output[1]),
        ];
        for (offset, value) in fields {
            args.set_int(g, at + offset, value as i64);
        }
    }
}

/// The fused epilogue of a kernel op, with places.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) bias: Option<Place>,
    pub(crate) residual: Option<Place>,
    pub(crate) act: Activation,
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Tail {
    pub(crate) const NONE: Tail = Tail {
        bias: None,
        residual: None,
        act: Activation::None,
        low: 0.0,
        high: 0.0,
    };

    /// The epilogue of a `kernel.conv` or `kernel.linear`.
    pub(crate) fn of(
        module: &Module,
        op: Op,
        bias: Option<Place>,
        residual: Option<Place>,
    ) -> Tail {
        let view = module.view(op);
        let name = kernel::Conv::act(view);
        let act = match activation(name) {
            Some(act) => act,
            None => lepid_ir::bug!("no kernel ends in the activation `{name}`"),
        };
        Tail {
            bias,
            residual,
            act,
            low: kernel::Conv::low(view) as f32,
            high: kernel::Conv::high(view) as f32,
        }
    }

    /// Fills in what does not change of an `Epilogue` at `at` of a struct; the pointers follow by
    /// [`Tail::set_pointers`].
    pub(crate) fn set(&self, g: &mut Gen<'_>, args: &Args, at: usize, ld_residual: usize) {
        args.set_int(
            g,
            at + offset_of!(Epilogue, ld_residual),
            ld_residual as i64,
        );
        args.set_u32(g, at + offset_of!(Epilogue, act), self.act as u32);
        args.set_f32(g, at + offset_of!(Epilogue, lo), self.low);
        args.set_f32(g, at + offset_of!(Epilogue, hi), self.high);
        args.set_int(g, at + offset_of!(Epilogue, bias), 0);
        args.set_int(g, at + offset_of!(Epilogue, residual), 0);
    }

    /// Points bias and residual at byte offsets of their places.
    pub(crate) fn set_pointers(
        &self,
        g: &mut Gen<'_>,
        args: &Args,
        at: usize,
        bias_offset: Value,
        residual_offset: Value,
    ) {
        if let Some(place) = self.bias {
            let base = g.address(place);
            let pointer = g.add(base, bias_offset);
            args.set(g, at + offset_of!(Epilogue, bias), pointer);
        }
        if let Some(place) = self.residual {
            let base = g.address(place);
            let pointer = g.add(base, residual_offset);
            args.set(g, at + offset_of!(Epilogue, residual), pointer);
        }
    }
}

/// How kernels call an activation of the dialect.
fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "none" => Activation::None,
        "relu" => Activation::Relu,
        "clip" => Activation::Clamp,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "hard_swish" => Activation::HardSwish,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_know_every_activation() {
        for (name, _) in kernel::ACTIVATIONS {
            let known =
                activation(name).is_some_and(|act| (act == Activation::None) == (*name == "none"));
            assert!(known, "{name}");
        }
    }
}
