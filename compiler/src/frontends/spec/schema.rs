//! What can stand in a spec: `lepid explain-spec` prints it.

/// A key of a spec.
pub struct Key {
    pub name: &'static str,
    /// What its value is, and what it is if nothing is said.
    pub value: &'static str,
    pub meaning: &'static str,
}

/// A table of a spec.
pub struct Section {
    pub heading: &'static str,
    pub meaning: &'static str,
    pub keys: &'static [Key],
}

const fn key(name: &'static str, value: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        value,
        meaning,
    }
}

/// All tables.
pub const SECTIONS: &[Section] = &[
    Section {
        heading: "the top",
        meaning: "",
        keys: &[key(
            "model",
            "a file, relative to the spec",
            "The ONNX model or IR text whose outputs the exits are.",
        )],
    },
    Section {
        heading: "[cascade]",
        meaning: "How samples go through the exits. The table may be left out.",
        keys: &[
            key(
                "budget",
                "the number of an exit, from 0",
                "All samples leave by this exit, and what stands behind it is not compiled.",
            ),
            key(
                "fallback",
                "\"last\" (default) or \"most-confident\"",
                "What a sample gets that has left nowhere.",
            ),
            key(
                "outputs",
                "a list of names; default: those of the last exit",
                "What the outputs of the program are called.",
            ),
            key(
                "exit-output",
                "a name; default \"exit\"",
                "What the output with the number of each sample's exit is called.",
            ),
        ],
    },
    Section {
        heading: "[anytime]",
        meaning: "In place of exits: the LSTMs of the model (one step, one sample) add up terms of their weights while there is time.",
        keys: &[
            key(
                "terms",
                "a whole number",
                "How many terms of each gate are stored: products of a column and a row, the greatest first.",
            ),
            key(
                "keep",
                "a whole number; default: all",
                "How many entries of its row a term keeps, those that count most.",
            ),
            key(
                "group",
                "a whole number; default 4",
                "Terms between two looks at the clock: they are added in whole groups, and one group always.",
            ),
            key(
                "terms-input",
                "a name; default \"terms\"",
                "What the input is called that says how many terms are added at most, an i64.",
            ),
            key(
                "deadline-input",
                "a name; default \"deadline\"",
                "What the input is called that says by when to stop, in milliseconds since the call, an f32.",
            ),
            key(
                "terms-output",
                "a name; default \"terms-done\"",
                "What the output is called that says how many terms were added.",
            ),
        ],
    },
    Section {
        heading: "[[exit]]",
        meaning: "One exit, in the order in which samples come to them. The last one takes all that are left.",
        keys: &[
            key(
                "model",
                "a file; default: the one at the top",
                "Another model, of whose outputs this exit is one: a cascade of models.",
            ),
            key(
                "outputs",
                "a list of outputs of the model",
                "What a sample leaves with. The policy sees the first one, [N, classes] (not softmaxed).",
            ),
            key(
                "point",
                "a name",
                "Exits of one point are alternatives, as several heads are: `lepid tune` keeps one at most.",
            ),
            key(
                "policy",
                "a name of `lepid list policies`",
                "Who leaves. Not for the last exit, unless the fallback asks for its score.",
            ),
            key(
                "threshold",
                "a number, or the name of an input",
                "See the policy.",
            ),
            key(
                "pixel",
                "a number, or the name of an input",
                "See `pixels`.",
            ),
            key(
                "patience",
                "a number, or the name of an input",
                "See `patience`.",
            ),
            key(
                "step",
                "a number, or the name of an input",
                "See `decaying`.",
            ),
            key(
                "elapsed",
                "a number, or the name of an input",
                "See `deadline`.",
            ),
            key(
                "next",
                "a number, or the name of an input",
                "See `deadline`.",
            ),
            key(
                "deadline",
                "a number, or the name of an input",
                "See `deadline`.",
            ),
            key("first", "a whole number; default 1", "M of `gbvsb`."),
            key("last", "a whole number; default 2", "N of `gbvsb`."),
            key(
                "weight",
                "a number; default 1 by the number of exits so far",
                "What the sum of an `ensemble`'s outputs is multiplied by.",
            ),
            key(
                "horizon",
                "a number; default 1",
                "The steps over which a threshold decays.",
            ),
            key(
                "temperature",
                "a number; default 1",
                "The policy sees the outputs divided by it, so that their probabilities can be believed.",
            ),
        ],
    },
];

/// A spec that can be copied and changed.
pub const EXAMPLE: &str = "\
model = \"network.onnx\"

[cascade]
fallback = \"last\"

[[exit]]
outputs = [\"early\"]
policy = \"top1\"
threshold = 0.9          # fixed; `threshold = \"t\"` makes it an input of the program

[[exit]]
outputs = [\"late\"]
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontends::spec::Spec;

    #[test]
    fn the_example_is_a_spec() {
        let spec = Spec::parse(EXAMPLE, "example.toml").unwrap();
        assert_eq!(
            spec.models().unwrap(),
            (vec!["network.onnx".to_string()], vec![0, 0])
        );
    }

    #[test]
    fn exits_of_a_point_stand_together() {
        let exit = |point: &str| format!("[[exit]]\noutputs = [\"x\"]\n{point}\n");
        let spec = |points: &[&str]| {
            let exits: Vec<String> = points.iter().map(|point| exit(point)).collect();
            let text = format!("model = \"m.onnx\"\n{}", exits.concat());
            Spec::parse(&text, "spec.toml").unwrap().points()
        };
        let (a, b) = ("point = \"a\"", "point = \"b\"");
        assert_eq!(spec(&[a, a, b, "", ""]).unwrap(), [0, 0, 1, 2, 3]);
        let errors = spec(&[a, b, a]).unwrap_err();
        assert!(errors[0].message.contains("another point stands between"));
    }

    #[test]
    fn all_keys_are_read_and_no_others() {
        let refused = |text: &str| Spec::parse(text, "spec.toml").is_err();
        for section in SECTIONS {
            for key in section.keys {
                // A value of no fitting type: what is said is not that the key is unknown.
                let line = format!("{} = {{ a = 1 }}\n", key.name);
                let text = match section.heading {
                    "the top" => format!("{line}[[exit]]\noutputs = []\n"),
                    "[[exit]]" => format!("[[exit]]\n{line}"),
                    "[anytime]" => format!("[anytime]\n{line}"),
                    heading => format!("[[exit]]\noutputs = []\n{heading}\n{line}"),
                };
                let errors = Spec::parse(&text, "spec.toml").unwrap_err();
                assert!(
                    !errors[0].message.contains("unknown field"),
                    "{}",
                    errors[0].message
                );
            }
        }
        assert!(refused("modell = \"x\"\n[[exit]]\noutputs = []"));
    }
}
