//! Windows that slide over the spatial axes: the geometry that convolutions and pools share.

use crate::core::{Dim, OpError, OpResult};

use super::rules::{choice, ensure};

/// The most spatial axes of an activation.
pub(super) const MAX_SPATIAL: usize = 8;

/// The most positions of a window.
const MAX_POSITIONS: usize = 1 << 24;

/// Which axes of an activation are batch, channel and spatial.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    pub channel: usize,
    /// The first spatial axis.
    pub first: usize,
    /// The number of spatial axes.
    pub spatial: usize,
}

impl Layout {
    /// `nchw` (batch, channel, spatial) or `nhwc` (batch, spatial, channel), of any spatial rank.
    pub fn new(name: &str, rank: usize) -> OpResult<Layout> {
        choice("layout", name, &["nchw", "nhwc"])?;
        ensure!(
            (3..=2 + MAX_SPATIAL).contains(&rank),
            "expected batch, channel and one to {MAX_SPATIAL} spatial axes, found rank {rank}"
        );
        Ok(match name == "nchw" {
            true => Layout {
                channel: 1,
                first: 2,
                spatial: rank - 2,
            },
            false => Layout {
                channel: rank - 1,
                first: 1,
                spatial: rank - 2,
            },
        })
    }

    /// The spatial extents of a list of all extents.
    pub fn spatial_of<'a, T>(&self, dims: &'a [T]) -> &'a [T] {
        &dims[self.first..self.first + self.spatial]
    }

    /// All extents from those of the parts.
    pub fn dims<T: Copy>(&self, batch: T, channel: T, spatial: &[T]) -> Vec<T> {
        let mut dims = vec![batch];
        dims.extend_from_slice(spatial);
        dims.insert(self.channel, channel);
        dims
    }
}

/// A window over the spatial axes; all lists have one entry per axis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub low: Vec<usize>,
    pub high: Vec<usize>,
}

impl Window {
    /// Checks the attributes; `pad` lists all lows, then all highs.
    pub fn new(size: &[i64], stride: &[i64], dilation: &[i64], pad: &[i64]) -> OpResult<Window> {
        let rank = size.len();
        let list = |name: &str, list: &[i64], len: usize, least: i64| -> OpResult<Vec<usize>> {
            ensure!(
                list.len() == len,
                "`{name}` must have {len} entries, found {}",
                list.len()
            );
            // The upper limit keeps all sums of a geometry far from overflow.
            let bad = list.iter().find(|x| !(least..=1 << 24).contains(*x));
            match bad {
                Some(bad) => Err(OpError::new(format!(
                    "`{name}` has the entry {bad}, expected at least {least} and at most 2^24"
                ))),
                None => Ok(list.iter().map(|&x| x as usize).collect()),
            }
        };
        let pad = list("pad", pad, 2 * rank, 0)?;
        let size = list("kernel", size, rank, 1)?;
        let positions = size.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        ensure!(
            positions.is_some_and(|n| n <= MAX_POSITIONS),
            "the kernel has more than {MAX_POSITIONS} positions"
        );
        Ok(Window {
            size,
            stride: list("stride", stride, rank, 1)?,
            dilation: list("dilation", dilation, rank, 1)?,
            low: pad[..rank].to_vec(),
            high: pad[rank..].to_vec(),
        })
    }

    /// How far the window reaches along an axis: `dilation · (size - 1) + 1`.
    pub fn reach(&self, axis: usize) -> usize {
        self.dilation[axis] * (self.size[axis] - 1) + 1
    }

    /// The number of positions in one window.
    pub fn positions(&self) -> usize {
        self.size.iter().product()
    }

    /// The number of places of the window along an axis of the input. With `ceil`, a last window
    /// may stick out of the padding at the end, if it starts before it.
    pub fn places(&self, axis: usize, input: Dim, ceil: bool) -> OpResult<Dim> {
        // Wide enough for the sum of any extent and padding.
        let (reach, stride) = (self.reach(axis) as u128, self.stride[axis] as u128);
        let (low, high) = (self.low[axis] as u128, self.high[axis] as u128);
        let Dim::Known(input) = input else {
            let keeps = stride == 1 && low + high + 1 == reach;
            return Ok(if keeps { input } else { Dim::Unknown });
        };
        let input = u128::from(input);
        let padded = input + low + high;
        ensure!(
            padded >= reach,
            "a window that reaches over {reach} positions does not fit spatial axis {axis} of {padded} (with padding)"
        );
        let slack = padded - reach;
        let mut places = slack / stride + 1;
        if ceil && slack % stride != 0 && places * stride < input + low {
            places += 1;
        }
        match u64::try_from(places) {
            Ok(places) => Ok(Dim::Known(places)),
            Err(_) => Err(OpError::new(format!("spatial axis {axis} is too long"))),
        }
    }

    /// Places along all spatial axes.
    pub fn all_places(&self, input: &[Dim], ceil: bool) -> OpResult<Vec<Dim>> {
        let axes = input.iter().enumerate();
        axes.map(|(i, &d)| self.places(i, d, ceil)).collect()
    }
}
