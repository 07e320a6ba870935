//! Fits a target's cost model to this machine: compiles the target's probes, times their ops, and
//! has the target fit its coefficients.

use std::time::Duration;

use lepid_ir::core::{Diagnostics, Limits, Op};
use lepid_target_api::{
    Calibration, CompileOptions, Fitted, LoadOptions, Package, Probe, Sample, Target, TargetOptions,
};

use crate::driver::Driver;
use crate::driver::data;
use crate::driver::trial::Trial;

/// How to measure.
pub struct Calibrate<'d> {
    pub driver: &'d Driver,
    pub target: &'d dyn Target,
    pub calibration: &'d dyn Calibration,
    /// The thread counts to measure at; 1 is among them.
    pub threads: Vec<usize>,
    /// Runs of each probe that count.
    pub runs: usize,
    /// Called before each probe with its number.
    pub progress: &'d mut dyn FnMut(usize, usize),
}

/// A probe with the least times of its ops, by number of threads.
struct Timed {
    package: Package,
    times: Vec<(usize, Op, Duration)>,
}

impl Calibrate<'_> {
    pub fn run(self) -> Result<Fitted, Diagnostics> {
        let probes = self.calibration.probes();
        let count = probes.len();
        let mut timed = Vec::new();
        for (i, probe) in probes.into_iter().enumerate() {
            (self.progress)(i, count);
            timed.push(self.time(probe)?);
        }
        (self.progress)(count, count);
        let samples = timed.iter().flat_map(|probe| {
            let times = probe.times.iter();
            times.map(|&(threads, op, time)| Sample {
                op: probe.package.module.view(op),
                threads,
                seconds: time.as_secs_f64(),
            })
        });
        Ok(self.calibration.fit(&samples.collect::<Vec<_>>()))
    }

    fn time(&self, probe: Probe) -> Result<Timed, Diagnostics> {
        let options = probe.options.iter();
        let options = options.map(|(name, value)| (name.to_string(), value.to_string()));
        let trial = |threads| Trial {
            driver: self.driver,
            target: self.target,
            options: CompileOptions {
                target: TargetOptions {
                    values: options.clone().collect(),
                },
                ..CompileOptions::default()
            },
            load: LoadOptions {
                threads,
                profile: true,
                ..LoadOptions::default()
            },
            limits: Limits::default(),
        };
        let package = trial(1).compile(probe.module)?;
        let inputs = data::complete(&package.signature, Default::default(), 0)?;
        let mut times = Vec::new();
        for &threads in &self.threads {
            let loaded = self.target.load(&package, &trial(threads).load);
            let mut executable = loaded.map_err(|error| vec![error.diagnostic()])?;
            executable.run(&inputs).map_err(|error| vec![error])?;
            let mut before = executable.profile();
            let mut least: Vec<(Op, Duration)> =
                before.iter().map(|t| (t.op, Duration::MAX)).collect();
            for _ in 0..self.runs {
                executable.rerun().map_err(|error| vec![error])?;
                let after = executable.profile();
                for ((now, then), (_, least)) in after.iter().zip(&before).zip(&mut least) {
                    *least = (*least).min(now.time.saturating_sub(then.time));
                }
                before = after;
            }
            let found = least.into_iter().filter(|(_, time)| !time.is_zero());
            times.extend(found.map(|(op, time)| (threads, op, time)));
        }
        Ok(Timed { package, times })
    }
}
