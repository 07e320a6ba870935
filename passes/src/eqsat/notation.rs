//! The notation of rules: s-expressions of ops, attributes and variables.
//!
//! ```text
//! (tensor.transpose (tensor.transpose ?x ?p) ?q)     operands, then attributes in declared order
//! (nn.conv ?x ?w ..a)                                ..a: all attributes, as ?a.stride and so on
//! (tensor.mul~ ?x (tensor.exp ?y))                   ~: the operands in either order
//! (tensor.transpose ?x (compose ?p ?q))              without a dot: a function of attributes
//! 1   1.5   inf   true   "max"   [0, 1]   f32        attributes
//! ```

use std::fmt;

use egg::{Symbol, Var};
use lepid_ir::core::{Attr, Elem, OpDef, Registry};

use super::functions::{self, Function};
use super::language::Leaf;

/// A parsed term.
#[derive(Clone)]
pub(super) enum Term {
    /// With its question mark, and as patterns call it.
    Var(String, Var),
    Attr(Leaf),
    Op {
        def: &'static dyn OpDef,
        /// Whether a pattern matches the two operands in either order.
        either: bool,
        children: Vec<Term>,
    },
    Call {
        function: &'static Function,
        arguments: Vec<Term>,
    },
}

fn variable(name: String) -> Term {
    let var = Var::from(Symbol::from(&name));
    Term::Var(name, var)
}

impl Term {
    /// Reads a term. Rules are part of the program, so what is wrong with one is for its author.
    pub(super) fn parse(text: &str, ops: &Registry) -> Result<Term, String> {
        let mut reader = Reader { rest: text, ops };
        let term = reader.term()?;
        match reader.rest.trim() {
            "" => Ok(term),
            rest => Err(format!("`{rest}` follows the term")),
        }
    }

    /// The variables, each once, in the order in which they appear.
    pub(super) fn vars(&self) -> Vec<&str> {
        let mut vars = Vec::new();
        self.collect_vars(&mut vars);
        vars
    }

    fn collect_vars<'t>(&'t self, vars: &mut Vec<&'t str>) {
        match self {
            Term::Var(name, _) if !vars.contains(&name.as_str()) => vars.push(name),
            Term::Var(..) | Term::Attr(_) => {}
            Term::Op { children, .. } => children.iter().for_each(|c| c.collect_vars(vars)),
            Term::Call { arguments, .. } => arguments.iter().for_each(|a| a.collect_vars(vars)),
        }
    }

    /// The term with each op marked `~` in both orders; each of these once.
    pub(super) fn orders(&self) -> Vec<Term> {
        let Term::Op {
            def,
            either,
            children,
        } = self
        else {
            return vec![self.clone()];
        };
        let mut all: Vec<Vec<Term>> = vec![Vec::new()];
        for child in children {
            let orders = child.orders();
            all = all
                .iter()
                .flat_map(|before| {
                    orders.iter().map(|order| {
                        let mut row = before.clone();
                        row.push(order.clone());
                        row
                    })
                })
                .collect();
        }
        if *either {
            for mut row in all.clone() {
                row.swap(0, 1);
                all.push(row);
            }
        }
        let op = |children| Term::Op {
            def: *def,
            either: false,
            children,
        };
        let mut terms: Vec<Term> = Vec::new();
        for term in all.into_iter().map(op) {
            // Of equal operands there is one order.
            if !terms.iter().any(|t| t.to_string() == term.to_string()) {
                terms.push(term);
            }
        }
        terms
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mark, children) = match self {
            Term::Var(name, _) => return f.write_str(name),
            Term::Attr(leaf) => return write!(f, "{}", leaf.attr),
            Term::Op {
                def,
                either,
                children,
            } => (def.info().name, if *either { "~" } else { "" }, children),
            Term::Call {
                function,
                arguments,
            } => (function.name, "", arguments),
        };
        write!(f, "({name}{mark}")?;
        children
            .iter()
            .try_for_each(|child| write!(f, " {child}"))?;
        f.write_str(")")
    }
}

struct Reader<'t> {
    rest: &'t str,
    ops: &'t Registry,
}

impl<'t> Reader<'t> {
    fn term(&mut self) -> Result<Term, String> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next() {
            Some('(') => self.list(),
            Some('?') => Ok(variable(self.word().to_string())),
            Some(_) => Ok(Term::Attr(Leaf::new(self.attr()?))),
            None => Err("a term is missing".to_string()),
        }
    }

    fn list(&mut self) -> Result<Term, String> {
        self.rest = &self.rest[1..];
        let head = self.word();
        let name = head.strip_suffix('~').unwrap_or(head);
        let mut children = Vec::new();
        let def = self.ops.get(name);
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(')') {
                self.rest = rest;
                break;
            }
            match (self.rest.strip_prefix(".."), def) {
                (Some(rest), Some(def)) => {
                    self.rest = rest;
                    let all = self.word();
                    let attrs = def.info().attrs.iter();
                    children.extend(attrs.map(|a| variable(format!("?{all}.{}", a.name))));
                }
                _ => children.push(self.term()?),
            }
        }
        match (def, functions::find(name)) {
            (Some(def), _) => Ok(Term::Op {
                def,
                either: head != name,
                children,
            }),
            (None, Some(function)) => Ok(Term::Call {
                function,
                arguments: children,
            }),
            (None, None) => Err(format!("`{name}` is neither an op nor a function")),
        }
    }

    fn attr(&mut self) -> Result<Attr, String> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (text, rest) = rest.split_once('"').ok_or("a quote is not closed")?;
            self.rest = rest;
            return Ok(Attr::from(text));
        }
        if let Some(rest) = self.rest.strip_prefix('[') {
            self.rest = rest;
            return self.items();
        }
        let word = self.word();
        if let Some(elem) = Elem::from_name(word) {
            return Ok(Attr::Elem(elem));
        }
        match (word, word.parse::<i64>(), word.parse::<f64>()) {
            ("absent", ..) => Ok(Attr::Absent),
            ("true" | "false", ..) => Ok(Attr::Bool(word == "true")),
            (_, Ok(number), _) => Ok(Attr::Int(number)),
            (_, _, Ok(number)) => Ok(Attr::Float(number)),
            _ => Err(format!("`{word}` is no attribute")),
        }
    }

    fn items(&mut self) -> Result<Attr, String> {
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', ',']);
            if let Some(rest) = self.rest.strip_prefix(']') {
                self.rest = rest;
                return Ok(Attr::List(items));
            }
            items.push(self.attr()?);
        }
    }

    /// Up to a blank or a bracket.
    fn word(&mut self) -> &'t str {
        let ends = |c: char| c.is_whitespace() || "()[],\"".contains(c);
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lepid_ir::dialects;

    fn parse(text: &str) -> Result<Term, String> {
        Term::parse(text, &dialects::registry())
    }

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "?x",
            "(tensor.mul~ ?x (tensor.exp ?y))",
            "(tensor.reduce ?x \"sum\" [0, 1])",
            "(tensor.transpose ?x (compose ?p ?q))",
            "(nn.clip ?x 0.0 inf)",
            "(tensor.cast ?x f32)",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let all = parse("(nn.softmax ?x ..a)").unwrap();
        assert_eq!(all.to_string(), "(nn.softmax ?x ?a.axis)");
        assert_eq!(all.vars(), ["?x", "?a.axis"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "",
            "(nn.reul ?x)",
            "(nn.relu ?x",
            "(nn.relu ?x) ?y",
            "nan!",
            "\"max",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn either_order_is_written_once() {
        let orders = |text: &str| {
            let terms = parse(text).unwrap().orders();
            terms.iter().map(Term::to_string).collect::<Vec<_>>()
        };
        assert_eq!(orders("(tensor.mul~ ?x ?x)"), ["(tensor.mul ?x ?x)"]);
        assert_eq!(
            orders("(tensor.add~ ?x (tensor.neg ?y))"),
            [
                "(tensor.add ?x (tensor.neg ?y))",
                "(tensor.add (tensor.neg ?y) ?x)"
            ]
        );
        assert_eq!(orders("(tensor.add~ (tensor.mul~ ?x ?y) ?z)").len(), 4);
    }
}
