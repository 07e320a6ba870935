//! Fewer results, and the function cut off at both ends.

use lepid_ir::core::Value;
use lepid_ir::dialects::core::Func;

use super::{Case, Reducer, cut};

/// Keeps one result, or drops one after the other.
pub(super) fn fewer_results(reducer: &mut Reducer<'_>) {
    let returned = returned(&reducer.case);
    if returned.len() < 2 {
        return;
    }
    let values = reducer.values();
    for &only in &returned {
        let candidate = reducer.case.cut(&[only], &[], &values);
        if reducer.offer(candidate) {
            return;
        }
    }
    let mut at = 0;
    while at < self::returned(&reducer.case).len() {
        let mut fewer = self::returned(&reducer.case);
        if fewer.len() < 2 {
            return;
        }
        fewer.remove(at);
        let values = reducer.values();
        let candidate = reducer.case.cut(&fewer, &[], &values);
        if !reducer.offer(candidate) {
            at += 1;
        }
    }
}

fn returned(case: &Case) -> Vec<Value> {
    Func::returned(case.module.view(case.op())).to_vec()
}

/// Returns what an earlier op computes: the first one with which the test holds, by halves.
pub(super) fn earlier_end(reducer: &mut Reducer<'_>) {
    let whole = reducer.case.clone();
    let values = reducer.values();
    let steps = cut::steps(&whole.module, whole.op());
    // The test is not known to hold where the last op alone is returned.
    let mut too_early = 0;
    let mut enough = steps.len();
    while too_early < enough {
        let middle = too_early + (enough - too_early) / 2;
        let results = whole.module.results(steps[middle]);
        if returned(&whole).iter().all(|v| results.contains(v)) {
            // The function ends here already.
            return;
        }
        let candidate = whole.cut(results, &[], &values);
        match reducer.offer(candidate) {
            true => enough = middle,
            false => too_early = middle + 1,
        }
    }
}

/// Makes what early ops compute arguments: as many of them as the test allows, by halves.
pub(super) fn later_start(reducer: &mut Reducer<'_>) {
    let whole = reducer.case.clone();
    let values = reducer.values();
    let steps = cut::steps(&whole.module, whole.op());
    let mut enough = 0;
    let mut too_late = steps.len();
    while enough + 1 < too_late {
        let middle = enough + (too_late - enough) / 2;
        let early = steps[..middle].iter();
        let given: Vec<Value> = early
            .flat_map(|&op| whole.module.results(op))
            .copied()
            .collect();
        let candidate = whole.cut(&returned(&whole), &given, &values);
        match reducer.offer(candidate) {
            true => enough = middle,
            false => too_late = middle,
        }
    }
}
