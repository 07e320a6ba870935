//! The gates of a cascade at run time: samples leave, and the rows of those that go on move together.
//!
//! A program for any number of samples has fewer of them behind a gate. What samples left with lies
//! at their own place all the time; who the present rows belong to is written down here.

use crate::abi::Ctx;

/// What a gate or a join works on. Generated code fills it in.
#[repr(C)]
pub(crate) struct GateArgs {
    /// Per row a truth value; null behind the last stage.
    pub(crate) leaves: *const u8,
    /// Per sample the number of its exit, and what it was before.
    pub(crate) exit: *mut i32,
    pub(crate) exit_before: *const i32,
    /// Not 0 if there was no gate before.
    pub(crate) first: usize,
    /// Per row the score and per sample the best one, before and now; null if nobody asks for it.
    pub(crate) score: *const f32,
    pub(crate) best_before: *const f32,
    pub(crate) best: *mut f32,
    pub(crate) stage: i64,
    /// How many rows there are, if their number is fixed; 0: as many as there are samples.
    pub(crate) fixed: usize,
    /// Nanoseconds that leaving one row out saves, as the bits of an `f64`.
    pub(crate) saves: u64,
    pub(crate) taken: *const Moved,
    pub(crate) taken_count: usize,
    pub(crate) hands_on: *const Moved,
    pub(crate) hands_on_count: usize,
}

/// A value with a row per sample.
#[repr(C)]
pub(crate) struct Moved {
    /// What samples left with before, or what is handed on.
    pub(crate) from: *const u8,
    pub(crate) to: *mut u8,
    /// What the stage emitted; null for what is handed on.
    pub(crate) emitted: *const u8,
    /// Bytes of a row.
    pub(crate) row: usize,
}

/// Whose the rows are behind the gates passed so far.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    /// The sample of each row.
    rows: Vec<u32>,
    /// How many samples there are in all.
    whole: usize,
}

/// No sample: the row is computed, but its sample has left.
const LEFT: u32 = u32::MAX;
/// Nanoseconds that a byte of a row takes to move.
const MOVE: f64 = 0.1;

/// Lets samples leave; gives how many have not.
///
/// # Safety
/// `args` describes memory that the program has, of as many rows as the context says, or `fixed`.
pub(crate) unsafe extern "C" fn gate(ctx: *mut Ctx, args: *const GateArgs) -> usize {
    // SAFETY: generated code passes its own context and what it has filled in.
    let (ctx, args) = unsafe { (&mut *ctx, &*args) };
    // SAFETY: the context points to the instance's survivors, which nothing else uses meanwhile.
    let survivors = unsafe { &mut *ctx.survivors };
    let count = if args.fixed > 0 {
        args.fixed
    } else {
        ctx.samples
    };
    // SAFETY: as the caller says.
    unsafe {
        if args.first != 0 {
            let exits = std::slice::from_raw_parts(args.exit_before, count);
            survivors.begin(exits);
        }
        args.begin(survivors.whole);
        args.leave(&mut survivors.rows);
    }
    let left = survivors.rows.iter().filter(|&&s| s == LEFT).count();
    if args.leaves.is_null() {
        return 0;
    }
    // SAFETY: as the caller says.
    unsafe {
        match args.fixed == 0 && args.worth_it(&survivors.rows, left) {
            true => {
                args.together(&survivors.rows);
                survivors.rows.retain(|&s| s != LEFT);
                ctx.samples = survivors.rows.len();
            }
            false => args.copy_all(count),
        }
    }
    count - left
}

/// All samples are there again.
///
/// # Safety
/// `ctx` is the context of a run that has passed a gate.
pub(crate) unsafe extern "C" fn rejoin(ctx: *mut Ctx) {
    // SAFETY: as the caller says.
    unsafe { (*ctx).samples = (*(*ctx).survivors).whole }
}

impl Survivors {
    /// All samples but those that have left have a row.
    fn begin(&mut self, exits: &[i32]) {
        self.whole = exits.len();
        self.rows.clear();
        let rows = (0..).zip(exits);
        self.rows
            .extend(rows.map(|(i, &exit)| if exit < 0 { i } else { LEFT }));
    }
}

impl GateArgs {
    fn taken(&self) -> &[Moved] {
        // SAFETY: generated code has filled in so many.
        unsafe { slice(self.taken, self.taken_count) }
    }

    fn hands_on(&self) -> &[Moved] {
        // SAFETY: as above.
        unsafe { slice(self.hands_on, self.hands_on_count) }
    }

    /// Brings what was there before to its place.
    unsafe fn begin(&self, whole: usize) {
        // SAFETY: per sample there is a number of the exit, a best score and a row of each value.
        unsafe {
            copy(self.exit_before.cast(), self.exit.cast(), 4 * whole);
            if !self.best.is_null() {
                copy(self.best_before.cast(), self.best.cast(), 4 * whole);
            }
            for value in self.taken() {
                copy(value.from, value.to, value.row * whole);
            }
        }
    }

    /// Writes down who leaves, and what they leave with.
    unsafe fn leave(&self, rows: &mut [u32]) {
        for (row, sample) in rows.iter_mut().enumerate() {
            if *sample == LEFT {
                continue;
            }
            let at = *sample as usize;
            // SAFETY: `row` is one of the present rows and `at` one of all samples.
            unsafe {
                let exit = &mut *self.exit.add(at);
                let leaves = self.leaves.is_null() || *self.leaves.add(row) != 0;
                let better = match self.score.is_null() {
                    true => self.leaves.is_null(),
                    // Behind the last stage there may be no best score yet.
                    false => {
                        *self.score.add(row) > *self.best_before.add(at)
                            || (self.leaves.is_null() && *exit == -1)
                    }
                };
                let takes = if self.leaves.is_null() {
                    better
                } else {
                    leaves || better
                };
                *exit = match (leaves, takes) {
                    (true, true) => self.stage as i32,
                    (true, false) => -2 - *exit,
                    (false, true) => -2 - self.stage as i32,
                    (false, false) => *exit,
                };
                if takes {
                    if !self.best.is_null() {
                        *self.best.add(at) = *self.score.add(row);
                    }
                    for value in self.taken() {
                        let from = value.emitted.add(row * value.row);
                        copy(from, value.to.add(at * value.row), value.row);
                    }
                }
            }
            if leaves_for_good(self, row) {
                *sample = LEFT;
            }
        }
    }

    /// Whether it pays to move rows, rather than to compute those that nobody wants.
    fn worth_it(&self, rows: &[u32], left: usize) -> bool {
        if left == 0 || left == rows.len() {
            return false;
        }
        let first = rows.iter().position(|&s| s == LEFT).unwrap_or(rows.len());
        let moved = rows[first..].iter().filter(|&&s| s != LEFT).count();
        let bytes: usize = self.hands_on().iter().map(|value| value.row).sum();
        left as f64 * f64::from_bits(self.saves) > MOVE * (moved * bytes) as f64
    }

    /// Moves the rows of those that go on together.
    unsafe fn together(&self, rows: &[u32]) {
        for value in self.hands_on() {
            let stays = rows.iter().enumerate().filter(|&(_, &s)| s != LEFT);
            for (to, (from, _)) in stays.enumerate() {
                // SAFETY: a row moves towards the front, if the memory is the same, and rows do so
                // in their order.
                unsafe {
                    copy(
                        value.from.add(from * value.row),
                        value.to.add(to * value.row),
                        value.row,
                    );
                }
            }
        }
    }

    unsafe fn copy_all(&self, count: usize) {
        for value in self.hands_on() {
            // SAFETY: there are so many rows.
            unsafe { copy(value.from, value.to, value.row * count) }
        }
    }
}

/// Whether a sample is not computed any further.
fn leaves_for_good(args: &GateArgs, row: usize) -> bool {
    // SAFETY: there is a truth value per row.
    args.leaves.is_null() || unsafe { *args.leaves.add(row) != 0 }
}

/// # Safety
/// Both are places of so many bytes.
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    if from != to.cast_const() {
        // SAFETY: as the caller says.
        unsafe { std::ptr::copy(from, to, bytes) }
    }
}

/// # Safety
/// There are so many at `first`.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match count {
        0 => &[],
        // SAFETY: as the caller says.
        _ => unsafe { std::slice::from_raw_parts(first, count) },
    }
}
