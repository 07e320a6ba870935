//! What the variables of a rule are in a test: a small notation with random extents.
//!
//! ```text
//! ?x: AxB              an argument; capital letters are random extents, the element is found by trial
//! ?x: A+1xBxi32        sums and products of extents; a stated element
//! ?x: abs AxB          positive numbers
//! ?w: const AxB        a random constant
//! ?c: 0.5 AxB          a constant of one number, `?` for a random one
//! ?c: halves AxB*2     a constant whose halves along the last axis are equal; `pairs`: each number twice
//! ?m: steps AxB        what is seen of keys by queries, or what hides the others
//! ?p: perm 3           a random permutation
//! ?s: [A, B+1, 2]      an attribute; so are `1`, `0.5`, `"max"`, `f32`, `true`, `absent`
//! ?a: any              all attributes of an op, at random; `conv`, `pool`: those of windows
//! ```
//!
//! Samples are separated by `|`.

use std::collections::BTreeMap;

use lepid_ir::core::{Attr, AttrInfo, AttrKind, Elem, Num, Tensor};

use crate::core::Values;

/// Numbers that are the same in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.draw() >> 11) as usize % count
    }

    fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn perm(&mut self, count: usize) -> Vec<i64> {
        let mut perm: Vec<i64> = (0..count as i64).collect();
        for i in (1..count).rev() {
            perm.swap(i, self.below(i + 1));
        }
        perm
    }
}

/// Which numbers arguments are.
#[derive(Copy, Clone, PartialEq)]
pub(super) enum Range {
    /// Zeros of both signs, infinities and NaN among others.
    All,
    Finite,
    Positive,
}

/// A variable that stands for a value.
#[derive(Clone)]
pub(super) struct ValueSample {
    pub(super) elem: Elem,
    pub(super) shape: Vec<usize>,
    /// The value, if it is a constant.
    pub(super) constant: Option<Tensor>,
    pub(super) positive: bool,
}

/// One draw of a sample: extents are chosen, variables follow.
pub(super) struct Sample<'t> {
    rows: BTreeMap<&'t str, &'t str>,
    extents: BTreeMap<char, usize>,
    /// The element where none is stated.
    elem: Elem,
}

impl<'t> Sample<'t> {
    pub(super) fn new(text: &'t str, elem: Elem, random: &mut Random) -> Sample<'t> {
        let mut rows = BTreeMap::new();
        for row in text.split(", ?").filter(|r| !r.trim().is_empty()) {
            let (name, what) = row.split_once(':').unwrap_or((row, ""));
            rows.insert(name.trim().trim_start_matches('?'), what.trim());
        }
        let extents = ('A'..='H').map(|c| (c, 1 + random.below(3))).collect();
        Sample {
            rows,
            extents,
            elem,
        }
    }

    pub(super) fn value(&self, name: &str, random: &mut Random) -> Result<ValueSample, String> {
        let text = self.rows.get(&name[1..]).copied().unwrap_or("AxB");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (ty, kind) = match words[..] {
            [ty] => (ty, ""),
            [kind, ty] => (ty, kind),
            [kind, more, ty] => (ty, if more == "abs" { "abs" } else { kind }),
            _ => return Err(format!("`{text}` of `{name}`")),
        };
        let mut shape = Vec::new();
        let mut elem = self.elem;
        for part in ty.split('x') {
            match Elem::from_name(part) {
                Some(stated) => elem = stated,
                None => shape.push(self.extent(part)?),
            }
        }
        let mut sample = ValueSample {
            elem,
            shape,
            constant: None,
            positive: text.contains("abs"),
        };
        sample.constant = match kind {
            "" => None,
            _ if text.starts_with("const") => {
                let range = if sample.positive {
                    Range::Positive
                } else {
                    Range::Finite
                };
                Some(tensor(&sample, range, random))
            }
            "abs" => None,
            "halves" | "pairs" | "steps" => Some(regular(&sample, kind, random)),
            "?" => {
                let number = tensor(&sample, Range::Finite, random);
                let first = number.nums().first().copied().unwrap_or(Num::Int(0));
                Some(Tensor::splat(elem, &sample.shape, first))
            }
            number => {
                let number: f64 = number
                    .parse()
                    .map_err(|_| format!("`{text}` of `{name}`"))?;
                Some(Tensor::splat(elem, &sample.shape, Num::Float(number)))
            }
        };
        Ok(sample)
    }

    pub(super) fn attr(
        &self,
        name: &str,
        info: &AttrInfo,
        random: &mut Random,
    ) -> Result<Attr, String> {
        let plain = &name[1..];
        let group = plain.split('.').next().unwrap_or(plain);
        let text = self.rows.get(plain).or_else(|| self.rows.get(group));
        match text.copied() {
            None | Some("any") => any(info, random),
            Some("conv" | "pool") => Ok(window(info, text == Some(&"pool"), random)),
            Some(text) => match text.strip_prefix("perm ") {
                Some(count) => Ok(Attr::from(random.perm(count.parse().unwrap_or(0)))),
                None => self.literal(text, info),
            },
        }
    }

    fn literal(&self, text: &str, info: &AttrInfo) -> Result<Attr, String> {
        if let Some(items) = text.strip_prefix('[') {
            let items = items.trim_end_matches(']').split(',').map(str::trim);
            let items = items.filter(|i| !i.is_empty());
            let items: Result<Vec<Attr>, String> = items
                .map(|i| Ok(Attr::Int(self.extent(i)? as i64)))
                .collect();
            return Ok(Attr::List(items?));
        }
        let wrong = || format!("`{text}` is no {}", info.kind.name());
        Ok(match info.kind {
            _ if text == "absent" => Attr::Absent,
            AttrKind::Bool => Attr::Bool(text == "true"),
            AttrKind::Int => Attr::Int(text.parse().map_err(|_| wrong())?),
            AttrKind::Float => Attr::Float(text.parse().map_err(|_| wrong())?),
            AttrKind::Str => Attr::from(text.trim_matches('"')),
            AttrKind::Elem => Attr::Elem(Elem::from_name(text).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        })
    }

    /// A sum of products of numbers and letters.
    fn extent(&self, text: &str) -> Result<usize, String> {
        let factor = |text: &str| -> Result<usize, String> {
            let letter = text.chars().next().and_then(|c| self.extents.get(&c));
            match (letter, text.parse()) {
                (Some(&extent), _) if text.len() == 1 => Ok(extent),
                (_, Ok(number)) => Ok(number),
                _ => Err(format!("`{text}` is no extent")),
            }
        };
        let mut sum = 0;
        for product in text.split('+') {
            sum += product
                .split('*')
                .map(|f| factor(f.trim()))
                .product::<Result<usize, String>>()?;
        }
        Ok(sum)
    }
}

/// An attribute of which nothing is stated.
fn any(info: &AttrInfo, random: &mut Random) -> Result<Attr, String> {
    if let Some(default) = info.default
        && random.below(2) == 0
    {
        return Ok(default());
    }
    Ok(match (info.name, info.kind) {
        ("direction", _) => {
            let all = ["eq", "ne", "lt", "le", "gt", "ge"];
            Attr::from(all[random.below(all.len())])
        }
        ("approximate", _) => Attr::from(["none", "tanh"][random.below(2)]),
        (_, AttrKind::Float) => Attr::Float(random.unit()),
        (_, AttrKind::Bool) => Attr::Bool(random.below(2) == 0),
        (_, AttrKind::Int) => Attr::Int(random.below(2) as i64),
        (_, AttrKind::Elem) => {
            let all = [
                Elem::F32,
                Elem::F64,
                Elem::F16,
                Elem::I32,
                Elem::I8,
                Elem::U8,
            ];
            Attr::Elem(all[random.below(all.len())])
        }
        _ => match info.default {
            Some(default) => default(),
            None => return Err(format!("the sample says nothing of `{}`", info.name)),
        },
    })
}

/// An attribute of a window over two axes.
fn window(info: &AttrInfo, pool: bool, random: &mut Random) -> Attr {
    match info.name {
        "kernel" => Attr::from([2, 3]),
        "stride" if pool => Attr::from([1 + random.below(2) as i64, 1]),
        "stride" | "dilation" => Attr::from([1, 1]),
        "pad" if pool => Attr::from([random.below(2) as i64, 0, 0, random.below(2) as i64]),
        "pad" => Attr::from([0, 0, 0, 0]),
        _ => info.default.map_or(Attr::Absent, |default| default()),
    }
}

/// Numbers that are regular along the last axis, or the last two.
fn regular(sample: &ValueSample, kind: &str, random: &mut Random) -> Tensor {
    let numbers = tensor(sample, Range::Finite, random);
    let [.., rows, columns] = [&[1], sample.shape.as_slice()].concat()[..] else {
        return numbers;
    };
    let offset = random.below(columns);
    let (shown, hidden) = match sample.elem {
        Elem::Bool => (Num::Int(1), Num::Int(0)),
        _ => (Num::Float(0.0), Num::Float(f64::NEG_INFINITY)),
    };
    let number = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        let first = row * columns;
        match kind {
            "halves" => numbers.num(first + column % (columns / 2)),
            "pairs" => numbers.num(first + column / 2),
            _ if column <= row % rows + offset => shown,
            _ => hidden,
        }
    };
    let shape = sample.shape.iter().copied();
    Tensor::from_nums(sample.elem, shape, (0..numbers.len()).map(number))
}

/// Random numbers for a value.
pub(super) fn tensor(sample: &ValueSample, range: Range, random: &mut Random) -> Tensor {
    let count = sample.shape.iter().product();
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let nums: Vec<Num> = (0..count)
        .map(|_| {
            let x = random.unit();
            match sample.elem {
                Elem::Bool => Num::Int(i128::from(x > 0.5)),
                elem if elem.is_float() => Num::Float(match range {
                    Range::All if random.below(8) == 0 => special[random.below(special.len())],
                    Range::Positive => 0.1 + 2.0 * x,
                    Range::All | Range::Finite => 4.0 * x - 2.0,
                }),
                elem if elem.is_signed_int() && range != Range::Positive => {
                    Num::Int((9.0 * x) as i128 - 4)
                }
                _ => Num::Int((9.0 * x) as i128),
            }
        })
        .collect();
    Tensor::from_nums(sample.elem, sample.shape.iter().copied(), nums)
}

/// Whether two tensors are equal as far as a rule promises.
pub(super) fn agree(expected: &Tensor, found: &Tensor, values: Values) -> Result<(), String> {
    let (old, new) = (expected.nums(), found.nums());
    let finite = old
        .iter()
        .map(|n| n.as_f64().abs())
        .filter(|x| x.is_finite());
    // Arguments are about one, and what they round by remains where a sum cancels.
    let scale = finite.fold(1.0, f64::max);
    let same = |(x, y): (&Num, &Num)| match (x, y, values) {
        (Num::Int(x), Num::Int(y), _) => x == y,
        (x, y, Values::Exact) => {
            let (x, y) = (x.as_f64(), y.as_f64());
            x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan())
        }
        (x, y, Values::Within(bound)) => {
            let (x, y) = (x.as_f64(), y.as_f64());
            x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= bound * scale
        }
    };
    match expected.shape() == found.shape() && old.iter().zip(&new).all(same) {
        true => Ok(()),
        false => Err(format!("{expected:?} becomes {found:?}")),
    }
}
