//! The program as a relocatable object file: one exported constant, `NAME_program`, which points to
//! everything else. `include/lepid.h` says how C uses it, `linked.rs` how it is laid out.

use std::mem::{offset_of, size_of};

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_module::{DataDescription, DataId, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use lepid_ir::core::Dim;
use lepid_target_api::{Port, Signature, StatePort};

use crate::codegen::program::Code;
use crate::interface::INTERFACE;
use crate::linked::{ABI_VERSION, LinkedProgram, MAGIC, TensorInfo, elem_number};

/// What an object is made of.
pub(crate) struct Parts<'a> {
    /// What its symbols begin with: an identifier of C.
    pub(crate) name: &'a str,
    pub(crate) code: &'a Code,
    pub(crate) meta: &'a [u8],
    pub(crate) weights: &'a [u8],
    pub(crate) signature: &'a Signature,
}

/// The symbol that programs in C refer to.
pub(crate) fn symbol(name: &str) -> String {
    format!("{name}_program")
}

/// The object file.
pub(crate) fn write(isa: &OwnedTargetIsa, parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    let builder = ObjectBuilder::new(isa.clone(), parts.name, default_libcall_names())
        .map_err(|e| e.to_string())?;
    let mut writer = Writer {
        object: ObjectModule::new(builder),
        name: parts.name,
    };
    writer.program(isa, parts)?;
    writer.object.finish().emit().map_err(|e| e.to_string())
}

struct Writer<'a> {
    object: ObjectModule,
    name: &'a str,
}

/// A constant under construction: its bytes, and the places in it that hold addresses.
struct Constant {
    bytes: Vec<u8>,
    addresses: Vec<(usize, DataId)>,
}

impl Constant {
    fn new(len: usize) -> Constant {
        Constant {
            bytes: vec![0; len],
            addresses: Vec::new(),
        }
    }

    fn number(&mut self, at: usize, number: u64) {
        self.bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }

    fn half(&mut self, at: usize, number: u32) {
        self.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    fn address(&mut self, at: usize, of: DataId) {
        self.addresses.push((at, of));
    }
}

impl Writer<'_> {
    fn program(&mut self, isa: &OwnedTargetIsa, parts: &Parts<'_>) -> Result<(), String> {
        let signature = crate::codegen::function::task_signature(isa.default_call_conv());
        let code = self
            .object
            .declare_function(&self.local("code"), Linkage::Local, &signature)
            .map_err(|e| e.to_string())?;
        self.object
            .define_function_bytes(code, 64, &parts.code.blob, &[])
            .map_err(|e| e.to_string())?;
        let mut program = Constant::new(size_of::<LinkedProgram>());
        program.number(offset_of!(LinkedProgram, magic), MAGIC);
        program.number(
            offset_of!(LinkedProgram, abi_version),
            u64::from(ABI_VERSION),
        );
        program.number(offset_of!(LinkedProgram, interface), INTERFACE);
        program.number(
            offset_of!(LinkedProgram, code_len),
            parts.code.blob.len() as u64,
        );
        let blocks = [
            (
                "meta",
                parts.meta,
                offset_of!(LinkedProgram, meta),
                offset_of!(LinkedProgram, meta_len),
            ),
            (
                "weights",
                parts.weights,
                offset_of!(LinkedProgram, weights),
                offset_of!(LinkedProgram, weights_len),
            ),
        ];
        for (name, bytes, at, len_at) in blocks {
            let data = self.constant(
                name,
                Constant {
                    bytes: bytes.to_vec(),
                    addresses: Vec::new(),
                },
            )?;
            program.address(at, data);
            program.number(len_at, bytes.len() as u64);
        }
        let states = |name: fn(&StatePort) -> &String| {
            let all = parts.signature.states.iter();
            let ports = all.map(|state| Port {
                name: name(state).clone(),
                ty: state.ty,
            });
            ports.collect::<Vec<Port>>()
        };
        let lists = [
            (
                "states",
                &states(|state| &state.past),
                offset_of!(LinkedProgram, states),
                offset_of!(LinkedProgram, state_count),
            ),
            (
                "states_after",
                &states(|state| &state.present),
                offset_of!(LinkedProgram, states_after),
                offset_of!(LinkedProgram, state_count),
            ),
            (
                "inputs",
                &parts.signature.inputs,
                offset_of!(LinkedProgram, inputs),
                offset_of!(LinkedProgram, input_count),
            ),
            (
                "outputs",
                &parts.signature.outputs,
                offset_of!(LinkedProgram, outputs),
                offset_of!(LinkedProgram, output_count),
            ),
        ];
        for (name, ports, at, count_at) in lists {
            program.number(count_at, ports.len() as u64);
            if !ports.is_empty() {
                let list = self.ports(name, ports)?;
                program.address(at, list);
            }
        }
        let id = self
            .object
            .declare_data(&symbol(self.name), Linkage::Export, false, false)
            .map_err(|e| e.to_string())?;
        let mut description = self.describe(program);
        let code = self.object.declare_func_in_data(code, &mut description);
        description.write_function_addr(offset_of!(LinkedProgram, code) as u32, code);
        self.object
            .define_data(id, &description)
            .map_err(|e| e.to_string())
    }

    /// A list of `lepid_tensor_info`.
    fn ports(&mut self, list: &str, ports: &[Port]) -> Result<DataId, String> {
        let size = size_of::<TensorInfo>();
        let mut infos = Constant::new(size * ports.len());
        for (i, port) in ports.iter().enumerate() {
            let Some(ty) = port.ty.as_tensor() else {
                return Err(format!("`{}` is no tensor", port.name));
            };
            let elem = ty.elem;
            // An extent that only a run knows is -1, and the size of the whole then 0.
            let extent = |dim: &Dim| dim.known().map_or(-1, |n| n as i64);
            let dims: Vec<i64> = ty.dims.iter().map(extent).collect();
            let bytes = ty.element_count().unwrap_or(0) * elem.bytes() as u64;
            let mut name = Constant::new(0);
            // A zero ends a name in C.
            name.bytes = port.name.replace('\0', "").into_bytes();
            name.bytes.push(0);
            let name = self.constant(&format!("{list}.{i}.name"), name)?;
            let mut extents = Constant::new(8 * dims.len().max(1));
            for (axis, &extent) in dims.iter().enumerate() {
                extents.number(8 * axis, extent as u64);
            }
            let extents = self.constant(&format!("{list}.{i}.dims"), extents)?;
            let at = size * i;
            infos.address(at + offset_of!(TensorInfo, name), name);
            infos.half(
                at + offset_of!(TensorInfo, elem),
                elem_number(elem).0 as u32,
            );
            infos.half(at + offset_of!(TensorInfo, rank), dims.len() as u32);
            infos.address(at + offset_of!(TensorInfo, dims), extents);
            infos.number(at + offset_of!(TensorInfo, bytes), bytes);
        }
        self.constant(list, infos)
    }

    fn constant(&mut self, name: &str, constant: Constant) -> Result<DataId, String> {
        let id = self
            .object
            .declare_data(&self.local(name), Linkage::Local, false, false)
            .map_err(|e| e.to_string())?;
        let description = self.describe(constant);
        self.object
            .define_data(id, &description)
            .map_err(|e| e.to_string())?;
        Ok(id)
    }

    fn describe(&mut self, constant: Constant) -> DataDescription {
        let mut description = DataDescription::new();
        description.define(constant.bytes.into_boxed_slice());
        description.set_align(64);
        for (at, id) in constant.addresses {
            let data = self.object.declare_data_in_data(id, &mut description);
            description.write_data_addr(at as u32, data, 0);
        }
        description
    }

    /// A symbol that nothing outside of the object sees.
    fn local(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }
}
