//! The stack's rings as metrics.

use super::{Label, Metrics};
use crate::snapshot::Snapshot;
use alloc::{collections::BTreeMap, format, string::String};
use core::fmt::Write;
use ipc_proto::rings::RingInfo;

/// What is told of each ring: name, kind, help, value.
type RingMetric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&RingInfo) -> u64,
);

const RINGS: [RingMetric; 8] = [
    (
        "ring_slots",
        "gauge",
        "Slots of the ring in each direction.",
        |ring| ring.slots.into(),
    ),
    (
        "ring_received_queued",
        "gauge",
        "Messages that the stack has not taken yet.",
        |ring| ring.rx_queued.into(),
    ),
    (
        "ring_sent_queued",
        "gauge",
        "Messages that the peer has not taken yet.",
        |ring| ring.tx_queued.into(),
    ),
    (
        "ring_received_messages_total",
        "counter",
        "Messages from the peer to the stack.",
        |ring| ring.rx_messages,
    ),
    (
        "ring_sent_messages_total",
        "counter",
        "Messages from the stack to the peer.",
        |ring| ring.tx_messages,
    ),
    (
        "ring_received_doorbells_total",
        "counter",
        "Sleeps of the stack that the peer ended.",
        |ring| ring.rx_doorbells,
    ),
    (
        "ring_sent_doorbells_total",
        "counter",
        "Sleeps of the peer that the stack ended.",
        |ring| ring.tx_doorbells,
    ),
    (
        "ring_full_total",
        "counter",
        "Times that the ring to the peer became too full for a message.",
        |ring| ring.tx_full,
    ),
];

/// The rings by peer: the sessions of a process are summed up, for a sample has to be the only one with its labels.
pub(super) fn render(metrics: &mut Metrics, snapshot: &Snapshot) {
    if snapshot.rings.is_empty() {
        return;
    }
    for (name, kind, help, value) in RINGS {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for ring in &snapshot.rings {
            let sum = sums
                .entry(format!("{}", ring.peer_name(&snapshot.processes)))
                .or_default();
            *sum = sum.saturating_add(value(ring));
        }
        metrics.describe(name, kind, help);
        for (peer, sum) in sums {
            let label = Label(&peer);
            let _ = writeln!(metrics.0, "causeway_{name}{{peer=\"{label}\"}} {sum}");
        }
    }
}
