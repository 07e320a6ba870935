//! The one table of diagnostic codes.

/// A code of [`CODES`], such as `E0101`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub &'static str);

/// A row of the table: the code, its title, and the paragraph that `lepid explain` prints.
#[derive(Copy, Clone, Debug)]
pub struct CodeInfo {
    pub code: Code,
    pub title: &'static str,
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $title:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Code = Code($code);)*
        }
        /// Every code, sorted.
        pub const CODES: &[CodeInfo] = &[
            $(CodeInfo {
                code: Code($code),
                title: $title,
                explanation: concat!($($doc, "\n"),*),
            },)*
        ];
    };
}

// E00 text, E01 names, E02 op rules, E03 passes, E04 targets, E05 plugins, E06 model files,
// E07 command line and data files, E08 packages and what is linked from them.
codes! {
    /// The text does not follow the grammar of `*.lir` files. The caret stands at the first token
    /// that does not fit; the message lists what could stand there. The parser goes on after it, so
    /// later messages of the same run are real, too.
    SYNTAX = "E0001", "the text does not follow the grammar";
    /// A literal cannot be read: a number out of range, a string with an unknown escape, a shape
    /// whose extents are not numbers, `?` or `?NAME`.
    LITERAL = "E0002", "a literal cannot be read";
    /// A constant names a resource (`resource<…>["key"]`) that the side file does not hold, or the
    /// side file is missing, or the resource has another type there. Large constants live in a
    /// safetensors file beside the text: `NAME.lir` goes with `NAME.lir.safetensors`; another file is
    /// named with `--weights`.
    RESOURCE = "E0003", "a large constant is not in the side file";
    /// No dialect has an op of this name. `lepid list ops` shows all.
    UNKNOWN_OP = "E0101", "unknown op";
    /// A value is used that is not defined before its use in the same block or in a block around it.
    UNDEFINED_VALUE = "E0102", "value is not defined";
    /// Two values that are in sight of each other, two functions of one module, or two attributes of
    /// one op have the same name. Regions beside each other may use the same names.
    DUPLICATE_NAME = "E0103", "name is defined twice";
    /// The op has no attribute of this name. `lepid list ops NAME` shows those it has.
    UNKNOWN_ATTR = "E0104", "unknown attribute";
    /// No function of this name is in the module.
    UNKNOWN_FUNC = "E0105", "unknown function";
    /// The op does not take this number of operands, results or regions.
    ARITY = "E0201", "wrong number of operands, results or regions";
    /// An operand has a type that the op does not take.
    OPERAND_TYPE = "E0202", "operand has the wrong type";
    /// A required attribute is missing, or it is of the wrong kind.
    ATTR_KIND = "E0203", "attribute is missing or of the wrong kind";
    /// A rule of the op is broken: shapes that do not fit, an axis out of range.
    OP_RULE = "E0204", "a rule of the op is broken";
    /// The result types that the text states are not those that follow from the operands and the
    /// attributes. Written types must equal the inferred ones.
    RESULT_TYPE = "E0205", "stated result types differ from the inferred ones";
    /// The structure of a block is broken: no terminator where one is needed, or ops after it.
    STRUCTURE = "E0206", "block structure is broken";
    /// No pass of this name is registered. `lepid list passes` shows all.
    UNKNOWN_PASS = "E0301", "unknown pass";
    /// The pass has no such option, or the value cannot be read.
    PASS_OPTION = "E0302", "bad pass option";
    /// A pass cannot do its work on this module.
    PASS_FAILED = "E0303", "pass failed";
    /// The text of a pipeline cannot be read: `a,b{option=value},c` is expected.
    PIPELINE = "E0304", "pipeline cannot be read";
    /// The target neither has this op nor can it be expanded into ops that the target has.
    UNSUPPORTED_OP = "E0401", "op is not supported by the target";
    /// No target of this name is registered. `lepid list targets` shows all.
    UNKNOWN_TARGET = "E0402", "unknown target";
    /// The target needs the value of a dimension that the model leaves open. Give it with
    /// `--input-shape NAME=4x3x224x224` or `--dim N=4`. Where the value of an input decides a shape, it
    /// is given with `--constant NAME=[1,2]`, or taken from the inputs of a run.
    UNBOUND_DIM = "E0403", "a dimension has no value";
    /// The target cannot generate code for this module.
    EMIT_FAILED = "E0404", "code cannot be generated";
    /// The target cannot run packages on this machine.
    CANNOT_LOAD = "E0405", "package cannot be loaded";
    /// Running the model failed: a value that is only known at run time breaks a rule of an op.
    RUN_FAILED = "E0406", "running failed";
    /// A state stays inside of a compiled program from one step to the next: `--state PAST=PRESENT`
    /// names the input that it is before a step and the output that it is afterwards. Both must be
    /// there, have one type, and be of one state only; all extents must be numbers, which
    /// `--dim N=4` or `--input-shape PAST=1x8x512x64` gives, since the state's memory is made once.
    /// A cache that grows with every step has no fixed type: let the model write new rows into one
    /// of a fixed size, as `TensorScatter` of ONNX does.
    STATE = "E0407", "a state cannot be kept";
    /// A program for any number of samples computes each of them by itself, along the leading axes
    /// of inputs and outputs. That cannot be where an op mixes samples, such as a mean over the batch,
    /// where samples are not along the leading axis, or where the number of samples is itself a value.
    /// `--dim N=4` compiles for a number instead.
    BATCH = "E0408", "the samples of a batch cannot be told apart";
    /// The file is not an ONNX model, or it is truncated or damaged.
    MODEL_FILE = "E0601", "model file cannot be read";
    /// The model uses an operator that the ONNX front end does not know, in this version.
    ONNX_OP = "E0602", "ONNX operator is not supported";
    /// The model uses an opset that is too old or too new.
    ONNX_OPSET = "E0603", "ONNX opset is not supported";
    /// A node of the model breaks the ONNX specification: wrong inputs, attributes or types.
    ONNX_NODE = "E0604", "ONNX node is not valid";
    /// The graph of the model is broken: a name that nothing defines, a cycle, a duplicate name.
    ONNX_GRAPH = "E0605", "ONNX graph is not valid";
    /// External data is missing, out of range, or outside of the folder of the model.
    EXTERNAL_DATA = "E0606", "external data cannot be used";
    /// The spec that makes a cascade of a model does not fit it, or is no spec. `lepid explain-spec` shows
    /// what can stand in one.
    SPEC = "E0607", "adaptation spec cannot be used";
    /// A file cannot be read or written.
    FILE = "E0701", "file cannot be read or written";
    /// A given input does not fit the signature of the model.
    INPUT = "E0702", "input does not fit the model";
    /// Outputs differ from the reference by more than the tolerance.
    MISMATCH = "E0703", "outputs differ from the reference";
    /// An argument of the command line cannot be used.
    ARGUMENT = "E0704", "argument cannot be used";
    /// The model would take more than a limit allows: bytes of memory, nodes, levels of nesting. A
    /// small file can ask for any amount, so that each has a limit, which is meant to be far above
    /// what real models need. The help names the option that raises it.
    LIMIT = "E0705", "a limit is exceeded";
    /// The file is not a package: it does not begin as one. `lepid compile MODEL -o FILE.lepid` makes
    /// packages; models (`.onnx`) and IR texts (`.lir`) are compiled when they are run.
    NOT_A_PACKAGE = "E0801", "file is not a package";
    /// A part of the package does not fit its checksum, or the file is shorter or longer than it says.
    /// It was changed or cut after it was made: copy it again, or compile the model again.
    DAMAGED_PACKAGE = "E0802", "package is damaged";
    /// The package was made by another version of lepid, whose file format, kernels or conventions
    /// between generated code and kernels differ. A package holds machine code for one version only:
    /// compile the model again with this one.
    PACKAGE_VERSION = "E0803", "package is of another version";
    /// The package holds machine code for a processor, or a feature of it, that this machine does not
    /// have. Compile the model again for what it has: `--target-option isa=scalar` asks for the least,
    /// `isa=native` for what the compiling machine has.
    PACKAGE_MACHINE = "E0804", "package is for another machine";
    /// A package is compiled already: its extents, its target and its code are fixed. What would change
    /// them (`--dim`, `--input-shape`, `--func`, `--target-option`, `--pipeline`, another `--target`)
    /// belongs to `lepid compile`.
    FIXED_PACKAGE = "E0805", "a package cannot be compiled again";
    /// `lepid compile --emit shared-lib` calls the C compiler `cc`, or what the variable `CC` names, to
    /// link the library. It is not there, or it failed.
    LINKER = "E0806", "the C compiler is missing or fails";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Code {
    /// The row of a code, by its text in any case.
    pub fn find(text: &str) -> Option<&'static CodeInfo> {
        CODES.iter().find(|c| c.code.0.eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|w| w[0].code < w[1].code));
    }
}
