//! Reads types and attribute values of the syntax tree: ranges, escapes, tensors, resources.

use std::collections::{BTreeSet, HashSet};

use crate::core::attr::unquote;
use crate::core::{
    Attr, Code, Diagnostic, Diagnostics, Dim, Elem, ExtType, Limits, Loc, Native, Num, Symbol,
    Tensor, TensorType, Type, TypeKind, nearest,
};
use crate::text::Weights;
use crate::text::lexer::shorten;
use crate::text::syntax::{self, Literal, LiteralKind, Name, TypeSyntax};
use crate::with_native;

/// A text full of errors is not worth more searches for what was meant.
const MAX_SUGGESTIONS: usize = 100;

/// What reading literals needs, and the messages of the whole resolver.
pub(crate) struct Reader<'a> {
    file: Symbol,
    weights: Option<&'a Weights>,
    /// The functions of the text, which literals may name.
    pub(crate) funcs: HashSet<String>,
    /// Those of them that are whole.
    pub(crate) built: HashSet<String>,
    /// Bytes that the constants so far take: a few characters can state any size.
    expanded: u64,
    limits: Limits,
    suggestions: usize,
    /// Which message says that there is no side file, for which constant, and for how many.
    missing: Option<(usize, String, u64)>,
    pub(crate) diagnostics: Diagnostics,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Symbol, weights: Option<&'a Weights>, limits: Limits) -> Reader<'a> {
        Reader {
            file,
            weights,
            funcs: HashSet::new(),
            built: HashSet::new(),
            expanded: 0,
            limits,
            suggestions: 0,
            missing: None,
            diagnostics: Vec::new(),
        }
    }

    /// The place in the form that diagnostics have; it covers at least one byte.
    pub(crate) fn span(&self, span: syntax::Span) -> crate::core::Span {
        crate::core::Span {
            file: self.file,
            start: span.start,
            end: span.end.max(span.start.saturating_add(1)),
        }
    }

    pub(crate) fn loc(&self, span: syntax::Span) -> Loc {
        Loc::Span(self.span(span))
    }

    pub(crate) fn error(
        &self,
        code: Code,
        span: syntax::Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, self.loc(span), message)
    }

    /// Keeps a message; `None` for `?` and tail positions.
    pub(crate) fn report<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.diagnostics.push(diagnostic);
        None
    }

    pub(crate) fn duplicate(&mut self, shown: &str, span: syntax::Span, earlier: syntax::Span) {
        let message = format!("`{shown}` is defined twice");
        let error = self.error(Code::DUPLICATE_NAME, span, message);
        let earlier = self.span(earlier);
        let error = error.with_label(earlier, "first defined here");
        self.diagnostics.push(error);
    }

    fn bad<T>(&mut self, span: syntax::Span, message: impl Into<String>) -> Option<T> {
        self.report(self.error(Code::LITERAL, span, message))
    }

    pub(crate) fn ty(&mut self, ty: &TypeSyntax<'_>) -> Option<Type> {
        match ty {
            TypeSyntax::Tensor(name) => Some(self.tensor_type(*name, "tensor<")?.into()),
            TypeSyntax::Extension { name, params } => {
                let Some((dialect, ty)) = name.text.split_once('.') else {
                    let message =
                        format!("`!{}` is not a type: expected `!dialect.name`", name.text);
                    return self.bad(name.span, message);
                };
                let mut read = Vec::new();
                let mut names = HashSet::new();
                for param in params {
                    let value = self.attr(&param.value);
                    if !names.insert(param.name.text) {
                        let message = format!("parameter `{}` is given twice", param.name.text);
                        let error = self.error(Code::DUPLICATE_NAME, param.name.span, message);
                        return self.report(error);
                    }
                    read.push((Symbol::new(param.name.text), value?));
                }
                Some(Type::new(TypeKind::Ext(ExtType {
                    dialect: Symbol::new(dialect),
                    name: Symbol::new(ty),
                    params: read,
                })))
            }
        }
    }

    /// The inside of angle brackets; `opening` is what stands before it in the token.
    fn tensor_type(&mut self, name: Name<'_>, opening: &str) -> Option<TensorType> {
        match TensorType::parse(name.text) {
            Ok(ty) => Some(ty),
            Err(error) => {
                let start = name.span.start as usize + opening.len();
                let span = syntax::Span::new(start + error.start, start + error.end);
                let diagnostic = self.error(Code::LITERAL, span, error.message);
                let part = name.text.get(error.start..error.end).unwrap_or("");
                self.report(match nearest(part, Elem::ALL.map(Elem::name)) {
                    Some(near) => diagnostic.with_help(format!("did you mean `{near}`?")),
                    None => {
                        diagnostic.with_help("a type looks like `2x?Nx3xf32`: extents, element")
                    }
                })
            }
        }
    }

    pub(crate) fn attr(&mut self, literal: &Literal<'_>) -> Option<Attr> {
        let span = literal.span;
        Some(match &literal.kind {
            LiteralKind::Bool(x) => Attr::Bool(*x),
            LiteralKind::Integer(text) => match text.parse() {
                Ok(x) => Attr::Int(x),
                Err(_) => {
                    let message = format!("`{}` does not fit into 64 bits", shorten(text));
                    return self.bad(span, message);
                }
            },
            LiteralKind::Float(text) => Attr::Float(self.float(span, text)?),
            LiteralKind::Bits(digits) => match digits.len() {
                16 => Attr::Float(f64::from_bits(u64::from_str_radix(digits, 16).ok()?)),
                _ => {
                    let message = "the bits of a float attribute take 16 hexadecimal digits";
                    return self.bad(span, message);
                }
            },
            LiteralKind::String(text) => Attr::Str(self.string(span, text)?.into()),
            LiteralKind::Dim("") => Attr::Dim(Dim::Unknown),
            LiteralKind::Dim(name) => {
                Attr::Dim(Dim::Sym(Symbol::new(&self.maybe_quoted(span, name)?)))
            }
            LiteralKind::Word(word) => self.word(span, word)?,
            LiteralKind::Func(name) => {
                let name = self.maybe_quoted(span, name)?;
                if !self.funcs.contains(&name) {
                    return self.unknown_func(span, &name);
                }
                Attr::Func(Symbol::new(&name))
            }
            LiteralKind::Type(ty) => Attr::Type(self.ty(ty)?),
            LiteralKind::List(items) => {
                // All items are read, so that all their errors are found.
                let items: Vec<Option<Attr>> = items.iter().map(|i| self.attr(i)).collect();
                Attr::List(items.into_iter().collect::<Option<_>>()?)
            }
            LiteralKind::Dense { ty, values } => Attr::Tensor(self.dense(*ty, values)?),
            LiteralKind::Resource { ty, key } => Attr::Tensor(self.resource(span, *ty, *key)?),
        })
    }

    /// Counts the suggestions that compare all names in sight.
    pub(crate) fn may_suggest(&mut self) -> bool {
        self.suggestions += 1;
        self.suggestions <= MAX_SUGGESTIONS
    }

    fn word(&mut self, span: syntax::Span, word: &str) -> Option<Attr> {
        if word == "inf" {
            return Some(Attr::Float(f64::INFINITY));
        }
        if let Some(elem) = Elem::from_name(word) {
            return Some(Attr::Elem(elem));
        }
        let known = ["inf", "true", "false"];
        let help = match nearest(word, Elem::ALL.map(Elem::name).into_iter().chain(known)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a string is written `\"{}\"`", shorten(word)),
        };
        let message = format!("`{}` is not a value", shorten(word));
        let diagnostic = self.error(Code::LITERAL, span, message);
        self.report(diagnostic.with_help(help))
    }

    fn unknown_func<T>(&mut self, span: syntax::Span, name: &str) -> Option<T> {
        let message = format!("no function `@{}` is in the module", shorten(name));
        let diagnostic = self.error(Code::UNKNOWN_FUNC, span, message);
        let near = match self.may_suggest() {
            // The set has no order; the suggestion must.
            true => nearest(
                name,
                BTreeSet::from_iter(self.funcs.iter().map(String::as_str)),
            ),
            false => None,
        };
        let diagnostic = match near {
            Some(near) => diagnostic.with_help(format!("did you mean `@{near}`?")),
            None => diagnostic,
        };
        self.report(diagnostic)
    }

    fn float(&mut self, span: syntax::Span, text: &str) -> Option<f64> {
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() || text.ends_with("inf") => Some(x),
            _ => {
                let message = format!("`{}` does not fit into 64 bits", shorten(text));
                self.bad(span, message)
            }
        }
    }

    pub(crate) fn string(&mut self, span: syntax::Span, quoted: &str) -> Option<String> {
        match unquote(quoted) {
            Some(text) => Some(text),
            None => {
                let error = self.error(Code::LITERAL, span, "the string has an unknown escape");
                self.report(error.with_help(r#"escapes are `\"`, `\\`, `\n`, `\t` and `\u{e9}`"#))
            }
        }
    }

    /// A name that may be in quotes.
    pub(crate) fn maybe_quoted(&mut self, span: syntax::Span, text: &str) -> Option<String> {
        match text.starts_with('"') {
            true => self.string(span, text),
            false => Some(text.to_string()),
        }
    }

    /// Elements and extents of a constant, which all must be known.
    fn constant_type(&mut self, ty: Name<'_>, opening: &str) -> Option<(TensorType, Vec<usize>)> {
        let read = self.tensor_type(ty, opening)?;
        let bytes = read
            .element_count()
            .and_then(|count| count.checked_mul(read.elem.bytes() as u64));
        match (read.known_dims(), bytes) {
            (Some(dims), Some(_)) => Some((read, dims)),
            (Some(_), None) => self.bad(ty.span, format!("`{read}` is too large")),
            (None, _) => self.bad(ty.span, "a constant needs numbers as extents"),
        }
    }

    fn dense(&mut self, ty: Name<'_>, values: &[Literal<'_>]) -> Option<Tensor> {
        let (read, dims) = self.constant_type(ty, "dense<")?;
        let count = read.element_count()?;
        let given = values.len() as u64;
        if given != count && !(given == 1 && count > 0) {
            let or_one = if count > 1 { " (or 1 for all)" } else { "" };
            let message = format!(
                "`{read}` takes {}{or_one}, found {given}",
                plural(count, "value")
            );
            return self.bad(ty.span, message);
        }
        let bytes = count.saturating_mul(read.elem.bytes() as u64);
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded > self.limits.constants {
            let message = format!(
                "with `{read}` the constants in the text take more than {} bytes",
                self.limits.constants
            );
            let diagnostic = Limits::CONSTANTS.exceeded(message).at(self.loc(ty.span));
            return self.report(
                diagnostic.with_note("large ones belong into the side file: `resource<…>`"),
            );
        }
        with_native!(read.elem, T => {
            let mut elements: Vec<T> = Vec::with_capacity(values.len());
            for value in values {
                elements.push(self.element::<T>(read.elem, value)?);
            }
            if given != count {
                elements = vec![elements[0]; count as usize];
            }
            Some(Tensor::from_vec(read.elem, dims, elements))
        })
    }

    fn element<T: Native + TextFloat>(&mut self, elem: Elem, literal: &Literal<'_>) -> Option<T> {
        let span = literal.span;
        let text = match &literal.kind {
            LiteralKind::Bool(x) if elem == Elem::Bool => {
                return Some(T::from_num(Num::Int(i128::from(*x))));
            }
            LiteralKind::Integer(text) if elem.is_int() => {
                let (bits, signed) = (elem.bits(), elem.is_signed_int());
                let range = match signed {
                    true => -(1i128 << (bits - 1))..1i128 << (bits - 1),
                    false => 0..1i128 << bits,
                };
                return match text.parse() {
                    Ok(x) if range.contains(&x) => Some(T::from_num(Num::Int(x))),
                    _ => self.bad(
                        span,
                        format!("`{}` does not fit into `{elem}`", shorten(text)),
                    ),
                };
            }
            LiteralKind::Bits(digits) if elem.is_float() => {
                if digits.len() != 2 * elem.bytes() {
                    let digits = 2 * elem.bytes();
                    let message = format!("the bits of `{elem}` take {digits} hexadecimal digits");
                    return self.bad(span, message);
                }
                let bits = u64::from_str_radix(digits, 16).ok()?;
                return Some(bytemuck::pod_read_unaligned(
                    &bits.to_le_bytes()[..elem.bytes()],
                ));
            }
            LiteralKind::Float(text) | LiteralKind::Integer(text) if elem.is_float() => *text,
            LiteralKind::Word("inf") if elem.is_float() => "inf",
            _ => return self.bad(span, format!("this is not a value of `{elem}`")),
        };
        match T::from_text(text) {
            Some(x) if x.to_num().as_f64().is_finite() || text.ends_with("inf") => Some(x),
            _ => self.bad(
                span,
                format!("`{}` does not fit into `{elem}`", shorten(text)),
            ),
        }
    }

    fn resource(&mut self, span: syntax::Span, ty: Name<'_>, key: Name<'_>) -> Option<Tensor> {
        let (read, dims) = self.constant_type(ty, "resource<")?;
        let key = self.string(key.span, key.text)?;
        let Some(weights) = self.weights else {
            return self.no_side_file(span, shorten(&key));
        };
        match weights.get(&key, read.elem, &dims) {
            Ok(tensor) => Some(tensor),
            Err(message) => self.report(self.error(Code::RESOURCE, span, message)),
        }
    }

    /// One message, at the first constant, for all that miss the file.
    fn no_side_file<T>(&mut self, span: syntax::Span, key: String) -> Option<T> {
        if let Some((at, first, more)) = &mut self.missing {
            *more += 1;
            let others = plural(*more, "more constant");
            let verb = "need a side file, but there is none";
            self.diagnostics[*at].message = format!("`{first}` and {others} {verb}");
            return None;
        }
        let message = format!("`{key}` needs a side file, but there is none");
        let error = self.error(Code::RESOURCE, span, message);
        self.missing = Some((self.diagnostics.len(), key, 0));
        self.report(error.with_help("name it with `--weights FILE.safetensors`"))
    }
}

/// `1 value`, `2 values`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// Reads the decimal form of a float with one rounding. Integers never come here.
trait TextFloat: Sized {
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! text_float {
    ($($t:ty: $parse:expr;)*) => {$(
        impl TextFloat for $t {
            fn from_text(text: &str) -> Option<$t> {
                let parse: fn(&str) -> Option<$t> = $parse;
                parse(text)
            }
        }
    )*};
}
text_float! {
    f64: |s| s.parse().ok();
    f32: |s| s.parse().ok();
    half::f16: |s| s.parse().ok().map(half::f16::from_f64);
    half::bf16: |s| s.parse().ok().map(half::bf16::from_f64);
    i64: |_| None; i32: |_| None; i16: |_| None; i8: |_| None;
    u64: |_| None; u32: |_| None; u16: |_| None; u8: |_| None;
}
