//! The C header of one program: the interface, then what this program is.

use std::fmt::Write;

use lepid_target_api::{Port, Signature};

use crate::linked::elem_number;
use crate::object::symbol;

const INTERFACE: &str = include_str!("../include/lepid.h");

/// The header. It stands by itself: headers of several programs go into one file of C.
pub(crate) fn text(name: &str, signature: &Signature) -> String {
    let upper = name.to_ascii_uppercase();
    let mut out = String::from(INTERFACE);
    let guard = format!("LEPID_PROGRAM_{upper}");
    let _ = write!(
        out,
        "\n#ifndef {guard}\n#define {guard}\n\n/* {}\n */\n",
        summary(name, signature)
    );
    let states = states(signature);
    for (what, ports) in [
        ("INPUT", &signature.inputs),
        ("OUTPUT", &signature.outputs),
        ("STATE", &states),
    ] {
        if what == "STATE" && ports.is_empty() {
            continue;
        }
        let _ = writeln!(out, "#define {upper}_{what}_COUNT {}", ports.len());
        for (i, port) in ports.iter().enumerate() {
            let _ = writeln!(out, "#define {upper}_{what}_{i}_BYTES {}", bytes(port));
        }
    }
    let _ = write!(
        out,
        "\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\nextern const lepid_program {};\n\
         #ifdef __cplusplus\n}}\n#endif\n\n#endif\n",
        symbol(name)
    );
    out
}

/// A list of inputs and outputs, safe within a comment.
fn summary(name: &str, signature: &Signature) -> String {
    let mut out = format!("The program `{name}`.\n *");
    for (what, ports) in [
        ("input", &signature.inputs),
        ("output", &signature.outputs),
        ("state", &states(signature)),
    ] {
        for (i, port) in ports.iter().enumerate() {
            let (elem, dims) = match port.ty.as_tensor() {
                Some(ty) => (
                    elem_number(ty.elem).1,
                    ty.dims.iter().map(ToString::to_string),
                ),
                None => lepid_ir::bug!("`{}` is no tensor", port.name),
            };
            let dims: Vec<String> = dims.collect();
            let port_name: String = port.name.chars().filter(|c| !c.is_control()).collect();
            let port_name = port_name.replace("*/", "* /");
            let _ = write!(
                out,
                "\n * {what} {i}: {port_name}, {elem} [{}]",
                dims.join(", ")
            );
        }
    }
    out
}

/// States by both of their names.
fn states(signature: &Signature) -> Vec<Port> {
    let states = signature.states.iter();
    let port = |state: &lepid_target_api::StatePort| Port {
        name: format!("{} -> {}", state.past, state.present),
        ty: state.ty,
    };
    states.map(port).collect()
}

fn bytes(port: &Port) -> u64 {
    let ty = port.ty.as_tensor();
    let bytes = ty.and_then(|t| Some(t.element_count()? * t.elem.bytes() as u64));
    bytes.unwrap_or_default()
}

/// Whether a name can begin the symbols of a program.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Elem, Type};

    use super::*;

    #[test]
    fn the_header_names_what_there_is() {
        let port = |name: &str, dims: &[usize]| Port {
            name: name.to_string(),
            ty: Type::known_tensor(Elem::F32, dims),
        };
        let signature = Signature {
            inputs: vec![port("an */ image", &[1, 3, 4])],
            outputs: vec![port("scores", &[])],
            batch: None,
            states: Vec::new(),
        };
        let text = text("net", &signature);
        assert!(text.contains(" * input 0: an * / image, LEPID_F32 [1, 3, 4]\n"));
        assert!(text.contains("#define NET_INPUT_0_BYTES 48\n"));
        assert!(text.contains("#define NET_OUTPUT_0_BYTES 4\n"));
        assert!(text.contains("extern const lepid_program net_program;\n"));
    }

    #[test]
    fn the_header_states_the_version_of_the_library() {
        let version = crate::linked::ABI_VERSION;
        assert!(INTERFACE.contains(&format!("#define LEPID_ABI_VERSION {version}\n")));
        for elem in Elem::ALL {
            let (number, name) = elem_number(elem);
            let listed = |end: &str| INTERFACE.contains(&format!("    {name} = {number}{end}\n"));
            assert!(listed(",") || listed(""), "{name}");
        }
    }

    #[test]
    fn identifiers_are_those_of_c() {
        assert!(is_identifier("_net2"));
        for name in ["", "2net", "a-b", "é"] {
            assert!(!is_identifier(name), "{name}");
        }
    }
}
