//! The driver server between a stack and a device, one of which does anything while the other behaves.
//!
//! Nothing may panic or go on without end. The device never sees a descriptor that is not one whole buffer of the pool, or
//! that it has already; memory is let go only when the device is reset; a buffer comes back as often as it was given,
//! for the use that it was given for. Once both sides behave again frames pass, unless the device was given up.

mod device;
mod stack;
mod world;

use crate::input::Input;
use ipc_proto::frame::{Checksum, Offload, Run, ToDriver, ToStack};
use virtio_net::{
    fake::{self, frame},
    server::{Events, Outcome, run as serve},
};
use world::{Liar, Phase, Scripted, World};

/// What happens in one input, at most.
const MAX_STEPS: usize = 120;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The stack does anything; the device behaves.
pub fn run_stack(data: &[u8]) {
    play(data, Liar::Stack);
}

/// The device does anything; the stack behaves. Or: configuration space is any bytes.
pub fn run_device(data: &[u8]) {
    match data {
        [0xf0..=0xff, space @ ..] => device::probe(space),
        _ => play(data, Liar::Device),
    }
}

/// Plays an input, then lets both sides behave.
fn play(data: &[u8], liar: Liar) {
    let _turn = fake::take_turn();
    let mut input = Input::new(data);
    let mut steps = 0;
    // What happens while the server waits.
    let script = |world: &mut World| {
        if world.phase != Phase::Anything {
            return recover(world);
        }
        steps += 1;
        if steps >= MAX_STEPS || input.is_empty() {
            world.behave();
            return Events::STACK_GONE;
        }
        match liar {
            Liar::Stack => {
                let events = stack::act(world, &mut input);
                world.device_behaves(&mut input);
                events | Events::RECEIVE
            }
            Liar::Device => {
                world.stack_behaves(&mut input);
                device::act(world, &mut input)
            }
        }
    };
    let mut platform = Scripted::new(liar, script);
    let transport = platform.world.device.transport();
    let outcome = serve(&mut platform, &transport);
    assert!(matches!(outcome, Outcome::DeviceFailed(_)), "{outcome:?}");
    assert!(
        platform.world.phase == Phase::Done || liar == Liar::Device,
        "a good device was given up: {outcome:?}"
    );
}

/// Frames pass both ways when nobody lies any more.
fn recover(world: &mut World) -> Events {
    if !world.is_attached() {
        return Events::empty();
    }
    match world.phase {
        Phase::Give => {
            world.give(ToDriver::Receive {
                buffers: Run::one(1),
            });
            let len = 60;
            world.give(ToDriver::Transmit {
                buffer: 2,
                len,
                offload: Offload::Nothing,
            });
            world.phase = Phase::Move;
            Events::BELL
        }
        Phase::Move => {
            assert!(world.device.receive(&frame(3, 64)).is_some(), "no buffer");
            assert_eq!(world.device.transmit().len(), 1, "nothing to send");
            world.phase = Phase::Take;
            Events::RECEIVE | Events::TRANSMIT
        }
        Phase::Take => {
            world.read();
            let expected = [
                ToStack::Received {
                    buffer: 1,
                    len: 64,
                    checksum: Checksum::Unknown,
                },
                ToStack::Transmitted {
                    buffers: Run::one(2),
                },
            ];
            for message in expected {
                assert!(world.told.contains(&message), "{:?}", world.told);
            }
            world.phase = Phase::Done;
            world.finish()
        }
        Phase::Anything | Phase::Done => world.finish(),
    }
}
