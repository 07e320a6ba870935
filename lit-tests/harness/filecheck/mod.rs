//! Compares an output with the `CHECK` lines of a test file.
//!
//! | line | asks for |
//! |---|---|
//! | `CHECK:` | a match after the last one |
//! | `CHECK-NEXT:` | a match on the line after the last one |
//! | `CHECK-SAME:` | a match on the rest of the last line |
//! | `CHECK-NOT:` | no match between the matches around it |
//! | `CHECK-DAG:` | matches in any order within a run of `-DAG` lines |
//! | `CHECK-LABEL:` | a match that splits the output: no other line looks past it |
//!
//! Text matches itself, a run of blanks any run of blanks. `{{…}}` is a regular expression, `[[NAME:…]]` one that is remembered, `[[NAME]]` what it matched; names are upper case, so `[[2, 2]]` is text.

mod directive;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use regex::Regex;

use directive::{Directive, Kind, Part};

/// Checks `output` against the directives in `checks`.
pub(crate) fn check(checks: &str, output: &str) -> Result<(), String> {
    let directives = directive::parse(checks)?;
    let lines: Vec<String> = output.lines().map(directive::squeeze).collect();
    let mut matcher = Matcher {
        lines: &lines,
        variables: BTreeMap::new(),
    };
    matcher.run(&directives)
}

/// A place in the output: line, then byte in it.
type Place = (usize, usize);

struct Matcher<'a> {
    lines: &'a [String],
    variables: BTreeMap<String, String>,
}

impl Matcher<'_> {
    fn run(&mut self, directives: &[Directive]) -> Result<(), String> {
        // Labels first: they bound where everything between them may look.
        let mut start: Place = (0, 0);
        let mut sections = Vec::new();
        let mut pending: &[Directive] = directives;
        while let Some(index) = pending.iter().position(|d| d.kind == Kind::Label) {
            let label = &pending[index];
            let end = (self.lines.len(), 0);
            let found = self
                .find(label, start..end)?
                .ok_or_else(|| self.missing(label, start..end))?;
            sections.push((&pending[..index], found.start));
            // What precedes the label ends before its line, what follows begins after its match.
            sections.push((&[], found.end));
            start = found.end;
            pending = &pending[index + 1..];
        }
        sections.push((pending, (self.lines.len(), 0)));
        let mut from = (0, 0);
        for (section, end) in sections {
            self.run_section(section, from..end)?;
            from = end;
        }
        Ok(())
    }

    fn run_section(
        &mut self,
        directives: &[Directive],
        bounds: Range<Place>,
    ) -> Result<(), String> {
        let mut at = bounds.start;
        let mut forbidden: Vec<&Directive> = Vec::new();
        let mut rest = directives;
        while let Some(directive) = rest.first() {
            let run = match directive.kind {
                Kind::Not => {
                    forbidden.push(directive);
                    rest = &rest[1..];
                    continue;
                }
                Kind::Dag => rest.iter().take_while(|d| d.kind == Kind::Dag).count(),
                Kind::Plain | Kind::Next | Kind::Same | Kind::Label => 1,
            };
            let mut taken: Vec<Range<Place>> = Vec::new();
            for directive in &rest[..run] {
                let range = self.range(directive, at, bounds.end);
                let found = self
                    .find_free(directive, range.clone(), &taken)?
                    .ok_or_else(|| self.missing(directive, range))?;
                taken.push(found);
            }
            let first = taken.iter().map(|found| found.start).min().unwrap_or(at);
            self.refuse(&forbidden, at..first)?;
            forbidden.clear();
            at = taken.iter().map(|found| found.end).max().unwrap_or(at);
            rest = &rest[run..];
        }
        self.refuse(&forbidden, at..bounds.end)
    }

    /// Where a directive may match, after a match that ended at `at`.
    fn range(&self, directive: &Directive, at: Place, end: Place) -> Range<Place> {
        let line = |number: usize| (number, 0).min(end);
        match directive.kind {
            Kind::Next => line(at.0 + 1)..line(at.0 + 2),
            Kind::Same => at..line(at.0 + 1),
            Kind::Plain | Kind::Not | Kind::Dag | Kind::Label => at..end,
        }
    }

    fn refuse(&mut self, forbidden: &[&Directive], range: Range<Place>) -> Result<(), String> {
        for directive in forbidden {
            if let Some(found) = self.find(directive, range.clone())? {
                return Err(self.report(directive, "is found", found));
            }
        }
        Ok(())
    }

    fn find(
        &mut self,
        directive: &Directive,
        range: Range<Place>,
    ) -> Result<Option<Range<Place>>, String> {
        self.find_free(directive, range, &[])
    }

    /// The first match within `range` that overlaps none of `taken`. Remembers its captures.
    fn find_free(
        &mut self,
        directive: &Directive,
        range: Range<Place>,
        taken: &[Range<Place>],
    ) -> Result<Option<Range<Place>>, String> {
        let regex = self.compile(directive)?;
        let last = (range.end.0 + usize::from(range.end.1 > 0)).min(self.lines.len());
        for number in range.start.0..last {
            let line = &self.lines[number];
            let from = if number == range.start.0 {
                range.start.1
            } else {
                0
            };
            let to = if number == range.end.0 {
                range.end.1
            } else {
                line.len()
            };
            if from > to {
                continue;
            }
            for found in regex.captures_iter(&line[from..to]) {
                let whole = found.get(0).expect("group 0 always matches");
                let place = (number, from + whole.start())..(number, from + whole.end());
                if taken
                    .iter()
                    .any(|t| place.start < t.end && t.start < place.end)
                {
                    continue;
                }
                for name in regex.capture_names().flatten() {
                    if let Some(value) = found.name(name) {
                        self.variables
                            .insert(name.to_owned(), value.as_str().to_owned());
                    }
                }
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn compile(&self, directive: &Directive) -> Result<Regex, String> {
        let mut pattern = String::new();
        for part in &directive.parts {
            match part {
                Part::Text(text) => pattern.push_str(&regex::escape(text)),
                Part::Regex(regex) => pattern.push_str(&format!("(?:{regex})")),
                Part::Capture { name, regex } => pattern.push_str(&format!("(?P<{name}>{regex})")),
                Part::Use(name) => match self.variables.get(name) {
                    Some(value) => pattern.push_str(&regex::escape(value)),
                    None => {
                        return Err(format!(
                            "line {}: `[[{name}]]` is not set yet",
                            directive.line
                        ));
                    }
                },
            }
        }
        Regex::new(&pattern).map_err(|error| format!("line {}: {error}", directive.line))
    }

    fn missing(&self, directive: &Directive, range: Range<Place>) -> String {
        self.report(directive, "is not found", range)
    }

    fn report(&self, directive: &Directive, what: &str, range: Range<Place>) -> String {
        let mut message = format!(
            "line {}: {}: `{}` {what} here:\n",
            directive.line,
            directive.kind.name(),
            directive.text
        );
        for (name, value) in &self.variables {
            writeln!(message, "  with {name} = `{value}`").expect("a string takes all text");
        }
        let end = (range.end.0 + usize::from(range.end.1 > 0)).min(self.lines.len());
        for (number, line) in self.lines.iter().enumerate().take(end).skip(range.start.0) {
            writeln!(message, "{:4} | {line}", number + 1).expect("a string takes all text");
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    const TWO_FUNCTIONS: &str = "\
func @one(%0: f32) {
  %1 = nn.relu(%0)
  return %1
}
func @two(%0: f32) {
  %1 = nn.relu(%0)
  %2 = nn.relu(%1) {pads = [[1, 1], [2, 2]]}
  return %2
}
";

    #[track_caller]
    fn accepts(checks: &str) {
        if let Err(error) = check(checks, TWO_FUNCTIONS) {
            panic!("{error}");
        }
    }

    #[track_caller]
    fn refuses(checks: &str, reason: &str) {
        let error = check(checks, TWO_FUNCTIONS).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn plain_checks_match_in_order() {
        accepts("// CHECK: @one\n// CHECK: @two");
        refuses("// CHECK: @two\n// CHECK: @one", "is not found");
    }

    #[test]
    fn next_is_the_very_next_line() {
        accepts("// CHECK: @one\n// CHECK-NEXT: nn.relu\n// CHECK-NEXT: return");
        refuses("// CHECK: @one\n// CHECK-NEXT: return", "CHECK-NEXT");
    }

    #[test]
    fn same_stays_on_the_line() {
        accepts("// CHECK: func\n// CHECK-SAME: @one");
        refuses("// CHECK: func\n// CHECK-SAME: return", "CHECK-SAME");
    }

    #[test]
    fn captures_are_compared() {
        accepts("// CHECK: [[X:%[0-9]+]] = nn.relu(%0)\n// CHECK: return [[X]]");
        refuses(
            "// CHECK: [[X:%0]]\n// CHECK: return [[X]]",
            "with X = `%0`",
        );
        refuses("// CHECK: [[X]]", "not set");
    }

    #[test]
    fn double_brackets_without_a_name_are_text() {
        accepts("// CHECK: pads = [[1, 1], [2, 2]]");
    }

    #[test]
    fn not_looks_between_its_neighbours() {
        accepts("// CHECK: @one\n// CHECK-NOT: pads\n// CHECK: return %1");
        refuses(
            "// CHECK: @one\n// CHECK-NOT: relu\n// CHECK: return",
            "is found",
        );
        refuses("// CHECK: @two\n// CHECK-NOT: return", "is found");
    }

    #[test]
    fn dag_matches_in_any_order_without_overlap() {
        accepts("// CHECK-DAG: return %1\n// CHECK-DAG: @one\n// CHECK: @two");
        refuses(
            "// CHECK-LABEL: @one\n// CHECK-DAG: relu\n// CHECK-DAG: relu\n// CHECK-LABEL: @two",
            "CHECK-DAG",
        );
    }

    #[test]
    fn labels_bound_the_search() {
        accepts("// CHECK-LABEL: @one\n// CHECK: return %1\n// CHECK-LABEL: @two\n// CHECK: pads");
        refuses(
            "// CHECK-LABEL: @one\n// CHECK: pads\n// CHECK-LABEL: @two",
            "is not found",
        );
    }

    #[test]
    fn patterns_and_blanks() {
        accepts("// CHECK:   return    %{{[0-9]}}");
        refuses("// CHECK: {{[}}", "regex");
    }

    #[test]
    fn nonsense_is_refused() {
        refuses("func @f()", "no CHECK line");
        refuses("// CHECK-NXT: a", "unknown directive");
        refuses("// CHECK-NEXT: a", "no CHECK before");
        refuses("// CHECK:", "is empty");
        refuses("// CHECK-LABEL: [[X:a]]", "cannot use variables");
    }
}
