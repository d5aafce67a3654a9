//! A device that does anything with its registers, its queues and its interrupts, and configuration space of any bytes.

use super::{SECOND, world::World};
use crate::input::Input;
use core::cell::Cell;
use ipc_proto::frame::Offloads;
use virtio_net::{
    fake::NEEDS_RESET,
    pci::{self, ConfigSpace, Location},
    server::Events,
};

/// Does one thing. Returns what the driver wakes up for.
pub(super) fn act(world: &mut World, input: &mut Input<'_>) -> Events {
    let what = input.u8();
    if !world.is_attached() {
        // Between two attachments it may become a good one.
        if what & 3 == 0 {
            world.device.repair();
            world.device.0.borrow_mut().hostile = true;
        }
        return Events::empty();
    }
    world.look();
    let queue = usize::from(what >> 4 & 1);
    match what % 16 {
        0..=4 => world.device_behaves(input),
        5 | 6 => use_any(world, queue, input),
        7 if world.device.is_enabled(queue) => {
            let index = world.device.0.borrow().queues[queue].used_index;
            let index = match input.below(4) {
                0 => input.u16(),
                _ => index.wrapping_add(input.u8() as i8 as u16),
            };
            world.device.set_used_index(queue, index);
        }
        8 if world.device.is_enabled(queue) => world.device.corrupt_descriptors(queue),
        9 => {
            let mut state = world.device.0.borrow_mut();
            let at = input.below(state.config.len());
            state.config[at] = input.u8();
        }
        10 => {
            let status = match input.below(3) {
                0 => input.u8(),
                1 => 0,
                _ => world.device.0.borrow().status | NEEDS_RESET,
            };
            world.device.0.borrow_mut().status = status;
        }
        11 => change(world, input),
        12 => {
            // At any of the next reads, so also while it is set up the next time.
            let mut state = world.device.0.borrow_mut();
            for _ in 0..input.below(64) {
                state.lies.push_back(None);
            }
            for _ in 0..=input.below(4) {
                let value = match input.below(4) {
                    0 => u32::MAX,
                    1 => input.u32(),
                    _ => input.u8().into(),
                };
                state.lies.push_back(Some(value));
            }
        }
        13 => world.now += u64::from(input.u8()) * SECOND / 5,
        14 if input.below(4) == 0 => {
            // The stack chooses all that there is, or nothing.
            let all = input.flag();
            world.choice = Offloads {
                transmit_checksum: all,
                receive_checksum: all,
                transmit_segments: all,
                receive_segments: all,
            };
            return Events::STACK_GONE;
        }
        _ => {}
    }
    let events = Events::from_bits_truncate(input.u8().into());
    events.difference(Events::STACK_GONE)
}

/// Writes any used element.
fn use_any(world: &mut World, queue: usize, input: &mut Input<'_>) {
    if !world.device.is_enabled(queue) {
        return;
    }
    let id = match input.below(4) {
        0 => input.u32(),
        1 => u32::from(input.u8()),
        // One that it has, or had.
        _ => {
            let held = &world.held[queue];
            let which = held.get(input.below(16)).map_or(0, |held| held.id);
            u32::from(which) | u32::from(input.u8() == 0xff) << 16
        }
    };
    let len = match input.below(6) {
        0 => input.u32(),
        1 => u32::from(input.u16()),
        2 => input.pick(&[0, 11, 12, 25, 26, 2042, 2043, 65_536, u32::MAX]),
        _ => 12 + u32::from(input.u8()),
    };
    world.device.push_used(queue, id, len);
}

/// Changes what the device says when it is set up.
fn change(world: &mut World, input: &mut Input<'_>) {
    let mut state = world.device.0.borrow_mut();
    match input.below(7) {
        0 => state.offered ^= 1 << input.below(64),
        1 => state.max_queue_size = input.pick(&[0, 1, 128, 255, 256, 512, 0x8000, 0xffff]),
        2 => state.notify_off = input.u16(),
        3 => state.refuses_features = input.flag(),
        4 => state.refuses_vectors = input.flag(),
        5 => state.unstable = input.flag(),
        _ => state.never_resets = input.flag(),
    }
}

/// Configuration space that counts how often it is read.
struct Space<'a> {
    bytes: &'a [u8],
    reads: Cell<u32>,
}

impl ConfigSpace for Space<'_> {
    fn read32(&self, offset: u8) -> Option<u32> {
        assert_eq!(offset % 4, 0, "unaligned");
        self.reads.set(self.reads.get() + 1);
        let at = usize::from(offset);
        let word: &[u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(*word))
    }
}

/// Looks for the structures of a device in any bytes: the lengths of six registers, then configuration space.
pub(super) fn probe(data: &[u8]) {
    let mut input = Input::new(data);
    let mut bars = [0; 6];
    for bar in &mut bars {
        *bar = match input.below(4) {
            0 => 0,
            1 => 0x4000,
            2 => input.u32().into(),
            _ => u64::from(input.u32()) << 16,
        };
    }
    let mut bytes = [0; 256];
    let space = input.bytes(256);
    bytes[..space.len()].copy_from_slice(space);
    if input.u8() & 7 != 7 {
        // What the first words have to be.
        bytes[..4].copy_from_slice(&[0xf4, 0x1a, 0x41, 0x10]);
        bytes[6] |= 0x10;
    }
    let space = Space {
        bytes: &bytes,
        reads: Cell::new(0),
    };
    let found = pci::find(&space, &bars);
    assert!(space.reads.get() < 500, "{} reads", space.reads.get());
    if let Ok(layout) = found {
        let check = |place: Location, least: usize| {
            let bar = bars[usize::from(place.bar)];
            let end = (place.start as u64).checked_add(place.len as u64);
            assert!(end.is_some_and(|end| end <= bar) && place.len >= least);
        };
        check(layout.common, pci::COMMON_LEN);
        check(layout.notify, 2);
        check(layout.device, pci::DEVICE_LEN);
    }
}
