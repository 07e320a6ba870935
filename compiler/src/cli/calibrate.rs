//! `lepid bench --calibrate`: fits the cost model of a target to this machine.

use std::io::Write;
use std::path::PathBuf;

use indicatif::ProgressBar;
use lepid_ir::core::{Code, Diagnostic, Loc};
use lepid_target_api::{Calibration, calibration_folder};

use super::args::TargetArgs;
use super::output::Table;
use super::{Cx, Failure, Outcome};
use crate::driver::calibrate::Calibrate;
use crate::driver::files;

/// Runs of a probe. The least time counts, which other work on the machine does not raise.
const RUNS: usize = 15;

/// Measures and stores. With `threads` more than one, what sharing costs is measured, too.
pub(super) fn run(target: &TargetArgs, threads: usize, cx: &mut Cx<'_>) -> Outcome {
    let target = target.target(cx)?;
    let Some(calibration) = target.calibration() else {
        let message = format!("target `{}` has no costs to calibrate", target.info().name);
        return Err(Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).into());
    };
    let path = place(calibration)?;
    let bar = ProgressBar::new(0);
    let fitted = Calibrate {
        driver: cx.driver,
        target,
        calibration,
        threads: if threads > 1 {
            vec![1, threads]
        } else {
            vec![1]
        },
        runs: RUNS,
        progress: &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        },
    }
    .run()?;
    bar.finish_and_clear();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| files::cannot_write(folder, error))?;
    }
    files::write_atomic(&path, |file| file.write_all(fitted.text.as_bytes()))?;
    cx.report("machine", calibration.machine());
    cx.report("output", path.display().to_string());
    cx.report(
        "kernels",
        serde_json::to_value(&fitted.kernels).unwrap_or_default(),
    );
    if !cx.json {
        let mut table = Table::new(&["kernel", "samples", "median error"], &[1, 2]);
        for row in &fitted.kernels {
            table.row(vec![
                row.kernel.clone(),
                row.samples.to_string(),
                format!("{:.1} %", 100.0 * row.median_error),
            ]);
        }
        std::io::stdout().write_all(table.text().as_bytes())?;
    }
    cx.tell(format_args!("wrote {}", path.display()));
    Ok(())
}

fn place(calibration: &dyn Calibration) -> Result<PathBuf, Failure> {
    let folder = calibration_folder().ok_or_else(|| {
        let message = "there is no folder to store the calibration in";
        let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
        error.with_help("set `LEPID_CALIBRATION` or `HOME`")
    })?;
    Ok(folder.join(format!("{}.json", calibration.machine())))
}
