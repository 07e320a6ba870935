//! The memory plan as a picture: the arena upwards, the ops of the compiled function to the right,
//! each value where and while it lives. Constants take no time, as the program finds them there.

use std::collections::BTreeMap;
use std::fmt::Write;

use lepid_ir::core::{Module, Op, ValueDef};
use lepid_ir::dialects::core::Func;
use lepid_passes::transform::memory_plan::{self, Life};

use super::escape::escape;
use super::svg::bare;
use super::units::bytes;
use crate::reduce::cut;

const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 74.0;
const BELOW: f64 = 34.0;
/// Colours that the style sheet knows.
const COLORS: usize = 8;
const LINES: u32 = 4;

/// A value in its place.
struct Placed {
    life: Life,
    offset: u64,
    op: &'static str,
    title: String,
}

/// The picture of a planned function; `None` if it has no plan, or an empty one.
pub(super) fn draw(module: &Module, func: Op) -> Option<String> {
    let arena = Func::arena_bytes(module.view(func)) as u64;
    let placed = placed(module, func);
    let ticks = placed.iter().map(|p| p.life.last + 1).max()?;
    let x = |tick: usize| LEFT + WIDTH * tick as f64 / ticks as f64;
    let y = |offset: u64| HEIGHT - HEIGHT * offset as f64 / arena.max(1) as f64;
    let colors = colors(&placed);
    let (full_width, full_height) = (LEFT + WIDTH + 10.0, HEIGHT + BELOW);
    let mut out =
        format!("<svg class=\"plan\" viewBox=\"0 -8 {full_width} {full_height}\" role=\"img\">\n");
    axes(arena, ticks, (&x, &y), &mut out);
    for p in &placed {
        let (left, right) = (x(p.life.first), x(p.life.last + 1));
        let (top, bottom) = (y(p.offset + p.life.bytes), y(p.offset));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            out,
            "<rect class=\"c{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            colors[p.op],
            right - left,
            (bottom - top).max(0.5),
            p.title,
        );
    }
    alive(&placed, ticks, (&x, &y), &mut out);
    out.push_str("</svg>\n<p class=\"legend\">");
    for (name, color) in &colors {
        let _ = write!(
            out,
            "<span><i class=\"c{color}\"></i>{}</span> ",
            escape(name)
        );
    }
    out.push_str("<span><i class=\"alive\"></i>bytes alive</span></p>\n");
    Some(out)
}

fn placed(module: &Module, func: Op) -> Vec<Placed> {
    let values = memory_plan::values(module, func);
    let slots = Func::slots(module.view(func));
    let offsets: BTreeMap<_, i64> = values.into_iter().zip(slots).collect();
    let numbers = numbers(module, func);
    let lives = memory_plan::lives(module, func).into_iter();
    lives
        .map(|life| Life {
            first: numbers[life.first],
            // At the end of a block, the op before it.
            last: numbers[life.last + 1].max(numbers[life.first] + 1) - 1,
            ..life
        })
        .filter_map(|life| {
            let offset = u64::try_from(*offsets.get(&life.value)?).ok()?;
            let op = match module.value_def(life.value) {
                ValueDef::Result(op, _) => Some(op),
                ValueDef::Arg(..) => None,
            };
            let name = op.map_or("argument", |op| module.op_name(op));
            let nodes = op.map_or(Vec::new(), |op| module.loc(op).names().collect());
            let nodes: Vec<String> = nodes.iter().map(|n| escape(n.as_str())).collect();
            let title = format!(
                "{name} → {}\n{} at {offset}, ops {} to {}\n{}",
                escape(&bare(&module.value_type(life.value).to_string())),
                bytes(life.bytes as f64),
                life.first,
                life.last,
                nodes.join("\n"),
            );
            Some(Placed {
                life,
                offset,
                op: name,
                title,
            })
        })
        .collect()
}

/// For each tick of the plan, and one more, how many ops have computed something before it.
fn numbers(module: &Module, func: Op) -> Vec<usize> {
    let mut numbers = vec![0];
    for at in memory_plan::timeline(module, func) {
        let before = numbers[numbers.len() - 1];
        let step = at.is_some_and(|op| cut::is_step(module, op));
        numbers.push(before + usize::from(step));
    }
    numbers
}

/// A colour for each kind of op: one of its own for those that hold most memory over time.
fn colors(placed: &[Placed]) -> BTreeMap<&'static str, usize> {
    let mut weight: BTreeMap<&'static str, u128> = BTreeMap::new();
    for p in placed {
        let time = (p.life.last + 1 - p.life.first) as u128;
        *weight.entry(p.op).or_default() += u128::from(p.life.bytes) * time;
    }
    let mut names: Vec<(&'static str, u128)> = weight.into_iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let numbered = names.into_iter().enumerate();
    numbered
        .map(|(index, (name, _))| (name, index.min(COLORS - 1)))
        .collect()
}

type Scales<'a> = (&'a dyn Fn(usize) -> f64, &'a dyn Fn(u64) -> f64);

fn axes(arena: u64, ticks: usize, (x, y): Scales<'_>, out: &mut String) {
    for line in 0..=LINES {
        let offset = arena * u64::from(line) / u64::from(LINES);
        let at = y(offset);
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT + WIDTH,
            LEFT - 8.0,
            at + 4.0,
            bytes(offset as f64),
        );
    }
    let step = ticks.div_ceil(10).max(1);
    for tick in (0..ticks).step_by(step) {
        let _ = writeln!(
            out,
            "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{tick}</text>",
            x(tick),
            HEIGHT + 16.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">op</text>",
        LEFT + WIDTH,
        HEIGHT + 16.0
    );
}

/// The sum of the sizes of what is alive, as a line of steps.
fn alive(placed: &[Placed], ticks: usize, (x, y): Scales<'_>, out: &mut String) {
    let mut change = vec![0i128; ticks + 1];
    for p in placed {
        change[p.life.first] += i128::from(p.life.bytes);
        change[p.life.last + 1] -= i128::from(p.life.bytes);
    }
    let mut sum: i128 = 0;
    let mut path = format!("M{:.1} {:.1}", x(0), y(0));
    for (tick, change) in change.iter().enumerate().take(ticks) {
        sum += change;
        let _ = write!(path, "V{:.1}H{:.1}", y(sum as u64), x(tick + 1));
    }
    let _ = writeln!(out, "<path class=\"alive\" d=\"{path}\"/>");
}
