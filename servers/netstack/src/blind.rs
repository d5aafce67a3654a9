//! What somebody who knows the addresses of a connection but can't see it may not be able to do to it (RFC 5961).
//!
//! smoltcp takes a reset anywhere in the window, leaves a SYN unanswered, and takes an acknowledgment of bytes that wait to
//! be sent. So each segment of a synchronized connection is judged here before the engine hears of it. Touches nothing.

use crate::{classify::Segment, engine::TcpState};

/// What to do with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The engine gets it.
    Hear,
    /// The peer is told what was received. If it was the one who sent this, it answers with what can be believed.
    Challenge,
    /// Nobody gets it.
    Drop,
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// Its state.
    pub(crate) state: TcpState,
    /// The sequence number of the next byte from the peer.
    pub(crate) receive_next: u32,
    /// Bytes that the receive buffer holds, which no window exceeds.
    pub(crate) window: u32,
    /// The sequence number behind everything that was ever sent.
    pub(crate) sent: u32,
}

/// Whether `a` lies behind `b` in the circle of sequence numbers (RFC 9293 section 3.4).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < 1 << 31
}

impl Position {
    /// Judges a segment.
    pub(crate) fn judge(&self, segment: &Segment) -> Verdict {
        if matches!(self.state, TcpState::SynSent | TcpState::Closed) {
            return Verdict::Hear;
        }
        if segment.is_reset() {
            return match segment.seq.wrapping_sub(self.receive_next) {
                // RFC 1337: what has ended is not ended early.
                _ if self.state == TcpState::TimeWait => Verdict::Drop,
                0 => Verdict::Hear,
                offset if offset < self.window => Verdict::Challenge,
                _ => Verdict::Drop,
            };
        }
        // Two that open a connection to each other exchange SYNs.
        if self.state == TcpState::SynReceived {
            return Verdict::Hear;
        }
        let is_of_the_future = segment.is_ack() && is_after(segment.ack, self.sent);
        if segment.is_syn() || is_of_the_future {
            return Verdict::Challenge;
        }
        Verdict::Hear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position {
        state: TcpState::Established,
        receive_next: u32::MAX - 10,
        window: 100,
        sent: 5,
    };

    fn segment(flags: u8, offset: u32, ack: u32) -> Segment {
        Segment {
            src_port: 1,
            dst_port: 2,
            seq: AT.receive_next.wrapping_add(offset),
            ack,
            flags,
            window: 1000,
            len: 0,
        }
    }

    #[test]
    fn order_is_that_of_a_circle() {
        assert!(is_after(1, 0) && is_after(0, u32::MAX) && is_after(1 << 31, 0));
        assert!(!is_after(0, 0) && !is_after(0, 1) && !is_after((1 << 31) + 1, 0));
    }

    #[test]
    fn verdicts_are_those_of_the_rfc_across_the_end_of_the_circle() {
        for (flags, offset, ack, verdict) in [
            (4, 0, 0, Verdict::Hear),
            (4, 1, 0, Verdict::Challenge),
            (4, 99, 0, Verdict::Challenge),
            (4, 100, 0, Verdict::Drop),
            (4, u32::MAX, 0, Verdict::Drop),
            (2, 0, 0, Verdict::Challenge),
            (18, 1 << 31, 5, Verdict::Challenge),
            (16, 0, 5, Verdict::Hear),
            (16, 0, u32::MAX, Verdict::Hear),
            (16, 0, 6, Verdict::Challenge),
            (17, 0, 1 << 30, Verdict::Challenge),
        ] {
            let judged = AT.judge(&segment(flags, offset, ack));
            assert_eq!(judged, verdict, "{flags} {offset} {ack}");
        }
        let ended = Position {
            state: TcpState::TimeWait,
            ..AT
        };
        assert_eq!(ended.judge(&segment(4, 0, 0)), Verdict::Drop);
        let opening = Position {
            state: TcpState::SynSent,
            ..AT
        };
        assert_eq!(opening.judge(&segment(18, 7, 5)), Verdict::Hear);
    }
}
