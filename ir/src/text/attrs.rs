//! The attributes of an op, held against what the op declares.

use crate::core::{Attr, AttrKind, Code, OpDef, nearest};
use crate::text::lexer::shorten;
use crate::text::literal::Reader;
use crate::text::syntax;

impl Reader<'_> {
    /// The attributes, each of its declared kind. `None`: something was reported, or a function is
    /// named that could not be built.
    pub(crate) fn attrs<'s>(
        &mut self,
        def: &'static dyn OpDef,
        given: &[&syntax::Attr<'s>],
    ) -> Option<Vec<(&'s str, Attr)>> {
        let info = def.info();
        let mut read: Vec<(&'s str, Attr)> = Vec::new();
        let mut sound = true;
        for (i, attr) in given.iter().enumerate() {
            let name = attr.name;
            let value = self.attr(&attr.value);
            let Some(index) = info.attr_index(name.text) else {
                sound = false;
                let message = format!("`{}` has no attribute `{}`", info.name, shorten(name.text));
                let error = self.error(Code::UNKNOWN_ATTR, name.span, message);
                let names: Vec<&str> = info.attrs.iter().map(|a| a.name).collect();
                let error = match (nearest(name.text, names.iter().copied()), names.is_empty()) {
                    (Some(near), _) => error.with_help(format!("did you mean `{near}`?")),
                    (None, true) => error.with_help("it has none"),
                    (None, false) => error.with_help(format!("it has `{}`", names.join("`, `"))),
                };
                self.diagnostics.push(error);
                continue;
            };
            if let Some(earlier) = given[..i].iter().find(|a| a.name.text == name.text) {
                sound = false;
                self.duplicate(name.text, name.span, earlier.name.span);
                continue;
            }
            let Some(value) = value else {
                sound = false;
                continue;
            };
            let kind = info.attrs[index].kind;
            if !kind.admits(&value) {
                sound = false;
                let message = format!(
                    "attribute `{}` of `{}` must be {}",
                    name.text,
                    info.name,
                    kind.name()
                );
                let span = attr.value.span;
                let error = self.error(Code::ATTR_KIND, span, message);
                let error = match (kind, &value) {
                    (AttrKind::Float, Attr::Int(x)) => error.with_help(format!("write `{x}.0`")),
                    (AttrKind::Floats, _) => error.with_help("floats are written `1.0`"),
                    _ => error,
                };
                self.diagnostics.push(error);
                continue;
            }
            sound &= self.names_built(&value);
            read.push((name.text, value));
        }
        sound.then_some(read)
    }

    /// Reads attributes of an unknown op for their errors alone.
    pub(crate) fn untyped_attrs<'s>(
        &mut self,
        given: &[&syntax::Attr<'s>],
    ) -> Option<Vec<(&'s str, Attr)>> {
        for attr in given {
            self.attr(&attr.value);
        }
        None
    }

    /// Whether the functions that an attribute names are whole; if not, an error says why.
    fn names_built(&self, attr: &Attr) -> bool {
        match attr {
            Attr::Func(name) => self.built.contains(name.as_str()),
            Attr::List(items) => items.iter().all(|i| self.names_built(i)),
            _ => true,
        }
    }
}
