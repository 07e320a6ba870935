//! The syntax tree: names and spans, no dialect. Every text is a slice of the source.

/// A range of bytes of the source.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The parser refuses sources whose offsets do not fit.
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }
}

/// A token with its place. The text is as in the source, without the sigil of its kind.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Name<'s> {
    pub(crate) text: &'s str,
    pub(crate) span: Span,
}

pub(crate) struct File<'s> {
    pub(crate) name: Option<Name<'s>>,
    /// `None` stands for what could not be read.
    pub(crate) funcs: Vec<Option<Func<'s>>>,
}

pub(crate) struct Func<'s> {
    pub(crate) name: Name<'s>,
    pub(crate) args: Vec<Arg<'s>>,
    pub(crate) types: TypeList<'s>,
    pub(crate) attrs: Vec<Attr<'s>>,
    pub(crate) body: Vec<Op<'s>>,
    /// Where the closing brace stands.
    pub(crate) end: u32,
}

pub(crate) struct Arg<'s> {
    pub(crate) name: Name<'s>,
    pub(crate) ty: TypeSyntax<'s>,
}

pub(crate) enum Op<'s> {
    Known(OpSyntax<'s>),
    /// Could not be read.
    Broken(Span),
}

pub(crate) struct OpSyntax<'s> {
    pub(crate) results: Vec<Name<'s>>,
    pub(crate) name: Name<'s>,
    pub(crate) operands: Vec<Name<'s>>,
    pub(crate) attrs: Vec<Attr<'s>>,
    /// `None`: as inferred.
    pub(crate) types: Option<TypeList<'s>>,
    pub(crate) regions: Vec<Region<'s>>,
}

impl OpSyntax<'_> {
    /// Whether an op in a region could not be read. After an error in the head of an op, its
    /// attributes may have been taken for a region, too.
    pub(crate) fn has_broken_region(&self) -> bool {
        let blocks = self.regions.iter().flat_map(|r| &r.blocks);
        blocks
            .flat_map(|b| &b.ops)
            .any(|op| matches!(op, Op::Broken(_)))
    }
}

pub(crate) struct TypeList<'s> {
    pub(crate) span: Span,
    pub(crate) types: Vec<TypeSyntax<'s>>,
}

pub(crate) struct Region<'s> {
    pub(crate) blocks: Vec<Block<'s>>,
}

impl<'s> Region<'s> {
    /// The first block may go without a label.
    pub(crate) fn new(first: Vec<Op<'s>>, mut blocks: Vec<Block<'s>>, end: u32) -> Region<'s> {
        if !first.is_empty() || blocks.is_empty() {
            let end = blocks
                .first()
                .and_then(|b| b.label)
                .map_or(end, |label| label.span.start);
            let block = Block {
                label: None,
                args: Vec::new(),
                ops: first,
                end,
            };
            blocks.insert(0, block);
        }
        Region { blocks }
    }
}

pub(crate) struct Block<'s> {
    /// The text may be empty: `^(%0: tensor<f32>):`.
    pub(crate) label: Option<Name<'s>>,
    pub(crate) args: Vec<Arg<'s>>,
    pub(crate) ops: Vec<Op<'s>>,
    /// Where the next block or the closing brace stands.
    pub(crate) end: u32,
}

pub(crate) struct Attr<'s> {
    pub(crate) name: Name<'s>,
    pub(crate) value: Literal<'s>,
}

pub(crate) struct Literal<'s> {
    pub(crate) span: Span,
    pub(crate) kind: LiteralKind<'s>,
}

/// What an attribute may be, unread: the resolver checks ranges and escapes.
pub(crate) enum LiteralKind<'s> {
    Bool(bool),
    Integer(&'s str),
    Float(&'s str),
    /// The hexadecimal digits after `0x`: the bits of a float.
    Bits(&'s str),
    /// With its quotes.
    String(&'s str),
    /// What follows the `?`.
    Dim(&'s str),
    /// An element type or `inf`.
    Word(&'s str),
    Func(&'s str),
    Type(TypeSyntax<'s>),
    List(Vec<Literal<'s>>),
    Dense {
        ty: Name<'s>,
        values: Vec<Literal<'s>>,
    },
    Resource {
        ty: Name<'s>,
        key: Name<'s>,
    },
}

pub(crate) enum TypeSyntax<'s> {
    /// The inside of `tensor<…>`; the span covers all of it.
    Tensor(Name<'s>),
    /// `dialect.name` and its parameters.
    Extension {
        name: Name<'s>,
        params: Vec<Attr<'s>>,
    },
}

/// Calls `found` for each value that a function defines, in the order of the text.
pub(crate) fn definitions<'s>(func: &Func<'s>, found: &mut impl FnMut(Name<'s>)) {
    func.args.iter().for_each(|a| found(a.name));
    definitions_of_ops(&func.body, found);
}

fn definitions_of_ops<'s>(ops: &[Op<'s>], found: &mut impl FnMut(Name<'s>)) {
    for op in ops {
        let Op::Known(op) = op else { continue };
        op.results.iter().for_each(|&name| found(name));
        for block in op.regions.iter().flat_map(|r| &r.blocks) {
            block.args.iter().for_each(|a| found(a.name));
            definitions_of_ops(&block.ops, found);
        }
    }
}

/// Calls `found` for each function that the ops of a function name.
pub(crate) fn func_references<'s>(ops: &[Op<'s>], found: &mut impl FnMut(Name<'s>)) {
    for op in ops {
        let Op::Known(op) = op else { continue };
        op.attrs
            .iter()
            .for_each(|a| references_in_literal(&a.value, found));
        for block in op.regions.iter().flat_map(|r| &r.blocks) {
            func_references(&block.ops, found);
        }
    }
}

fn references_in_literal<'s>(literal: &Literal<'s>, found: &mut impl FnMut(Name<'s>)) {
    match &literal.kind {
        LiteralKind::Func(text) => found(Name {
            text,
            span: literal.span,
        }),
        LiteralKind::List(items) => items.iter().for_each(|i| references_in_literal(i, found)),
        LiteralKind::Type(TypeSyntax::Extension { params, .. }) => {
            params
                .iter()
                .for_each(|p| references_in_literal(&p.value, found));
        }
        _ => {}
    }
}
