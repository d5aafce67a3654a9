//! State machines of the protocols, as tables: the page shows them, and the tests drive a real stack and check that it takes no step
//! that is not in them. Touches nothing.

use core::fmt::Write;

/// A step: from a state, by an event, to a state.
pub type Step = (&'static str, &'static str, &'static str);

/// A state machine.
pub struct Machine {
    /// What has these states.
    pub name: &'static str,
    /// How to read it.
    about: &'static str,
    /// The state before the first step.
    pub start: &'static str,
    /// All steps.
    pub steps: &'static [Step],
}

/// A session, as the client lives it. A driver's attachment is the same, with `Attach` for `Open`.
pub const SESSION: Machine = Machine {
    name: "Session",
    about: "As the client sees it; a driver's attachment is the same with `Attach` and `Attached`.",
    start: "closed",
    steps: &[
        ("closed", "call `Open` or `Attach`: `Refused`", "closed"),
        (
            "closed",
            "call `Open` or `Attach`: `Opened` or `Attached`",
            "open",
        ),
        ("open", "a side finds a `PeerError`", "broken"),
        (
            "open",
            "the capability was revoked, the client or the stack has ended, another driver attached",
            "gone",
        ),
        (
            "broken",
            "that side drops the capabilities that it was given",
            "gone",
        ),
        (
            "gone",
            "the kernel signals the doorbell: the last derived capability is gone",
            "closed",
        ),
    ],
};

/// What the status word of a stream says.
pub const STREAM: Machine = Machine {
    name: "Status word of a stream",
    about: "Bits are only ever added, and an error only once. A stream from `TcpAccept` starts as `established`. \
            After an error, bytes that are in the receive FIFO can still be read; nothing more comes.",
    start: "connecting",
    steps: &[
        ("connecting", "the peer answers", "established"),
        (
            "connecting",
            "the peer refuses, nobody answers, no route, aborted",
            "failed",
        ),
        (
            "established",
            "the peer ends its direction (FIN); its last byte is in the FIFO",
            "established, peer closed",
        ),
        (
            "established",
            "reset, timeout, abort, network or session gone",
            "ended",
        ),
        (
            "established, peer closed",
            "reset, timeout, abort, network or session gone",
            "ended",
        ),
    ],
};

/// States that `SocketInfo` tells of.
pub const TCP: Machine = Machine {
    name: "TCP (`SocketState`)",
    about: "As `Inspect` tells it. From every state, a reset, `Close` with `abort` and the user timeout lead to `Closed`, and a `Closed` \
            socket is gone from the list. A connection that waits in a backlog is there with session 0.",
    start: "none",
    steps: &[
        ("none", "`TcpConnect`", "SynSent"),
        ("none", "`TcpListen`", "Listen"),
        ("none", "`UdpBind`", "Udp"),
        ("none", "a SYN for a listener", "SynReceived"),
        ("SynSent", "SYN and ACK arrive", "Established"),
        ("SynSent", "SYN arrives", "SynReceived"),
        ("SynReceived", "ACK arrives", "Established"),
        ("SynReceived", "FIN arrives", "CloseWait"),
        ("SynReceived", "`Close`", "FinWait1"),
        (
            "Established",
            "`Shutdown` or `Close`, and the FIFO is empty",
            "FinWait1",
        ),
        ("Established", "FIN arrives", "CloseWait"),
        ("FinWait1", "the ACK of the FIN arrives", "FinWait2"),
        ("FinWait1", "FIN arrives", "Closing"),
        (
            "FinWait1",
            "FIN arrives with the ACK of the own",
            "TimeWait",
        ),
        ("FinWait2", "FIN arrives", "TimeWait"),
        ("Closing", "the ACK of the FIN arrives", "TimeWait"),
        (
            "CloseWait",
            "`Shutdown` or `Close`, and the FIFO is empty",
            "LastAck",
        ),
        ("LastAck", "the ACK of the FIN arrives", "Closed"),
        ("TimeWait", "two maximum segment lifetimes pass", "Closed"),
        ("Listen", "`Close`", "none"),
        ("Udp", "`Close`", "none"),
        ("Closed", "the stack forgets it", "none"),
    ],
};

/// What a handle can be used for.
pub const HANDLE: Machine = Machine {
    name: "Handle",
    about: "Requests with a handle that is not `open` fail with `BadHandle`; the generation tells a handle from later ones at the same index.",
    start: "none",
    steps: &[
        (
            "none",
            "`TcpConnect`, `TcpListen`, `UdpBind`: `Failed`",
            "none",
        ),
        (
            "none",
            "`TcpConnect`, `TcpListen`, `UdpBind`: `Opened`; `TcpAccept`: `Accepted`",
            "open",
        ),
        (
            "open",
            "`SetOption`, `Shutdown`: `Done` or `Failed`",
            "open",
        ),
        ("open", "`Close` is sent", "closing"),
        (
            "closing",
            "`Closed`: its memory is the client's again",
            "none",
        ),
    ],
};

/// A buffer of a frame pool.
pub const BUFFER: Machine = Machine {
    name: "Buffer of a frame pool",
    about: "Who has a buffer: one to receive into is given by `Receive`, one to send from by `Transmit`. A message about a buffer in another state is a breach of the protocol.",
    start: "stack's",
    steps: &[
        ("stack's", "`Receive`", "driver's to fill"),
        ("stack's", "`Transmit`", "driver's to send"),
        ("driver's to fill", "`Received`", "stack's"),
        ("driver's to send", "`Transmitted`", "stack's"),
        (
            "driver's to fill",
            "the driver is gone, its device quiet",
            "stack's",
        ),
        (
            "driver's to send",
            "the driver is gone, its device quiet",
            "stack's",
        ),
    ],
};

/// All of them, in the order of the page.
pub const ALL: [&Machine; 5] = [&SESSION, &HANDLE, &STREAM, &TCP, &BUFFER];

impl Machine {
    /// Whether some number of steps, up to `most`, leads from one state to another.
    pub fn leads(&self, from: &str, to: &str, most: usize) -> bool {
        let mut reached = vec![from];
        for _ in 0..most {
            let next: Vec<_> = self
                .steps
                .iter()
                .filter(|step| reached.contains(&step.0))
                .collect();
            reached.extend(next.into_iter().map(|step| step.2));
        }
        reached.contains(&to)
    }

    /// Every state once.
    pub fn states(&self) -> Vec<&'static str> {
        let mut states = vec![self.start];
        for state in self.steps.iter().flat_map(|step| [step.0, step.2]) {
            if !states.contains(&state) {
                states.push(state);
            }
        }
        states
    }
}

/// The machines as Markdown.
pub fn render() -> String {
    let mut text = String::new();
    for machine in ALL {
        let _ = writeln!(text, "### {}\n\n{}\n", machine.name, machine.about);
        let _ = writeln!(text, "Starts in: {}.\n", machine.start);
        let _ = writeln!(text, "| state | event | next state |\n|---|---|---|");
        for (from, event, to) in machine.steps {
            let _ = writeln!(text, "| {from} | {event} | {to} |");
        }
        text.push('\n');
    }
    text
}
