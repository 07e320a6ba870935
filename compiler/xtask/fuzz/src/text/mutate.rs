//! Makes a new input from known ones.

use std::borrow::Cow;

use super::corpus::Corpus;
use crate::random::Random;

/// Inputs are cut to this many tokens.
const MOST_TOKENS: usize = 2000;

type Tokens<'a> = Vec<Cow<'a, str>>;

pub(crate) fn mutate(corpus: &Corpus, random: &mut Random) -> String {
    let input = corpus.input(random);
    let mut tokens: Tokens<'_> = input
        .iter()
        .map(|token| Cow::Borrowed(token.as_str()))
        .collect();
    for _ in 0..random.length(12) {
        change(corpus, &mut tokens, random);
        tokens.truncate(MOST_TOKENS);
    }
    tokens.concat()
}

fn change<'a>(corpus: &'a Corpus, tokens: &mut Tokens<'a>, random: &mut Random) {
    if tokens.is_empty() {
        tokens.push(corpus.word(random).into());
    }
    let at = random.below(tokens.len());
    let end = (at + random.length(64)).min(tokens.len());
    match random.below(10) {
        0 => {
            tokens.drain(at..end);
        }
        1 => {
            let copy = tokens[at..end].to_vec();
            let to = random.below(tokens.len() + 1);
            tokens.splice(to..to, copy);
        }
        2 => {
            let other = random.below(tokens.len());
            tokens.swap(at, other);
        }
        3 | 4 => tokens[at] = corpus.word(random).into(),
        5 => tokens.insert(at, corpus.word(random).into()),
        6 => splice(corpus, tokens, at, random),
        // Another name of the same text: the change that most often stays well-formed.
        7 | 8 => {
            let like: Vec<_> = tokens
                .iter()
                .filter(|other| alike(other, &tokens[at]))
                .collect();
            tokens[at] = (*random.pick(&like)).clone();
        }
        _ => match random.below(3) {
            0 => tokens[at] = tokens[at].repeat(random.length(300)).into(),
            1 => tokens[at] = number(&tokens[at], random).into(),
            _ => tokens[at] = scratch(&tokens[at], random).into(),
        },
    }
}

/// Puts a piece of another input in.
fn splice<'a>(corpus: &'a Corpus, tokens: &mut Tokens<'a>, at: usize, random: &mut Random) {
    let other = corpus.input(random);
    if other.is_empty() {
        return;
    }
    let start = random.below(other.len());
    let end = (start + random.length(200)).min(other.len());
    let piece = other[start..end]
        .iter()
        .map(|token| Cow::Borrowed(token.as_str()));
    tokens.splice(at..at, piece);
}

/// Whether two tokens begin alike, as two values or two numbers do.
fn alike(a: &str, b: &str) -> bool {
    let kind = |token: &str| match token.chars().next() {
        Some(c) if c.is_ascii_digit() => '0',
        Some(c) if c.is_alphabetic() => 'a',
        Some(c) if c.is_whitespace() => ' ',
        Some(c) => c,
        None => ' ',
    };
    kind(a) == kind(b)
}

/// A number near an edge in place of the digits.
fn number(token: &str, random: &mut Random) -> String {
    const EDGES: &[&str] = &[
        "0",
        "1",
        "2",
        "7",
        "8",
        "127",
        "255",
        "65536",
        "2147483648",
        "18446744073709551615",
    ];
    let digits = token.find(|c: char| c.is_ascii_digit());
    let Some(start) = digits else {
        return (*random.pick(EDGES)).to_owned();
    };
    let rest = token[start..].trim_start_matches(|c: char| c.is_ascii_digit());
    [&token[..start], *random.pick(EDGES), rest].concat()
}

/// One character more, less or other.
fn scratch(token: &str, random: &mut Random) -> String {
    let mut characters: Vec<char> = token.chars().collect();
    let other = char::from(32 + random.below(95) as u8);
    let at = random.below(characters.len().max(1));
    match random.below(3) {
        0 if at < characters.len() => characters[at] = other,
        1 if at < characters.len() => {
            characters.remove(at);
        }
        _ => characters.insert(at, other),
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_run_makes_the_same_input() {
        let corpus = Corpus::read(&[]).unwrap();
        let make = |run| mutate(&corpus, &mut Random::new(5, run));
        assert_eq!(make(1), make(1));
        let different: std::collections::BTreeSet<String> = (0..200).map(make).collect();
        assert!(different.len() > 150);
    }
}
