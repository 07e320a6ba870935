//! Small edits of source text: an item into a sorted list, a line among its like.

use crate::workspace::Result;

/// Adds `item` to the list that `opener` opens, before the first item that sorts after it.
///
/// Items are one per comma and get a line each; rustfmt may join them again. An item that is there already stays single.
pub(super) fn add_to_list(text: &str, opener: &str, item: &str) -> Result<String> {
    let start = text.find(opener).ok_or(format!("there is no `{opener}`"))? + opener.len();
    let end = list_end(&text[start..]).ok_or(format!("the list after `{opener}` has no end"))?;
    let list = &text[start..start + end];
    let mut items: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|i| !i.is_empty())
        .collect();
    if !items.contains(&item) {
        let place = items
            .iter()
            .position(|other| sort_key(other) > sort_key(item));
        items.insert(place.unwrap_or(items.len()), item);
    }
    let list = format!("\n    {},\n", items.join(",\n    "));
    Ok([&text[..start], &list, &text[start + end..]].concat())
}

/// Adds a line among those that begin with `prefix`, before the first that sorts after it.
pub(super) fn add_line(text: &str, prefix: &str, line: &str) -> Result<String> {
    let like = text
        .lines()
        .enumerate()
        .filter(|(_, other)| other.starts_with(prefix));
    let like: Vec<(usize, &str)> = like.collect();
    if like.iter().any(|(_, other)| *other == line) {
        return Ok(text.to_owned());
    }
    let place = match (like.iter().find(|(_, other)| *other > line), like.last()) {
        (Some((index, _)), _) => *index,
        (None, Some((last, _))) => last + 1,
        (None, None) => return Err(format!("no line begins with `{prefix}`")),
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(place, line);
    Ok(lines.join("\n") + "\n")
}

/// Where the bracket that opened before `text` is closed.
fn list_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        match character {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' if depth == 0 => return Some(index),
            ']' | '}' | ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn sort_key(item: &str) -> &str {
    item.trim_start_matches(['&', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_to_their_place_once() {
        let text = "ops.add(&[&Add, &Mul]);";
        let added = add_to_list(text, "ops.add(&[", "&Div").unwrap();
        assert_eq!(added, "ops.add(&[\n    &Add,\n    &Div,\n    &Mul,\n]);");
        assert_eq!(add_to_list(&added, "ops.add(&[", "&Div").unwrap(), added);
        assert!(add_to_list(text, "PASSES", "&Div").is_err());
    }

    #[test]
    fn lines_go_among_their_like() {
        let text = "//! A.\n\nmod a;\nmod c;\n\nuse b;\n";
        let added = add_line(text, "mod ", "mod b;").unwrap();
        assert_eq!(added, "//! A.\n\nmod a;\nmod b;\nmod c;\n\nuse b;\n");
        let last = add_line(text, "mod ", "mod d;").unwrap();
        assert!(last.contains("mod c;\nmod d;\n"));
        assert!(add_line(text, "pub mod ", "pub mod d;").is_err());
    }
}
