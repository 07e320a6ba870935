//! Unified diffs of texts, by lines.
//!
//! Lines that occur once in both texts are anchors (patience diff): of IR, in which almost every
//! line defines a value of its own name, that finds what people would, in time that hardly depends
//! on how much differs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// The unified diff of two texts without its two lines of file names; empty if they are equal.
pub fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut script = Script {
        old: &old,
        new: &new,
        edits: Vec::new(),
    };
    script.between(0..old.len(), 0..new.len());
    let mut out = String::new();
    for hunk in hunks(&script.edits) {
        script.print(hunk, &mut out);
    }
    out
}

/// One line of the script that turns the old text into the new one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Edit {
    Keep(usize, usize),
    Delete(usize),
    Insert(usize),
}

struct Script<'t> {
    old: &'t [&'t str],
    new: &'t [&'t str],
    edits: Vec<Edit>,
}

impl Script<'_> {
    /// Appends what turns a range of old lines into a range of new ones.
    fn between(&mut self, mut old: Range<usize>, mut new: Range<usize>) {
        while !old.is_empty() && !new.is_empty() && self.old[old.start] == self.new[new.start] {
            self.edits.push(Edit::Keep(old.start, new.start));
            (old.start, new.start) = (old.start + 1, new.start + 1);
        }
        let mut same_end = Vec::new();
        while !old.is_empty() && !new.is_empty() && self.old[old.end - 1] == self.new[new.end - 1] {
            (old.end, new.end) = (old.end - 1, new.end - 1);
            same_end.push(Edit::Keep(old.end, new.end));
        }
        let (mut old_from, mut new_from) = (old.start, new.start);
        for (old_at, new_at) in self.anchors(&old, &new) {
            self.between(old_from..old_at, new_from..new_at);
            self.edits.push(Edit::Keep(old_at, new_at));
            (old_from, new_from) = (old_at + 1, new_at + 1);
        }
        match (old_from, new_from) == (old.start, new.start) {
            // No anchor: nothing in here is worth matching.
            true => {
                self.edits.extend(old.map(Edit::Delete));
                self.edits.extend(new.map(Edit::Insert));
            }
            false => self.between(old_from..old.end, new_from..new.end),
        }
        self.edits.extend(same_end.into_iter().rev());
    }

    /// Lines that occur once in both ranges, and in the same order there.
    fn anchors(&self, old: &Range<usize>, new: &Range<usize>) -> Vec<(usize, usize)> {
        #[derive(Default)]
        struct Places {
            old: Vec<usize>,
            new: Vec<usize>,
        }
        let mut places: BTreeMap<&str, Places> = BTreeMap::new();
        for at in old.clone() {
            places.entry(self.old[at]).or_default().old.push(at);
        }
        for at in new.clone() {
            places.entry(self.new[at]).or_default().new.push(at);
        }
        let unique = places
            .values()
            .filter_map(|p| match (&p.old[..], &p.new[..]) {
                ([old], [new]) => Some((*old, *new)),
                _ => None,
            });
        let mut pairs: Vec<(usize, usize)> = unique.collect();
        pairs.sort_unstable();
        longest_rising(&pairs)
    }

    fn print(&self, hunk: &[Edit], out: &mut String) {
        let count = |keep: fn(&Edit) -> bool| hunk.iter().filter(|e| keep(e)).count();
        let old_count = count(|e| !matches!(e, Edit::Insert(_)));
        let new_count = count(|e| !matches!(e, Edit::Delete(_)));
        let (old_start, new_start) = self.starts(hunk);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "@@ -{old_start},{old_count} +{new_start},{new_count} @@"
        );
        for edit in hunk {
            let _ = match *edit {
                Edit::Keep(at, _) => writeln!(out, " {}", self.old[at]),
                Edit::Delete(at) => writeln!(out, "-{}", self.old[at]),
                Edit::Insert(at) => writeln!(out, "+{}", self.new[at]),
            };
        }
    }

    /// The first line of a hunk in both texts, from 1; of a side without lines, the one before.
    fn starts(&self, hunk: &[Edit]) -> (usize, usize) {
        let old = hunk.iter().find_map(|e| match *e {
            Edit::Keep(at, _) | Edit::Delete(at) => Some(at + 1),
            Edit::Insert(_) => None,
        });
        let new = hunk.iter().find_map(|e| match *e {
            Edit::Keep(_, at) | Edit::Insert(at) => Some(at + 1),
            Edit::Delete(_) => None,
        });
        // A hunk without context on one side is the whole of that text.
        (old.unwrap_or(0), new.unwrap_or(0))
    }
}

/// The longest run of pairs, which are sorted by their first numbers, whose second numbers rise.
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // `ends[k]` is the pair that ends the run of length k + 1 with the least second number.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; pairs.len()];
    for (i, &(_, second)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&e| pairs[e].1 < second);
        before[i] = length.checked_sub(1).map(|k| ends[k]);
        match length == ends.len() {
            true => ends.push(i),
            false => ends[length] = i,
        }
    }
    let mut run = Vec::new();
    let mut at = ends.last().copied();
    while let Some(i) = at {
        run.push(pairs[i]);
        at = before[i];
    }
    run.reverse();
    run
}

/// Changes with the unchanged lines around them; those that touch are one.
fn hunks(edits: &[Edit]) -> Vec<&[Edit]> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let changes = edits.iter().enumerate();
    for (at, _) in changes.filter(|(_, e)| !matches!(e, Edit::Keep(..))) {
        let range = at.saturating_sub(CONTEXT)..(at + 1 + CONTEXT).min(edits.len());
        match ranges.last_mut() {
            Some(last) if last.end >= range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges.into_iter().map(|r| &edits[r]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
        assert_eq!(unified("", ""), "");
    }

    #[test]
    fn changes_stand_between_their_neighbours() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\nten\n";
        let expected = "@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+ten\n";
        assert_eq!(unified(old, new), expected);
    }

    #[test]
    fn far_changes_are_hunks_of_their_own() {
        let lines = |first: &str, last: &str| {
            let middle: String = (0..20).map(|i| format!("{i}\n")).collect();
            format!("{first}\n{middle}{last}\n")
        };
        let diff = unified(&lines("a", "z"), &lines("b", "y"));
        assert_eq!(diff.matches("@@ -").count(), 2);
        assert!(diff.starts_with("@@ -1,4 +1,4 @@\n-a\n+b\n 0\n"), "{diff}");
    }

    #[test]
    fn a_moved_line_is_deleted_and_inserted() {
        let diff = unified("a\nb\nc\nd\n", "b\nc\nd\na\n");
        assert_eq!(diff, "@@ -1,4 +1,4 @@\n-a\n b\n c\n d\n+a\n");
    }

    #[test]
    fn from_and_to_nothing() {
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
    }

    /// What the script makes of the old text is the new text.
    #[test]
    fn scripts_are_right_on_random_texts() {
        let mut random = lepid_ir::interp::random::Random::new(3);
        for _ in 0..500 {
            let mut text = || -> Vec<String> {
                let count = random.below(12);
                (0..count).map(|_| random.below(6).to_string()).collect()
            };
            let (old, new) = (text(), text());
            let (old, new): (Vec<&str>, Vec<&str>) = (
                old.iter().map(String::as_str).collect(),
                new.iter().map(String::as_str).collect(),
            );
            let mut script = Script {
                old: &old,
                new: &new,
                edits: Vec::new(),
            };
            script.between(0..old.len(), 0..new.len());
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for edit in &script.edits {
                match *edit {
                    Edit::Keep(i, j) => {
                        assert_eq!(old[i], new[j]);
                        left.push(i);
                        right.push(j);
                    }
                    Edit::Delete(i) => left.push(i),
                    Edit::Insert(j) => right.push(j),
                }
            }
            assert!(left.into_iter().eq(0..old.len()) && right.into_iter().eq(0..new.len()));
        }
    }
}
