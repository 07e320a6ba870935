//! Borrowed tensors: what goes into a run and comes out of it without a copy.

use half::{bf16, f16};
use lepid_ir::core::{Bytes, Elem, Native, Tensor, Type};

/// A Rust number that is an element of tensors.
pub trait Scalar: Native {
    const ELEM: Elem;
}

macro_rules! scalars {
    ($($t:ty = $elem:ident),*) => {$(
        impl Scalar for $t {
            const ELEM: Elem = Elem::$elem;
        }
    )*};
}
scalars!(
    f64 = F64,
    f32 = F32,
    f16 = F16,
    bf16 = BF16,
    i64 = I64,
    i32 = I32,
    i16 = I16,
    i8 = I8,
    u64 = U64,
    u32 = U32,
    u16 = U16,
    u8 = U8
);

/// A tensor that someone else holds: row-major, dense.
#[derive(Copy, Clone, Debug)]
pub struct TensorView<'a> {
    elem: Elem,
    shape: &'a [usize],
    bytes: &'a [u8],
}

/// A tensor that someone else holds, to be written.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    elem: Elem,
    shape: &'a [usize],
    bytes: &'a mut [u8],
}

impl<'a> TensorView<'a> {
    /// Numbers under a shape. `None` if their count does not fit it.
    pub fn new<T: Scalar>(shape: &'a [usize], values: &'a [T]) -> Option<TensorView<'a>> {
        TensorView::raw(T::ELEM, shape, bytemuck::cast_slice(values))
    }

    /// The storage of elements. `None` if its size does not fit the shape, or if it holds bytes that
    /// are no elements: truth values are 0 or 1, integers of 2 and 4 bits take a byte each.
    pub fn raw(elem: Elem, shape: &'a [usize], bytes: &'a [u8]) -> Option<TensorView<'a>> {
        (elem.admits(bytes) && size(elem, shape) == Some(bytes.len())).then_some(TensorView {
            elem,
            shape,
            bytes,
        })
    }

    pub fn elem(&self) -> Elem {
        self.elem
    }

    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn ty(&self) -> Type {
        Type::known_tensor(self.elem, self.shape)
    }

    /// A copy.
    pub fn to_tensor(&self) -> Tensor {
        let data = Bytes::from_vec(self.bytes.to_vec());
        Tensor::new(self.elem, self.shape.iter().copied(), data)
    }
}

impl<'a> TensorViewMut<'a> {
    /// Room for numbers under a shape. `None` if their count does not fit it.
    pub fn new<T: Scalar>(shape: &'a [usize], values: &'a mut [T]) -> Option<TensorViewMut<'a>> {
        TensorViewMut::raw(T::ELEM, shape, bytemuck::cast_slice_mut(values))
    }

    /// Room for elements. `None` if its size does not fit the shape.
    pub fn raw(elem: Elem, shape: &'a [usize], bytes: &'a mut [u8]) -> Option<TensorViewMut<'a>> {
        (size(elem, shape) == Some(bytes.len())).then_some(TensorViewMut { elem, shape, bytes })
    }

    pub fn elem(&self) -> Elem {
        self.elem
    }

    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    pub fn ty(&self) -> Type {
        Type::known_tensor(self.elem, self.shape)
    }
}

impl<'a> From<&'a Tensor> for TensorView<'a> {
    fn from(tensor: &'a Tensor) -> TensorView<'a> {
        TensorView {
            elem: tensor.elem(),
            shape: tensor.shape(),
            bytes: tensor.bytes(),
        }
    }
}

fn size(elem: Elem, shape: &[usize]) -> Option<usize> {
    let count = |n: usize, &extent: &usize| n.checked_mul(extent);
    shape.iter().try_fold(elem.bytes(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_fit_their_shape() {
        let values = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let view = TensorView::new(&[2, 3], &values).unwrap();
        assert_eq!((view.elem(), view.bytes().len()), (Elem::F32, 24));
        assert!(TensorView::new(&[2, 2], &values).is_none());
        assert!(TensorView::new(&[usize::MAX, 8], &values).is_none());
        let mut room = [0i64; 4];
        assert!(TensorViewMut::new(&[4], &mut room).is_some());
        assert!(TensorViewMut::new(&[5], &mut room).is_none());
    }

    #[test]
    fn bytes_that_are_no_elements_are_refused() {
        assert!(TensorView::raw(Elem::Bool, &[2], &[0, 1]).is_some());
        assert!(TensorView::raw(Elem::Bool, &[2], &[0, 2]).is_none());
        assert!(TensorView::raw(Elem::I4, &[1], &[8]).is_none());
    }
}
