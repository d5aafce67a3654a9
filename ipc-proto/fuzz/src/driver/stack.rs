//! A stack that does anything with its channel, its pool and its driver.

use super::{
    SECOND,
    world::{BUFFERS, World},
};
use crate::input::Input;
use ipc_proto::{
    channel::FRAME_CHANNEL,
    frame::{Offload, Offloads, Run, ToDriver},
    setup::Refusal,
};
use virtio_net::{error::AttachError, server::Events};

fn buffer(input: &mut Input<'_>) -> u16 {
    match input.u8() {
        0xff => input.u16(),
        0xfe => BUFFERS,
        other => u16::from(other) % BUFFERS,
    }
}

fn message(input: &mut Input<'_>) -> ToDriver {
    if input.flag() {
        let first = buffer(input);
        let count = match input.below(8) {
            0 => input.u16(),
            1 => 0,
            other => other as u16 - 1,
        };
        return ToDriver::Receive {
            buffers: Run { first, count },
        };
    }
    let len = match input.below(8) {
        0 => input.u16(),
        1 => 13,
        2 => 14,
        3 => 2030,
        4 => 2031,
        _ => 14 + u16::from(input.u8()) * 7,
    };
    // Most are right, or nearly so.
    let (start, offset) = match input.below(4) {
        0 => (input.u8(), input.u8()),
        1 => (54, 16),
        _ => (34, input.pick(&[6, 16])),
    };
    let offload = match input.below(4) {
        0 | 1 => Offload::Nothing,
        2 => Offload::Checksum { start, offset },
        _ => Offload::Segment {
            start,
            offset,
            header: input.pick(&[54, 53, 66, 74, 255]),
            size: input.pick(&[1460, 48, 47, 0, u16::MAX]),
        },
    };
    ToDriver::Transmit {
        buffer: buffer(input),
        len,
        offload,
    }
}

/// Does one thing. Returns what the driver wakes up for.
pub(super) fn act(world: &mut World, input: &mut Input<'_>) -> Events {
    let what = input.u8();
    if !world.lazy {
        world.read();
    }
    match what % 16 {
        0..=5 => {
            // Several at once, some of them the same.
            for _ in 0..=input.below(8) {
                world.give(message(input));
            }
        }
        6 => {
            let message = message(input);
            while world.give(message) {}
        }
        7 => world.lazy = true,
        8 => {
            // What it reads late, it may have given again already.
            let spoiled = core::mem::replace(&mut world.spoiled, true);
            world.read();
            world.spoiled = spoiled;
            world.lazy = false;
        }
        9 => {
            // Indices and wake words, or slots.
            let words = FRAME_CHANNEL.bytes() / 4;
            let at = match input.below(4) {
                0 | 1 => input.pick(&[0, 4, 64, 68, 128, 192]),
                2 => 256 + usize::from(input.u8()) * 4,
                _ => usize::from(input.u16()) % words * 4,
            };
            let (value, delta) = (input.u32(), input.u8() as i8 as u32);
            let is_delta = input.flag();
            world.scribble(false, at, |old| match is_delta {
                true => old.wrapping_add(delta),
                false => value,
            });
        }
        10 => {
            let (at, value) = (usize::from(input.u16()) & !3, input.u32());
            world.scribble(true, at, |_| value);
        }
        11 => world.now += u64::from(input.u8()) * SECOND / 50,
        12 => world.refusals.push_back(input.pick(&[
            AttachError::NotReady,
            AttachError::BadReply,
            AttachError::Refused(Refusal::Exhausted),
            AttachError::Failed("do it"),
        ])),
        13 => {
            world.short = [
                input.pick(&[0, 0, 64, 32_000]),
                input.pick(&[0, 1, 2048, 32_768]),
            ];
        }
        14 => {
            let bits = input.u8();
            world.choice = Offloads {
                transmit_checksum: bits & 1 != 0,
                receive_checksum: bits & 2 != 0,
                transmit_segments: bits & 4 != 0,
                receive_segments: bits & 8 != 0,
            };
            world.modest = bits & 0x70 != 0;
            return Events::STACK_GONE;
        }
        _ => {}
    }
    match what >> 4 {
        0 => Events::empty(),
        1 => Events::CONFIG,
        _ => Events::BELL,
    }
}
