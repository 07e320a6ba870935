//! Makes a damaged model from known ones: field by field, and byte by byte.

use super::corpus::Corpus;
use super::wire::{Data, Field, Holds, Kind, Message, fields, holds};
use crate::random::Random;

/// Models may grow to this many fields.
const MOST_FIELDS: usize = 3000;

pub(crate) fn mutate(corpus: &Corpus, random: &mut Random) -> Vec<u8> {
    let mut model = corpus.model(random).clone();
    // One run in eight leaves the messages whole, so that the bytes alone are wrong.
    let changes = match random.below(8) {
        0 => 0,
        _ => random.length(8),
    };
    for _ in 0..changes {
        change(corpus, &mut model, random);
        if model.count() > MOST_FIELDS {
            break;
        }
    }
    let mut bytes = model.encode();
    if changes == 0 || random.below(8) == 0 {
        for _ in 0..random.length(8) {
            damage(corpus, &mut bytes, random);
        }
    }
    bytes
}

fn change(corpus: &Corpus, model: &mut Message, random: &mut Random) {
    let count = model.count();
    if count == 0 {
        *model = corpus.model(random).clone();
        return;
    }
    match random.below(16) {
        0 => return rename(corpus, model, random),
        1 => return operator(corpus, model, random),
        2 if random.below(8) == 0 => return nest(model, random),
        _ => {}
    }
    let Some((parent, index)) = model.nth(random.below(count)) else {
        return;
    };
    match random.below(12) {
        0 => {
            parent.fields.remove(index);
        }
        1 => {
            let copy = parent.fields[index].clone();
            let place = random.below(parent.fields.len() + 1);
            parent.fields.insert(place, copy);
        }
        2 => {
            let other = random.below(parent.fields.len());
            parent.fields.swap(index, other);
        }
        3 => insert(corpus, parent, random),
        4 => replace(corpus, parent, index, random),
        5 if random.below(4) == 0 => parent.fields[index].number = random.below(30) as u32,
        _ => {
            let kind = parent.kind;
            value(corpus, kind, &mut parent.fields[index], random);
        }
    }
}

/// A field that another message of this kind has, or one of the format with any value.
fn insert(corpus: &Corpus, parent: &mut Message, random: &mut Random) {
    let place = random.below(parent.fields.len() + 1);
    if random.below(2) == 0
        && let Some(donor) = corpus.donor(parent.kind, random)
        && !donor.fields.is_empty()
    {
        let field = random.pick(&donor.fields).clone();
        return parent.fields.insert(place, field);
    }
    let known = fields(parent.kind);
    if known.is_empty() {
        return;
    }
    let (number, holds) = *random.pick(known);
    let mut field = Field {
        number,
        data: empty(corpus, holds, random),
    };
    value(corpus, parent.kind, &mut field, random);
    parent.fields.insert(place, field);
}

fn empty(corpus: &Corpus, holds: Holds, random: &mut Random) -> Data {
    match holds {
        Holds::Int => Data::Int(0),
        Holds::Float => Data::Fixed32(0),
        Holds::Text | Holds::Bytes | Holds::Floats | Holds::Doubles => Data::Bytes(Vec::new()),
        Holds::Ints => Data::Ints(Vec::new()),
        Holds::Message(kind) => match corpus.donor(kind, random) {
            Some(donor) => Data::Message(donor.clone()),
            None => Data::Message(Message::new(kind)),
        },
    }
}

/// What another message of this kind has in the same field.
fn replace(corpus: &Corpus, parent: &mut Message, index: usize, random: &mut Random) {
    let Some(donor) = corpus.donor(parent.kind, random) else {
        return;
    };
    let number = parent.fields[index].number;
    let alike: Vec<&Field> = donor.fields.iter().filter(|f| f.number == number).collect();
    if !alike.is_empty() {
        parent.fields[index] = (*random.pick(&alike)).clone();
    }
}

/// Another value for a field; seldom one of a kind that does not belong there.
fn value(corpus: &Corpus, kind: Kind, field: &mut Field, random: &mut Random) {
    match &mut field.data {
        Data::Int(n) => *n = integer(*n, random),
        Data::Fixed32(n) => *n = float(random).to_bits(),
        Data::Fixed64(n) => *n = integer(*n, random),
        Data::Ints(ints) => list(ints, random),
        Data::Bytes(bytes) => match holds(kind, field.number) {
            Some(Holds::Text) => text(corpus, bytes, random),
            Some(Holds::Bytes) if random.below(2) == 0 => text(corpus, bytes, random),
            _ => damage(corpus, bytes, random),
        },
        Data::Message(message) => match (corpus.donor(message.kind, random), random.below(8)) {
            (Some(donor), 0..6) => *message = donor.clone(),
            (_, 6) => field.data = Data::Int(random.below(300) as u64),
            (_, _) => {
                let mut bytes = message.encode();
                damage(corpus, &mut bytes, random);
                field.data = Data::Bytes(bytes);
            }
        },
    }
}

fn integer(n: u64, random: &mut Random) -> u64 {
    const EDGES: &[i64] = &[
        0,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        16,
        64,
        127,
        128,
        255,
        1000,
        65_536,
        1 << 20,
        (1 << 31) - 1,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 62,
        i64::MAX,
        i64::MIN,
        i64::MIN + 1,
        -1,
        -2,
        -3,
        -4,
        -(1 << 31),
    ];
    match random.below(8) {
        0 => n.wrapping_add(1),
        1 => n.wrapping_sub(1),
        2 => n.wrapping_neg(),
        3 => n ^ (1 << random.below(64)),
        4 | 5 => random.below(10) as u64,
        _ => *random.pick(EDGES) as u64,
    }
}

fn float(random: &mut Random) -> f32 {
    const EDGES: &[f32] = &[
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        1e-30,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    *random.pick(EDGES)
}

fn list(ints: &mut Vec<u64>, random: &mut Random) {
    match random.below(5) {
        0 if !ints.is_empty() => {
            let place = random.below(ints.len());
            ints.remove(place);
        }
        1 if !ints.is_empty() => {
            let (a, b) = (random.below(ints.len()), random.below(ints.len()));
            ints.swap(a, b);
        }
        2 => {
            let place = random.below(ints.len() + 1);
            let n = integer(1, random);
            ints.insert(place, n);
        }
        _ if ints.is_empty() => ints.push(integer(1, random)),
        _ => {
            let place = random.below(ints.len());
            ints[place] = integer(ints[place], random);
        }
    }
}

fn text(corpus: &Corpus, bytes: &mut Vec<u8>, random: &mut Random) {
    match random.below(16) {
        0 => bytes.clear(),
        1 => bytes.push(0xff),
        2 => *bytes = bytes.repeat(random.length(300)),
        3 => *bytes = b"../../../etc/passwd".to_vec(),
        4 => damage(corpus, bytes, random),
        _ => *bytes = corpus.word(random).to_vec(),
    }
}

/// One name of the model becomes another, wherever it stands: the wiring stays whole.
fn rename(corpus: &Corpus, model: &mut Message, random: &mut Random) {
    let mut names: Vec<Vec<u8>> = Vec::new();
    model.walk(&mut |kind, field| {
        if let (Data::Bytes(bytes), Kind::Node | Kind::ValueInfo) = (&field.data, kind) {
            names.push(bytes.clone());
        }
    });
    if names.is_empty() {
        return;
    }
    let from = random.pick(&names).clone();
    let to = match random.below(3) {
        0 => corpus.word(random).to_vec(),
        _ => random.pick(&names).clone(),
    };
    model.change(&mut |_, field| {
        if let Data::Bytes(bytes) = &mut field.data
            && *bytes == from
        {
            bytes.clone_from(&to);
        }
    });
}

/// Another operator for a node that stays as it is otherwise.
fn operator(corpus: &Corpus, model: &mut Message, random: &mut Random) {
    let mut nodes = 0;
    model.walk(&mut |kind, field| nodes += usize::from((kind, field.number) == (Kind::Node, 4)));
    if nodes == 0 {
        return;
    }
    let mut left = random.below(nodes);
    let op = corpus.operator(random).as_bytes().to_vec();
    model.change(&mut |kind, field| {
        if (kind, field.number) == (Kind::Node, 4) {
            if left == 0 {
                field.data = Data::Bytes(op.clone());
            }
            left = left.wrapping_sub(1);
        }
    });
}

/// Puts the graph into a branch of a node of a graph, many times over.
fn nest(model: &mut Message, random: &mut Random) {
    let place = model.fields.iter().position(|field| field.number == 7);
    let Some(index) = place else {
        return;
    };
    for _ in 0..random.length(150) {
        let Data::Message(inner) = &model.fields[index].data else {
            return;
        };
        let mut node = Message::new(Kind::Node).with(4, "If").with(2, "nested");
        for name in ["then_branch", "else_branch"] {
            let attribute = Message::new(Kind::Attribute).with(1, name).with(20, 5u64);
            node.add(5, attribute.with(6, inner.clone()));
            if random.below(64) != 0 {
                break;
            }
        }
        model.fields[index].data = Message::new(Kind::Graph).with(1, node).into();
    }
}

/// Bits turned, bytes lost, added or taken from elsewhere.
fn damage(corpus: &Corpus, bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len().max(1));
    match random.below(6) {
        0 => bytes.truncate(at),
        1 if !bytes.is_empty() => {
            let end = (at + random.length(16)).min(bytes.len());
            bytes.drain(at..end);
        }
        2 | 3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        4 => {
            let word = corpus.word(random).to_vec();
            let at = at.min(bytes.len());
            bytes.splice(at..at, word);
        }
        _ => {
            let more: Vec<u8> = (0..random.length(16))
                .map(|_| random.below(256) as u8)
                .collect();
            let at = at.min(bytes.len());
            bytes.splice(at..at, more);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_run_makes_the_same_model() {
        let corpus = Corpus::read(&[]).unwrap();
        let make = |run| mutate(&corpus, &mut Random::new(5, run));
        assert_eq!(make(1), make(1));
        let different: BTreeSet<Vec<u8>> = (0..200).map(make).collect();
        assert!(different.len() > 180);
    }

    #[test]
    fn most_mutants_are_still_messages() {
        let corpus = Corpus::read(&[]).unwrap();
        let whole = (0..400)
            .filter(|&run| {
                let bytes = mutate(&corpus, &mut Random::new(1, run));
                Message::decode(Kind::Model, &bytes).is_some()
            })
            .count();
        assert!(whole > 200, "{whole} of 400");
    }
}
