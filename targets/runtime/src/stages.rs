//! The stages of a cascade as programs.

use std::ops::Range;
use std::time::Instant;

use lepid_ir::core::{Bytes, Code, Diagnostic, Elem, Loc, Tensor};
use lepid_target_api::{Executable, Port, TensorView, TensorViewMut};

use crate::serve::{Computes, Done};

/// Programs of all stages. Each takes what is handed on to it, sample after sample, and the shared
/// inputs of the cascade behind that; all but the last give who leaves, what is emitted, and what is
/// handed on; the last gives what is emitted.
///
/// What waits before a stage lies in one memory, a row per sample, in the order in which it came there,
/// which is that in which it goes on. So a stage reads its batch where it waits, and the stage before
/// has written it there: nobody copies but for the gaps that samples leave who left.
pub struct Stages {
    stages: Vec<Stage>,
    /// How many values an exit emits.
    emits: usize,
    /// Inputs that are the same for all samples: thresholds.
    shared: Vec<Tensor>,
}

/// What a request leaves with.
pub type Answer = Vec<Tensor>;

/// A request between arrival and answer.
#[derive(Clone, Debug)]
pub enum Sample {
    /// The inputs of one sample.
    Given(Vec<Tensor>),
    /// One that waits before the stage, behind those that came there before.
    Waits,
    Left(Answer),
}

struct Stage {
    program: Box<dyn Executable>,
    inputs: Vec<Column>,
    /// What it gives; the room of what it hands on stays empty, as that lies before the next stage.
    outputs: Vec<Column>,
    waiting: WaitingRoom,
}

/// What waits before a stage.
struct WaitingRoom {
    columns: Vec<Column>,
    /// The rows in which it lies.
    rows: Range<usize>,
}

/// A value of many samples, one after the other.
struct Column {
    elem: Elem,
    /// Rows of the leading axis per sample, and the extents of a row.
    rows: usize,
    row: Vec<usize>,
    /// Bytes of a sample.
    bytes: usize,
    /// Aligned to eight bytes, for any element.
    data: Vec<u64>,
    samples: usize,
}

impl Column {
    /// The value of a port of one sample.
    fn new(port: &Port) -> Result<Column, Diagnostic> {
        let dims = port
            .ty
            .as_tensor()
            .and_then(|ty| Some((ty.elem, ty.known_dims()?)));
        let Some((elem, (&rows, row))) = dims
            .as_ref()
            .and_then(|(e, d)| Some((*e, d.split_first()?)))
        else {
            let message = format!("`{}` has no axis of samples", port.name);
            return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
        };
        Ok(Column {
            elem,
            rows,
            row: row.to_vec(),
            bytes: rows * row.iter().product::<usize>() * elem.bytes(),
            data: Vec::new(),
            samples: 0,
        })
    }

    /// Makes room for so many samples.
    fn grow(&mut self, samples: usize) {
        if samples > self.samples {
            self.samples = samples;
            self.data.resize((samples * self.bytes).div_ceil(8), 0);
        }
    }

    fn rows(&self, rows: Range<usize>) -> &[u8] {
        &bytes_of(&self.data)[rows.start * self.bytes..rows.end * self.bytes]
    }

    fn rows_mut(&mut self, rows: Range<usize>) -> &mut [u8] {
        &mut bytes_of_mut(&mut self.data)[rows.start * self.bytes..rows.end * self.bytes]
    }

    fn sample(&self, i: usize) -> &[u8] {
        self.rows(i..i + 1)
    }

    /// Moves rows to others.
    fn shift(&mut self, rows: Range<usize>, to: usize) {
        let (from, to) = (
            rows.start * self.bytes..rows.end * self.bytes,
            to * self.bytes,
        );
        bytes_of_mut(&mut self.data).copy_within(from, to);
    }

    fn shape(&self, samples: usize) -> Vec<usize> {
        std::iter::once(self.rows * samples)
            .chain(self.row.iter().copied())
            .collect()
    }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    bytemuck::cast_slice(words)
}

fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    bytemuck::cast_slice_mut(words)
}

impl Stages {
    /// The programs are for any number of samples.
    pub fn new(
        programs: Vec<Box<dyn Executable>>,
        emits: usize,
        shared: Vec<Tensor>,
    ) -> Result<Stages, Diagnostic> {
        let stages = programs.into_iter().map(|program| {
            let signature = program.signature().of_samples(1);
            let columns =
                |ports: &[Port]| ports.iter().map(Column::new).collect::<Result<Vec<_>, _>>();
            let of_samples = signature.inputs.len() - shared.len();
            Ok(Stage {
                inputs: columns(&signature.inputs[..of_samples])?,
                waiting: WaitingRoom {
                    columns: columns(&signature.inputs[..of_samples])?,
                    rows: 0..0,
                },
                outputs: columns(&signature.outputs)?,
                program,
            })
        });
        Ok(Stages {
            stages: stages.collect::<Result<_, Diagnostic>>()?,
            emits,
            shared,
        })
    }
}

impl WaitingRoom {
    /// Makes room for more samples behind those that are there: their rows.
    fn make_room(&mut self, more: usize) -> Range<usize> {
        let room = self.columns.first().map_or(usize::MAX, |c| c.samples);
        if self.rows.end + more > room {
            let (rows, count) = (self.rows.clone(), self.rows.len());
            for column in &mut self.columns {
                column.shift(rows.clone(), 0);
                // Rows move seldom if there is as much room as they take.
                column.grow(2 * (count + more));
            }
            self.rows = 0..count;
        }
        self.rows.end..self.rows.end + more
    }

    /// Takes those in of the samples in `rows`, the next ones, that `stay`.
    fn take_in(&mut self, rows: Range<usize>, stay: impl Fn(usize) -> bool) {
        let (first, count) = (rows.start, rows.len());
        let mut from = 0;
        while from < count {
            // Runs of samples that stay move together.
            let skipped = (from..count).find(|&i| stay(i)).unwrap_or(count);
            let end = (skipped..count).find(|&i| !stay(i)).unwrap_or(count);
            let to = self.rows.end;
            if first + skipped != to && end > skipped {
                for column in &mut self.columns {
                    column.shift(first + skipped..first + end, to);
                }
            }
            self.rows.end += end - skipped;
            from = end;
        }
    }
}

/// Where a batch lies.
#[derive(Copy, Clone, PartialEq, Eq)]
enum From {
    /// Requests have brought it.
    Given,
    /// It has waited before the stage.
    Waiting,
}

impl Stage {
    /// Brings the inputs of requests together.
    fn gather(&mut self, batch: &[Sample]) -> Result<(), Diagnostic> {
        for (number, column) in self.inputs.iter_mut().enumerate() {
            column.grow(batch.len());
            for (i, sample) in batch.iter().enumerate() {
                let Sample::Given(values) = sample else {
                    lepid_ir::bug!("a sample that waits elsewhere");
                };
                let fits = values
                    .get(number)
                    .filter(|v| v.bytes().len() == column.bytes);
                let Some(value) = fits else {
                    let message = format!("input {number} of a request is not one sample");
                    return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
                };
                column.rows_mut(i..i + 1).copy_from_slice(value.bytes());
            }
        }
        Ok(())
    }

    /// Runs on a batch; what is handed on goes to the `rows` of `next`.
    fn run(
        &mut self,
        from: From,
        count: usize,
        shared: &[Tensor],
        next: Option<(&mut [Column], Range<usize>)>,
    ) -> Result<(), Diagnostic> {
        let (columns, rows) = match from {
            From::Waiting => {
                let first = self.waiting.rows.start;
                (&self.waiting.columns, first..first + count)
            }
            From::Given => (&self.inputs, 0..count),
        };
        let shapes: Vec<Vec<usize>> = columns.iter().map(|c| c.shape(count)).collect();
        let pairs = columns.iter().zip(&shapes);
        let mut inputs: Vec<TensorView<'_>> = pairs
            .filter_map(|(c, shape)| TensorView::raw(c.elem, shape, c.rows(rows.clone())))
            .collect();
        inputs.extend(
            shared
                .iter()
                .filter_map(|t| TensorView::raw(t.elem(), t.shape(), t.bytes())),
        );
        let (handed_on, rows) = next.unwrap_or((&mut [], 0..0));
        let own = self.outputs.len() - handed_on.len();
        let shapes: Vec<Vec<usize>> = self.outputs.iter().map(|c| c.shape(count)).collect();
        let columns = self.outputs[..own].iter_mut().map(|c| (c, 0..count));
        let behind = handed_on.iter_mut().map(|c| (c, rows.clone()));
        let mut outputs: Vec<TensorViewMut<'_>> = columns
            .chain(behind)
            .zip(&shapes)
            .filter_map(|((c, rows), shape)| {
                c.grow(rows.end);
                let elem = c.elem;
                TensorViewMut::raw(elem, shape, c.rows_mut(rows))
            })
            .collect();
        self.program.run_into(&inputs, &mut outputs)
    }
}

impl Computes<Sample> for Stages {
    type Error = Diagnostic;

    fn stages(&self) -> usize {
        self.stages.len()
    }

    fn compute(
        &mut self,
        number: usize,
        batch: Vec<Sample>,
    ) -> Result<(Vec<Done<Sample>>, f64), Diagnostic> {
        let start = Instant::now();
        let (count, last) = (batch.len(), number + 1 == self.stages.len());
        let (here, behind) = self.stages.split_at_mut(number + 1);
        let stage = &mut here[number];
        let from = match batch.first() {
            Some(Sample::Waits) => From::Waiting,
            _ => From::Given,
        };
        if from == From::Given {
            stage.gather(&batch)?;
        }
        let next = behind.first_mut().map(|stage| {
            let rows = stage.waiting.make_room(count);
            (&mut stage.waiting, rows)
        });
        let rows = next.as_ref().map(|(_, rows)| rows.clone());
        let next = next.map(|(waiting, rows)| (&mut waiting.columns[..], rows));
        stage.run(from, count, &self.shared, next)?;
        if from == From::Waiting {
            stage.waiting.rows.start += count;
        }
        let leaves = |i: usize| last || stage.outputs[0].sample(i)[0] != 0;
        if let (Some(next), Some(rows)) = (behind.first_mut(), rows) {
            next.waiting.take_in(rows, |i| !leaves(i));
        }
        let first = usize::from(!last);
        let emits = &stage.outputs[first..first + self.emits];
        let done = (0..count).map(|i| match leaves(i) {
            true => {
                let values = emits.iter().map(|c| {
                    let bytes = Bytes::from_vec(c.sample(i).to_vec());
                    Tensor::new(c.elem, c.shape(1), bytes)
                });
                Done::Left(Sample::Left(values.collect()))
            }
            false => Done::GoesOn(Sample::Waits),
        });
        let done = done.collect();
        Ok((done, start.elapsed().as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, Request, Scheduler, Waiting, Window, serve};
    use lepid_ir::core::Type;
    use lepid_target_api::Signature;

    /// A stage of samples (number, exit), who leave by their exit with their number, a tenth of it
    /// and the number of the stage.
    struct Known {
        stage: usize,
        last: bool,
        signature: Signature,
    }

    impl Known {
        fn new(stage: usize, last: bool) -> Known {
            let port = |name: &str, elem: Elem, dims: &[usize]| Port {
                name: name.to_string(),
                ty: Type::known_tensor(elem, dims),
            };
            let mut outputs = vec![
                port("emits", Elem::F32, &[1, 3]),
                port("next", Elem::F32, &[1, 2]),
            ];
            match last {
                true => drop(outputs.pop()),
                false => outputs.insert(0, port("leaves", Elem::Bool, &[1])),
            }
            Known {
                stage,
                last,
                signature: Signature {
                    inputs: vec![port("sample", Elem::F32, &[1, 2])],
                    outputs,
                    ..Signature::default()
                },
            }
        }
    }

    impl Executable for Known {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
            let values = inputs[0].to_f64s();
            let rows: Vec<&[f64]> = values.chunks(2).collect();
            let leaves = rows
                .iter()
                .map(|row| f64::from(row[1] <= self.stage as f64));
            let leaves = Tensor::from_f64s(Elem::Bool, [rows.len()], leaves);
            let stage = self.stage as f64;
            let emits = rows.iter().flat_map(|row| [row[0], row[0] / 10.0, stage]);
            let emits = Tensor::from_f64s(Elem::F32, [rows.len(), 3], emits);
            Ok(match self.last {
                true => vec![emits],
                false => vec![leaves, emits, inputs[0].clone()],
            })
        }

        fn rerun(&mut self) -> Result<(), Diagnostic> {
            Ok(())
        }
    }

    /// Takes any stage, and any number of those that wait there.
    struct Anyhow(u64);

    impl Scheduler for Anyhow {
        fn name(&self) -> &'static str {
            "anyhow"
        }

        fn choose(&mut self, _: f64, queues: &dyn Waiting, _: bool) -> Choice {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let some: Vec<usize> = (0..queues.stages())
                .filter(|&s| queues.count(s) > 0)
                .collect();
            let stage = some[(self.0 >> 33) as usize % some.len()];
            let count = 1 + (self.0 >> 40) as usize % queues.count(stage).min(40);
            Choice::Run { stage, count }
        }
    }

    #[test]
    fn everybody_leaves_with_what_is_theirs_in_whatever_order_stages_run() {
        let exits = |number: usize| (number * number / 3 + number / 7) % 3;
        let programs =
            (0..3).map(|stage| Box::new(Known::new(stage, stage == 2)) as Box<dyn Executable>);
        let mut stages = Stages::new(programs.collect(), 1, Vec::new()).unwrap();
        for seed in 0..20 {
            let requests = (0..500).map(|number| {
                let sample =
                    Tensor::from_f64s(Elem::F32, [1, 2], [number as f64, exits(number) as f64]);
                Request {
                    number,
                    arrived: number as f64 * 1e-7,
                    deadline: f64::INFINITY,
                    values: Sample::Given(vec![sample]),
                }
            });
            let mut seen = [false; 500];
            let answered = |number: usize, exit: usize, sample: Sample| {
                let Sample::Left(values) = sample else {
                    panic!("a request that is answered with nothing");
                };
                let tenth = (number as f32 / 10.0) as f64;
                assert_eq!(exit, exits(number));
                assert_eq!(values[0].to_f64s(), [number as f64, tenth, exit as f64]);
                assert!(!std::mem::replace(&mut seen[number], true));
            };
            let requests: Vec<_> = requests.collect();
            match seed {
                0 => {
                    let mut window = Window {
                        most: 32,
                        window: 0.0,
                    };
                    serve(requests, &mut window, &mut stages, answered).unwrap();
                }
                _ => {
                    serve(requests, &mut Anyhow(seed), &mut stages, answered).unwrap();
                }
            }
            assert!(seen.iter().all(|&seen| seen));
        }
    }
}
