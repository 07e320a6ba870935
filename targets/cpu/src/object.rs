//! The program as a relocatable object file.

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_module::{DataDescription, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};

use crate::codegen::program::Code;

/// An object with the code as `lepid_code`, the entry's offset in it as `lepid_main`, the offsets
/// of the tasks as `lepid_tasks` and the packed weights as `lepid_weights`.
pub(crate) fn write(isa: &OwnedTargetIsa, code: &Code, weights: &[u8]) -> Result<Vec<u8>, String> {
    let builder = ObjectBuilder::new(isa.clone(), "lepid", default_libcall_names())
        .map_err(|e| e.to_string())?;
    let mut object = ObjectModule::new(builder);
    let signature = crate::codegen::function::task_signature(isa.default_call_conv());
    let function = object
        .declare_function("lepid_code", Linkage::Export, &signature)
        .map_err(|e| e.to_string())?;
    object
        .define_function_bytes(function, 64, &code.blob, &[])
        .map_err(|e| e.to_string())?;
    let offsets = |list: &[usize]| -> Vec<u8> {
        list.iter()
            .flat_map(|&n| (n as u64).to_le_bytes())
            .collect()
    };
    let data = [
        ("lepid_main", offsets(&[code.main])),
        ("lepid_tasks", offsets(&code.tasks)),
        ("lepid_weights", weights.to_vec()),
    ];
    for (name, bytes) in data {
        let id = object
            .declare_data(name, Linkage::Export, false, false)
            .map_err(|e| e.to_string())?;
        let mut description = DataDescription::new();
        description.define(bytes.into_boxed_slice());
        description.set_align(64);
        object
            .define_data(id, &description)
            .map_err(|e| e.to_string())?;
    }
    object.finish().emit().map_err(|e| e.to_string())
}
