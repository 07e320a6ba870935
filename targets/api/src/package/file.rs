//! A package as a file: which sections it has beside those of its target.
//!
//! | section | content |
//! |---|---|
//! | `manifest` | JSON: target, signature, provenance |
//! | `ir` | the module as IR text, without a name |
//! | `origins` | JSON: for each op of the text, in order, the names of the model's nodes it is from |
//! | `constants` | safetensors: the large constants of the text; absent if the target packs them |
//!
//! Neither a path, nor a clock, nor anything of the machine goes in: equal packages are equal files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use lepid_ir::core::{
    Bytes, Diagnostic, Loc, Module, PrintOptions, Registry, Resources, Symbol, TensorType, Type,
    print_module,
};
use lepid_ir::text::{self, Weights, weights_to_bytes};
use serde::{Deserialize, Serialize};

use super::{
    Constants, Package, PackageError, Port, SampleRows, Section, Signature, StatePort, format,
};

const MANIFEST: &str = "manifest";
const IR: &str = "ir";
const ORIGINS: &str = "origins";
const CONSTANTS: &str = "constants";
const OURS: [&str; 4] = [MANIFEST, IR, ORIGINS, CONSTANTS];

/// Where a package is from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of lepid.
    pub lepid: String,
    /// What generated the code, with its version; empty if nothing did.
    pub generator: String,
    /// The files that were read: first the model, then its side files in the order of their names.
    pub sources: Vec<Source>,
    /// The function that was compiled.
    pub func: String,
    /// The passes with their options.
    pub pipeline: String,
    /// The target's options, those with their default among them.
    pub options: BTreeMap<String, String>,
}

/// A file that a package was made from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// `model`, `weights`, or the name that the model calls its external data by.
    pub role: String,
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    target: String,
    inputs: Vec<PortEntry>,
    outputs: Vec<PortEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<SampleRows>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    states: Vec<StateEntry>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct PortEntry {
    name: String,
    /// As the inside of `tensor<…>`.
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Serialize, Deserialize)]
struct StateEntry {
    past: String,
    present: String,
    #[serde(rename = "type")]
    ty: String,
}

impl Package {
    /// Writes the file.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let manifest = Manifest {
            target: self.target.to_string(),
            inputs: entries(&self.signature.inputs),
            outputs: entries(&self.signature.outputs),
            batch: self.signature.batch.clone(),
            states: state_entries(&self.signature.states),
            provenance: self.provenance.clone(),
        };
        let mut module = self.module.clone();
        module.name = None;
        let mut resources = Resources::default();
        let text = print_module(&module, &PrintOptions::default(), &mut resources);
        let mut sections = vec![
            section(MANIFEST, serde_json::to_vec_pretty(&manifest)?),
            section(IR, text.into_bytes()),
            section(ORIGINS, serde_json::to_vec(&origins(&module))?),
        ];
        if self.constants == Constants::Kept && !resources.is_empty() {
            let bytes = weights_to_bytes(&resources).map_err(io::Error::other)?;
            sections.push(section(CONSTANTS, bytes));
        }
        sections.extend(self.sections.iter().cloned());
        format::write(&sections, out)
    }

    /// Maps a file and checks all of it. Sections are used where they lie, none is copied.
    ///
    /// The file must not be changed in place meanwhile; to replace it, rename another one over it.
    pub fn open(path: &Path, ops: &Registry) -> Result<Package, PackageError> {
        let file = Bytes::map_file(path)?;
        if file.as_slice().is_empty() {
            return Err(PackageError::Foreign);
        }
        // All of it is checked at once.
        file.will_need();
        Package::from_bytes(file, ops)
    }

    /// Reads the bytes of a file; sections share them.
    pub fn from_bytes(file: Bytes, ops: &Registry) -> Result<Package, PackageError> {
        let mut sections = format::read(&file)?;
        let ours: Vec<Section> = OURS
            .iter()
            .filter_map(|name| {
                let at = sections.iter().position(|s| s.name == *name)?;
                Some(sections.remove(at))
            })
            .collect();
        let find = |name: &str| ours.iter().find(|s| s.name == name).map(|s| &s.data);
        let need = |name: &str| find(name).ok_or_else(|| broken(name, "is missing"));
        let manifest: Manifest = json(MANIFEST, need(MANIFEST)?)?;
        let module = read_module(need(IR)?, find(CONSTANTS), ops)?;
        let module = with_origins(module, &json::<Vec<Vec<String>>>(ORIGINS, need(ORIGINS)?)?)?;
        let signature = Signature {
            inputs: ports(&manifest.inputs)?,
            outputs: ports(&manifest.outputs)?,
            batch: manifest.batch,
            states: states(&manifest.states)?,
        };
        check_batch(&signature)?;
        Ok(Package {
            target: manifest.target.into(),
            signature,
            sections,
            module,
            constants: match find(CONSTANTS) {
                Some(_) => Constants::Kept,
                None => Constants::Packed,
            },
            provenance: manifest.provenance,
        })
    }
}

/// A batch speaks of every port, and of leading extents that ports leave open.
fn check_batch(signature: &Signature) -> Result<(), PackageError> {
    let Some(batch) = &signature.batch else {
        return Ok(());
    };
    let fits = |ports: &[Port], rows: &[u64]| {
        let mut pairs = ports.iter().zip(rows);
        ports.len() == rows.len()
            && pairs.all(|(port, &rows)| {
                let leading = port.ty.as_tensor().and_then(|ty| ty.dims.first());
                rows == 0 || leading.is_some_and(|dim| dim.known().is_none())
            })
    };
    let fits = batch.most > 0
        && signature.states.is_empty()
        && fits(&signature.inputs, &batch.inputs)
        && fits(&signature.outputs, &batch.outputs);
    match fits {
        true => Ok(()),
        false => Err(broken(MANIFEST, "has a batch that does not fit its ports")),
    }
}

fn read_module(
    text: &Bytes,
    constants: Option<&Bytes>,
    ops: &Registry,
) -> Result<Module, PackageError> {
    let weights = match constants {
        Some(bytes) => Weights::from_bytes(CONSTANTS, bytes.clone())
            .map_err(|error| broken(CONSTANTS, error))?,
        None => Weights::hollow(),
    };
    let text = str::from_utf8(text.as_slice()).map_err(|error| broken(IR, error))?;
    let (module, found) = text::parse(text, IR, ops, Some(&weights));
    match found.iter().find(|d| Diagnostic::is_error(d)) {
        Some(error) => Err(broken(IR, &error.message)),
        None => Ok(module),
    }
}

/// The names of the nodes that each op is from. Spans are left out: they would name files.
fn origins(module: &Module) -> Vec<Vec<&'static str>> {
    let names = |op| module.loc(op).names().map(Symbol::as_str).collect();
    module.walk().into_iter().map(names).collect()
}

fn with_origins(mut module: Module, origins: &[Vec<String>]) -> Result<Module, PackageError> {
    let ops = module.walk();
    if ops.len() != origins.len() {
        return Err(broken(ORIGINS, "does not fit the IR"));
    }
    for (op, names) in ops.into_iter().zip(origins) {
        let name = |name: &String| Loc::Name(Symbol::new(name));
        let loc = match &names[..] {
            [] => Loc::Unknown,
            [only] => name(only),
            all => Loc::Fused(all.iter().map(name).collect()),
        };
        module.set_loc(op, loc);
    }
    Ok(module)
}

fn entries(ports: &[Port]) -> Vec<PortEntry> {
    let entry = |port: &Port| PortEntry {
        name: port.name.clone(),
        ty: match port.ty.as_tensor() {
            Some(ty) => ty.to_string(),
            None => lepid_ir::bug!("`{}` is a port of type {}", port.name, port.ty),
        },
    };
    ports.iter().map(entry).collect()
}

fn ports(entries: &[PortEntry]) -> Result<Vec<Port>, PackageError> {
    let port = |entry: &PortEntry| {
        let ty = TensorType::parse(&entry.ty).map_err(|error| broken(MANIFEST, error.message))?;
        Ok(Port {
            name: entry.name.clone(),
            ty: Type::from(ty),
        })
    };
    entries.iter().map(port).collect()
}

fn state_entries(states: &[StatePort]) -> Vec<StateEntry> {
    let entry = |state: &StatePort| StateEntry {
        past: state.past.clone(),
        present: state.present.clone(),
        ty: match state.ty.as_tensor() {
            Some(ty) => ty.to_string(),
            None => lepid_ir::bug!("`{}` is a state of type {}", state.past, state.ty),
        },
    };
    states.iter().map(entry).collect()
}

fn states(entries: &[StateEntry]) -> Result<Vec<StatePort>, PackageError> {
    let state = |entry: &StateEntry| {
        let ty = TensorType::parse(&entry.ty).map_err(|error| broken(MANIFEST, error.message))?;
        Ok(StatePort {
            past: entry.past.clone(),
            present: entry.present.clone(),
            ty: Type::from(ty),
        })
    };
    entries.iter().map(state).collect()
}

fn json<T: for<'a> Deserialize<'a>>(name: &str, data: &Bytes) -> Result<T, PackageError> {
    serde_json::from_slice(data.as_slice()).map_err(|error| broken(name, error))
}

fn section(name: &'static str, data: Vec<u8>) -> Section {
    Section {
        name: name.into(),
        data: Bytes::from_vec(data),
    }
}

fn broken(section: &str, what: impl std::fmt::Display) -> PackageError {
    PackageError::Damaged(format!("section `{section}`: {what}"))
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Num, Tensor};
    use lepid_ir::dialects;

    use super::*;

    const TEXT: &str = "func @main(%x: tensor<2x40xf32>) -> (tensor<2x40xf32>) attributes {inputs = [\"x\"], outputs = [\"y\"]} {\n  \
        %w = core.constant() {value = resource<2x40xf32>[\"w0\"]} : tensor<2x40xf32>\n  \
        %y = tensor.add(%x, %w) : tensor<2x40xf32>\n  return %y\n}\n";

    fn package(constants: Constants) -> Package {
        let mut resources = Resources::default();
        let numbers = (0..80).map(|i| Num::Float(f64::from(i)));
        resources.key(&Tensor::from_nums(
            lepid_ir::core::Elem::F32,
            [2, 40],
            numbers,
        ));
        let weights = Weights::from(&resources);
        let (mut module, found) =
            text::parse(TEXT, "net.lir", &dialects::registry(), Some(&weights));
        assert!(found.is_empty(), "{}", found[0].message);
        module.name = Some(Symbol::new("net"));
        let func = module.funcs().next().unwrap();
        for op in module.walk() {
            let here = module.loc(op).join(&Loc::Name(Symbol::new("node")));
            module.set_loc(op, here);
        }
        Package {
            sections: vec![section("code", vec![0xcc; 200])],
            constants,
            ..Package::new("cpu", &module, func)
        }
    }

    fn bytes(package: &Package) -> Vec<u8> {
        let mut out = Vec::new();
        package.write(&mut out).unwrap();
        out
    }

    fn read(bytes: Vec<u8>) -> Result<Package, PackageError> {
        Package::from_bytes(Bytes::from_vec(bytes), &dialects::registry())
    }

    fn constant(package: &Package) -> Tensor {
        let ops = package.module.walk();
        let values = ops
            .iter()
            .filter_map(|&op| package.module.results(op).first());
        let mut constants = values.filter_map(|&v| package.module.constant_value(v));
        constants.next().unwrap().clone()
    }

    #[test]
    fn a_package_survives_its_file() {
        let package = package(Constants::Kept);
        let file = bytes(&package);
        let again = read(file.clone()).unwrap();
        assert_eq!(again.signature, package.signature);
        assert_eq!(again.target, "cpu");
        assert_eq!(constant(&again), constant(&package));
        assert_eq!(again.section("code").unwrap().as_slice(), [0xcc; 200]);
        let op = again.module.walk()[1];
        let names: Vec<&str> = again.module.loc(op).names().map(Symbol::as_str).collect();
        assert_eq!(names, ["node"]);
        assert!(bytes(&again) == file);
    }

    #[test]
    fn packed_constants_are_not_stored_twice() {
        let packed = bytes(&package(Constants::Packed));
        let kept = bytes(&package(Constants::Kept));
        assert!(packed.len() + 320 <= kept.len());
        let again = read(packed).unwrap();
        assert_eq!(again.constants, Constants::Packed);
        assert!(constant(&again).to_f64s().iter().all(|&x| x == 0.0));
    }

    #[test]
    fn neither_names_nor_places_of_files_go_in() {
        let file = bytes(&package(Constants::Kept));
        let text = String::from_utf8_lossy(&file);
        assert!(!text.contains("net.lir") && !text.contains("@net"));
    }

    /// What lies under right checksums is read with the same care: it may be wrong, but only as an
    /// error.
    #[test]
    fn sections_that_were_changed_before_their_checksums_are_errors() {
        let file = Bytes::from_vec(bytes(&package(Constants::Kept)));
        let sections = format::read(&file).unwrap();
        let mut refused = 0;
        let mut tried = 0;
        for (number, original) in sections.iter().enumerate() {
            let len = original.data.as_slice().len();
            for at in (0..len).step_by((len / 150).max(1)) {
                for change in [0x01, 0x20, 0x80] {
                    let mut data = original.data.as_slice().to_vec();
                    data[at] ^= change;
                    let mut changed = sections.clone();
                    changed[number].data = Bytes::from_vec(data);
                    let mut out = Vec::new();
                    format::write(&changed, &mut out).unwrap();
                    refused += usize::from(read(out).is_err());
                    tried += 1;
                }
            }
        }
        assert!(refused > tried / 3, "{refused} of {tried}");
        for number in 0..sections.len() {
            let mut fewer = sections.clone();
            let gone = fewer.remove(number);
            let mut out = Vec::new();
            format::write(&fewer, &mut out).unwrap();
            let needed = !matches!(&*gone.name, CONSTANTS | "code");
            assert_eq!(read(out).is_err(), needed, "{}", gone.name);
        }
    }
}
