//! The stages of a cascade as programs.

use std::time::Instant;

use lepid_ir::core::{Bytes, Code, Diagnostic, Elem, Loc, Tensor};
use lepid_target_api::{Executable, Port, TensorView, TensorViewMut};

use crate::serve::{Computes, Done};

/// Programs of all stages. Each takes what is handed on to it, sample after sample, and the shared
/// inputs of the cascade behind that; all but the last give who leaves, what is emitted, and what is
/// handed on; the last gives what is emitted.
///
/// What waits before a stage lies in one memory, a row per sample, so that nothing is allocated for a
/// sample on its way.
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
    /// A row of what waits before the stage.
    Waits(usize),
    Left(Answer),
}

struct Stage {
    program: Box<dyn Executable>,
    inputs: Vec<Column>,
    outputs: Vec<Column>,
    /// What waits before the stage, and the rows of it that are free.
    waiting: Vec<Column>,
    free: Vec<usize>,
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

    fn all(&self, samples: usize) -> &[u8] {
        &bytes_of(&self.data)[..samples * self.bytes]
    }

    fn all_mut(&mut self, samples: usize) -> &mut [u8] {
        &mut bytes_of_mut(&mut self.data)[..samples * self.bytes]
    }

    fn sample(&self, i: usize) -> &[u8] {
        &bytes_of(&self.data)[i * self.bytes..(i + 1) * self.bytes]
    }

    fn put(&mut self, i: usize, value: &[u8]) {
        let place = i * self.bytes..(i + 1) * self.bytes;
        bytes_of_mut(&mut self.data)[place].copy_from_slice(value);
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
                waiting: columns(&signature.inputs[..of_samples])?,
                outputs: columns(&signature.outputs)?,
                free: Vec::new(),
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

impl Stage {
    /// Brings the values of a batch together.
    fn gather(&mut self, batch: &[Sample]) -> Result<(), Diagnostic> {
        for (i, sample) in batch.iter().enumerate() {
            for (number, column) in self.inputs.iter_mut().enumerate() {
                column.grow(batch.len());
                match sample {
                    Sample::Given(values) => {
                        let fits = values
                            .get(number)
                            .filter(|v| v.bytes().len() == column.bytes);
                        let Some(value) = fits else {
                            let message = format!("input {number} of a request is not one sample");
                            return Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
                        };
                        column.put(i, value.bytes());
                    }
                    Sample::Waits(row) => column.put(i, self.waiting[number].sample(*row)),
                    Sample::Left(_) => lepid_ir::bug!("who has left comes back"),
                }
            }
        }
        let rows = batch.iter().filter_map(|sample| match sample {
            Sample::Waits(row) => Some(*row),
            Sample::Given(_) | Sample::Left(_) => None,
        });
        self.free.extend(rows);
        Ok(())
    }

    fn run(&mut self, count: usize, shared: &[Tensor]) -> Result<(), Diagnostic> {
        let shapes: Vec<Vec<usize>> = self.inputs.iter().map(|c| c.shape(count)).collect();
        let columns = self.inputs.iter().zip(&shapes);
        let mut inputs: Vec<TensorView<'_>> = columns
            .filter_map(|(c, shape)| TensorView::raw(c.elem, shape, c.all(count)))
            .collect();
        inputs.extend(
            shared
                .iter()
                .filter_map(|t| TensorView::raw(t.elem(), t.shape(), t.bytes())),
        );
        let shapes: Vec<Vec<usize>> = self.outputs.iter().map(|c| c.shape(count)).collect();
        let columns = self.outputs.iter_mut().zip(&shapes);
        let mut outputs: Vec<TensorViewMut<'_>> = columns
            .filter_map(|(c, shape)| {
                c.grow(count);
                let elem = c.elem;
                TensorViewMut::raw(elem, shape, c.all_mut(count))
            })
            .collect();
        self.program.run_into(&inputs, &mut outputs)
    }

    /// Takes a sample in that waits from now on: its row.
    fn take_in<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) -> usize {
        let row = self.free.pop().unwrap_or_else(|| {
            let rows = self.waiting.first().map_or(0, |c| c.samples);
            let more = (2 * rows).max(64);
            self.waiting.iter_mut().for_each(|c| c.grow(more));
            self.free.extend((rows + 1..more).rev());
            rows
        });
        for (column, value) in self.waiting.iter_mut().zip(values) {
            column.put(row, value);
        }
        row
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
        stage.gather(&batch)?;
        stage.run(count, &self.shared)?;
        let first = usize::from(!last);
        let emits = &stage.outputs[first..first + self.emits];
        let handed_on = &stage.outputs[first + self.emits..];
        let done = (0..count).map(|i| {
            if last || stage.outputs[0].sample(i)[0] != 0 {
                let values = emits.iter().map(|c| {
                    let bytes = Bytes::from_vec(c.sample(i).to_vec());
                    Tensor::new(c.elem, c.shape(1), bytes)
                });
                return Done::Left(Sample::Left(values.collect()));
            }
            Done::GoesOn(Sample::Waits(
                behind[0].take_in(handed_on.iter().map(|c| c.sample(i))),
            ))
        });
        let done = done.collect();
        Ok((done, start.elapsed().as_secs_f64()))
    }
}
