//! Memory of states: what a session keeps from step to step.
//!
//! Generated code knows nothing of states. It reads arguments and writes results through tables of
//! addresses, in which the argument of a state is the state's memory. What changes in place has its
//! result there, too; what does not has a second memory for it, and the two change places when the
//! step has ended well.

use lepid_ukernels::AlignedBuf;
use serde::{Deserialize, Serialize};

use crate::engine::{Refusal, buffer};

/// What a program says of a state.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StateMeta {
    /// The numbers of the argument and of the result, among all of the function.
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) bytes: usize,
    pub(crate) in_place: bool,
}

/// The states of one instance.
pub(crate) struct States {
    all: Vec<Kept>,
}

struct Kept {
    meta: StateMeta,
    now: AlignedBuf,
    /// Where the next step puts it, unless it changes in place.
    next: Option<AlignedBuf>,
}

impl States {
    pub(crate) fn new(metas: &[StateMeta]) -> Result<States, Refusal> {
        let keep = |meta: &StateMeta| {
            let room = || buffer(meta.bytes.max(1));
            Ok(Kept {
                meta: *meta,
                now: room()?,
                next: match meta.in_place {
                    true => None,
                    false => Some(room()?),
                },
            })
        };
        Ok(States {
            all: metas.iter().map(keep).collect::<Result<_, Refusal>>()?,
        })
    }

    /// The addresses of all arguments, from those that are no states, in order.
    pub(crate) fn inputs(&self, given: &[*const u8], table: &mut Vec<*const u8>) {
        table.clear();
        let mut given = given.iter().copied();
        while let Some(address) = match self.all.iter().find(|s| s.meta.input == table.len()) {
            Some(state) => Some(state.now.as_ptr()),
            None => given.next(),
        } {
            table.push(address);
        }
    }

    /// The same of all results.
    pub(crate) fn outputs(&mut self, given: &[*mut u8], table: &mut Vec<*mut u8>) {
        table.clear();
        let mut given = given.iter().copied();
        while let Some(address) = match self.all.iter_mut().find(|s| s.meta.output == table.len()) {
            Some(state) => Some(state.next.as_mut().unwrap_or(&mut state.now).as_mut_ptr()),
            None => given.next(),
        } {
            table.push(address);
        }
    }

    /// Where the result stands in the table that is the output of that number.
    pub(crate) fn place_of_output(&self, output: usize) -> usize {
        let is_state = |place: usize| self.all.iter().any(|s| s.meta.output == place);
        let mut places = (0..).filter(|&place| !is_state(place));
        places.nth(output).unwrap_or(usize::MAX)
    }

    /// The step has ended well.
    pub(crate) fn advance(&mut self) {
        for state in &mut self.all {
            if let Some(next) = &mut state.next {
                std::mem::swap(&mut state.now, next);
            }
        }
    }

    pub(crate) fn get(&self, state: usize) -> Option<&[u8]> {
        let kept = self.all.get(state)?;
        kept.now.as_slice().get(..kept.meta.bytes)
    }

    pub(crate) fn get_mut(&mut self, state: usize) -> Option<&mut [u8]> {
        let kept = self.all.get_mut(state)?;
        kept.now.as_mut_slice().get_mut(..kept.meta.bytes)
    }

    /// All zeros, as at first.
    pub(crate) fn reset(&mut self) {
        for state in &mut self.all {
            state.now.as_mut_slice().fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_stand_among_the_others() {
        let state = |input, output, in_place| StateMeta {
            input,
            output,
            bytes: 8,
            in_place,
        };
        let mut states = States::new(&[state(2, 0, true), state(0, 3, false)])
            .ok()
            .unwrap();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let (x, mut y) = ([1u8], [2u8; 2]);
        let to = y.as_mut_ptr();
        states.inputs(&[x.as_ptr(), x.as_ptr()], &mut inputs);
        states.outputs(&[to, to], &mut outputs);
        assert_eq!((inputs.len(), outputs.len()), (4, 4));
        assert_eq!([inputs[1], inputs[3]], [x.as_ptr(); 2]);
        assert_eq!([outputs[1], outputs[2]], [to; 2]);
        assert_eq!(inputs[2], outputs[0].cast_const());
        assert_ne!(inputs[0], outputs[3].cast_const());
        assert_eq!([0, 1].map(|i| states.place_of_output(i)), [1, 2]);
        let next = outputs[3].cast_const();
        states.advance();
        states.inputs(&[x.as_ptr(), x.as_ptr()], &mut inputs);
        assert_eq!(inputs[0], next);
        states.get_mut(1).unwrap().fill(3);
        states.reset();
        assert_eq!(states.get(1), Some(&[0u8; 8][..]));
        assert_eq!(states.get(2), None);
    }
}
