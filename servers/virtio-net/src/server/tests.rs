//! The server against a fake kernel with a fake device and a hand-driven stack, under virtual time.

mod looking;
mod world;

use super::*;
use crate::fake::{NEEDS_RESET, frame};
use ipc_proto::frame::{Checksum, Offloads, Run, ToDriver, ToStack};
use std::vec::Vec;
use world::{BUFFERS, SECOND, World, play};

fn received(buffer: u16, len: u32) -> ToStack {
    ToStack::Received {
        buffer,
        len,
        checksum: Checksum::Unknown,
    }
}

const GONE_FOR_GOOD: Outcome = Outcome::DeviceFailed(DeviceError::ResetTimeout);

#[test]
fn a_stack_that_dies_is_attached_to_again_and_traffic_goes_on() {
    let mut steps = 0;
    let (outcome, world) = play(&[], move |world| {
        steps += 1;
        match steps {
            1 | 4 => {
                world.give(ToDriver::Receive {
                    buffers: Run::one(3),
                });
                Events::BELL
            }
            2 | 5 => {
                world.device.receive(&frame(1, 60)).unwrap();
                Events::RECEIVE
            }
            3 => {
                world.read();
                Events::STACK_GONE
            }
            _ => {
                world.read();
                world.finish()
            }
        }
    });
    assert_eq!(outcome, GONE_FOR_GOOD);
    let received = received(3, 60);
    assert_eq!(world.told, [received, received]);
    assert_eq!((world.attachments, world.detachments), (2, 2));
}

#[test]
fn a_stack_that_is_not_there_yet_is_waited_for_with_growing_pauses() {
    let (_, world) = play(&[AttachError::NotReady; 12], World::finish);
    assert_eq!(world.attachments, 1);
    let pauses: Vec<u64> = world
        .attempts
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / MS)
        .collect();
    let expected = [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 1000];
    assert_eq!(pauses, expected);
}

#[test]
fn a_stack_of_another_build_ends_the_server_with_its_version() {
    let theirs = Hello {
        version: 99,
        ..Hello::FRAME
    };
    let refusal = AttachError::Refused(Refusal::Mismatch(theirs));
    let (outcome, _) = play(&[refusal], |_| panic!("attached"));
    assert_eq!(outcome, Outcome::Mismatch(theirs));
}

#[test]
fn a_stack_that_breaks_the_protocol_loses_its_attachment_only() {
    let mut steps = 0;
    let (outcome, world) = play(&[], move |world| {
        steps += 1;
        if steps > 20 {
            return world.finish();
        }
        world.give(ToDriver::Receive {
            buffers: Run::one(BUFFERS),
        });
        Events::BELL
    });
    assert_eq!(outcome, GONE_FOR_GOOD);
    assert_eq!((world.attachments, world.detachments), (21, 21));
}

#[test]
fn a_device_that_keeps_failing_is_given_up() {
    let (outcome, world) = play(&[], |world| {
        world.device.0.borrow_mut().status |= NEEDS_RESET;
        Events::CONFIG
    });
    assert_eq!(outcome, Outcome::DeviceFailed(DeviceError::NeedsReset));
    assert_eq!(world.attachments, MAX_FAILURES as u32);
    assert!(world.now < 10 * SECOND);
}

#[test]
fn a_device_that_fails_now_and_then_is_kept() {
    let mut failures = 0;
    let (outcome, world) = play(&[], move |world| {
        world.now += 20 * SECOND;
        failures += 1;
        if failures > 30 {
            return world.finish();
        }
        world.device.push_used(0, 7, 100);
        Events::RECEIVE
    });
    assert_eq!(outcome, GONE_FOR_GOOD);
    assert_eq!(world.attachments, 31);
}

#[test]
fn lost_interrupts_delay_frames_but_lose_none() {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        match steps {
            1 => {
                world.give(ToDriver::Receive {
                    buffers: Run::one(3),
                });
                Events::BELL
            }
            2 => {
                world.device.receive(&frame(1, 60)).unwrap();
                Events::empty()
            }
            _ => {
                world.read();
                world.finish()
            }
        }
    });
    assert_eq!(world.told, [received(3, 60)]);
}

#[test]
fn a_busy_server_gives_way_instead_of_asking_for_interrupts() {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        match steps {
            1 => world.give_all_buffers(),
            2..=4 => {
                // It has looked at what came the last time, and given way for it if it was much.
                assert_eq!(world.gave_way, if steps == 4 { 1 } else { 0 });
                assert_eq!(world.device.wants_interrupt(0), steps != 3);
                for seed in 0..[10, 2, 0][steps - 2] {
                    world.device.receive(&frame(seed, 60)).unwrap();
                }
                Events::RECEIVE
            }
            _ => {
                world.read();
                world.finish()
            }
        }
    });
    assert_eq!((world.told.len(), world.gave_way), (12, 1));
}

#[test]
fn an_interrupt_storm_is_reduced_to_polling() {
    let mut steps = 0;
    let mut unacknowledged = false;
    let mut acknowledged = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        if steps > 10_000 {
            return world.finish();
        }
        // A vector is delivered again only after it was acknowledged, and then at once.
        if world.acknowledged > acknowledged {
            acknowledged = world.acknowledged;
            unacknowledged = false;
        }
        if unacknowledged {
            return Events::empty();
        }
        unacknowledged = true;
        Events::RECEIVE
    });
    // Each acknowledgement after the first few took a whole watchdog period.
    let periods = world.now / crate::session::WATCHDOG;
    assert!(world.acknowledged > 100);
    assert!(u64::from(world.acknowledged) <= u64::from(STORM) + periods + 1);
}

#[test]
fn an_idle_server_only_barks() {
    let (_, world) = play(&[], |world| {
        if world.now > 10 * SECOND {
            return world.finish();
        }
        Events::empty()
    });
    assert!(world.waits < 20, "{} waits in ten seconds", world.waits);
}

#[test]
fn the_stack_is_offered_what_the_device_can_do_and_no_more() {
    let mut steps = 0;
    play(&[], move |world| {
        steps += 1;
        let mut state = world.device.0.borrow_mut();
        match steps {
            1 => {
                assert_eq!(world.offered, EVERYTHING);
                // Without what they need, the others are nothing.
                state.offered &= !0b11;
            }
            2 => {
                assert_eq!(world.offered, Offloads::default());
                state.offered |= 0b11;
                state.offered &= !(1 << 11);
            }
            _ => {
                let less = Offloads {
                    transmit_segments: false,
                    ..EVERYTHING
                };
                assert_eq!(world.offered, less);
                drop(state);
                return world.finish();
            }
        }
        Events::STACK_GONE
    });
}

#[test]
fn a_stack_that_chooses_what_the_device_can_not_do_gets_no_session() {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        if steps == 2 {
            return world.finish();
        }
        world.device.0.borrow_mut().offered &= !0b11;
        world.chosen = EVERYTHING;
        Events::STACK_GONE
    });
    assert_eq!((world.attachments, world.detachments), (3, 3));
}

#[test]
fn a_device_that_withdraws_what_it_offered_gets_no_session() {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        if steps == 2 {
            return world.finish();
        }
        world.chosen = EVERYTHING;
        world.withdrawn = 1 << 11;
        Events::STACK_GONE
    });
    assert_eq!((world.attachments, world.detachments), (3, 3));
}
