//! No op panics, whatever types and attributes it is given.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lepid_ir::core::{
    Attr, AttrKind, Builder, Dim, Elem, Module, OpDef, OpInfo, Symbol, Tensor, Type,
};
use lepid_ir::dialects::core::{Func, constant};
use lepid_ir::{dialects, interp};

use crate::sample::{Input, Numbers, Sample, extent};
use crate::{nn, tensor};

const ROUNDS: u64 = 400;
const BENDS: u64 = 60;

/// Extents to choose from. Functions, since a name is interned at run time.
const SOME_DIMS: [fn() -> Dim; 8] = [
    || Dim::Known(0),
    || Dim::Known(1),
    || Dim::Known(2),
    || Dim::Known(2),
    || Dim::Known(3),
    || Dim::Known(4),
    || Dim::Unknown,
    || Dim::Sym(Symbol::new("N")),
];

#[test]
fn ops_refuse_garbage_without_panic() {
    let ops = dialects::registry();
    let mut failures = Vec::new();
    for def in ops
        .iter()
        .filter(|def| ["nn", "tensor"].contains(&def.info().dialect()))
    {
        let accepted = (0..ROUNDS).filter(|&round| {
            let attempt = catch_unwind(AssertUnwindSafe(|| attempt(def, round)));
            match attempt {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(message)) => {
                    failures.push(format!("{} in round {round}: {message}", def.info().name));
                    false
                }
                Err(_) => {
                    failures.push(format!("{} in round {round}: panics", def.info().name));
                    false
                }
            }
        });
        // A generator that never hits a valid use would test nothing but refusals.
        let hard = def.info().dialect() == "nn" || !def.info().regions.is_empty();
        let enough = accepted.count() > 0 || hard;
        if !enough {
            failures.push(format!("{}: no use was accepted", def.info().name));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Sample uses with one thing changed come much nearer to the limits than random ones.
#[test]
fn bent_samples_are_refused_without_panic() {
    let mut failures = Vec::new();
    for sample in tensor::samples().iter().chain(&nn::samples()) {
        for round in 0..BENDS {
            let attempt = catch_unwind(AssertUnwindSafe(|| bend(sample, round)));
            match attempt {
                Ok(Ok(_)) => {}
                Ok(Err(message)) => failures.push(format!("{sample} in round {round}: {message}")),
                Err(_) => failures.push(format!("{sample} in round {round}: panics")),
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Tries a sample with an attribute, an operand or the actual extents changed.
fn bend(sample: &Sample, round: u64) -> Result<bool, String> {
    let info = sample.def.info();
    let mut random = Random::new(round, info.name);
    let mut attrs = sample.attrs.clone();
    let mut operands: Vec<Operand> = sample
        .inputs()
        .0
        .into_iter()
        .map(|input| match input {
            Input::Constant(value) => Operand::new(value.ty(), value, true),
            Input::Argument(ty, value) => Operand::new(ty, value, false),
        })
        .collect();
    if random.below(2) == 0 && !info.attrs.is_empty() {
        let at = random.below(info.attrs.len() as u64) as usize;
        let declared = &info.attrs[at];
        match attrs.iter_mut().find(|(name, _)| *name == declared.name) {
            Some((_, Attr::List(list))) if !list.is_empty() && random.below(3) > 0 => {
                let entry = random.below(list.len() as u64) as usize;
                if let Attr::Int(n) = &mut list[entry] {
                    *n = random.int();
                }
            }
            Some((_, attr)) => *attr = random.attr(info, declared.kind, 2),
            None => attrs.push((declared.name, random.attr(info, declared.kind, 2))),
        }
    } else if !operands.is_empty() {
        let at = random.below(operands.len() as u64) as usize;
        let operand = &mut operands[at];
        if let Some(ty) = operand.ty.as_tensor() {
            let mut ty = ty.clone();
            match random.below(4) {
                0 => ty.elem = random.elem(),
                1 => ty.dims = random.dims(),
                2 => ty.dims.iter_mut().for_each(|d| *d = Dim::Unknown),
                _ => match ty.dims.len() as u64 {
                    0 => ty.dims = random.dims(),
                    rank => {
                        let axis = random.below(rank) as usize;
                        ty.dims[axis] = random.pick(&SOME_DIMS)();
                    }
                },
            }
            // Open extents need not fit those of the other operands.
            let loose = random.below(2) == 0;
            let shape = ty.dims.iter().map(|d| match loose && d.known().is_none() {
                true => random.below(5) as usize,
                false => extent(*d),
            });
            let shape: Vec<usize> = shape.collect();
            operand.value = random.0.tensor(ty.elem, &shape);
            operand.ty = ty.into();
        }
    }
    exercise(sample.def, &operands, &attrs)
}

/// Makes one random use; gives whether the op took it.
fn attempt(def: &'static dyn OpDef, round: u64) -> Result<bool, String> {
    let info = def.info();
    let mut random = Random::new(round, info.name);
    let (elem, shape) = (random.elem(), random.dims());
    let mut operands = Vec::new();
    for i in 0..random.operand_count(info) {
        // Mostly one type for all, or no binary op would ever be accepted.
        let rule = info
            .operands
            .get(i)
            .or(info.rest.as_ref())
            .map(|o| o.rule.admits);
        let mut ty = Type::tensor(elem, shape.clone());
        for _ in 0..6 {
            if rule.is_some_and(|admits| admits(ty)) && random.below(4) > 0 {
                break;
            }
            // Shape vectors and fill values are common second operands.
            ty = match random.below(6) {
                0 => Type::scalar(elem),
                1 => Type::known_tensor(Elem::I64, &[shape.len()]),
                2 => Type::known_tensor(Elem::I64, &[2 * shape.len()]),
                _ => Type::tensor(random.elem(), random.dims()),
            };
        }
        let Some(tensor) = ty.as_tensor() else {
            continue;
        };
        let extents: Vec<usize> = tensor.dims.iter().map(|d| extent(*d)).collect();
        let value = random.0.tensor(tensor.elem, &extents);
        operands.push(Operand::new(ty, value, random.below(3) == 0));
    }
    let mut attrs: Vec<(&str, Attr)> = Vec::new();
    for declared in info.attrs {
        if declared.default.is_none() || random.below(2) == 0 {
            attrs.push((declared.name, random.attr(info, declared.kind, shape.len())));
        }
    }
    exercise(def, &operands, &attrs)
}

/// An operand of a use: its type in the IR and its actual value.
struct Operand {
    ty: Type,
    value: Tensor,
    constant: bool,
}

impl Operand {
    fn new(ty: Type, value: Tensor, constant: bool) -> Operand {
        Operand {
            ty,
            value,
            constant,
        }
    }

    /// Whether the type holds for the value, with the extents that names stand for.
    fn fits(&self) -> bool {
        self.ty.as_tensor().is_some_and(|ty| {
            let dims = ty.dims.iter().zip(self.value.shape());
            dims.clone().all(|(d, &n)| match d {
                Dim::Known(_) | Dim::Sym(_) => extent(*d) == n,
                Dim::Unknown => true,
            })
        })
    }
}

/// Builds a use, expands and evaluates it; gives whether the op took it.
fn exercise(
    def: &'static dyn OpDef,
    operands: &[Operand],
    attrs: &[(&str, Attr)],
) -> Result<bool, String> {
    let mut module = Module::new();
    let func = Func::create(&mut module, "f", &[], &[]).map_err(|e| e.to_string())?;
    let block = Func::block(module.view(func));
    let mut args = Vec::new();
    for operand in operands {
        let mut b = Builder::at_end(&mut module, block);
        args.push(match operand.constant {
            true => constant(&mut b, operand.value.clone()).map_err(|e| e.to_string())?,
            false => module.add_block_arg(block, operand.ty),
        });
    }
    let values: Vec<Tensor> = operands.iter().map(|o| o.value.clone()).collect();
    let mut b = Builder::at_end(&mut module, block);
    let Ok(op) = b.create(def, &args, attrs) else {
        return Ok(false);
    };
    let view = module.view(op);
    let _ = def.cost(view);
    let mut copy = module.clone();
    let mut b = Builder::before(&mut copy, op);
    if let Err(error) = def.decompose(&mut b, op) {
        return Err(format!("does not decompose: {error}"));
    }
    if !view.regions().is_empty()
        || (0..view.results().len()).any(|i| view.result_elements(i) > 1e4)
    {
        return Ok(true);
    }
    let Ok(results) = interp::eval_pure(&module, op, &values) else {
        return Ok(true);
    };
    // A name that no operand has is only bound by the function around the op.
    let names = args.iter().any(|&v| {
        let ty = module.value_type(v).as_tensor();
        ty.is_some_and(|t| t.dims.iter().any(|d| matches!(d, Dim::Sym(_))))
    });
    let names = names && operands.iter().all(Operand::fits);
    for (result, &value) in results.iter().zip(module.results(op)) {
        let Some(ty) = module.value_type(value).as_tensor() else {
            continue;
        };
        let fits = ty.elem == result.elem()
            && ty.rank() == result.rank()
            && ty.dims.iter().zip(result.shape()).all(|(d, &n)| match d {
                Dim::Known(d) => *d == n as u64,
                Dim::Sym(_) => !names || extent(*d) == n,
                Dim::Unknown => true,
            });
        if !fits {
            return Err(format!(
                "infers `tensor<{ty}>`, but gives `{}`",
                result.ty()
            ));
        }
    }
    Ok(true)
}

fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(7, |h, c| h.wrapping_mul(31).wrapping_add(u64::from(c)))
}

struct Random(Numbers);

impl Random {
    fn new(round: u64, name: &str) -> Random {
        Random(Numbers(
            0x2545_f491_4f6c_dd1d ^ (round * 0x9e37_79b9) ^ hash(name),
        ))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0.draw() % n
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn elem(&mut self) -> Elem {
        match self.below(2) {
            0 => self.pick(&[Elem::F32, Elem::I64, Elem::Bool, Elem::F32]),
            _ => self.pick(&Elem::ALL),
        }
    }

    fn dims(&mut self) -> Vec<Dim> {
        let rank = self.pick(&[0, 0, 1, 1, 2, 2, 3, 4]);
        (0..rank).map(|_| self.pick(&SOME_DIMS)()).collect()
    }

    fn operand_count(&mut self, info: &OpInfo) -> usize {
        let extra = if info.rest.is_some() {
            self.below(3)
        } else {
            0
        };
        info.operands.len() + extra as usize
    }

    fn int(&mut self) -> i64 {
        let small = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4];
        let odd = [-1, -2, 100, 1 << 40, i64::MAX, i64::MIN];
        if self.below(12) == 0 {
            self.pick(&odd)
        } else {
            self.pick(&small)
        }
    }

    fn list<T>(&mut self, rank: usize, mut item: impl FnMut(&mut Random) -> T) -> Vec<T> {
        let count = match self.below(6) {
            0 => self.below(5) as usize,
            1 => 0,
            _ => rank,
        };
        (0..count).map(|_| item(self)).collect()
    }

    fn attr(&mut self, info: &OpInfo, kind: AttrKind, rank: usize) -> Attr {
        let names = [
            "sum", "prod", "max", "min", "any", "all", "eq", "lt", "set", "add", "constant",
            "edge", "reflect", "wrap", "?",
        ];
        match kind {
            AttrKind::Bool => Attr::Bool(self.below(2) == 0),
            AttrKind::Int => Attr::Int(self.int()),
            AttrKind::Float => Attr::Float(self.pick(&[0.0, 1.0, -1.0, f64::NAN, f64::INFINITY])),
            AttrKind::Str => Attr::from(self.pick(&names)),
            AttrKind::Elem => Attr::Elem(self.elem()),
            AttrKind::Type => Attr::Type(Type::tensor(self.elem(), self.dims())),
            AttrKind::Func => Attr::Func(Symbol::new("f")),
            AttrKind::Tensor => {
                let (elem, n) = (self.elem(), self.below(4) as usize);
                Attr::Tensor(self.0.tensor(elem, &[n]))
            }
            AttrKind::Ints if info.name.ends_with("transpose") && self.below(2) == 0 => {
                Attr::List((0..rank as i64).rev().map(Attr::Int).collect())
            }
            AttrKind::Ints => Attr::List(self.list(rank, |r| Attr::Int(r.int()))),
            AttrKind::Floats => Attr::List(self.list(rank, |_| Attr::Float(0.5))),
            AttrKind::Strs => Attr::List(self.list(rank, |r| Attr::from(r.pick(&names)))),
            AttrKind::Dims => Attr::dims(self.dims()),
        }
    }
}
