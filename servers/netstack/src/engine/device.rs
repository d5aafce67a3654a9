//! smoltcp's view of the wire: at most one frame to receive, and a sink to send to.

use super::Unknown;
use crate::{
    checksum::Unfinished,
    classify::{be16, ipv4, ipv6},
};
use core::{
    net::IpAddr,
    num::{NonZeroU16, NonZeroUsize},
};
use ipc_proto::frame::MIN_SEGMENT;
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

/// Room for the largest frame that the engine builds ...
pub(super) const SCRATCH: usize = 2048;
/// ... where longer TCP segments are cut: what a message to the driver can say.
pub(crate) const LONGEST_SEGMENT: usize = u16::MAX as usize;

/// No headers are longer: Ethernet, IP with a hop-by-hop header, TCP with all options.
const HEADERS: usize = 14 + 40 + 8 + 60;

/// Where frames go. The engine never holds one back: what finds no room is dropped by the sink and counted there.
pub(crate) trait FrameSink {
    /// Whether a frame would find room. Sockets send only then.
    fn has_room(&self) -> bool;
    /// Takes a frame.
    fn send(&mut self, frame: &[u8]);
    /// Takes a TCP segment that is to be cut into some with so many bytes of data each.
    fn send_segments(&mut self, frame: &[u8], size: u16);
    /// A place where a frame of `len` bytes, to be cut to a size, can be built and sent from as it lies there. In it are bytes of an earlier one.
    /// If it gives none, the frame is built elsewhere, and given to the two above.
    fn place(&mut self, _len: usize, _size: Option<u16>) -> Option<&mut [u8]> {
        None
    }
    /// Takes the frame in the place that was given just before, for the same size. Where something has to be filled in, it is looked for
    /// unless it is known.
    fn send_placed(&mut self, _unfinished: Option<Unfinished>, _size: Option<u16>) {}
    /// The last frame that was sent from its place.
    fn last_placed(&self) -> &[u8] {
        &[]
    }
}

/// A sink for an engine that has nowhere to send to.
pub(crate) struct Nowhere;

impl FrameSink for Nowhere {
    fn has_room(&self) -> bool {
        true
    }

    fn send(&mut self, _frame: &[u8]) {}

    fn send_segments(&mut self, _frame: &[u8], _size: u16) {}
}

/// Where the frame lies that was sent last.
#[derive(Clone, Copy, Default)]
pub(super) enum Last {
    /// There was none.
    #[default]
    Nothing,
    /// In the scratch buffer, with this length.
    Scratch(usize),
    /// Where the sink had it built.
    Placed,
}

/// What a step of the engine sent.
#[derive(Clone, Copy, Default)]
pub(super) struct Steps {
    /// How many frames.
    pub(super) frames: u32,
    /// The last of them.
    pub(super) last: Last,
    /// The neighbour that this one asks for.
    pub(super) asked: Option<IpAddr>,
}

/// A device for one step of the engine.
pub(super) struct OneFrame<'a> {
    medium: Medium,
    mtu: usize,
    receive: Option<&'a [u8]>,
    transmit: Transmit<'a>,
}

struct Transmit<'a> {
    sink: &'a mut dyn FrameSink,
    scratch: &'a mut [u8],
    sent: Steps,
    /// The segment in the scratch buffer is to be cut to this size.
    size: Option<NonZeroU16>,
    /// What the engine does not know, but the peer is told.
    unknown: Unknown,
}

impl<'a> OneFrame<'a> {
    /// A device with this frame to receive. `mtu` counts IP packets; if there is more room in `scratch`, TCP segments over IPv4 may be
    /// longer.
    pub(super) fn new(
        medium: Medium,
        mtu: u16,
        receive: Option<&'a [u8]>,
        sink: &'a mut dyn FrameSink,
        scratch: &'a mut [u8],
    ) -> OneFrame<'a> {
        let header = match medium {
            Medium::Ethernet => crate::classify::ETHERNET,
            Medium::Ip => 0,
        };
        OneFrame {
            medium,
            mtu: usize::from(mtu).saturating_add(header).min(SCRATCH),
            receive,
            transmit: Transmit {
                sink,
                scratch,
                sent: Steps::default(),
                size: None,
                unknown: Unknown::default(),
            },
        }
    }

    /// What is sent is to be put right by what the engine does not know.
    pub(super) fn does_not_know(&mut self, unknown: Unknown) {
        self.transmit.unknown = unknown;
    }

    /// What was sent.
    pub(super) fn finish(self) -> Steps {
        self.transmit.sent
    }
}

pub(super) struct Received<'a>(&'a [u8]);

pub(super) struct Sending<'t, 'a>(&'t mut Transmit<'a>);

impl RxToken for Received<'_> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&[u8]) -> R,
    {
        f(self.0)
    }
}

impl TxToken for Sending<'_, '_> {
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let Transmit {
            sink,
            scratch,
            sent,
            size,
            unknown,
        } = self.0;
        // Less than the least is a flood. A peer that wants no more gets more than it wants, as from others.
        let size = size.take().map(|size| size.get().max(MIN_SEGMENT));
        let result = if let Some(place) = sink.place(len, size) {
            let result = build(place, (sent, unknown), f);
            sent.last = Last::Placed;
            sink.send_placed(None, size);
            result
        } else if let Some(buffer) = scratch.get_mut(..len) {
            let result = build(buffer, (sent, unknown), f);
            sent.last = Last::Scratch(len);
            match size {
                Some(size) => sink.send_segments(buffer, size),
                None => sink.send(buffer),
            }
            result
        } else {
            // Longer than the device said it takes: built to satisfy the caller, and thrown away.
            return f(&mut alloc::vec![0; len]);
        };
        // Each piece counts, against the rates of a session.
        let pieces = size.map_or(1, |size| len.div_ceil(size.into()) as u32);
        sent.frames = sent.frames.saturating_add(pieces);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.0.size = meta.segmentation_offload_size;
    }
}

/// Has a frame built, looks at it, and puts it right.
#[inline(always)]
fn build<R>(
    frame: &mut [u8],
    (sent, unknown): (&mut Steps, &Unknown),
    f: impl FnOnce(&mut [u8]) -> R,
) -> R {
    // Nothing of an earlier frame may leak into padding of the headers, or into bytes of them that the engine leaves
    // alone. What lies behind is written as a whole.
    let headers = frame.len().min(HEADERS);
    frame.get_mut(..headers).unwrap_or_default().fill(0);
    let result = f(frame);
    if !unknown.is_nothing() {
        unknown.sent(frame);
    }
    sent.asked = neighbor_asked_for(frame);
    result
}

/// The neighbour that a frame asks for.
fn neighbor_asked_for(frame: &[u8]) -> Option<IpAddr> {
    match be16(frame, 12)? {
        0x0806 if be16(frame, 20) == Some(1) => ipv4(frame, 38).map(IpAddr::V4),
        0x86dd if frame.get(20) == Some(&58) && frame.get(54) == Some(&135) => {
            ipv6(frame, 62).map(IpAddr::V6)
        }
        _ => None,
    }
}

impl<'a> Device for OneFrame<'a> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Sending<'t, 'a>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_, 'a>)> {
        // smoltcp asks for the token of an answer with every frame; most need none, so it is given even without
        // room, and the sink drops what it can't hold.
        let frame = self.receive.take()?;
        Some((Received(frame), Sending(&mut self.transmit)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_, 'a>> {
        self.transmit
            .sink
            .has_room()
            .then_some(Sending(&mut self.transmit))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = self.medium;
        capabilities.max_transmission_unit = self.mtu;
        // Looked at before the engine gets a frame, filled in behind it (`checksum`).
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        // Not over IPv6, where the engine sends nothing longer than the MTU (smoltcp 0.14).
        if self.transmit.scratch.len() > SCRATCH {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(self.transmit.scratch.len());
        }
        capabilities
    }
}
