//! Trace events, as `chrome://tracing` and Perfetto read them.

use serde_json::{Map, Value, json};

/// A row of the picture.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Track {
    /// From the file to a program that is ready.
    Prepare,
    /// Whole runs, and the ops within them.
    Run,
}

impl Track {
    const ALL: [Track; 2] = [Track::Prepare, Track::Run];

    fn number(self) -> u32 {
        match self {
            Track::Prepare => 1,
            Track::Run => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Track::Prepare => "load and compile",
            Track::Run => "run",
        }
    }
}

/// Something that took time. Events of a track that lie within another are drawn below it.
pub struct Event {
    pub track: Track,
    pub name: String,
    pub category: String,
    /// Seconds since the beginning of the trace.
    pub start: f64,
    pub seconds: f64,
    /// Shown when the event is selected.
    pub args: Map<String, Value>,
}

/// The text of a trace.
pub fn text(events: &[Event]) -> String {
    let mut rows = vec![json!({
        "ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": "lepid"},
    })];
    for track in Track::ALL {
        rows.push(json!({
            "ph": "M", "pid": PROCESS, "tid": track.number(), "name": "thread_name",
            "args": {"name": track.name()},
        }));
    }
    rows.extend(events.iter().map(|event| {
        json!({
            "ph": "X",
            "pid": PROCESS,
            "tid": event.track.number(),
            "name": event.name,
            "cat": event.category,
            "ts": micros(event.start),
            "dur": micros(event.seconds),
            "args": event.args,
        })
    }));
    let trace = json!({"displayTimeUnit": "ms", "traceEvents": rows});
    format!("{trace:#}\n")
}

const PROCESS: u32 = 1;

/// Microseconds, to the nanosecond.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_complete_events_in_microseconds() {
        let event = Event {
            track: Track::Run,
            name: "a \"conv\"".into(),
            category: "kernel.conv".into(),
            start: 0.5,
            seconds: 1.5e-6,
            args: Map::from_iter([("flops".to_string(), json!(7))]),
        };
        let read: Value = serde_json::from_str(&text(&[event])).unwrap();
        let rows = read["traceEvents"].as_array().unwrap();
        let last = rows.last().unwrap();
        assert_eq!(last["ph"], "X");
        assert_eq!((&last["ts"], &last["dur"]), (&json!(500000.0), &json!(1.5)));
        assert_eq!(last["name"], "a \"conv\"");
        assert!(
            rows.iter()
                .any(|r| r["ph"] == "M" && r["tid"] == last["tid"])
        );
    }
}
