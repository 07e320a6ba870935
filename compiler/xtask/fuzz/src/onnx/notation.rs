//! The seed models, from a text that names no more of a model than matters.
//!
//! ```text
//! 18 com.microsoft=1: y = Conv(f32[1,2,5,5], =f32[2,2,3,3], _) pads=[1,1,1,1]; z = Relu(y)
//! ```
//!
//! Before the colon stands the opset. An argument is a name, `_` for none, `TYPE` for a new input,
//! `=TYPE` for a new initialiser of raw bytes, `=TYPE{1 2}` for one of typed fields, `~TYPE` for
//! one in another file. An attribute is a number, a string, a list, a tensor `<TYPE{1 2}>`, a
//! reference `@name`, or a graph `(inputs | nodes | outputs)`; a function of the domain `f` is
//! `fn Name(inputs | nodes | outputs)`. What no node reads is an output.

use super::wire::{Data, Kind, Message};

/// The models of a text: one for each line, which a line that begins with a blank continues.
pub(crate) fn models(text: &str) -> Result<Vec<Message>, String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match (line.starts_with(' '), lines.last_mut()) {
            (true, Some(last)) => last.push_str(line),
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    let read = |line: &String| model(line).map_err(|error| format!("{error} in `{line}`"));
    lines.iter().map(read).collect()
}

fn model(line: &str) -> Result<Message, String> {
    let mut reader = Reader {
        rest: line,
        graph: Message::new(Kind::Graph),
        fresh: 0,
    };
    let mut model = Message::new(Kind::Model).with(1, 8u64);
    let version = reader.number()?;
    model.add(8, opset("", version));
    while !reader.eat(":") {
        let domain = reader.word()?;
        reader.expect("=")?;
        let version = reader.number()?;
        model.add(8, opset(&domain, version));
    }
    let mut names = Names::default();
    while !reader.rest.trim().is_empty() {
        match reader.eat("fn ") {
            true => {
                if names.functions == 0 {
                    model.add(8, opset("f", 1));
                }
                names.functions += 1;
                let function = reader.function(version)?;
                model.add(25, function);
            }
            false => {
                let node = reader.node(&mut names)?;
                reader.graph.add(1, node);
            }
        }
        reader.eat(";");
    }
    for name in names.defined.iter().filter(|n| !names.read.contains(n)) {
        let output = Message::new(Kind::ValueInfo).with(1, name.as_str());
        reader.graph.add(12, output);
    }
    model.add(7, reader.graph);
    Ok(model)
}

fn opset(domain: &str, version: i64) -> Message {
    Message::new(Kind::Opset).with(1, domain).with(2, version)
}

#[derive(Default)]
struct Names {
    defined: Vec<String>,
    read: Vec<String>,
    functions: usize,
}

struct Reader<'a> {
    rest: &'a str,
    /// Where inline inputs and initialisers go: the main graph.
    graph: Message,
    fresh: usize,
}

impl Reader<'_> {
    fn eat(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        match self.eat(text) {
            true => Ok(()),
            false => Err(format!("expected `{text}` before `{}`", self.rest)),
        }
    }

    /// The longest run of characters that names and numbers have; it may be empty.
    fn run(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let part = |c: char| c.is_alphanumeric() || "_.+-".contains(c);
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run.to_owned()
    }

    fn word(&mut self) -> Result<String, String> {
        match self.run() {
            run if run.is_empty() => Err(format!("expected a name before `{}`", self.rest)),
            run => Ok(run),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let run = self.run();
        run.parse().map_err(|_| format!("`{run}` is no integer"))
    }

    fn names(&mut self) -> Result<Vec<String>, String> {
        let mut names = vec![self.word()?];
        while self.eat(",") {
            names.push(self.word()?);
        }
        Ok(names)
    }

    /// `a, b = Op(x, y) name=value …`
    fn node(&mut self, names: &mut Names) -> Result<Message, String> {
        let mut node = Message::new(Kind::Node);
        for output in self.names()? {
            if output != "_" {
                names.defined.push(output.clone());
            }
            node.add(2, if output == "_" { "" } else { &output });
        }
        self.expect("=")?;
        let mut op = self.word()?;
        if self.eat("::") {
            node.add(7, op.as_str());
            op = self.word()?;
        }
        node.add(4, op.as_str());
        self.expect("(")?;
        while !self.eat(")") {
            let name = self.argument()?;
            names.read.push(name.clone());
            node.add(1, name.as_str());
            self.eat(",");
        }
        while self.rest.trim_start().starts_with(char::is_alphabetic) {
            let name = self.word()?;
            self.expect("=")?;
            let attribute = self.attribute(names)?;
            node.add(5, attribute.with(1, name.as_str()));
        }
        Ok(node)
    }

    fn argument(&mut self) -> Result<String, String> {
        let initializer = self.eat("=");
        let external = self.eat("~");
        let word = self.word()?;
        if !self.rest.starts_with('[') {
            return Ok(match word.as_str() {
                "_" => String::new(),
                _ => word,
            });
        }
        self.fresh += 1;
        let name = format!("v{}", self.fresh);
        if initializer || external {
            let mut tensor = self.tensor(&word)?.with(8, name.as_str());
            if external {
                elsewhere(&mut tensor);
            }
            self.graph.add(5, tensor);
        } else {
            let value = self.value_info(&name, &word)?;
            self.graph.add(11, value);
        }
        Ok(name)
    }

    fn value_info(&mut self, name: &str, elem: &str) -> Result<Message, String> {
        let mut shape = Message::new(Kind::Shape);
        for extent in self.extents()? {
            let dim = Message::new(Kind::Dimension);
            shape.add(
                1,
                match extent.parse::<i64>() {
                    Ok(n) => dim.with(1, n),
                    Err(_) => dim.with(2, extent.as_str()),
                },
            );
        }
        let tensor = Message::new(Kind::TensorType).with(1, code(elem)?);
        let ty = Message::new(Kind::Type).with(1, tensor.with(2, shape));
        Ok(Message::new(Kind::ValueInfo).with(1, name).with(2, ty))
    }

    fn extents(&mut self) -> Result<Vec<String>, String> {
        self.expect("[")?;
        let mut extents = Vec::new();
        while !self.eat("]") {
            extents.push(self.word()?);
            self.eat(",");
        }
        Ok(extents)
    }

    /// After the element: `[2,3]`, and `{1 2}` for the values.
    fn tensor(&mut self, elem: &str) -> Result<Message, String> {
        let extents = self.extents()?;
        let dims: Result<Vec<i64>, String> = extents
            .iter()
            .map(|e| e.parse().map_err(|_| format!("`{e}` is no extent")))
            .collect();
        let dims = dims?;
        let count = dims.iter().product::<i64>().unsigned_abs() as usize;
        let tensor = Message::new(Kind::Tensor)
            .with(1, &dims[..])
            .with(2, code(elem)?);
        if !self.eat("{") {
            return Ok(tensor.with(9, raw(elem, count)));
        }
        let mut values = Vec::new();
        while !self.eat("}") {
            let word = self.word()?;
            values.push(word.parse::<f64>().map_err(|_| format!("`{word}`"))?);
        }
        Ok(typed(tensor, elem, &values))
    }

    fn attribute(&mut self, names: &mut Names) -> Result<Message, String> {
        let attribute = Message::new(Kind::Attribute);
        if self.eat("@") {
            let word = self.word()?;
            return Ok(attribute.with(21, word.as_str()));
        }
        if self.eat("\"") {
            let text = self.quoted()?;
            return Ok(attribute.with(20, 3u64).with(4, text.as_str()));
        }
        if self.eat("<") {
            let elem = self.word()?;
            let tensor = self.tensor(&elem)?;
            self.expect(">")?;
            return Ok(attribute.with(20, 4u64).with(5, tensor));
        }
        if self.eat("(") {
            let graph = self.subgraph(names)?;
            return Ok(attribute.with(20, 5u64).with(6, graph));
        }
        if self.eat("[") {
            return self.list(attribute);
        }
        let word = self.word()?;
        match (word.parse::<i64>(), word.parse::<f32>()) {
            (Ok(n), _) => Ok(attribute.with(20, 2u64).with(3, n)),
            (Err(_), Ok(x)) => Ok(attribute.with(20, 1u64).with(2, x)),
            (Err(_), Err(_)) => Err(format!("`{word}` is no value")),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let (text, rest) = self.rest.split_once('"').ok_or("a quote is open")?;
        self.rest = rest;
        Ok(text.to_owned())
    }

    /// Integers, unless one has a point; strings.
    fn list(&mut self, mut attribute: Message) -> Result<Message, String> {
        let mut words = Vec::new();
        while !self.eat("]") {
            if self.eat("\"") {
                let text = self.quoted()?;
                attribute.add(9, text.as_str());
            } else {
                words.push(self.word()?);
            }
            self.eat(",");
        }
        if !attribute.fields.is_empty() {
            return Ok(attribute.with(20, 8u64));
        }
        let ints: Result<Vec<i64>, _> = words.iter().map(|w| w.parse()).collect();
        if let Ok(ints) = ints {
            return Ok(attribute.with(20, 7u64).with(8, &ints[..]));
        }
        let floats: Result<Vec<f32>, _> = words.iter().map(|w| w.parse()).collect();
        let floats = floats.map_err(|_| format!("{words:?} are no numbers"))?;
        let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(attribute.with(20, 6u64).with(7, bytes))
    }

    /// The parts between bars: inputs, nodes, outputs; up to the closing parenthesis.
    fn parts(&mut self, names: &mut Names) -> Result<Parts, String> {
        let mut parts = Parts::default();
        while !self.eat("|") {
            parts.inputs.push(self.word()?);
            self.eat(",");
        }
        let mut own = Names::default();
        while !self.eat("|") {
            parts.nodes.push(self.node(&mut own)?);
            self.eat(";");
        }
        while !self.eat(")") {
            parts.outputs.push(self.word()?);
            self.eat(",");
        }
        names.read.extend(own.read);
        names.read.extend(parts.outputs.iter().cloned());
        Ok(parts)
    }

    fn subgraph(&mut self, names: &mut Names) -> Result<Message, String> {
        let parts = self.parts(names)?;
        let mut graph = Message::new(Kind::Graph);
        parts.nodes.into_iter().for_each(|n| graph.add(1, n));
        for (number, list) in [(11, &parts.inputs), (12, &parts.outputs)] {
            for name in list {
                let value = Message::new(Kind::ValueInfo).with(1, name.as_str());
                graph.add(number, value);
            }
        }
        Ok(graph)
    }

    fn function(&mut self, version: i64) -> Result<Message, String> {
        let name = self.word()?;
        self.expect("(")?;
        let parts = self.parts(&mut Names::default())?;
        let mut function = Message::new(Kind::Function).with(1, name.as_str());
        for (number, list) in [(4, &parts.inputs), (5, &parts.outputs)] {
            list.iter().for_each(|n| function.add(number, n.as_str()));
        }
        parts.nodes.into_iter().for_each(|n| function.add(7, n));
        function.add(9, opset("", version));
        function.add(9, opset("f", 1));
        Ok(function.with(10, "f"))
    }
}

#[derive(Default)]
struct Parts {
    inputs: Vec<String>,
    nodes: Vec<Message>,
    outputs: Vec<String>,
}

/// Puts raw data into another file, which has enough of it.
fn elsewhere(tensor: &mut Message) {
    let mut length = 0;
    tensor
        .fields
        .retain(|field| match (&field.data, field.number) {
            (Data::Bytes(bytes), 9) => {
                length = bytes.len();
                false
            }
            _ => true,
        });
    tensor.add(14, 1u64);
    for (key, value) in [("location", "weights.bin"), ("length", &length.to_string())] {
        tensor.add(13, Message::new(Kind::Entry).with(1, key).with(2, value));
    }
}

/// Names of element types with the number that the format has for each and the bits of an element.
const ELEMENTS: &[(&str, u64, usize)] = &[
    ("f32", 1, 32),
    ("u8", 2, 8),
    ("i8", 3, 8),
    ("u16", 4, 16),
    ("i16", 5, 16),
    ("i32", 6, 32),
    ("i64", 7, 64),
    ("str", 8, 8),
    ("b", 9, 8),
    ("f16", 10, 16),
    ("f64", 11, 64),
    ("u32", 12, 32),
    ("u64", 13, 64),
    ("c64", 14, 64),
    ("bf16", 16, 16),
    ("f8", 17, 8),
    ("u4", 21, 4),
    ("i4", 22, 4),
    ("f4", 23, 4),
    ("u2", 25, 2),
    ("i2", 26, 2),
];

fn element(name: &str) -> Result<(u64, usize), String> {
    let found = ELEMENTS.iter().find(|(n, _, _)| *n == name);
    let (_, code, bits) = found.ok_or_else(|| format!("`{name}` is no element type"))?;
    Ok((*code, *bits))
}

fn code(name: &str) -> Result<u64, String> {
    element(name).map(|(code, _)| code)
}

/// Small numbers of that type.
fn raw(elem: &str, count: usize) -> Vec<u8> {
    let bits = element(elem).map_or(8, |(_, bits)| bits);
    let number = |i: usize| match elem {
        "f32" => u64::from((i as f32 * 0.5 - 1.0).to_bits()),
        "f64" => (i as f64 * 0.5 - 1.0).to_bits(),
        "f16" => 0x3800 + i as u64,
        "bf16" => 0x3f00 + i as u64,
        _ => (i % 2) as u64,
    };
    match bits {
        2 | 4 => vec![0x21; (count * bits).div_ceil(8)],
        _ => (0..count)
            .flat_map(|i| number(i).to_le_bytes().into_iter().take(bits / 8))
            .collect(),
    }
}

/// The values in the field that the format has for the type.
fn typed(tensor: Message, elem: &str, values: &[f64]) -> Message {
    let ints = || -> Vec<i64> { values.iter().map(|&x| x as i64).collect() };
    match elem {
        "f32" => {
            let bytes = values.iter().flat_map(|&x| (x as f32).to_le_bytes());
            tensor.with(4, bytes.collect::<Vec<u8>>())
        }
        "f64" => {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes());
            tensor.with(10, bytes.collect::<Vec<u8>>())
        }
        "i64" => tensor.with(7, &ints()[..]),
        "u32" | "u64" => tensor.with(11, &ints()[..]),
        "str" => tensor.with(6, Data::Bytes(b"text".to_vec())),
        _ => tensor.with(5, &ints()[..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read() {
        let text = "17: c = Add(f32[2,N], =f32[2,1]{1 2.5}) k=1 f=0.5 l=[1,2] s=\"a b\"; y = If(b[]) t=(a | z = Abs(c) | z)";
        let all = models(&format!("# a comment\n{text}")).unwrap();
        let bytes = all[0].encode();
        assert_eq!(Message::decode(Kind::Model, &bytes).as_ref(), Some(&all[0]));
        // `c` is read within the branch, so `y` alone is an output.
        let mut outputs = Vec::new();
        all[0].walk(&mut |kind, field| {
            if kind == Kind::Graph && field.number == 12 {
                outputs.push(field.clone());
            }
        });
        assert_eq!(outputs.len(), 2, "{outputs:?}");
    }

    #[test]
    fn mistakes_are_told() {
        for text in [
            "x",
            "17: y Relu(x)",
            "17: y = Relu(f31[2])",
            "17: y = Relu(x) a=[",
        ] {
            assert!(models(text).is_err(), "{text}");
        }
    }
}
