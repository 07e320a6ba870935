//! Text of others in HTML: names in a model file may be anything.

/// The text as text, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Neither HTML nor readers know what to make of them; the marks of writing direction
            // would let a name rearrange what stands around it.
            c if c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// The text cut to so many characters, with a mark where it was cut.
pub fn short(text: &str, most: usize) -> String {
    match text.chars().count() <= most {
        true => text.to_string(),
        false => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_text() {
        let name = "</title><script>alert('x')</script>\" onload=\"a&b\0\u{202e}";
        let escaped = escape(name);
        assert!(!escaped.contains(['<', '>', '"', '\'', '\0', '\u{202e}']));
        assert!(escaped.contains("a&amp;b\u{fffd}"));
    }

    #[test]
    fn cutting_counts_characters() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äö…");
    }
}
