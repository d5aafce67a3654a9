//! The registers of the device, laid out as the driver is told (VIRTIO 1.2 section 4.1.4), and what they say instead of the truth. Touches
//! the state of the device.

use super::{FakeNic, FakeQueue};
use crate::{
    pci::{Layout, Location},
    registers::Registers,
};

pub(super) const LAYOUT: Layout = {
    const fn at(start: usize, len: usize) -> Location {
        Location { bar: 4, start, len }
    }
    Layout {
        common: at(0, 0x38),
        notify: at(0x3000, 0x1000),
        notify_multiplier: 4,
        device: at(0x2000, 12),
    }
};

impl FakeNic {
    fn lie(&self) -> Option<u32> {
        self.0.borrow_mut().lies.pop_front().flatten()
    }

    fn queue(&self, with: impl FnOnce(&mut FakeQueue)) {
        let mut state = self.0.borrow_mut();
        let selected = usize::from(state.selected);
        if let Some(queue) = state.queues.get_mut(selected) {
            with(queue);
        }
    }

    fn selected(&self) -> FakeQueue {
        let state = self.0.borrow();
        let selected = usize::from(state.selected);
        state.queues.get(selected).copied().unwrap_or_default()
    }

    fn set_status(&self, status: u8) {
        let mut state = self.0.borrow_mut();
        if status != 0 {
            let refused = if state.refuses_features { 8 } else { 0 };
            state.status = status & !refused;
            return;
        }
        if state.never_resets {
            return;
        }
        state.resets += 1;
        state.status = 0;
        state.accepted = 0;
        state.config_vector = 0xffff;
        let size = state.max_queue_size;
        state.queues = [FakeQueue {
            size,
            vector: 0xffff,
            ..FakeQueue::default()
        }; 2];
    }

    fn vector(&self, asked: u16) -> u16 {
        if self.0.borrow().refuses_vectors {
            0xffff
        } else {
            asked
        }
    }
}

impl Registers for FakeNic {
    fn read8(&self, offset: usize) -> u8 {
        if let Some(lie) = self.lie() {
            return lie as u8;
        }
        let mut state = self.0.borrow_mut();
        match offset {
            0x14 => state.status,
            0x15 => {
                if state.unstable {
                    state.generation = state.generation.wrapping_add(1);
                }
                state.generation
            }
            0x2000.. => state.config[offset - 0x2000],
            _ => panic!("8-bit read at {offset:#x}"),
        }
    }

    fn read16(&self, offset: usize) -> u16 {
        if let Some(lie) = self.lie() {
            return lie as u16;
        }
        match offset {
            0x10 => self.0.borrow().config_vector,
            0x18 => self.selected().size,
            0x1a => self.selected().vector,
            0x1c => self.selected().enabled,
            0x1e => {
                let state = self.0.borrow();
                state.notify_off.wrapping_add(state.selected)
            }
            0x2000.. => {
                let state = self.0.borrow();
                let at = offset - 0x2000;
                u16::from_le_bytes([state.config[at], state.config[at + 1]])
            }
            _ => panic!("16-bit read at {offset:#x}"),
        }
    }

    fn read32(&self, offset: usize) -> u32 {
        if let Some(lie) = self.lie() {
            return lie;
        }
        assert_eq!(offset, 4, "32-bit read");
        let state = self.0.borrow();
        (state.offered >> (32 * state.feature_select)) as u32
    }

    fn write8(&self, offset: usize, value: u8) {
        assert_eq!(offset, 0x14, "8-bit write");
        self.set_status(value);
    }

    fn write16(&self, offset: usize, value: u16) {
        match offset {
            0x10 => {
                let vector = self.vector(value);
                self.0.borrow_mut().config_vector = vector;
            }
            0x16 => self.0.borrow_mut().selected = value,
            0x18 => self.queue(|queue| queue.size = value),
            0x1a => {
                let vector = self.vector(value);
                self.queue(|queue| queue.vector = vector);
            }
            0x1c => self.queue(|queue| queue.enabled = value),
            0x3000.. => {
                let queue = usize::from(value);
                let mut state = self.0.borrow_mut();
                let place = 0x3000 + 4 * queue;
                assert!(offset == place || state.hostile, "notification register");
                state.queues[queue].kicks += 1;
            }
            _ => panic!("16-bit write at {offset:#x}"),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        match offset {
            0x00 | 0x08 => self.0.borrow_mut().feature_select = value,
            0x0c => {
                let mut state = self.0.borrow_mut();
                let shift = 32 * state.feature_select;
                state.accepted |= u64::from(value) << shift;
            }
            0x20..0x38 => self.queue(|queue| {
                let area = &mut queue.areas[(offset - 0x20) / 8];
                let shift = 8 * (offset % 8);
                *area = *area & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }),
            _ => panic!("32-bit write at {offset:#x}"),
        }
    }
}
