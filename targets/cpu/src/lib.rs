//! The CPU target: Cranelift generates the program, precompiled microkernels do the arithmetic.
//!
//! Knows the target API, the IR and the passes; no other target. Begin with [`Cpu`]; then
//! `codegen/lowering.rs` says what is emitted for each op, and `run.rs` how it runs.
#![allow(
    unsafe_code,
    reason = "maps and calls generated code, and hands raw places to microkernels"
)]

mod abi;
mod choice;
mod codegen;
mod cost;
mod eight_bits;
#[allow(
    dead_code,
    reason = "shared with the run time of linked programs, some of it only used there"
)]
mod engine;
mod faults;
mod gates;
mod header;
mod interface;
mod isa;
#[cfg(feature = "archive")]
mod library;
#[allow(
    dead_code,
    reason = "shared with the run time of linked programs, some of it only used there"
)]
mod linked;
mod machine;
mod object;
mod open_legality;
mod places;
mod prologues;
mod routines;
mod run;
mod slots;
mod states;
mod strassen;
mod strips;
mod support;
mod thin_inputs;
mod weights;
mod winograd;

use std::collections::HashMap;
use std::sync::Arc;

use lepid_ir::core::{
    Bytes, Code, Diagnostic, Diagnostics, Dim, Elem, Loc, Module, Op, OpView, Registry, Trait,
    TypeKind, Value,
};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::nn;
use lepid_passes::batch::{self, Samples};
use lepid_passes::core::PassRegistry;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_passes::transform::lower::recurrent;
use lepid_target_api::{
    Calibration, Constants, CostModel, EmitCx, Legality, LoadError, Package, Program, Provenance,
    Section, Target, TargetInfo, TargetOption, TargetOptions,
};

use crate::codegen::lowering::is_open_op;
use crate::codegen::scalar;

/// The target `cpu`.
pub struct Cpu;

static INFO: TargetInfo = TargetInfo {
    name: "cpu",
    summary: "Machine code by Cranelift around precompiled microkernels (AVX2, or portable).",
    options: &[
        TargetOption {
            name: "compaction",
            default: "auto",
            portable: None,
            help: "rows of samples that go on behind an exit move together: off, or auto where that is faster",
        },
        TargetOption {
            name: "cost-model",
            default: cost::AUTO,
            portable: Some(cost::SHIPPED),
            help: "what passes choose by: auto (the calibration of this processor, if there is one), shipped, or a file of `lepid bench --calibrate`",
        },
        TargetOption {
            name: "emit",
            default: "program",
            portable: None,
            help: "what the package holds beside the program: program, asm, object, header, static-lib or runtime-lib",
        },
        TargetOption {
            name: "eqsat",
            default: "all",
            portable: None,
            help: "the rules of the pass `eqsat`: all, none, or families and rules as the pass takes them",
        },
        TargetOption {
            name: "isa",
            default: "native",
            portable: Some(match cfg!(target_arch = "x86_64") {
                true => "avx2",
                false => "scalar",
            }),
            help: "the processors that the code is for: native, avx2 or scalar",
        },
        TargetOption {
            name: "name",
            default: "model",
            portable: None,
            help: "what the symbols of an object begin with: an identifier of C",
        },
        TargetOption {
            name: "quantised",
            default: "auto",
            portable: None,
            help: "quantised weights of products in eight bits: off, on, or auto where that is faster",
        },
        TargetOption {
            name: "strassen",
            default: "auto",
            portable: None,
            help: "Strassen's product for linear layers: off, on, or auto where it is faster; its weights take 1.75 times the memory",
        },
        TargetOption {
            name: "strassen-error",
            default: "1e-4",
            portable: None,
            help: "bounds the errors of Strassen's products, relative to the root mean square of a layer",
        },
        TargetOption {
            name: "winograd",
            default: "auto",
            portable: None,
            help: "Winograd's convolutions: off, f2 or f4 (tiles of 2x2 or 4x4 outputs), or auto where they are faster",
        },
        TargetOption {
            name: "winograd-error",
            default: "1e-4",
            portable: None,
            help: "bounds the errors of Winograd's convolutions, relative to the root mean square of a layer",
        },
    ],
    capabilities: &[("layout", "nhwc"), ("states", "kept")],
};

/// Ops of `nn` that loop nests compute as they are.
const POINTWISE_NN: &[&str] = &[
    "nn.clip",
    "nn.gelu",
    "nn.leaky_relu",
    "nn.relu",
    "nn.sigmoid",
    "nn.silu",
];

impl Target for Cpu {
    fn info(&self) -> &TargetInfo {
        &INFO
    }

    fn legality(&self, op: OpView<'_>) -> Legality {
        legality(op)
    }

    fn pipeline(&self) -> &str {
        "inline{drop=true},flatten-cascades,adapt-to-tensor,refine,raise-exits,flatten-cascades,canonicalize,fold,cse,dead-ops,eqsat{rules=$eqsat},fold-batch-norm,canonicalize,fold,layout,\
         canonicalize,fold,cse,dead-ops,expand,nn-to-kernel,canonicalize,fold,cse,dead-ops,\
         expand,fold-shuffles,fuse-epilogues,winograd{use=$winograd,error=$winograd-error},keep-eight-bits{use=$quantised},\
         strassen{use=$strassen,error=$strassen-error},\
         pad-thin-inputs,fuse-strips,fuse-nests,fuse-prologues,dead-ops,memory-plan"
    }

    fn cost_model(&self, options: &TargetOptions) -> Result<Box<dyn CostModel>, Diagnostics> {
        Ok(Box::new(cost::KernelCosts::of(&INFO, options)?))
    }

    fn calibration(&self) -> Option<&dyn Calibration> {
        Some(&cost::Calibrate)
    }

    fn register(&self, _ops: &mut Registry, passes: &mut PassRegistry) {
        passes.add(&[
            &eight_bits::PASS,
            &prologues::PASS,
            &strassen::PASS,
            &strips::PASS,
            &thin_inputs::PASS,
            &winograd::PASS,
        ]);
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        let what = cx.options.get(&INFO, "emit").unwrap_or("program");
        let fail = |message: String| {
            let loc = module.loc(cx.func).clone();
            vec![Diagnostic::error(Code::EMIT_FAILED, loc, message)]
        };
        let name = cx.options.get(&INFO, "isa").unwrap_or("native");
        let Some(level) = isa::level(name) else {
            let message = format!("`{name}` is no level of option `isa`");
            let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
            return Err(vec![error.with_help(format!("it is {}", isa::LEVELS))]);
        };
        let target = isa::target(level).map_err(fail)?;
        let samples = Samples::of(module, cx.func).map_err(|mixed| {
            let error = Diagnostic::error(Code::BATCH, mixed.loc, mixed.message);
            let name = Func::batch_name(module.view(cx.func));
            vec![error.with_help(batch::remedy(name))]
        })?;
        let listing = what == "asm";
        let costs = cost::KernelCosts::of(&INFO, cx.options)?;
        // Without compaction leaving a row out saves nothing.
        let compaction = match cx.options.get(&INFO, "compaction").unwrap_or("auto") {
            "auto" => 1.0,
            "off" => 0.0,
            other => {
                let message = format!("`{other}` is nothing that `compaction` can be");
                let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
                return Err(vec![error.with_help("it is auto or off")]);
            }
        };
        let seconds = |op: OpView<'_>| compaction * costs.seconds(op, 1);
        let code = codegen::program::generate(module, cx.func, samples, &target, listing, &seconds)
            .map_err(|error| {
                let loc = module.loc(error.op).clone();
                vec![Diagnostic::error(Code::EMIT_FAILED, loc, error.message)]
            })?;
        let weights = code.weights.pack(module).map_err(fail)?;
        let walk = module.walk();
        let numbers: HashMap<Op, usize> = walk.iter().enumerate().map(|(i, &op)| (op, i)).collect();
        let number = |op| match numbers.get(&op) {
            Some(&number) => number,
            None => lepid_ir::bug!("code was made for an op that is not in the module"),
        };
        let site = |op| engine::Site {
            op: number(op),
            name: module.op_name(op).to_string(),
        };
        let package = Package::new(INFO.name, module, cx.func);
        let signature = package.signature.clone();
        let meta = engine::Meta {
            interface: interface::INTERFACE,
            machine: machine::MACHINE.to_string(),
            isa: level.name().to_string(),
            tasks: code.tasks.clone(),
            main: code.main,
            arena_bytes: Func::arena_bytes(module.view(cx.func)) as usize,
            scratch_bytes: code.scratch_bytes,
            zeros: code.zeros,
            ops: code.ops.iter().map(|&op| number(op)).collect(),
            cells: code.cells,
            slots: code.slots,
            sites: code.sites.iter().map(|&op| site(op)).collect(),
            open_outputs: places::ports_of(module, cx.func, &code.open_outputs),
            batch: run::batch_of(&signature),
            states: places::state_metas(module, cx.func),
        };
        let meta = serde_json::to_vec(&meta).map_err(|e| fail(e.to_string()))?;
        let mut sections = vec![
            section("meta", meta),
            section("code", code.blob.clone()),
            Section {
                name: "weights".into(),
                data: weights.clone(),
            },
        ];
        match what {
            "program" => {}
            "asm" => sections.push(section("asm", code.listing.into_bytes())),
            "object" | "header" | "static-lib" | "runtime-lib" => {
                let name = cx.options.get(&INFO, "name").unwrap_or("model");
                if !header::is_identifier(name) {
                    let message = format!("`{name}` is no identifier of C");
                    let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
                    return Err(vec![error.with_help("choose another with `--name NAME`")]);
                }
                let most = signature.batch.as_ref().map_or(0, |batch| batch.most);
                let parts = object::Parts {
                    name,
                    code: &code,
                    meta: sections[0].data.as_slice(),
                    weights: weights.as_slice(),
                    signature: &signature.of_samples(most),
                };
                let more = ahead_of_time(&target, &parts).map_err(fail)?;
                sections.extend(more);
            }
            other => {
                let message = format!("`{other}` is nothing that `emit` can be");
                return Err(vec![Diagnostic::error(
                    Code::ARGUMENT,
                    Loc::Unknown,
                    message,
                )]);
            }
        }
        Ok(Package {
            sections,
            constants: Constants::Packed,
            provenance: Provenance {
                generator: format!("cranelift {}", cranelift_codegen::VERSION),
                ..Provenance::default()
            },
            ..package
        })
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        match package.target == INFO.name {
            true => Ok(Arc::new(run::load(package)?)),
            false => Err(LoadError::WrongTarget(package.target.to_string())),
        }
    }
}

/// What a program in C is made with: the object, its header, and the libraries.
fn ahead_of_time(
    isa: &cranelift_codegen::isa::OwnedTargetIsa,
    parts: &object::Parts<'_>,
) -> Result<Vec<Section>, String> {
    let object = object::write(isa, parts)?;
    let header = header::text(parts.name, parts.signature);
    #[cfg(feature = "archive")]
    let libraries = {
        let symbol = object::symbol(parts.name);
        let library = library::with_object(library::RUNTIME, &object, &[&symbol])?;
        let system = library::system_libraries().join(" ");
        vec![
            section("static-lib", library),
            Section {
                name: "runtime-lib".into(),
                data: Bytes::from_owner(Arc::new(library::RUNTIME), 0..library::RUNTIME.len()),
            },
            section("system-libs", system.into_bytes()),
        ]
    };
    #[cfg(not(feature = "archive"))]
    let libraries = Vec::new();
    let mut sections = vec![
        section("object", object),
        section("header", header.into_bytes()),
    ];
    sections.extend(libraries);
    Ok(sections)
}

fn section(name: &'static str, data: Vec<u8>) -> Section {
    Section {
        name: name.into(),
        data: Bytes::from_vec(data),
    }
}

fn legality(op: OpView<'_>) -> Legality {
    if is_open_op(op)
        && let Some(decided) = open_legality::legality(op)
    {
        return decided;
    }
    let name = op.name();
    let rank = |i: usize| op.operand_tensor(i).rank();
    let all_f32 = || {
        op.operands()
            .iter()
            .all(|&v| elem(op, v) == Some(Elem::F32))
    };
    // Kernels sum at least one product.
    let sums_nothing = || (0..2).any(|i| op.operand_dims(i).contains(&Dim::Known(0)));
    let is_empty = || {
        let mut operands = 0..op.operands().len();
        operands.any(|i| op.operand_dims(i).contains(&Dim::Known(0)))
    };
    let constant = |i: usize| is_constant_expression(op.module, op.operand(i));
    let native = |ok: bool| {
        if ok {
            Legality::Native
        } else {
            Legality::Expand
        }
    };
    match name {
        "core.call" => Legality::Unsupported("the pass `inline` puts calls in place".into()),
        "adapt.cascade" => {
            Legality::Unsupported("the pass `flatten-cascades` puts its stages in a row".into())
        }
        "adapt.switch" | "adapt.anytime" => Legality::Unsupported(
            "the pass `adapt-to-tensor` makes branches and loops of it".into(),
        ),
        "adapt.elapsed" => Legality::Native,
        "adapt.gate" | "adapt.join" => native(lets_samples_leave(op)),
        _ if name.starts_with("core.") || name.starts_with("kernel.") => Legality::Native,
        "tensor.if" | "tensor.while" | "tensor.reshape" | "tensor.reduce" | "tensor.contract"
        | "tensor.window" => Legality::Native,
        "tensor.broadcast" | "tensor.transpose" | "tensor.slice" | "tensor.reverse"
        | "tensor.pad" | "tensor.concat" | "tensor.iota" => Legality::Native,
        _ if name.starts_with("tensor.") && op.info().has(Trait::Elementwise) => {
            native(scalar::serves(name))
        }
        _ if routines::number(name).is_some() => Legality::Native,
        _ if POINTWISE_NN.contains(&name) => native(
            op.operand_type(0).elem().is_some_and(Elem::is_float)
                && (all_f32() || name != "nn.gelu" && name != "nn.silu" && name != "nn.sigmoid"),
        ),
        "nn.softmax" => native(all_f32() && nn::Softmax::axis(op) as usize + 1 == rank(0)),
        "nn.log_softmax" => native(all_f32() && nn::LogSoftmax::axis(op) as usize + 1 == rank(0)),
        "nn.layer_norm" | "nn.rms_norm" => native(all_f32()),
        "nn.lrn" => native(all_f32() && nn::Lrn::layout(op) == "nhwc"),
        "nn.max_pool" | "nn.avg_pool" => {
            native(all_f32() && rank(0) == 4 && nn::MaxPool::layout(op) == "nhwc")
        }
        "nn.conv" => native(
            all_f32()
                && matches!(rank(0), 3 | 4)
                && nn::Conv::layout(op) == "nhwc"
                && constant(1)
                && !sums_nothing(),
        ),
        "nn.linear" | "nn.matmul" => native(all_f32() && !sums_nothing()),
        "nn.attention" => native(all_f32() && !is_empty()),
        // One thread: a step is too little for more.
        "nn.add_terms" => native(
            (0..4).all(|i| op.operand_type(i).elem() == Some(Elem::F32))
                && op.operand_type(5).elem() == Some(Elem::I64)
                && (0..5).all(|i| {
                    op.operand_tensor(i)
                        .known_dims()
                        .is_some_and(|d| !d.contains(&0))
                })
                && constant(4),
        ),
        "nn.lstm" | "nn.gru" => native(recurrent::has_kernel(op)),
        _ => Legality::Expand,
    }
}

/// Whether a gate can leave out what nobody wants: the samples of an open batch, or the only one.
fn lets_samples_leave(op: OpView<'_>) -> bool {
    let exit = op.result_tensor(0);
    let func = op.module.parent_op(op.op).map(|func| op.module.view(func));
    let func = func.filter(|func| func.name() == Func::INFO.name);
    exit.dims[0] == Dim::Known(1) || func.is_some_and(|func| Func::batch(func) > 0)
}

fn elem(op: OpView<'_>, value: Value) -> Option<Elem> {
    match op.module.value_type(value).kind() {
        TypeKind::Tensor(t) => Some(t.elem),
        TypeKind::Ext(_) => None,
    }
}
