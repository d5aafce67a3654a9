//! `/metrics`: a snapshot in the text format of Prometheus (version 0.0.4). Base units: seconds and bytes.

use crate::{
    json::FRAME,
    snapshot::{Snapshot, state},
};
use alloc::{collections::BTreeMap, string::String};
use core::fmt::{self, Display, Write};
use ipc_proto::system::RunState;

mod rings;

/// Microseconds as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A label's value with the escapes of the format.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

struct Metrics(String);

impl Metrics {
    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP causeway_{name} {help}\n# TYPE causeway_{name} {kind}\n"
        );
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.describe(name, "counter", help);
        let _ = writeln!(self.0, "causeway_{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.describe(name, "gauge", help);
        let _ = writeln!(self.0, "causeway_{name} {value}");
    }

    /// One metric with a value for each process.
    fn processes<V: Display>(
        &mut self,
        snapshot: &Snapshot,
        (name, kind, help): (&str, &str, &str),
        value: impl Fn(&ipc_proto::system::ProcessInfo) -> V,
    ) {
        self.describe(name, kind, help);
        for process in &snapshot.processes {
            let label = Label(&process.name);
            let _ = writeln!(
                self.0,
                "causeway_{name}{{process=\"{label}\"}} {}",
                value(process)
            );
        }
    }
}

/// The snapshot as metrics.
pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut metrics = Metrics(String::with_capacity(8192));
    metrics.describe("info", "gauge", "The version is the label's.");
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(metrics.0, "causeway_info{{version=\"{version}\"}} 1");
    machine(&mut metrics, snapshot);
    processes(&mut metrics, snapshot);
    network(&mut metrics, snapshot);
    rings::render(&mut metrics, snapshot);
    http(&mut metrics, snapshot);
    metrics.0
}

fn machine(metrics: &mut Metrics, snapshot: &Snapshot) {
    metrics.counter(
        "uptime_seconds_total",
        "Time since boot.",
        Seconds(snapshot.now / 1000),
    );
    let Some(machine) = &snapshot.machine else {
        return;
    };
    metrics.counter(
        "idle_seconds_total",
        "Time with nothing to run.",
        Seconds(machine.idle_micros),
    );
    metrics.gauge(
        "memory_bytes",
        "Memory of the machine.",
        machine.frames.saturating_mul(FRAME),
    );
    metrics.gauge(
        "memory_free_bytes",
        "Memory that is free.",
        machine.free_frames.saturating_mul(FRAME),
    );
    metrics.counter(
        "address_space_switches_total",
        "Switches of address space.",
        machine.switches,
    );
    metrics.counter("system_calls_total", "System calls.", machine.syscalls);
    metrics.counter("interrupts_total", "Interrupts.", machine.interrupts);
}

fn processes(metrics: &mut Metrics, snapshot: &Snapshot) {
    let frames = |frames: u32| u64::from(frames).saturating_mul(FRAME);
    metrics.processes(
        snapshot,
        ("process_up", "gauge", "Whether the process runs."),
        |process| u8::from(process.state == RunState::Running),
    );
    metrics.processes(
        snapshot,
        (
            "process_restarts_total",
            "counter",
            "Times that the process was started again.",
        ),
        |process| process.restarts,
    );
    metrics.processes(
        snapshot,
        ("process_cpu_seconds_total", "counter", "Processor time."),
        |process| Seconds(process.cpu_micros),
    );
    metrics.processes(
        snapshot,
        ("process_capabilities", "gauge", "Capabilities held."),
        |process| process.caps,
    );
    metrics.processes(
        snapshot,
        (
            "process_memory_bytes",
            "gauge",
            "Memory of the budget in use.",
        ),
        |process| frames(process.budget_used),
    );
    metrics.processes(
        snapshot,
        ("process_budget_bytes", "gauge", "Memory of the budget."),
        |process| frames(process.budget_limit),
    );
    metrics.processes(
        snapshot,
        ("process_system_calls_total", "counter", "System calls."),
        |process| process.syscalls,
    );
    metrics.processes(
        snapshot,
        ("process_switches_total", "counter", "Times switched to."),
        |process| process.switches,
    );
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for process in &snapshot.processes {
        let count = states.entry(state(process.state)).or_default();
        *count = count.saturating_add(1);
    }
    metrics.describe("processes", "gauge", "Processes by state.");
    for (state, count) in states {
        let _ = writeln!(metrics.0, "causeway_processes{{state=\"{state}\"}} {count}");
    }
}

fn network(metrics: &mut Metrics, snapshot: &Snapshot) {
    if let Some(interface) = &snapshot.interface {
        metrics.gauge(
            "net_link_up",
            "Whether a driver is attached and its link up.",
            u8::from(interface.link_up),
        );
        metrics.counter(
            "net_driver_attachments_total",
            "Times that a driver attached.",
            interface.attachments,
        );
    }
    let Some(counters) = &snapshot.counters else {
        return;
    };
    for (name, help, value) in [
        (
            "net_received_frames_total",
            "Frames from the driver.",
            counters.rx_frames,
        ),
        (
            "net_received_bytes_total",
            "Their bytes.",
            counters.rx_bytes,
        ),
        (
            "net_sent_frames_total",
            "Frames to the driver.",
            counters.tx_frames,
        ),
        ("net_sent_bytes_total", "Their bytes.", counters.tx_bytes),
        (
            "net_malformed_frames_total",
            "Frames dropped because they made no sense.",
            counters.rx_malformed,
        ),
        (
            "net_dropped_received_frames_total",
            "Frames dropped for want of a socket or room.",
            counters.rx_dropped,
        ),
        (
            "net_dropped_sent_frames_total",
            "Frames not sent for want of a buffer.",
            counters.tx_dropped,
        ),
        (
            "net_dropped_syns_total",
            "SYNs dropped because a table was full.",
            counters.syn_dropped,
        ),
        (
            "net_connections_total",
            "Connections accepted and opened.",
            counters.connections,
        ),
        (
            "net_refused_total",
            "Requests refused by policy or quota.",
            counters.refused,
        ),
        (
            "net_session_violations_total",
            "Sessions ended for breaking the protocol.",
            counters.violations.into(),
        ),
        (
            "net_driver_violations_total",
            "Times that a driver broke the protocol.",
            counters.driver_violations.into(),
        ),
    ] {
        metrics.counter(name, help, value);
    }
    metrics.gauge("net_sessions", "Sessions open.", counters.sessions);
    metrics.gauge("net_sockets", "Sockets open.", counters.sockets);
}

fn http(metrics: &mut Metrics, snapshot: &Snapshot) {
    let http = &snapshot.http;
    metrics.counter(
        "http_connections_total",
        "Connections accepted by this server.",
        http.connections,
    );
    metrics.gauge("http_connections", "Connections open.", http.active);
    metrics.counter(
        "http_requests_total",
        "Requests answered with success.",
        http.requests,
    );
    metrics.counter(
        "http_refused_total",
        "Requests answered with an error.",
        http.refused,
    );
    metrics.counter(
        "http_failed_total",
        "Connections ended by a failure or a timeout.",
        http.failed,
    );
    metrics.counter(
        "http_evicted_total",
        "Connections ended to make room.",
        http.evicted,
    );
    metrics.counter("http_sent_bytes_total", "Bytes of answers.", http.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::snapshot;
    use std::collections::HashSet;

    /// The rules of the text format: HELP and TYPE once before the samples of each metric, names of its alphabet,
    /// counters end in `_total`, values are numbers.
    #[test]
    fn format_is_that_of_prometheus() {
        let text = render(&snapshot());
        assert!(text.ends_with('\n'));
        let mut seen = HashSet::new();
        let mut current = String::new();
        let mut kind = String::new();
        let mut samples = HashSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                current = help.split(' ').next().unwrap().into();
                assert!(seen.insert(current.clone()), "{current} twice");
                assert!(
                    current.starts_with("causeway_")
                        && current.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                );
            } else if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, of) = described.split_once(' ').unwrap();
                assert_eq!(name, current);
                kind = of.into();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let plain = name.split('{').next().unwrap();
                assert_eq!(plain, current);
                assert!(samples.insert(name), "{name} twice");
                assert!(name == plain || name.ends_with("\"}"), "{line}");
                assert!(value.parse::<f64>().is_ok() && !kind.is_empty(), "{line}");
            }
        }
        assert!(seen.len() > 30);
    }

    #[test]
    fn values_have_base_units_and_labels_are_escaped() {
        let text = render(&snapshot());
        for line in [
            "causeway_info{version=\"0.1.0\"} 1",
            "causeway_uptime_seconds_total 5.000000",
            "causeway_memory_bytes 409600",
            "causeway_process_cpu_seconds_total{process=\"init\"} 1.500000",
            "causeway_process_up{process=\"we\\\"ird\\\\\\n\"} 0",
            "causeway_processes{state=\"faulted\"} 1",
            "causeway_net_received_bytes_total 77",
            "causeway_ring_slots{peer=\"driver\"} 64",
            "causeway_ring_received_messages_total{peer=\"we\\\"ird\\\\\\n\"} 60",
            "causeway_ring_sent_doorbells_total{peer=\"session 9\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let text = render(&Snapshot::default());
        assert!(
            !text.contains("causeway_net_")
                && !text.contains("causeway_ring_")
                && !text.contains("causeway_memory")
        );
    }
}
