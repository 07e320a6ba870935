//! Splits a text into tokens. It goes on after an error and keeps the errors for later.

use crate::text::syntax::Span;

/// Brackets may nest this deep. Everything that walks a module recurses over regions, and a text
/// must not be able to exhaust the stack.
const MAX_DEPTH: usize = 128;

/// Texts are slices of the source, without the sigil: `Value("x")` is `%x`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum Token<'s> {
    Value(&'s str),
    FuncName(&'s str),
    Label(&'s str),
    /// A name, with dots: `nn.relu`, `axis`, `f32`.
    Word(&'s str),
    /// `!dialect.name`.
    Extension(&'s str),
    Dim(&'s str),
    String(&'s str),
    Integer(&'s str),
    Float(&'s str),
    Bits(&'s str),
    /// The inside of `tensor<…>`, `dense<…>`, `resource<…>`.
    Tensor(&'s str),
    Dense(&'s str),
    Resource(&'s str),
    Module,
    Func,
    Attributes,
    Return,
    True,
    False,
    OpenParen,
    CloseParen,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    OpenAngle,
    CloseAngle,
    Equals,
    Colon,
    Comma,
    Arrow,
}

/// A part of the text that is no token.
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) kind: LexErrorKind,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum LexErrorKind {
    Character,
    Literal,
    /// The lexer stopped here.
    Depth,
}

pub(crate) struct Lexer<'s> {
    text: &'s str,
    at: usize,
    depth: usize,
    pub(crate) errors: Vec<LexError>,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(text: &'s str) -> Lexer<'s> {
        Lexer {
            text,
            at: 0,
            depth: 0,
            errors: Vec::new(),
        }
    }

    fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            match self.rest().strip_prefix("//") {
                Some(comment) => {
                    self.at += 2 + comment.find('\n').unwrap_or(comment.len());
                }
                None if blank == 0 => return,
                None => {}
            }
        }
    }

    /// Takes the longest run of characters that `part` accepts.
    fn take(&mut self, part: fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn error(&mut self, start: usize, kind: LexErrorKind, message: impl Into<String>) {
        self.errors.push(LexError {
            span: Span::new(start, self.at),
            kind,
            message: message.into(),
            help: None,
        });
    }

    /// A name after a sigil: plain, or in quotes where `quoted` allows it.
    fn sigil_name(&mut self, quoted: Quoted) -> &'s str {
        self.at += 1;
        match (quoted, self.rest().starts_with('"')) {
            (Quoted::Yes, true) => self.string(),
            (Quoted::Yes, false) | (Quoted::No, _) => self.take(is_name_part),
        }
    }

    /// A string with its quotes; it ends with its line at the latest.
    fn string(&mut self) -> &'s str {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        for (i, c) in self.rest().char_indices() {
            match c {
                '\n' => {
                    self.at += i;
                    break;
                }
                '"' if !escaped => {
                    self.at += i + 1;
                    return &self.text[start..self.at];
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        if !self.rest().starts_with('\n') {
            self.at = self.text.len();
        }
        self.error(start, LexErrorKind::Literal, "the string has no end");
        // An empty string, so that this is the only error here.
        "\"\""
    }

    /// The text up to the `>` that closes the `<` at hand; it ends with its line at the latest.
    fn angled(&mut self) -> &'s str {
        self.at += 1;
        let start = self.at;
        let (mut quoted, mut escaped) = (false, false);
        for (i, c) in self.rest().char_indices() {
            match c {
                '\n' => break,
                '>' if !quoted => {
                    self.at += i + 1;
                    return &self.text[start..start + i];
                }
                '"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = c == '\\' && quoted && !escaped;
        }
        // The type ends where its dimensions end; what follows may still be read.
        let inside = self.take(|c| is_name_part(c) || c == '?');
        self.error(
            start - 1,
            LexErrorKind::Character,
            "`<` is not closed by `>`",
        );
        inside
    }

    fn number(&mut self) -> Token<'s> {
        let start = self.at;
        if self.rest().starts_with('-') {
            self.at += 1;
        }
        if self.take(|c| c.is_ascii_alphabetic()) == "inf" {
            return Token::Float(&self.text[start..self.at]);
        }
        self.at = start + usize::from(self.text[start..].starts_with('-'));
        if self.rest().starts_with("0x") {
            self.at += 2;
            let digits = self.take(is_name_part);
            if !self.text[start..].starts_with('-')
                && !digits.is_empty()
                && digits.bytes().all(|c| c.is_ascii_hexdigit())
            {
                return Token::Bits(digits);
            }
            return self.bad_number(start);
        }
        let digits = self.take(|c| c.is_ascii_digit());
        let mut float = false;
        if self.rest().starts_with('.') {
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
            float = true;
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            float = true;
            if self.take(|c| c.is_ascii_digit()).is_empty() {
                self.take(is_name_part);
                return self.bad_number(start);
            }
        }
        if digits.is_empty() || !self.take(is_name_part).is_empty() {
            return self.bad_number(start);
        }
        let text = &self.text[start..self.at];
        match float {
            true => Token::Float(text),
            false => Token::Integer(text),
        }
    }

    fn bad_number(&mut self, start: usize) -> Token<'s> {
        let message = format!("`{}` is not a number", shorten(&self.text[start..self.at]));
        self.error(start, LexErrorKind::Literal, message);
        Token::Integer("0")
    }

    fn word(&mut self) -> Token<'s> {
        let word = self.take(|c| is_name_part(c) || c == '.');
        let angled = self.rest().starts_with('<');
        match word {
            "tensor" if angled => Token::Tensor(self.angled()),
            "dense" if angled => Token::Dense(self.angled()),
            "resource" if angled => Token::Resource(self.angled()),
            "module" => Token::Module,
            "func" => Token::Func,
            "attributes" => Token::Attributes,
            "return" => Token::Return,
            "true" => Token::True,
            "false" => Token::False,
            _ => Token::Word(word),
        }
    }

    /// `None` for what is no token and was reported.
    fn token(&mut self) -> Option<Token<'s>> {
        let start = self.at;
        let first = self.rest().chars().next()?;
        let named = |lexer: &mut Lexer<'s>, name: &'s str, what: &str| {
            if name.is_empty() {
                let message = format!("a name must follow `{first}`: {what}");
                lexer.error(start, LexErrorKind::Character, message);
            }
            !name.is_empty()
        };
        let token = match first {
            '%' => {
                let name = self.sigil_name(Quoted::No);
                return named(self, name, "`%x`").then_some(Token::Value(name));
            }
            '@' => {
                let name = self.sigil_name(Quoted::Yes);
                return named(self, name, "`@main`").then_some(Token::FuncName(name));
            }
            '!' => {
                self.at += 1;
                let name = self.take(|c| is_name_part(c) || c == '.');
                return named(self, name, "`!dialect.name`").then_some(Token::Extension(name));
            }
            '^' => return Some(Token::Label(self.sigil_name(Quoted::Yes))),
            '?' => return Some(Token::Dim(self.sigil_name(Quoted::Yes))),
            '"' => return Some(Token::String(self.string())),
            '-' if self.rest().starts_with("->") => {
                self.at += 2;
                return Some(Token::Arrow);
            }
            '-' | '0'..='9' => return Some(self.number()),
            'a'..='z' | 'A'..='Z' | '_' => return Some(self.word()),
            '(' => Token::OpenParen,
            ')' => Token::CloseParen,
            '{' => Token::OpenBrace,
            '}' => Token::CloseBrace,
            '[' => Token::OpenBracket,
            ']' => Token::CloseBracket,
            '<' => Token::OpenAngle,
            '>' => Token::CloseAngle,
            '=' => Token::Equals,
            ':' => Token::Colon,
            ',' => Token::Comma,
            _ => {
                self.at += first.len_utf8();
                let message = format!("unexpected character `{}`", first.escape_debug());
                self.error(start, LexErrorKind::Character, message);
                return None;
            }
        };
        self.at += 1;
        match token {
            Token::OpenParen | Token::OpenBrace | Token::OpenBracket | Token::OpenAngle => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    let message = format!("brackets nest deeper than {MAX_DEPTH}");
                    self.error(start, LexErrorKind::Depth, message);
                    self.at = self.text.len();
                    return None;
                }
            }
            Token::CloseParen | Token::CloseBrace | Token::CloseBracket | Token::CloseAngle => {
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
        Some(token)
    }
}

#[derive(Copy, Clone)]
enum Quoted {
    Yes,
    No,
}

impl<'s> Iterator for Lexer<'s> {
    type Item = Result<(usize, Token<'s>, usize), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.skip_blank();
            let start = self.at;
            if start == self.text.len() {
                return None;
            }
            if let Some(token) = self.token() {
                return Some(Ok((start, token, self.at)));
            }
        }
    }
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A piece of the source for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MAX: usize = 40;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Lexer::new(text).filter_map(|t| Some(t.ok()?.1)).collect()
    }

    fn messages(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text);
        lexer.by_ref().for_each(drop);
        lexer.errors.into_iter().map(|e| e.message).collect()
    }

    #[test]
    fn numbers_keep_their_kind() {
        use Token::*;
        assert_eq!(
            tokens("1 -2 1.5 -1e-7 -inf 0x7fc0 2.0"),
            [
                Integer("1"),
                Integer("-2"),
                Float("1.5"),
                Float("-1e-7"),
                Float("-inf"),
                Bits("7fc0"),
                Float("2.0")
            ]
        );
        for text in ["3x4", "1e", "-", "0x", "0xg", "-0x1", "1.2.3", "1f"] {
            assert!(!messages(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_type_is_one_token() {
        use Token::*;
        assert_eq!(
            tokens(r#"tensor<?"a>b"x3xf32> // no %x"#),
            [Tensor(r#"?"a>b"x3xf32"#)]
        );
    }

    #[test]
    fn goes_on_after_errors() {
        assert_eq!(
            messages("# \"open\n% tensor<2xf32\né"),
            [
                "unexpected character `#`",
                "the string has no end",
                "a name must follow `%`: `%x`",
                "`<` is not closed by `>`",
                "unexpected character `é`",
            ]
        );
    }

    #[test]
    fn depth_is_limited() {
        assert_eq!(
            messages(&"[".repeat(100_000)),
            ["brackets nest deeper than 128"]
        );
    }
}
