//! `/status.json`: a snapshot as JSON (RFC 8259). Sizes are in bytes, times in microseconds.

use crate::snapshot::{Snapshot, state};
use alloc::string::String;
use core::fmt::{Display, Write};
use ipc_proto::{
    rings::RingInfo,
    socket::{AddressSource, Counters, InterfaceInfo, SocketInfo},
    system::{MachineInfo, ProcessInfo, RunState},
};

/// Bytes of a frame of memory.
pub(crate) const FRAME: u64 = 4096;

/// Writes JSON: commas where they belong, strings escaped.
struct Json {
    out: String,
    /// Something stands before in this object or array.
    filled: bool,
}

impl Json {
    fn comma(&mut self) {
        if core::mem::replace(&mut self.filled, true) {
            self.out.push(',');
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c < ' ' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.string(key);
        self.out.push(':');
    }

    fn number(&mut self, key: &str, number: impl Into<u64>) {
        self.key(key);
        let _ = write!(self.out, "{}", number.into());
    }

    fn text(&mut self, key: &str, text: impl Display) {
        self.key(key);
        let text = alloc::format!("{text}");
        self.string(&text);
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.out.push_str(if flag { "true" } else { "false" });
    }

    fn nested(&mut self, open: char, close: char, fill: impl FnOnce(&mut Json)) {
        self.out.push(open);
        self.filled = false;
        fill(self);
        self.out.push(close);
        self.filled = true;
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        self.nested('{', '}', fill);
    }

    fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Json, T),
    ) {
        self.key(key);
        self.nested('[', ']', |json| {
            for item in items {
                json.comma();
                fill(json, item);
            }
        });
    }

    fn null(&mut self, key: &str) {
        self.key(key);
        self.out.push_str("null");
    }
}

/// The snapshot as a JSON object.
pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut json = Json {
        out: String::with_capacity(8192),
        filled: false,
    };
    json.nested('{', '}', |json| {
        json.text("version", env!("CARGO_PKG_VERSION"));
        json.number("time_us", snapshot.now / 1000);
        match &snapshot.machine {
            Some(machine) => json.object("machine", |json| fill_machine(json, machine)),
            None => json.null("machine"),
        }
        json.list("processes", &snapshot.processes, |json, process| {
            json.nested('{', '}', |json| fill_process(json, process));
        });
        match &snapshot.interface {
            Some(interface) => json.object("interface", |json| fill_interface(json, interface)),
            None => json.null("interface"),
        }
        match &snapshot.counters {
            Some(counters) => json.object("counters", |json| fill_counters(json, counters)),
            None => json.null("counters"),
        }
        json.list("sockets", &snapshot.sockets, |json, socket| {
            json.nested('{', '}', |json| fill_socket(json, socket));
        });
        json.list("rings", &snapshot.rings, |json, ring| {
            json.nested('{', '}', |json| {
                json.text("peer", ring.peer_name(&snapshot.processes));
                fill_ring(json, ring);
            });
        });
        json.object("http", |json| {
            let http = &snapshot.http;
            json.number("connections", http.connections);
            json.number("active", http.active);
            json.number("requests", http.requests);
            json.number("refused", http.refused);
            json.number("failed", http.failed);
            json.number("evicted", http.evicted);
            json.number("bytes", http.bytes);
        });
    });
    json.out.push('\n');
    json.out
}

fn fill_machine(json: &mut Json, machine: &MachineInfo) {
    json.number("memory", machine.frames.saturating_mul(FRAME));
    json.number("free", machine.free_frames.saturating_mul(FRAME));
    json.number("uptime_us", machine.uptime_micros);
    json.number("idle_us", machine.idle_micros);
    json.number("switches", machine.switches);
    json.number("syscalls", machine.syscalls);
    json.number("interrupts", machine.interrupts);
}

fn fill_process(json: &mut Json, process: &ProcessInfo) {
    json.number("id", process.id);
    json.text("name", &process.name);
    json.text("state", state(process.state));
    match process.state {
        RunState::Exited(code) | RunState::Killed(code) => {
            json.text("detail", format_args!("code {code}"))
        }
        RunState::Faulted {
            vector,
            address,
            instruction,
        } => {
            json.text(
                "detail",
                format_args!("vector {vector}, address {address:#x}, instruction {instruction:#x}"),
            );
        }
        RunState::Running | RunState::Waiting => json.text("detail", ""),
    }
    json.number("restarts", process.restarts);
    json.number("priority", process.priority);
    json.number("cpu_us", process.cpu_micros);
    json.number("caps", process.caps);
    json.number("mapped", u64::from(process.pages).saturating_mul(FRAME));
    json.number(
        "budget_used",
        u64::from(process.budget_used).saturating_mul(FRAME),
    );
    json.number(
        "budget",
        u64::from(process.budget_limit).saturating_mul(FRAME),
    );
    json.number("syscalls", process.syscalls);
    json.number("switches", process.switches);
}

fn fill_interface(json: &mut Json, interface: &InterfaceInfo) {
    let [a, b, c, d, e, f] = interface.mac;
    json.text(
        "mac",
        format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
    );
    json.flag("link_up", interface.link_up);
    json.number("mtu", interface.mtu);
    json.list(
        "addresses",
        &interface.addresses,
        |json, (address, prefix)| {
            json.string(&alloc::format!("{address}/{prefix}"));
        },
    );
    json.list("routers", &interface.routers, |json, router| {
        json.string(&alloc::format!("{router}"))
    });
    json.list("name_servers", &interface.name_servers, |json, server| {
        json.string(&alloc::format!("{server}"))
    });
    let source = match interface.source {
        AddressSource::None => "none",
        AddressSource::Dhcp => "dhcp",
        AddressSource::Static => "static",
    };
    json.text("source", source);
    json.number("lease_s", interface.lease_seconds);
    json.number("attachments", interface.attachments);
}

fn fill_counters(json: &mut Json, counters: &Counters) {
    json.number("rx_frames", counters.rx_frames);
    json.number("rx_bytes", counters.rx_bytes);
    json.number("tx_frames", counters.tx_frames);
    json.number("tx_bytes", counters.tx_bytes);
    json.number("rx_malformed", counters.rx_malformed);
    json.number("rx_dropped", counters.rx_dropped);
    json.number("tx_dropped", counters.tx_dropped);
    json.number("syn_dropped", counters.syn_dropped);
    json.number("sessions", counters.sessions);
    json.number("violations", counters.violations);
    json.number("sockets", counters.sockets);
    json.number("connections", counters.connections);
    json.number("refused", counters.refused);
    json.number("driver_violations", counters.driver_violations);
}

fn fill_socket(json: &mut Json, socket: &SocketInfo) {
    json.text("state", format_args!("{:?}", socket.state));
    json.text("local", socket.local);
    match socket.remote {
        Some(remote) => json.text("remote", remote),
        None => json.null("remote"),
    }
    json.number("rx_queued", socket.rx_queued);
    json.number("tx_queued", socket.tx_queued);
    json.number("session", socket.session);
}

fn fill_ring(json: &mut Json, ring: &RingInfo) {
    json.number("slots", ring.slots);
    json.number("rx_queued", ring.rx_queued);
    json.number("tx_queued", ring.tx_queued);
    json.number("rx_messages", ring.rx_messages);
    json.number("tx_messages", ring.tx_messages);
    json.number("rx_doorbells", ring.rx_doorbells);
    json.number("tx_doorbells", ring.tx_doorbells);
    json.number("tx_full", ring.tx_full);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::snapshot;

    /// The rest behind one JSON value (RFC 8259, without white space); panics if there is none.
    fn value(text: &str) -> &str {
        match text.as_bytes()[0] {
            b'{' => members(&text[1..], '}', |text| {
                value(string(text).strip_prefix(':').unwrap())
            }),
            b'[' => members(&text[1..], ']', value),
            b'"' => string(text),
            b'0'..=b'9' => text.trim_start_matches(|c: char| c.is_ascii_digit()),
            _ => ["true", "false", "null"]
                .iter()
                .find_map(|word| text.strip_prefix(word))
                .unwrap(),
        }
    }

    fn members(mut text: &str, close: char, member: impl Fn(&str) -> &str) -> &str {
        if let Some(rest) = text.strip_prefix(close) {
            return rest;
        }
        loop {
            text = member(text);
            match text.strip_prefix(',') {
                Some(rest) => text = rest,
                None => return text.strip_prefix(close).unwrap(),
            }
        }
    }

    fn string(text: &str) -> &str {
        let mut rest = text.strip_prefix('"').unwrap();
        loop {
            let at = rest.find(['"', '\\']).unwrap();
            assert!(!rest[..at].contains(|c| c < ' '));
            match rest.as_bytes()[at] {
                b'"' => return &rest[at + 1..],
                _ if rest.as_bytes()[at + 1] == b'u' => rest = &rest[at + 6..],
                _ => rest = &rest[at + 2..],
            }
        }
    }

    #[test]
    fn snapshots_are_valid_json() {
        for snapshot in [snapshot(), Snapshot::default()] {
            assert_eq!(value(&render(&snapshot)), "\n");
        }
    }

    #[test]
    fn strings_are_escaped_and_units_are_bytes() {
        let json = render(&snapshot());
        assert!(json.contains(r#""name":"we\"ird\\\u000a""#), "{json}");
        assert!(json.contains(r#""memory":409600,"free":204800"#), "{json}");
        assert!(
            json.contains(r#""detail":"vector 14, address 0x10, instruction 0x20""#),
            "{json}"
        );
    }

    #[test]
    fn rings_have_names() {
        let json = render(&snapshot());
        let names: Vec<_> = json.split(r#""peer":""#).skip(1).collect();
        assert_eq!(names.len(), 4, "{json}");
        assert!(names[0].starts_with(r#"driver","slots":64,"rx_queued":1,"#));
        assert!(names[1].starts_with(r#"we\"ird\\\u000a","#), "{json}");
        assert!(names[3].starts_with(r#"session 9","#), "{json}");
    }

    /// Every field that the page reads is there.
    #[test]
    fn page_and_json_agree() {
        let json = render(&snapshot());
        for prefix in ["p.", "c.", "i.", "m.", "k.", "q.", "s.http."] {
            let page = crate::page::PAGE;
            for (at, _) in page.match_indices(prefix) {
                let before = page[..at].chars().next_back().unwrap();
                let name: String = page[at + prefix.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                let call = matches!(name.as_str(), "" | "map" | "reduce" | "append" | "content");
                if !before.is_ascii_alphanumeric() && before != '.' && !call {
                    assert!(json.contains(&format!("\"{name}\":")), "{prefix}{name}");
                }
            }
        }
    }
}
