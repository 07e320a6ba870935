//! Decisions drawn from bytes.

use crate::core::{Attr, Bytes, Dim, Elem, ExtType, Symbol, Tensor, Type, TypeKind};

/// A source of decisions that shrinks well: at its end, all of them are 0.
#[derive(Debug)]
pub struct Choices<'c> {
    left: &'c [u8],
}

impl<'c> Choices<'c> {
    pub fn new(bytes: &'c [u8]) -> Choices<'c> {
        Choices { left: bytes }
    }

    fn byte(&mut self) -> u8 {
        match self.left.split_first() {
            Some((&first, rest)) => {
                self.left = rest;
                first
            }
            None => 0,
        }
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        match n {
            0..=256 => usize::from(self.byte()) % n,
            _ => usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % n,
        }
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// About a third of the items.
    pub fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        items
            .iter()
            .copied()
            .filter(|_| self.below(3) == 1)
            .collect()
    }

    /// Up to three items.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Attr) -> Attr {
        Attr::List((0..self.below(4)).map(|_| item(self)).collect())
    }

    /// A name, mostly one that text must quote.
    pub fn name(&mut self) -> Symbol {
        let names = [
            "N", "x", "max", "a b", "é", "\"", "\\", "\n\t", "", "f32", "x3xf32", "segment0", "//",
            ">",
        ];
        Symbol::new(names[self.below(names.len())])
    }

    /// A small integer, one at an edge, or any.
    pub fn int(&mut self) -> i64 {
        match self.below(4) {
            0 => self.below(4) as i64,
            1 => -(self.below(4) as i64),
            2 => [i64::MIN, i64::MAX][self.below(2)],
            _ => self.bits() as i64,
        }
    }

    /// A small float, one at an edge, or any.
    pub fn float(&mut self) -> f64 {
        match self.below(3) {
            0 => self.below(4) as f64 * 0.5,
            1 => [
                f64::NAN,
                -0.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                5e-324,
            ][self.below(6)],
            _ => f64::from_bits(self.bits()),
        }
    }

    /// `f32`, or any element.
    pub fn elem(&mut self) -> Elem {
        match self.below(2) {
            0 => Elem::F32,
            _ => Elem::ALL[self.below(Elem::ALL.len())],
        }
    }

    /// A small, a named or an unknown extent.
    pub fn dim(&mut self) -> Dim {
        match self.below(6) {
            4 => Dim::Sym(self.name()),
            5 => Dim::Unknown,
            n => Dim::Known(n as u64),
        }
    }

    /// A type of any dialect, in which types nest as deep as is left.
    pub fn ty(&mut self, depth: usize) -> Type {
        if self.below(8) != 7 || depth == 0 {
            let dims: Vec<Dim> = (0..self.below(4)).map(|_| self.dim()).collect();
            return Type::tensor(self.elem(), dims);
        }
        let params = ["bits", "axis", "of"];
        let params = params[..self.below(4)].iter().map(|p| {
            let value = match self.below(4) {
                0 => Attr::Int(self.int()),
                1 => Attr::Type(self.ty(depth - 1)),
                2 => Attr::Elem(self.elem()),
                _ => self.list(|r| Attr::Float(r.float())),
            };
            (Symbol::new(p), value)
        });
        let params = params.collect();
        Type::new(TypeKind::Ext(ExtType {
            dialect: Symbol::new("test"),
            name: Symbol::new("some"),
            params,
        }))
    }

    /// Any bits for floats, any valid storage for the rest.
    pub fn tensor(&mut self) -> Tensor {
        let elem = self.elem();
        let shape: Vec<usize> = (0..self.below(4)).map(|_| self.below(4)).collect();
        let count: usize = shape.iter().product();
        let same = self.below(3) == 0;
        let mut first: Vec<u8> = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..count {
            let mut one: Vec<u8> = (0..elem.bytes()).map(|_| self.byte()).collect();
            match elem {
                Elem::Bool => one[0] &= 1,
                Elem::U4 => one[0] &= 0xf,
                Elem::U2 => one[0] &= 0x3,
                Elem::I2 => one[0] = (((one[0] as i8) << 6) >> 6) as u8,
                Elem::I4 => one[0] = (((one[0] as i8) << 4) >> 4) as u8,
                _ => {}
            }
            if first.is_empty() {
                first.clone_from(&one);
            }
            bytes.extend(if same { &first } else { &one });
        }
        Tensor::new(elem, shape, Bytes::from_vec(bytes))
    }
}
