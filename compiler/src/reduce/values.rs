//! Simpler constants and inputs.

use lepid_ir::core::{Attr, Num, Op, Tensor, Trait};

use super::{Case, Reducer};

/// How simple a tensor is; a simpler one replaces it if the test allows.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Form {
    Zeros,
    Ones,
    /// Small whole numbers.
    Whole,
    Any,
}

const SIMPLE: [Form; 3] = [Form::Zeros, Form::Ones, Form::Whole];

fn form(tensor: &Tensor) -> Form {
    let nums = tensor.to_f64s();
    match &nums[..] {
        _ if nums.iter().all(|&x| x == 0.0) => Form::Zeros,
        _ if nums.iter().all(|&x| x == 1.0) => Form::Ones,
        _ if nums.iter().all(|&x| x == x.round() && x.abs() < 10.0) => Form::Whole,
        _ => Form::Any,
    }
}

/// The tensor in a simpler form; `None` if it is that simple already.
fn simpler(tensor: &Tensor, to: Form) -> Option<Tensor> {
    if form(tensor) <= to {
        return None;
    }
    let (elem, shape) = (tensor.elem(), tensor.shape());
    Some(match to {
        Form::Zeros => Tensor::splat(elem, shape, Num::Int(0)),
        Form::Ones => Tensor::splat(elem, shape, Num::Int(1)),
        Form::Whole | Form::Any => {
            let round = |x: f64| if x.is_finite() { x.round() % 10.0 } else { x };
            let rounded = tensor.to_f64s().into_iter().map(round);
            let rounded = Tensor::from_f64s(elem, shape.iter().copied(), rounded);
            // Rounding may change nothing of what counts, as with infinities.
            return (form(&rounded) <= to).then_some(rounded);
        }
    })
}

pub(super) fn simplify_constants(reducer: &mut Reducer<'_>) {
    let count = constants(&reducer.case).len();
    let mut index = count;
    while index > 0 {
        index -= 1;
        for to in SIMPLE {
            let Some(&op) = constants(&reducer.case).get(index) else {
                break;
            };
            let candidate = with_constant(&reducer.case, op, to);
            if candidate.is_some_and(|c| reducer.offer(c)) {
                break;
            }
        }
    }
}

fn constants(case: &Case) -> Vec<Op> {
    let module = &case.module;
    let all = module.walk_inside(case.op()).into_iter();
    all.filter(|&op| module.def(op).info().has(Trait::Constant))
        .collect()
}

fn with_constant(case: &Case, op: Op, to: Form) -> Option<lepid_ir::core::OpResult<Case>> {
    let result = *case.module.results(op).first()?;
    let tensor = simpler(case.module.constant_value(result)?, to)?;
    let mut module = case.module.clone();
    let name = module.def(op).info().attrs[0].name;
    module.set_attr(op, name, Attr::Tensor(tensor));
    // Types may follow from the values of constants.
    let users = module.uses(result).iter().map(|u| u.op).collect();
    let retyped = lepid_passes::core::rewrite::retype(&mut module, users);
    Some(retyped.and_then(|()| case.edited(module)))
}

pub(super) fn simplify_inputs(reducer: &mut Reducer<'_>) {
    for index in 0..reducer.case.inputs.len() {
        for to in SIMPLE {
            let Some(tensor) = simpler(&reducer.case.inputs[index], to) else {
                break;
            };
            let mut candidate = reducer.case.clone();
            candidate.inputs[index] = tensor;
            if reducer.offer(Ok(candidate)) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::Elem;

    use super::*;

    #[test]
    fn forms_go_down() {
        let tensor = Tensor::from_f64s(Elem::F32, [3], [0.4, -12.7, 3.0]);
        assert_eq!(form(&tensor), Form::Any);
        let whole = simpler(&tensor, Form::Whole).unwrap();
        assert_eq!(whole.to_f64s(), [0.0, -3.0, 3.0]);
        assert_eq!(simpler(&whole, Form::Whole), None);
        let zeros = simpler(&whole, Form::Zeros).unwrap();
        assert_eq!(form(&zeros), Form::Zeros);
        let infinite = Tensor::from_f64s(Elem::F32, [1], [f64::INFINITY]);
        assert_eq!(simpler(&infinite, Form::Whole), None);
    }
}
