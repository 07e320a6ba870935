//! Loop nests: `kernel.nest` as loops over its result, with every index an affine function.
//!
//! Each value of the body is asked for at an index: a vector of affine functions of the loop
//! variables. Index-wise ops pass the index on, changed; arguments load. Where a concat or a pad
//! would need a branch, the domain is cut there, so that each piece is free of branches.

mod affine;
mod loops;
mod piece;
mod pixels;
mod reduce;

use std::collections::{HashMap, HashSet};

use cranelift_codegen::ir::Value;
use lepid_ir::core::{Elem, Module, Op, OpView, Value as IrValue};
use lepid_ir::dialects::kernel::{self, Nest};
use lepid_ir::dialects::tensor;
use lepid_passes::transform::joins::joined;

use self::affine::{Affine, Domain, Index, linear_index};
use self::loops::Loops;
use self::piece::{Access, Piece, Point};
pub(crate) use self::pixels::PixelNest;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::scalar;
use crate::places::Place;

/// The kinds of op that a nest may hold, by what they do with the index.
enum Kind {
    /// The operands are read at the same index.
    Pointwise,
    /// The only operand is read at a changed index.
    Moved(Index),
    /// The operand of that number is read at a changed index.
    Chosen(usize, Index),
    /// The fill value of a pad.
    Fill,
    Iota(Affine),
    Constant,
}

/// What a nest computes: the op, and the places of its inputs and results.
pub(crate) struct NestIo<'a> {
    pub(crate) module: &'a Module,
    pub(crate) op: Op,
    pub(crate) inputs: &'a [Place],
    pub(crate) results: &'a [Place],
    /// How many samples the leading axis of the results has at most, if it counts samples: the loops
    /// then go over those that a run has.
    pub(crate) samples: Option<usize>,
}

/// Emits this part's share of a nest.
pub(crate) fn emit(g: &mut Gen<'_>, io: NestIo<'_>) -> Result<(), String> {
    let nest = NestBody::new(io);
    let reduce = nest
        .module()
        .defining_op(nest.roots[0])
        .filter(|&op| nest.module().op_name(op) == "tensor.reduce");
    match reduce {
        Some(op) => nest.emit_reduce(g, op),
        None => nest.emit_map(g),
    }
}

/// Which neighbouring axes become one, where every access walks them as one.
#[derive(Copy, Clone)]
enum Join {
    All,
    AllButLast,
}

struct NestBody<'a> {
    io: NestIo<'a>,
    args: &'a [IrValue],
    roots: &'a [IrValue],
}

impl<'a> NestBody<'a> {
    fn new(io: NestIo<'a>) -> NestBody<'a> {
        let view = io.module.view(io.op);
        NestBody {
            args: io.module.block_args(Nest::block(view)),
            roots: Nest::yielded(view),
            io,
        }
    }

    fn module(&self) -> &'a Module {
        self.io.module
    }

    /// The extent of the outermost loop, which is that of the leading axis times others.
    fn outermost(&self, g: &mut Gen<'_>, extent: i64) -> Extent {
        match self.io.samples {
            Some(most) => Extent::Run(g.samples(extent as usize / most)),
            None => Extent::Known(extent),
        }
    }

    fn dims(&self, value: IrValue) -> Vec<i64> {
        dims(self.module(), value)
    }

    /// The extents of a value outside, with all that stands in memory from one row to the next.
    fn rows(&self, value: IrValue) -> Vec<i64> {
        let mut dims = self.dims(value);
        if let (Some(last), Some(joined)) = (dims.last_mut(), joined(self.module(), value)) {
            *last = joined.pitch as i64;
        }
        dims
    }

    fn emit_map(&self, g: &mut Gen<'_>) -> Result<(), String> {
        for piece in self.map_pieces(Join::All)? {
            match piece.transposed_axis() {
                Some(axis) => self.emit_transposition(g, &piece, axis),
                None => {
                    let pointers = self.pointers(g, &piece);
                    self.emit_map_piece(g, &piece, pointers, None);
                }
            }
        }
        Ok(())
    }

    /// The index of an element of the results.
    fn result_index(&self) -> Index {
        let axes = self.dims(self.roots[0]).len();
        (0..axes).map(|a| Affine::axis(axes, a)).collect()
    }

    /// The pieces of a nest that is no reduction.
    fn map_pieces(&self, join: Join) -> Result<Vec<Piece>, String> {
        let shape = self.dims(self.roots[0]);
        let axes = shape.len();
        let index = self.result_index();
        let domain: Domain = shape.iter().map(|&n| (0, n)).collect();
        let mut pieces = Vec::new();
        for domain in self.pieces(domain, self.roots, &index)? {
            if self.io.samples.is_some() && domain[0] != (0, shape[0]) {
                return Err("loops over samples are cut between them".into());
            }
            let mut piece = self.piece(domain, self.roots, &index)?;
            for (i, &root) in self.roots.iter().enumerate() {
                let result = self.module().results(self.io.op)[i];
                let linear = linear_index(&self.rows(result), &index, axes);
                piece.results.push(piece.accesses.len());
                piece
                    .accesses
                    .push(self.access(self.io.results[i], root, &linear));
            }
            piece.join_axes(match join {
                Join::All => axes,
                Join::AllButLast => axes - 1,
            });
            if !piece.is_in_place() {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    /// Computes a piece, or the steps `range` of its outermost loop.
    fn emit_map_piece(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        pointers: Vec<Value>,
        range: Option<(Value, Value)>,
    ) {
        let index = self.result_index();
        let vector = self.vectorises(piece, self.roots);
        let loops = Loops {
            vector,
            pointers,
            range,
        };
        self.emit_loops(g, piece, loops, &|g, at| {
            let mut memo = HashMap::new();
            for (i, &root) in self.roots.iter().enumerate() {
                let value = self.value(g, piece, at, root, &index, &mut memo);
                at.store(g, piece, piece.results[i], value);
            }
        });
    }

    /// Cuts a domain where a concat or a pad changes sides.
    fn pieces(
        &self,
        domain: Domain,
        roots: &[IrValue],
        index: &Index,
    ) -> Result<Vec<Domain>, String> {
        let mut done = Vec::new();
        let mut todo = vec![domain];
        while let Some(domain) = todo.pop() {
            if domain.iter().any(|&(low, high)| low >= high) {
                continue;
            }
            let mut cut = None;
            let mut visited = HashSet::new();
            for &root in roots {
                cut = cut.or(self.find_cut(root, index, &domain, &mut visited)?);
            }
            match cut {
                None => done.push(domain),
                Some((axis, at)) => {
                    let (mut left, mut right) = (domain.clone(), domain);
                    left[axis].1 = at;
                    right[axis].0 = at;
                    todo.push(right);
                    todo.push(left);
                }
            }
        }
        Ok(done)
    }

    /// The first place where an op of the body changes sides inside of the domain. What was visited
    /// before has none: a value may be read many times over.
    fn find_cut(
        &self,
        value: IrValue,
        index: &Index,
        domain: &Domain,
        visited: &mut HashSet<(IrValue, Index)>,
    ) -> Result<Option<(usize, i64)>, String> {
        if !visited.insert((value, index.clone())) {
            return Ok(None);
        }
        let Some(op) = self.module().defining_op(value) else {
            return Ok(None);
        };
        let view = self.module().view(op);
        let bounds: Vec<(usize, i64)> = match view.name() {
            "tensor.concat" => {
                let axis = tensor::Concat::axis(view) as usize;
                let mut at = 0;
                let bounds = view.operands().iter().map(|&v| {
                    at += self.dims(v)[axis];
                    (axis, at)
                });
                bounds.collect()
            }
            "tensor.pad" => {
                let low = tensor::Pad::low(view);
                let inner = self.dims(view.operand(0));
                let bounds = low.iter().zip(&inner).enumerate();
                bounds
                    .flat_map(|(a, (&low, &n))| [(a, low), (a, low + n)])
                    .collect()
            }
            _ => Vec::new(),
        };
        for (axis, bound) in bounds {
            let Some((var, c)) = index[axis].only_axis() else {
                continue;
            };
            // index >= bound first holds (or last holds, going down) at this variable value.
            let distance = bound - index[axis].base;
            let at = match c > 0 {
                true => -(-distance).div_euclid(c),
                false => (-distance).div_euclid(-c) + 1,
            };
            if domain[var].0 < at && at < domain[var].1 {
                return Ok(Some((var, at)));
            }
        }
        let kind = self.kind(view, index, domain)?;
        match kind {
            Kind::Pointwise => {
                for &operand in view.operands() {
                    if let Some(cut) = self.find_cut(operand, index, domain, visited)? {
                        return Ok(Some(cut));
                    }
                }
                Ok(None)
            }
            Kind::Moved(inner) => self.find_cut(view.operand(0), &inner, domain, visited),
            Kind::Chosen(i, inner) => self.find_cut(view.operand(i), &inner, domain, visited),
            Kind::Fill | Kind::Iota(_) | Kind::Constant => Ok(None),
        }
    }

    /// What an op does with the index, on a domain that lies on one side of all cuts.
    fn kind(&self, view: OpView<'_>, index: &Index, domain: &Domain) -> Result<Kind, String> {
        let axes = domain.len();
        Ok(match view.name() {
            "core.constant" => Kind::Constant,
            "tensor.iota" => Kind::Iota(index[tensor::Iota::axis(view) as usize].clone()),
            "tensor.broadcast" => {
                let from = self.dims(view.operand(0));
                let to = self.dims(view.result(0));
                let map = tensor::Broadcast::axes(view);
                let inner =
                    map.iter()
                        .zip(&from)
                        .map(|(&a, &n)| match n == 1 && to[a as usize] != 1 {
                            true => Affine::constant(axes, 0),
                            false => index[a as usize].clone(),
                        });
                Kind::Moved(inner.collect())
            }
            "tensor.transpose" => {
                let perm = tensor::Transpose::perm(view);
                let mut inner = index.clone();
                for (result_axis, &operand_axis) in perm.iter().enumerate() {
                    inner[operand_axis as usize] = index[result_axis].clone();
                }
                Kind::Moved(inner)
            }
            "tensor.slice" => {
                let (start, step) = (tensor::Slice::start(view), tensor::Slice::step(view));
                let parts = index.iter().zip(start.iter().zip(&step));
                Kind::Moved(parts.map(|(i, (&s, &d))| i.scaled(d, s)).collect())
            }
            "tensor.reverse" => {
                let mut inner = index.clone();
                let from = self.dims(view.operand(0));
                for a in tensor::Reverse::axes(view) {
                    inner[a as usize] = index[a as usize].scaled(-1, from[a as usize] - 1);
                }
                Kind::Moved(inner)
            }
            // Only extents of 1 come and go.
            "tensor.reshape" => {
                let to = self.dims(view.result(0));
                let mut kept = index
                    .iter()
                    .zip(&to)
                    .filter(|(_, n)| **n != 1)
                    .map(|(i, _)| i.clone());
                let from = self.dims(view.operand(0));
                let inner: Index = from
                    .iter()
                    .map(|&n| match n {
                        1 => Affine::constant(axes, 0),
                        _ => kept.next().unwrap_or(Affine::constant(axes, 0)),
                    })
                    .collect();
                Kind::Moved(inner)
            }
            "tensor.concat" => {
                let axis = tensor::Concat::axis(view) as usize;
                let at = index[axis].least(domain);
                let mut first = 0;
                for (i, &operand) in view.operands().iter().enumerate() {
                    let n = self.dims(operand)[axis];
                    if at < first + n {
                        let mut inner = index.clone();
                        inner[axis].base -= first;
                        return Ok(Kind::Chosen(i, inner));
                    }
                    first += n;
                }
                return Err("an index is outside of a concat".into());
            }
            "tensor.pad" => {
                let low = tensor::Pad::low(view);
                let from = self.dims(view.operand(0));
                let mut inner = index.clone();
                for (a, i) in inner.iter_mut().enumerate() {
                    i.base -= low[a];
                    let at = i.least(domain);
                    if at < 0 || at >= from[a] {
                        return Ok(Kind::Fill);
                    }
                }
                Kind::Chosen(0, inner)
            }
            _ if scalar::is_pointwise(view) => Kind::Pointwise,
            name => return Err(format!("`{name}` cannot stand in a loop nest")),
        })
    }

    /// Collects the accesses of the body over one piece.
    fn piece(&self, domain: Domain, roots: &[IrValue], index: &Index) -> Result<Piece, String> {
        let mut piece = Piece {
            extents: domain.iter().map(|&(low, high)| high - low).collect(),
            accesses: Vec::new(),
            of: HashMap::new(),
            results: Vec::new(),
            domain,
            uses_iota: false,
            is_copy: roots.len() == 1 && self.only_moves(roots[0]),
        };
        let mut visited = HashSet::new();
        for &root in roots {
            self.collect(root, index, &mut piece, &mut visited)?;
        }
        Ok(piece)
    }

    /// Whether a value is an argument of the nest behind ops that only move elements.
    fn only_moves(&self, value: IrValue) -> bool {
        let Some(op) = self.module().defining_op(value) else {
            return true;
        };
        let view = self.module().view(op);
        match view.name() {
            "core.constant" | "tensor.iota" | "tensor.reduce" => false,
            // The fill value of a pad makes no access, so that piece is told by its accesses.
            "tensor.pad" => self.only_moves(view.operand(0)),
            _ => !scalar::is_pointwise(view) && view.operands().iter().all(|&v| self.only_moves(v)),
        }
    }

    fn collect(
        &self,
        value: IrValue,
        index: &Index,
        piece: &mut Piece,
        visited: &mut HashSet<(IrValue, Index)>,
    ) -> Result<(), String> {
        if !visited.insert((value, index.clone())) {
            return Ok(());
        }
        let Some(op) = self.module().defining_op(value) else {
            let arg = self.argument(value);
            let outside = kernel::outside(self.module(), value);
            let linear = linear_index(&self.rows(outside), index, piece.domain.len());
            piece.of.insert((arg, index.clone()), piece.accesses.len());
            let access = self.access(self.io.inputs[arg], value, &linear);
            piece.accesses.push(access);
            return Ok(());
        };
        let view = self.module().view(op);
        match self.kind(view, index, &piece.domain)? {
            Kind::Pointwise => {
                for &operand in view.operands() {
                    self.collect(operand, index, piece, visited)?;
                }
            }
            Kind::Moved(inner) => self.collect(view.operand(0), &inner, piece, visited)?,
            Kind::Chosen(i, inner) => self.collect(view.operand(i), &inner, piece, visited)?,
            Kind::Fill => self.collect(view.operand(1), &Vec::new(), piece, visited)?,
            Kind::Iota(_) => piece.uses_iota = true,
            Kind::Constant => {}
        }
        Ok(())
    }

    fn argument(&self, value: IrValue) -> usize {
        match self.args.iter().position(|&a| a == value) {
            Some(arg) => arg,
            None => lepid_ir::bug!("a nest reads a value from outside"),
        }
    }

    fn access(&self, place: Place, value: IrValue, linear: &Affine) -> Access {
        Access {
            place,
            elem: elem(self.module(), value),
            base: linear.base,
            coef: linear.coef.clone(),
        }
    }

    /// Whether the innermost loop of a piece can run four elements at a time.
    fn vectorises(&self, piece: &Piece, roots: &[IrValue]) -> bool {
        let Some(last) = piece.extents.len().checked_sub(1) else {
            return false;
        };
        let contiguous = piece.accesses.iter().enumerate().all(|(i, a)| {
            let stored = piece.results.contains(&i);
            a.elem == Elem::F32 && (a.coef[last] == 1 || (a.coef[last] == 0 && !stored))
        });
        contiguous
            && !piece.uses_iota
            && piece.extents[last] >= 4
            && roots.iter().all(|&r| self.is_vector(r))
    }

    /// Whether the ops that a value comes from all have a vector form.
    fn is_vector(&self, value: IrValue) -> bool {
        let mut seen = HashSet::from([value]);
        let mut todo = vec![value];
        while let Some(value) = todo.pop() {
            let is_f32 = elem(self.module(), value) == Elem::F32;
            let Some(op) = self.module().defining_op(value) else {
                if is_f32 {
                    continue;
                }
                return false;
            };
            let view = self.module().view(op);
            let fits = match scalar::is_pointwise(view) && view.name() != "core.constant" {
                true => scalar::has_vector_form(view),
                false => is_f32,
            };
            if !fits {
                return false;
            }
            todo.extend(view.operands().iter().filter(|&&v| seen.insert(v)));
        }
        true
    }

    /// The value of the body at an index, at the current point of the loops.
    fn value(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        at: &Point,
        value: IrValue,
        index: &Index,
        memo: &mut HashMap<(IrValue, Index), Value>,
    ) -> Value {
        let key = (value, index.clone());
        if let Some(&known) = memo.get(&key) {
            return known;
        }
        let result = match self.module().defining_op(value) {
            None => {
                let access = piece.of[&(self.argument(value), index.clone())];
                at.load(g, piece, access)
            }
            Some(op) => {
                let view = self.module().view(op);
                let kind = match self.kind(view, index, &piece.domain) {
                    Ok(kind) => kind,
                    Err(error) => lepid_ir::bug!("{error}"),
                };
                match kind {
                    Kind::Pointwise => {
                        let args: Vec<Value> = view
                            .operands()
                            .iter()
                            .map(|&v| self.value(g, piece, at, v, index, memo))
                            .collect();
                        scalar::apply(g, view, &args, at.lanes)
                    }
                    Kind::Moved(inner) => self.value(g, piece, at, view.operand(0), &inner, memo),
                    Kind::Chosen(i, inner) => {
                        self.value(g, piece, at, view.operand(i), &inner, memo)
                    }
                    Kind::Fill => self.value(g, piece, at, view.operand(1), &Vec::new(), memo),
                    Kind::Iota(affine) => {
                        let mut sum = g.int(affine.base);
                        for (k, &c) in affine.coef.iter().enumerate() {
                            if c != 0 {
                                let scaled = g.mul_int(at.variables[k], c);
                                sum = g.add(sum, scaled);
                            }
                        }
                        scalar::from_index(g, sum, elem(self.module(), value))
                    }
                    Kind::Constant => {
                        let tensor = match self.module().constant_value(value) {
                            Some(tensor) => tensor,
                            None => lepid_ir::bug!("a constant without a value"),
                        };
                        scalar::constant(g, tensor, at.lanes)
                    }
                }
            }
        };
        memo.insert(key, result);
        result
    }
}

/// The extents of a value, which are known once the target emits.
pub(crate) fn dims(module: &Module, value: IrValue) -> Vec<i64> {
    let ty = module.value_type(value);
    match ty.as_tensor().and_then(|t| t.known_dims()) {
        Some(dims) => dims.iter().map(|&d| d as i64).collect(),
        None => lepid_ir::bug!("extents of {ty} are not known"),
    }
}

pub(crate) fn elem(module: &Module, value: IrValue) -> Elem {
    match module.value_type(value).elem() {
        Some(elem) => elem,
        None => lepid_ir::bug!("a value is not a tensor"),
    }
}
