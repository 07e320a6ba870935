//! Which rules of a pass are to blame: delta debugging over the rules that it applied.
//!
//! Rules build on each other: one may be wrong, and do harm only where another has made room for it.
//! So what is sought are sets of rules that make the pass wrong together, of which no rule can be
//! left out.

/// What was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Blame {
    /// Each of these sets makes the pass wrong without any other rule.
    pub sets: Vec<Vec<String>>,
    /// Whether there was no time to make the last set as small as it can be, or to look for more.
    pub unfinished: bool,
    /// What the option `rules` is to be for the pass to do without all of these.
    pub without: String,
    /// Whether the pass is right then.
    pub right_without: bool,
}

impl Blame {
    /// What there is to tell, as notes of a message.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.sets.iter().map(|set| sentence(set)).collect();
        if self.unfinished {
            notes.push("the search ended early: there may be fewer, and others".to_string());
        }
        notes.push(match self.right_without {
            true => format!("with `rules={}` the pass is right", self.without),
            false => format!("with `rules={}` the pass is still wrong", self.without),
        });
        notes
    }
}

fn sentence(set: &[String]) -> String {
    let names: Vec<String> = set.iter().map(|rule| format!("`{rule}`")).collect();
    match &names[..] {
        [name] => format!("the rule {name} alone makes it wrong"),
        names => format!(
            "the rules {} together make it wrong; each of them is needed",
            names.join(", ")
        ),
    }
}

/// A search with a bound on the tests.
pub struct Search<'t> {
    /// The rules that the pass applies where these are left out.
    pub applied: &'t mut dyn FnMut(&[String]) -> Vec<String>,
    /// Whether the pass is wrong with these rules alone.
    pub wrong: &'t mut dyn FnMut(&[String]) -> bool,
    /// The most calls of `wrong` that are left.
    pub tests: usize,
}

impl Search<'_> {
    /// All sets of rules that are to blame, none of which overlap.
    pub fn sets(&mut self) -> Vec<Vec<String>> {
        let (mut sets, mut left_out) = (Vec::new(), Vec::new());
        loop {
            // Where rules are left out, others may find something to do.
            let mut rules = (self.applied)(&left_out);
            rules.retain(|rule| !left_out.contains(rule));
            if rules.is_empty() || !self.is_wrong(&rules) {
                return sets;
            }
            let set = self.fewest(rules);
            left_out.extend(set.iter().cloned());
            sets.push(set);
        }
    }

    pub fn out_of_tests(&self) -> bool {
        self.tests == 0
    }

    fn is_wrong(&mut self, rules: &[String]) -> bool {
        if self.tests == 0 {
            return false;
        }
        self.tests -= 1;
        (self.wrong)(rules)
    }

    /// The fewest of some rules that are wrong together: of what comes back, no rule can be left out.
    fn fewest(&mut self, mut rules: Vec<String>) -> Vec<String> {
        let mut parts = 2;
        while rules.len() > 1 {
            match self.smaller(&rules, parts) {
                Some((fewer, next_parts)) => (rules, parts) = (fewer, next_parts),
                None if parts >= rules.len() => break,
                None => parts = rules.len().min(2 * parts),
            }
        }
        rules
    }

    /// Tries each part of the rules, then all but each part; with the number of parts to go on with.
    fn smaller(&mut self, rules: &[String], parts: usize) -> Option<(Vec<String>, usize)> {
        let size = rules.len().div_ceil(parts);
        let part = rules.chunks(size).find(|part| self.is_wrong(part));
        if let Some(part) = part {
            return Some((part.to_vec(), 2));
        }
        // All but one of two parts is the other.
        let count = rules.chunks(size).len();
        let without = |at: usize| -> Vec<String> {
            let kept = rules.chunks(size).enumerate().filter(|(i, _)| *i != at);
            kept.flat_map(|(_, part)| part.iter().cloned()).collect()
        };
        let rest = (0..count).filter(|_| count > 2).map(without);
        let rest = rest.into_iter().find(|rest| self.is_wrong(rest))?;
        Some((rest, (count - 1).max(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sets that are found among the rules `0` to `count - 1`, and the number of tests.
    fn search(count: usize, tests: usize, wrong: &dyn Fn(&[usize]) -> bool) -> (String, usize) {
        let mut calls = 0;
        let mut test = |rules: &[String]| {
            calls += 1;
            let rules: Vec<usize> = rules.iter().map(|r| r.parse().unwrap()).collect();
            wrong(&rules)
        };
        let mut search = Search {
            applied: &mut |_| (0..count).map(|i| i.to_string()).collect(),
            wrong: &mut test,
            tests,
        };
        let sets: Vec<String> = search.sets().iter().map(|s| s.join("+")).collect();
        (sets.join(" "), calls)
    }

    #[test]
    fn finds_the_one_rule() {
        for guilty in 0..50 {
            let (sets, calls) = search(50, 1000, &|rules| rules.contains(&guilty));
            assert_eq!(sets, guilty.to_string());
            assert!(calls <= 16, "{calls} tests");
        }
    }

    #[test]
    fn finds_rules_that_need_each_other() {
        let both = |rules: &[usize]| [3, 17, 18].iter().all(|r| rules.contains(r));
        assert_eq!(search(20, 1000, &both).0, "3+17+18");
    }

    #[test]
    fn finds_all_that_are_guilty() {
        let any = |rules: &[usize]| {
            rules.contains(&4) || [7, 9].iter().all(|r| rules.contains(r)) || rules.contains(&11)
        };
        let (sets, _) = search(12, 1000, &any);
        let mut sets: Vec<&str> = sets.split(' ').collect();
        sets.sort_unstable();
        assert_eq!(sets, ["11", "4", "7+9"]);
    }

    #[test]
    fn blames_nobody_where_no_rule_is_wrong() {
        assert_eq!(search(10, 1000, &|_| false), (String::new(), 1));
        assert_eq!(search(0, 1000, &|_| true), (String::new(), 0));
    }

    #[test]
    fn stops_at_its_bound() {
        let (sets, calls) = search(50, 4, &|rules| rules.contains(&49));
        assert_eq!(calls, 4);
        assert!(sets.ends_with("+49"), "{sets}");
    }
}
