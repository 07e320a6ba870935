//! Tensor values: constants of the IR and the data of the interpreter.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use half::{bf16, f16};
use smallvec::SmallVec;

use crate::core::{Bytes, Elem, Type};

/// The extents of a tensor, outermost first.
pub type Shape = SmallVec<[usize; 6]>;

/// One number: floats exactly as `f64`, integers and truth values exactly as `i128`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Num {
    Float(f64),
    Int(i128),
}

impl Num {
    pub fn as_f64(self) -> f64 {
        match self {
            Num::Float(x) => x,
            Num::Int(x) => x as f64,
        }
    }

    /// The integer; a float is truncated towards zero and saturates.
    pub fn as_i128(self) -> i128 {
        match self {
            Num::Float(x) => x as i128,
            Num::Int(x) => x,
        }
    }
}

/// A Rust number that is the storage of an element type.
pub trait Native: bytemuck::Pod + Send + Sync + PartialEq + fmt::Debug {
    fn to_num(self) -> Num;
    /// Floats round to nearest; integers wrap.
    fn from_num(num: Num) -> Self;
}

macro_rules! native_float {
    ($($t:ty: $from:expr, $from_int:expr, $to:expr;)*) => {$(
        impl Native for $t {
            fn to_num(self) -> Num { Num::Float($to(self)) }
            fn from_num(num: Num) -> $t {
                match num {
                    Num::Float(x) => $from(x),
                    Num::Int(x) => $from_int(x),
                }
            }
        }
    )*};
}
macro_rules! native_int {
    ($($t:ty)*) => {$(
        impl Native for $t {
            fn to_num(self) -> Num { Num::Int(self as i128) }
            fn from_num(num: Num) -> $t { num.as_i128() as $t }
        }
    )*};
}
native_float! {
    f64: |x| x, |x| x as f64, |x| x;
    f32: |x: f64| x as f32, |x| x as f32, f64::from;
    f16: f16::from_f64, |x| f16::from_f64(x as f64), |x: f16| x.to_f64();
    bf16: bf16::from_f64, |x| bf16::from_f64(x as f64), |x: bf16| x.to_f64();
}
native_int! { i64 i32 i16 i8 u64 u32 u16 u8 }

/// Runs `$body` with `$t` standing for the storage type of `$elem`.
/// `i4` and `i2` are stored as a sign-extended `i8`, `u4` and `u2` as `u8`, `i1` as a `u8` of 0 or 1.
#[macro_export]
macro_rules! with_native {
    ($elem:expr, $t:ident => $body:expr) => {
        match $elem {
            $crate::core::Elem::F64 => {
                type $t = f64;
                $body
            }
            $crate::core::Elem::F32 => {
                type $t = f32;
                $body
            }
            $crate::core::Elem::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::core::Elem::BF16 => {
                type $t = half::bf16;
                $body
            }
            $crate::core::Elem::I64 => {
                type $t = i64;
                $body
            }
            $crate::core::Elem::I32 => {
                type $t = i32;
                $body
            }
            $crate::core::Elem::I16 => {
                type $t = i16;
                $body
            }
            $crate::core::Elem::I8 | $crate::core::Elem::I4 | $crate::core::Elem::I2 => {
                type $t = i8;
                $body
            }
            $crate::core::Elem::U64 => {
                type $t = u64;
                $body
            }
            $crate::core::Elem::U32 => {
                type $t = u32;
                $body
            }
            $crate::core::Elem::U16 => {
                type $t = u16;
                $body
            }
            $crate::core::Elem::U8
            | $crate::core::Elem::U4
            | $crate::core::Elem::U2
            | $crate::core::Elem::Bool => {
                type $t = u8;
                $body
            }
        }
    };
}

/// Brings a number into the range of sub-byte and boolean storage; other elements are untouched.
fn narrow(elem: Elem, num: Num) -> Num {
    match elem {
        Elem::I4 => Num::Int(((num.as_i128() & 0xf) ^ 8) - 8),
        Elem::U4 => Num::Int(num.as_i128() & 0xf),
        Elem::I2 => Num::Int(((num.as_i128() & 0x3) ^ 2) - 2),
        Elem::U2 => Num::Int(num.as_i128() & 0x3),
        Elem::Bool => Num::Int(match num {
            Num::Float(x) => i128::from(x != 0.0),
            Num::Int(x) => i128::from(x != 0),
        }),
        _ => num,
    }
}

/// A dense tensor in row-major order. Cloning shares the data.
#[derive(Clone)]
pub struct Tensor {
    elem: Elem,
    shape: Shape,
    data: Bytes,
}

impl Tensor {
    /// A tensor over given storage. Panics if the number of bytes does not fit the shape.
    pub fn new(elem: Elem, shape: impl IntoIterator<Item = usize>, data: Bytes) -> Tensor {
        let shape: Shape = shape.into_iter().collect();
        let count: usize = shape.iter().product();
        assert_eq!(
            data.as_slice().len(),
            count * elem.bytes(),
            "storage of a tensor"
        );
        Tensor { elem, shape, data }
    }

    /// A tensor over the storage values of `elem`. Panics if the type or the count does not fit.
    pub fn from_vec<T: Native>(
        elem: Elem,
        shape: impl IntoIterator<Item = usize>,
        values: Vec<T>,
    ) -> Tensor {
        Tensor::new(elem, shape, Bytes::from_vec(values))
    }

    /// A tensor of the numbers, rounded or wrapped to `elem`.
    pub fn from_nums(
        elem: Elem,
        shape: impl IntoIterator<Item = usize>,
        nums: impl IntoIterator<Item = Num>,
    ) -> Tensor {
        with_native!(elem, T => {
            let values: Vec<T> = nums.into_iter().map(|n| T::from_num(narrow(elem, n))).collect();
            Tensor::from_vec(elem, shape, values)
        })
    }

    pub fn from_f64s(
        elem: Elem,
        shape: impl IntoIterator<Item = usize>,
        values: impl IntoIterator<Item = f64>,
    ) -> Tensor {
        Tensor::from_nums(elem, shape, values.into_iter().map(Num::Float))
    }

    /// A vector of `i64`, the form of shapes and axes.
    pub fn from_i64s(values: impl IntoIterator<Item = i64>) -> Tensor {
        let values: Vec<i64> = values.into_iter().collect();
        Tensor::from_vec(Elem::I64, [values.len()], values)
    }

    pub fn scalar(elem: Elem, num: Num) -> Tensor {
        Tensor::from_nums(elem, [], [num])
    }

    /// `num` everywhere.
    pub fn splat(elem: Elem, shape: &[usize], num: Num) -> Tensor {
        with_native!(elem, T => {
            let value = T::from_num(narrow(elem, num));
            Tensor::from_vec(elem, shape.iter().copied(), vec![value; shape.iter().product()])
        })
    }

    pub fn zeros(elem: Elem, shape: &[usize]) -> Tensor {
        Tensor::splat(elem, shape, Num::Int(0))
    }

    pub fn elem(&self) -> Elem {
        self.elem
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn ty(&self) -> Type {
        Type::known_tensor(self.elem, &self.shape)
    }

    pub fn bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The storage values. Borrowed if the storage is aligned for `T`. Panics if `T` is not the
    /// storage type of the element.
    pub fn values<T: Native>(&self) -> Cow<'_, [T]> {
        assert_eq!(
            size_of::<T>(),
            self.elem.bytes(),
            "storage type of {}",
            self.elem
        );
        match bytemuck::try_cast_slice(self.bytes()) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(self.bytes())),
        }
    }

    /// All elements as numbers, in row-major order.
    pub fn nums(&self) -> Vec<Num> {
        with_native!(self.elem, T => self.values::<T>().iter().map(|v| v.to_num()).collect())
    }

    /// One element by its row-major index.
    pub fn num(&self, index: usize) -> Num {
        let size = self.elem.bytes();
        let bytes = &self.bytes()[index * size..][..size];
        with_native!(self.elem, T => bytemuck::pod_read_unaligned::<T>(bytes).to_num())
    }

    pub fn to_f64s(&self) -> Vec<f64> {
        with_native!(self.elem, T => self.values::<T>().iter().map(|v| v.to_num().as_f64()).collect())
    }

    /// All elements as `i64`; floats are truncated.
    pub fn to_i64s(&self) -> Vec<i64> {
        self.nums()
            .into_iter()
            .map(|n| n.as_i128() as i64)
            .collect()
    }

    /// Applies `f` to each element, computed in `f64`.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Tensor {
        if self.elem == Elem::F32 {
            let values = self.values::<f32>();
            let values = values.iter().map(|&x| f(f64::from(x)) as f32).collect();
            return Tensor::from_vec(self.elem, self.shape.iter().copied(), values);
        }
        let nums = self.to_f64s();
        Tensor::from_f64s(
            self.elem,
            self.shape.iter().copied(),
            nums.into_iter().map(f),
        )
    }

    /// The same elements under another shape. Panics if the counts differ.
    pub fn reshaped(&self, shape: impl IntoIterator<Item = usize>) -> Tensor {
        Tensor::new(self.elem, shape, self.data.clone())
    }

    /// The same numbers with another element type, rounded or wrapped.
    pub fn cast(&self, elem: Elem) -> Tensor {
        if elem == self.elem {
            return self.clone();
        }
        Tensor::from_nums(elem, self.shape.iter().copied(), self.nums())
    }
}

impl PartialEq for Tensor {
    /// Bitwise: NaNs of the same bits are equal, 0.0 and -0.0 are not.
    fn eq(&self, other: &Tensor) -> bool {
        self.elem == other.elem
            && self.shape == other.shape
            && (self.data.same_place(&other.data) || self.bytes() == other.bytes())
    }
}
impl Eq for Tensor {}
impl Hash for Tensor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.elem.hash(state);
        self.shape.hash(state);
        // A sample is enough to tell big weights apart; equality compares them whole.
        let bytes = self.bytes();
        let step = (bytes.len() / 256).max(1);
        for at in (0..bytes.len()).step_by(step) {
            bytes[at].hash(state);
        }
    }
}
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.ty())?;
        let count = self.len();
        if count <= 64 {
            let nums = self.nums();
            f.debug_list()
                .entries(nums.iter().map(|n| match n {
                    Num::Float(x) => *x,
                    Num::Int(x) => *x as f64,
                }))
                .finish()
        } else {
            write!(f, "[{count} values]")
        }
    }
}
