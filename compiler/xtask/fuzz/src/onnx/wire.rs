//! Model files as trees of fields, without loss: what no schema allows can be written, too.
//!
//! The front end's own messages would not do, since they cannot hold what they would never decode:
//! text that is not UTF-8, a number where a message belongs, a length that lies.

/// A kind of message of the ONNX format.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Attribute,
    Dimension,
    Entry,
    Function,
    Graph,
    Model,
    Node,
    Opset,
    Shape,
    Sparse,
    Tensor,
    TensorType,
    Type,
    ValueInfo,
    /// A message of which nothing is read.
    Other,
}

/// What a field holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    Int,
    Float,
    Text,
    Bytes,
    /// Numbers in a row, as varints, as 4 or as 8 bytes each.
    Ints,
    Floats,
    Doubles,
    Message(Kind),
}

use Holds::{Bytes, Doubles, Float, Floats, Int, Ints, Message as In, Text};

/// The fields of each kind of message, by their numbers.
pub(crate) fn fields(kind: Kind) -> &'static [(u32, Holds)] {
    match kind {
        Kind::Attribute => &[
            (1, Text),
            (2, Float),
            (3, Int),
            (4, Bytes),
            (5, In(Kind::Tensor)),
            (6, In(Kind::Graph)),
            (7, Floats),
            (8, Ints),
            (9, Bytes),
            (10, In(Kind::Tensor)),
            (11, In(Kind::Graph)),
            (20, Int),
            (21, Text),
        ],
        Kind::Dimension => &[(1, Int), (2, Text)],
        Kind::Entry => &[(1, Text), (2, Text)],
        Kind::Function => &[
            (1, Text),
            (4, Text),
            (5, Text),
            (6, Text),
            (7, In(Kind::Node)),
            (9, In(Kind::Opset)),
            (10, Text),
            (11, In(Kind::Attribute)),
            (13, Text),
        ],
        Kind::Graph => &[
            (1, In(Kind::Node)),
            (2, Text),
            (5, In(Kind::Tensor)),
            (11, In(Kind::ValueInfo)),
            (12, In(Kind::ValueInfo)),
            (13, In(Kind::ValueInfo)),
            (15, In(Kind::Sparse)),
        ],
        Kind::Model => &[
            (1, Int),
            (2, Text),
            (7, In(Kind::Graph)),
            (8, In(Kind::Opset)),
            (25, In(Kind::Function)),
        ],
        Kind::Node => &[
            (1, Text),
            (2, Text),
            (3, Text),
            (4, Text),
            (5, In(Kind::Attribute)),
            (7, Text),
            (8, Text),
        ],
        Kind::Opset => &[(1, Text), (2, Int)],
        Kind::Shape => &[(1, In(Kind::Dimension))],
        Kind::Sparse => &[(1, In(Kind::Tensor)), (2, In(Kind::Tensor)), (3, Ints)],
        Kind::Tensor => &[
            (1, Ints),
            (2, Int),
            (4, Floats),
            (5, Ints),
            (7, Ints),
            (8, Text),
            (9, Bytes),
            (10, Doubles),
            (11, Ints),
            (13, In(Kind::Entry)),
            (14, Int),
        ],
        Kind::TensorType => &[(1, Int), (2, In(Kind::Shape))],
        Kind::Type => &[
            (1, In(Kind::TensorType)),
            (4, In(Kind::Other)),
            (5, In(Kind::Other)),
            (8, In(Kind::Other)),
            (9, In(Kind::Other)),
        ],
        Kind::ValueInfo => &[(1, Text), (2, In(Kind::Type))],
        Kind::Other => &[],
    }
}

/// What the field of that number holds; none if the format has no such field.
pub(crate) fn holds(kind: Kind, number: u32) -> Option<Holds> {
    let found = fields(kind).iter().find(|(n, _)| *n == number);
    found.map(|(_, holds)| *holds)
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) data: Data,
}

/// The value of a field as it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Data {
    Int(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(Vec<u8>),
    Ints(Vec<u64>),
    Message(Message),
}

impl Message {
    pub(crate) fn new(kind: Kind) -> Message {
        Message {
            kind,
            fields: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, number: u32, data: impl Into<Data>) {
        self.fields.push(Field {
            number,
            data: data.into(),
        });
    }

    pub(crate) fn with(mut self, number: u32, data: impl Into<Data>) -> Message {
        self.add(number, data);
        self
    }

    /// Reads a message; none if its fields do not follow each other to the end.
    pub(crate) fn decode(kind: Kind, mut bytes: &[u8]) -> Option<Message> {
        let mut message = Message::new(kind);
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let number = u32::try_from(tag >> 3).ok()?;
            let data = match tag & 7 {
                0 => Data::Int(varint(&mut bytes)?),
                1 => Data::Fixed64(u64::from_le_bytes(take(&mut bytes, 8)?.try_into().ok()?)),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    long(holds(kind, number), take(&mut bytes, length)?)
                }
                5 => Data::Fixed32(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?)),
                _ => return None,
            };
            message.fields.push(Field { number, data });
        }
        Some(message)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        for field in &self.fields {
            let tag = u64::from(field.number) << 3;
            match &field.data {
                Data::Int(n) => {
                    put_varint(out, tag);
                    put_varint(out, *n);
                }
                Data::Fixed64(n) => {
                    put_varint(out, tag | 1);
                    out.extend(n.to_le_bytes());
                }
                Data::Bytes(bytes) => put_long(out, tag, bytes),
                Data::Ints(ints) => {
                    let mut inner = Vec::new();
                    ints.iter().for_each(|&n| put_varint(&mut inner, n));
                    put_long(out, tag, &inner);
                }
                Data::Message(message) => put_long(out, tag, &message.encode()),
                Data::Fixed32(n) => {
                    put_varint(out, tag | 5);
                    out.extend(n.to_le_bytes());
                }
            }
        }
    }

    /// How many fields there are, with those of messages inside.
    pub(crate) fn count(&self) -> usize {
        let inside = self.fields.iter().map(|field| match &field.data {
            Data::Message(message) => message.count(),
            _ => 0,
        });
        self.fields.len() + inside.sum::<usize>()
    }

    /// The field of that number in the order of a walk: the message that holds it, and its place.
    pub(crate) fn nth(&mut self, wanted: usize) -> Option<(&mut Message, usize)> {
        let mut left = wanted;
        for index in 0..self.fields.len() {
            if left == 0 {
                return Some((self, index));
            }
            left -= 1;
            let inside = match &self.fields[index].data {
                Data::Message(message) => message.count(),
                _ => 0,
            };
            if left < inside {
                let Data::Message(message) = &mut self.fields[index].data else {
                    return None;
                };
                return message.nth(left);
            }
            left -= inside;
        }
        None
    }

    /// Shows each field with the kind of the message that holds it.
    pub(crate) fn walk<'a>(&'a self, see: &mut dyn FnMut(Kind, &'a Field)) {
        for field in &self.fields {
            see(self.kind, field);
            if let Data::Message(message) = &field.data {
                message.walk(see);
            }
        }
    }

    pub(crate) fn change(&mut self, change: &mut dyn FnMut(Kind, &mut Field)) {
        for field in &mut self.fields {
            change(self.kind, field);
            if let Data::Message(message) = &mut field.data {
                message.change(change);
            }
        }
    }
}

impl From<u64> for Data {
    fn from(n: u64) -> Data {
        Data::Int(n)
    }
}
impl From<i64> for Data {
    fn from(n: i64) -> Data {
        Data::Int(n as u64)
    }
}
impl From<f32> for Data {
    fn from(x: f32) -> Data {
        Data::Fixed32(x.to_bits())
    }
}
impl From<&str> for Data {
    fn from(text: &str) -> Data {
        Data::Bytes(text.as_bytes().to_vec())
    }
}
impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Data {
        Data::Bytes(bytes)
    }
}
impl From<&[i64]> for Data {
    fn from(ints: &[i64]) -> Data {
        Data::Ints(ints.iter().map(|&n| n as u64).collect())
    }
}
impl From<Message> for Data {
    fn from(message: Message) -> Data {
        Data::Message(message)
    }
}

/// A field with a length: what it should hold if it can be read as that, else its bytes.
fn long(holds: Option<Holds>, bytes: &[u8]) -> Data {
    let plain = || Data::Bytes(bytes.to_vec());
    match holds {
        Some(In(kind)) => Message::decode(kind, bytes).map_or_else(plain, Data::Message),
        Some(Ints) => {
            let mut rest = bytes;
            let mut ints = Vec::new();
            while !rest.is_empty() {
                match varint(&mut rest) {
                    Some(n) => ints.push(n),
                    None => return plain(),
                }
            }
            Data::Ints(ints)
        }
        Some(Int | Float | Text | Bytes | Floats | Doubles) | None => plain(),
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = take(bytes, 1)?[0];
        if shift < 64 {
            value |= u64::from(byte & 0x7f) << shift;
        }
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_long(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    put_varint(out, tag | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Message {
        let tensor = Message::new(Kind::Tensor)
            .with(1, &[2i64, -1][..])
            .with(8, "w")
            .with(9, vec![1, 2, 3]);
        let graph = Message::new(Kind::Graph)
            .with(2, "g")
            .with(5, tensor)
            .with(99, 7u64);
        Message::new(Kind::Model).with(1, 8u64).with(7, graph)
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = sample().encode();
        assert_eq!(Message::decode(Kind::Model, &bytes), Some(sample()));
        assert_eq!(
            Message::decode(Kind::Model, &bytes[..bytes.len() - 1]),
            None
        );
    }

    #[test]
    fn a_walk_reaches_each_field() {
        let mut message = sample();
        assert_eq!(message.count(), 8);
        let numbers: Vec<u32> = (0..8)
            .map(|n| {
                let (parent, index) = message.nth(n).unwrap();
                parent.fields[index].number
            })
            .collect();
        assert_eq!(numbers, [1, 7, 2, 5, 1, 8, 9, 99]);
        assert!(message.nth(8).is_none());
    }

    #[test]
    fn what_is_no_message_stays_bytes() {
        let model = Message::new(Kind::Model).with(7, vec![0xff, 0xff]);
        assert_eq!(Message::decode(Kind::Model, &model.encode()), Some(model));
    }
}
