//! What is outside of the driver server: a device, a stack's end of the channel, time; and who owns which buffer.

use crate::input::Input;
use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{Checksum, HEADROOM, Offload, Offloads, Pool, Run, ToDriver, ToStack},
    hello::Hello,
    setup::DevRequest,
    shm::Shm,
};
use std::collections::VecDeque;
use virtio_net::{
    device::ETHERNET_HEADER,
    error::AttachError,
    fake::{self, FakeNic},
    hal::HEADER_START,
    offload::{HEADER, Header},
    server::{Attachment, Events, Platform},
    session::Shared,
};

/// Buffers of each pool: more than are named by most messages, few enough to be named twice. The last ones are large.
pub(super) const BUFFERS: u16 = 16;
const LAYOUT: Pool = Pool {
    small: BUFFERS - 2,
    large: 2,
};
/// Waits in one input: those of the script, of pauses between attachments, and of the end.
const MAX_WAITS: u32 = 2000;

/// Who does anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Liar {
    /// The stack.
    Stack,
    /// The device.
    Device,
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The input says what happens.
    Anything,
    /// Both behave: buffers are given, ...
    Give,
    /// ... the device moves frames, ...
    Move,
    /// ... the stack is told.
    Take,
    /// They were.
    Done,
}

/// A buffer that the device holds: its first descriptor, and what it has of it in its pool.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) id: u16,
    pub(super) offset: usize,
    pub(super) len: u32,
}

/// What is outside.
pub(super) struct World {
    pub(super) device: FakeNic,
    pub(super) phase: Phase,
    pub(super) told: Vec<ToStack>,
    /// The stack's end, while there is an attachment, and its memory.
    pub(super) stack: Option<(Channel<ToDriver, ToStack>, Shm)>,
    /// What the stack answers to the next attempts to attach.
    pub(super) refusals: VecDeque<AttachError>,
    /// How much less memory than it says the next attachment brings, in bytes: of the channel, of the pool to receive into.
    pub(super) short: [usize; 2],
    /// The stack has written over its own view of the channel: what it reads means nothing.
    pub(super) spoiled: bool,
    /// The stack does not read.
    pub(super) lazy: bool,
    /// What the device holds, by queue.
    pub(super) held: [Vec<Held>; 2],
    pub(super) now: u64,
    /// What the stack chooses the next time, of what it is offered if `modest`.
    pub(super) choice: Offloads,
    pub(super) modest: bool,
    /// What it has chosen.
    chosen: Offloads,
    liar: Liar,
    pool_len: usize,
    /// What the driver has, by pool.
    given: [[bool; BUFFERS as usize]; 2],
    resets: u32,
    attachments: u32,
    waits: u32,
}

impl World {
    pub(super) fn is_attached(&self) -> bool {
        self.stack.is_some()
    }

    /// Sends a message, if there is room.
    pub(super) fn give(&mut self, message: ToDriver) -> bool {
        let Some((stack, _)) = &mut self.stack else {
            return false;
        };
        let sent = stack.send(&message).is_ok();
        let _ = stack.flush();
        sent
    }

    /// Takes what the driver says, and holds it against what was given.
    pub(super) fn read(&mut self) {
        let Some((stack, _)) = &mut self.stack else {
            return;
        };
        while let Ok(Some(message)) = stack.receive() {
            self.told.push(message);
            let (buffers, pool) = match message {
                ToStack::Received {
                    buffer,
                    len,
                    checksum,
                } => {
                    let room = LAYOUT.place(buffer).map_or(0, |(_, len)| len - HEADROOM);
                    let whole = (ETHERNET_HEADER..=room).contains(&(len as usize));
                    assert!(whole || self.spoiled, "a frame of {len} bytes");
                    let told = checksum == Checksum::Unknown || self.chosen.receive_checksum;
                    assert!(told || self.spoiled, "vouches unasked");
                    (Run::one(buffer), 0)
                }
                ToStack::Transmitted { buffers } => (buffers, 1),
                ToStack::Link { .. } => continue,
            };
            if self.spoiled {
                continue;
            }
            for buffer in buffers.range() {
                let number = buffer as u16;
                let (start, len) = LAYOUT.place(number).expect("a buffer");
                let place = start..start + len;
                let held = self.held[pool].iter();
                let held = held.filter(|held| place.contains(&held.offset));
                assert!(
                    held.count() == 0 || self.liar == Liar::Device,
                    "buffer {buffer} is the device's, and was returned"
                );
                if self.liar == Liar::Device && self.phase == Phase::Anything {
                    let was_given = core::mem::take(&mut self.given[pool][buffer]);
                    assert!(was_given, "buffer {buffer} was not given for that");
                }
            }
        }
        let _ = stack.flush();
    }

    /// The device looks at what was made available. Whatever it is shown is a whole buffer, and not one that it has.
    pub(super) fn look(&mut self) {
        let resets = self.device.0.borrow().resets;
        if resets != self.resets {
            self.resets = resets;
            self.held = Default::default();
        }
        for queue in 0..2 {
            while self.device.is_enabled(queue)
                && let Some(id) = self.device.take_available(queue)
            {
                let (offset, len, from) = if queue == 0 {
                    let (offset, len) = self.device.to_receive(id);
                    (offset, len, HEADER_START)
                } else {
                    let (offset, len, header) = self.device.to_send(id);
                    self.judge_header(header, len as usize);
                    (offset, len, HEADROOM)
                };
                let mut places = (0..BUFFERS).filter_map(|buffer| LAYOUT.place(buffer));
                let place = places.find(|(start, _)| offset == start + from);
                let (start, room) = place.expect("not the start of a buffer");
                let end = offset + len as usize;
                assert!(end <= start + room, "{len} bytes");
                assert!(queue == 1 || end <= self.pool_len, "outside of the pool");
                assert!(len as usize >= ETHERNET_HEADER, "{len} bytes");
                let known = self.held[queue].iter().find(|held| held.offset == offset);
                assert!(known.is_none() || self.liar == Liar::Device, "given twice");
                self.held[queue].push(Held { id, offset, len });
                assert!(self.held[queue].len() <= [256, 128][queue] || self.liar == Liar::Device);
            }
        }
    }

    /// A header asks for no more than was agreed on, and names no byte outside of the frame, whatever the stack writes.
    fn judge_header(&self, header: Header, len: usize) {
        let [flags, kind, headers, _, _, _, start, _, place, ..] = header;
        assert!(flags == 0 || self.chosen.transmit_checksum);
        assert!(kind == 0 || self.chosen.transmit_segments && flags == 1);
        assert!(flags == 0 || usize::from(start) + usize::from(place) + 2 <= len);
        assert!(usize::from(headers) < len);
    }

    /// The device moves some frames as it should.
    pub(super) fn device_behaves(&mut self, input: &mut Input<'_>) {
        self.look();
        for queue in 0..2 {
            let count = self.held[queue].len().min(input.below(4));
            for held in self.held[queue].drain(..count).collect::<Vec<_>>() {
                let len = if queue == 0 {
                    self.write_header(held.offset, input);
                    u32::from(input.u8()).clamp(HEADER as u32, held.len)
                } else {
                    0
                };
                self.device.push_used(queue, held.id.into(), len);
            }
        }
    }

    /// The device says of a frame what was agreed on; a hostile one says anything.
    fn write_header(&mut self, offset: usize, input: &mut Input<'_>) {
        let mut header = [0; HEADER];
        match input.below(4) {
            0 if self.chosen.receive_checksum => header[0] = 2,
            1 if self.liar == Liar::Device && self.phase == Phase::Anything => {
                for byte in &mut header {
                    *byte = input.u8();
                }
            }
            _ => {}
        }
        let pools = self.device.0.borrow().pools.clone();
        let [pool, _] = pools.expect("pools");
        let _ = pool.write(offset, &header);
    }

    /// The stack gives some buffers, each once, and reads.
    pub(super) fn stack_behaves(&mut self, input: &mut Input<'_>) {
        self.read();
        for buffer in 0..BUFFERS {
            // The first half is to receive into, two more are to send from.
            let pool = usize::from(buffer >= BUFFERS / 2);
            if self.given[pool][usize::from(buffer)] {
                continue;
            }
            let message = if pool == 0 {
                ToDriver::Receive {
                    buffers: Run::one(buffer),
                }
            } else if buffer < BUFFERS / 2 + 2 && input.flag() {
                let len = ETHERNET_HEADER as u16 + u16::from(input.u8()) * 7;
                let offload = match self.chosen.transmit_checksum && len >= 52 {
                    true => Offload::Checksum {
                        start: 34,
                        offset: 16,
                    },
                    false => Offload::Nothing,
                };
                ToDriver::Transmit {
                    buffer,
                    len,
                    offload,
                }
            } else {
                continue;
            };
            if self.give(message) {
                self.given[pool][usize::from(buffer)] = true;
            }
        }
    }

    /// From here on nobody lies.
    pub(super) fn behave(&mut self) {
        self.phase = Phase::Give;
        self.refusals.clear();
        self.short = [0; 2];
        self.modest = true;
        self.device.repair();
    }

    /// Ends the input: the device fails for good.
    pub(super) fn finish(&mut self) -> Events {
        self.device.0.borrow_mut().never_resets = true;
        Events::STACK_GONE
    }

    /// Changes a word of the channel or of the pool to receive into.
    pub(super) fn scribble(&mut self, in_pool: bool, at: usize, change: impl Fn(u32) -> u32) {
        let pools = self.device.0.borrow().pools.clone();
        let pool = pools.map(|[pool, _]| pool);
        let channel = self.stack.as_ref().map(|(_, memory)| memory.clone());
        let Some(memory) = (if in_pool { pool } else { channel }) else {
            return;
        };
        let old = memory.load(at, Ordering::Relaxed).unwrap_or(0);
        let _ = memory.store(at, change(old), Ordering::Relaxed);
        self.spoiled |= !in_pool;
    }
}

/// The server's platform: asks a script what happens while it waits.
pub(super) struct Scripted<F> {
    pub(super) world: World,
    script: F,
}

impl<F: FnMut(&mut World) -> Events> Scripted<F> {
    pub(super) fn new(liar: Liar, script: F) -> Scripted<F> {
        let world = World {
            device: FakeNic::new(),
            phase: Phase::Anything,
            told: Vec::new(),
            stack: None,
            refusals: VecDeque::new(),
            short: [0; 2],
            spoiled: false,
            lazy: false,
            held: Default::default(),
            now: 0,
            choice: Offloads::default(),
            modest: true,
            chosen: Offloads::default(),
            liar,
            pool_len: 0,
            given: Default::default(),
            resets: 0,
            attachments: 0,
            waits: 0,
        };
        world.device.0.borrow_mut().hostile = liar == Liar::Device;
        Scripted { world, script }
    }
}

impl<F: FnMut(&mut World) -> Events> Platform for Scripted<F> {
    type Registers = FakeNic;

    fn now(&self) -> u64 {
        self.world.now
    }

    fn wait(&mut self, deadline: u64) -> Events {
        self.world.waits += 1;
        assert!(self.world.waits < MAX_WAITS, "endless");
        let events = (self.script)(&mut self.world);
        if events.is_empty() || !self.world.is_attached() {
            self.world.now = self.world.now.max(deadline);
        }
        events
    }

    fn acknowledge(&mut self, interrupts: Events) {
        assert!(Events::INTERRUPTS.contains(interrupts) && !interrupts.is_empty());
    }

    fn ring_stack(&mut self) {}

    fn give_way(&mut self) {}

    fn linger(&mut self) {
        self.world.now += 1_000;
    }

    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError> {
        let DevRequest::Attach {
            hello, offloads, ..
        } = request;
        assert_eq!(hello, &Hello::FRAME);
        let world = &mut self.world;
        if let Some(error) = world.refusals.pop_front() {
            return Err(error);
        }
        world.attachments += 1;
        world.given = Default::default();
        world.told.clear();
        world.held = Default::default();
        world.spoiled = false;
        world.lazy = false;
        let bytes = Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL);
        let memory = Shm::heap(bytes);
        let stack = Channel::new(memory.clone(), Side::Stack, FRAME_CHANNEL);
        world.stack = Some((stack.expect("a channel"), memory.clone()));
        let [pool, _] = fake::pools(&world.device, [LAYOUT; 2]);
        world.chosen = match world.modest {
            true => offloads.and(world.choice),
            false => world.choice,
        };
        let [channel_short, pool_short] = core::mem::take(&mut world.short);
        world.pool_len = pool.len().saturating_sub(pool_short);
        let part = |memory: &Shm, short: usize| {
            let len = memory.len().saturating_sub(short);
            memory.part(0, len).expect("a part")
        };
        Ok(Attachment {
            shared: Shared {
                channel: part(&memory, channel_short),
                pool: part(&pool, pool_short),
                receive: LAYOUT,
                send: LAYOUT,
                offloads: world.chosen,
            },
            memory: fake::memory([LAYOUT; 2]),
            generation: world.attachments,
        })
    }

    fn detach(&mut self) {
        let state = self.world.device.0.borrow();
        assert!(
            state.status == 0 || state.never_resets || state.hostile,
            "memory is let go while the device runs"
        );
        drop(state);
        self.world.stack = None;
    }
}
