//! What `emit` gives: named sections of bytes and the signature of the compiled function.

use lepid_ir::core::{Bytes, Module, Type};
use lepid_ir::dialects::core::Func;

/// One input or output: the users' name and the type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    pub name: String,
    pub ty: Type,
}

/// What goes in and what comes out, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Signature {
    /// The signature of a function of the module.
    pub fn of(module: &Module, func: lepid_ir::core::Op) -> Signature {
        let view = module.view(func);
        let ports = |names: Vec<String>, values: &[lepid_ir::core::Value]| {
            let typed = values.iter().map(|&v| module.value_type(v));
            let pairs = names.into_iter().zip(typed);
            pairs.map(|(name, ty)| Port { name, ty }).collect()
        };
        Signature {
            inputs: ports(Func::input_names(view), Func::args(view)),
            outputs: ports(Func::output_names(view), Func::returned(view)),
        }
    }
}

/// A named part of a package.
#[derive(Clone)]
pub struct Section {
    pub name: &'static str,
    pub data: Bytes,
}

/// A compiled function.
#[derive(Clone)]
pub struct Package {
    /// The name of the target that made it, and alone can load it.
    pub target: &'static str,
    pub signature: Signature,
    pub sections: Vec<Section>,
    /// The module as it was emitted, for reports and for targets that run it.
    pub module: Module,
}

impl Package {
    /// The bytes of a section.
    pub fn section(&self, name: &str) -> Option<&Bytes> {
        let found = self.sections.iter().find(|s| s.name == name);
        found.map(|s| &s.data)
    }
}
