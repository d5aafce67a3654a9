//! Interrupts and notifications, by index and by flag. A model of a device that is told and tells as the standard has it: nobody sleeps while
//! there is something to do, however often indices come round. Behind it, what is asked for when.

use super::*;
use std::vec::Vec;

/// How a device asks to be told of buffers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Asks {
    /// Anew with each one that it takes, as QEMU does.
    Always,
    /// Only when it goes to sleep, as vhost does.
    Asleep,
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

struct World {
    rig: Rig,
    random: Random,
    asks: Asks,
    /// Of both queues: awake, notifications heard, asked with, used index at the last interrupt decision.
    awake: [bool; 2],
    heard: [u32; 2],
    asked: [u16; 2],
    told: [u16; 2],
    interrupt: bool,
    interrupts: u64,
    kicks: u64,
    /// Taken and not yet given back.
    sending: Vec<u16>,
    /// The stack's.
    receive: Vec<u16>,
    send: Vec<u16>,
    bell: bool,
}

impl World {
    fn new(asks: Asks, seed: u64, old: bool) -> World {
        let rig = if old { Rig::old() } else { Rig::new() };
        World {
            rig,
            random: Random(seed),
            asks,
            awake: [false; 2],
            heard: [0; 2],
            asked: [0; 2],
            told: [0; 2],
            interrupt: false,
            interrupts: 0,
            kicks: 0,
            sending: Vec::new(),
            receive: (0..BUFFERS).collect(),
            send: (0..BUFFERS).collect(),
            bell: false,
        }
    }

    /// The device looks whether it was told, does a part of its work, and perhaps goes to sleep.
    fn device(&mut self) {
        for queue in 0..2 {
            let kicks = self.rig.device.0.borrow().queues[queue].kicks;
            if kicks != self.heard[queue] {
                self.kicks += u64::from(kicks - self.heard[queue]);
                self.heard[queue] = kicks;
                self.awake[queue] = true;
            }
            if !self.awake[queue] {
                continue;
            }
            for _ in 0..self.random.below(6) {
                let Some(id) = self.rig.device.take_available(queue) else {
                    break;
                };
                match queue {
                    0 => self.rig.device.push_used(0, id.into(), 72),
                    _ => self.sending.push(id),
                }
                if self.asks == Asks::Asleep {
                    self.rig
                        .device
                        .set_available_event(queue, self.asked[queue]);
                }
            }
            if queue == 1 {
                for _ in 0..self.random.below(8).min(self.sending.len()) {
                    let id = self.sending.remove(0);
                    self.rig.device.push_used(1, id.into(), 0);
                }
            }
            let (next, more) = self.rig.device.taken(queue);
            if !more && self.random.below(2) == 0 {
                self.asked[queue] = next;
                self.rig.device.set_available_event(queue, next);
                // It goes on giving back what it has.
                self.awake[queue] = queue == 1 && !self.sending.is_empty();
            }
            // One decision for several at times.
            if self.random.below(3) > 0 || !self.awake[queue] {
                let used = self.rig.device.0.borrow().queues[queue].used_index;
                let fires = self.rig.device.interrupts(queue, self.told[queue]);
                self.told[queue] = used;
                self.interrupt |= fires;
                self.interrupts += u64::from(fires);
            }
        }
    }

    fn stack(&mut self) {
        while let Some(message) = self.rig.stack.receive().unwrap() {
            match message {
                ToStack::Received { buffer, .. } => self.receive.push(buffer),
                ToStack::Transmitted { buffers } => {
                    self.send.extend(buffers.range().map(|it| it as u16))
                }
                ToStack::Link { .. } => {}
            }
        }
        for _ in 0..self.random.below(10).min(self.receive.len()) {
            let buffer = self.receive.remove(0);
            self.rig.stack.send(&super::receive(buffer, 1)).unwrap();
        }
        for _ in 0..self.random.below(10).min(self.send.len()) {
            let buffer = self.send.remove(0);
            self.rig.stack.send(&transmit(buffer, 60)).unwrap();
        }
        self.bell |= self.rig.stack.flush();
    }

    fn used(&self, queue: usize) -> u16 {
        self.rig.device.0.borrow().queues[queue].used_index
    }

    /// Settles the device: what it is told of, it decides on.
    fn settle(&mut self) {
        for queue in 0..2 {
            let used = self.used(queue);
            let fires = self.rig.device.interrupts(queue, self.told[queue]);
            self.told[queue] = used;
            self.interrupt |= fires;
            self.interrupts += u64::from(fires);
        }
    }

    /// Whether the driver may sleep on: the device has not given back so much that it has to be woken, and knows all buffers.
    fn check(&self, armed_in_flight: u16, transmit: bool) {
        let counters = self.rig.session.counters();
        let back = self.used(0).wrapping_sub(counters.received as u16);
        assert_eq!(back, 0, "frames came, and nobody wakes the driver");
        let back = self.used(1).wrapping_sub(counters.transmitted as u16);
        assert!(
            !transmit || back <= armed_in_flight / 2,
            "{back} of {armed_in_flight} were sent"
        );
        for queue in 0..2 {
            let (_, more) = self.rig.device.taken(queue);
            let kicks = self.rig.device.0.borrow().queues[queue].kicks;
            assert!(
                !more || self.awake[queue] || kicks != self.heard[queue],
                "queue {queue} sleeps"
            );
        }
    }
}

fn play(asks: Asks, seed: u64, old: bool, rounds: u32) {
    let mut world = World::new(asks, seed, old);
    let mut wake = Wake::default();
    let mut sleeps = 0;
    for _ in 0..rounds {
        let pass = world.rig.session.pass(world.rig.now, wake).unwrap();
        wake = Wake::default();
        if world.random.below(3) == 0 {
            world.device();
        }
        if pass.again || pass.busy {
            world.device();
            world.stack();
            continue;
        }
        world.interrupt = false;
        world.bell = false;
        let Some(until) = world.rig.session.prepare_sleep(world.rig.now).unwrap() else {
            continue;
        };
        sleeps += 1;
        let in_flight = world.rig.session.nic.transmits_in_flight();
        // With an entry that is yet to come, seen from where the driver has read to.
        let sent = world.rig.session.counters().transmitted as u16;
        let event = world.rig.device.used_event(1).wrapping_sub(sent);
        let transmit = !old && usize::from(event) < QUEUE_SIZE;
        for turn in 0.. {
            if world.random.below(2) == 0 {
                world.device();
            }
            world.settle();
            if world.interrupt || world.bell {
                break;
            }
            world.check(in_flight, transmit);
            if world.random.below(4) == 0 {
                world.stack();
            }
            if turn > 20 {
                world.rig.now = until;
                wake.watchdog = true;
                break;
            }
        }
    }
    let counters = world.rig.session.counters();
    std::println!(
        "{asks:?} {old}: {} received, {} sent, {sleeps} sleeps, {} interrupts, {} kicks",
        counters.received,
        counters.transmitted,
        world.interrupts,
        world.kicks
    );
    assert!(rounds < 100_000 || counters.received > 1 << 17 && counters.transmitted > 1 << 17);
}

#[test]
fn nobody_sleeps_while_there_is_something_to_do() {
    for asks in [Asks::Always, Asks::Asleep] {
        for seed in 0..8 {
            play(asks, seed, false, 3000);
        }
        play(asks, 99, false, 200_000);
    }
    play(Asks::Always, 5, true, 3000);
}

#[test]
fn interrupts_are_off_while_polling_and_on_while_asleep() {
    for make in [Rig::new, Rig::old] {
        let mut rig = make();
        rig.give_receive(0..4);
        rig.pass().unwrap();
        assert!(!rig.device.wants_interrupt(0));
        assert!(rig.session.prepare_sleep(0).unwrap().is_some());
        assert!(rig.device.wants_interrupt(0));
        rig.pass().unwrap();
        assert!(!rig.device.wants_interrupt(0));
    }
}

/// What comes behind the frame that has interrupted comes without.
#[test]
fn one_interrupt_is_for_all_that_comes_until_it_is_asked_for_again() {
    for (make, again) in [(Rig::new as fn() -> Rig, false), (Rig::old, true)] {
        let mut rig = make();
        rig.give_receive(0..4);
        rig.pass().unwrap();
        assert!(rig.session.prepare_sleep(0).unwrap().is_some());
        rig.device.receive(&frame(1, 60)).unwrap();
        assert_eq!(rig.device.wants_interrupt(0), again);
    }
}

#[test]
fn an_interrupt_for_sent_frames_is_for_half_of_them() {
    let mut rig = Rig::new();
    for buffer in 0..32 {
        rig.send(buffer, &frame(1, 60));
    }
    rig.pass().unwrap();
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    let taken = rig.device.take_frames();
    for (sent, (id, _)) in taken.iter().enumerate() {
        assert_eq!(rig.device.wants_interrupt(1), sent <= 16, "{sent}");
        assert_eq!(rig.session.nic.is_quiet(true, true), Ok(sent <= 16));
        rig.device.push_used(1, (*id).into(), 0);
    }
}

#[test]
fn a_device_is_told_of_buffers_when_it_has_seen_the_others() {
    for make in [Rig::new, Rig::old] {
        let mut rig = make();
        let mut kicks = [1, 2, 2, 3].into_iter();
        for buffers in [0..4, 4..8, 8..9, 9..20] {
            let has_seen = buffers.start != 8;
            if has_seen {
                while rig.device.receive(&frame(1, 60)).is_some() {}
            }
            // The flag means something only to a device that knows no indices.
            let by_index = rig.device.0.borrow().accepted & EVENT_IDX != 0;
            rig.device.want_notifications(0, has_seen != by_index);
            rig.give_receive(buffers);
            rig.pass().unwrap();
            let expected = kicks.next();
            assert_eq!(Some(rig.device.0.borrow().queues[0].kicks), expected);
        }
    }
}

#[test]
fn a_stack_short_of_buffers_gets_them_back_by_interrupt() {
    let mut rig = Rig::new();
    for buffer in 0..32 {
        rig.send(buffer, &frame(1, 60));
    }
    rig.pass().unwrap();
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(rig.device.wants_interrupt(1));
    rig.device.transmit();
    rig.pass().unwrap();
    assert_eq!(rig.told(), [transmitted(0, 32)]);
}

#[test]
fn a_frame_that_arrives_while_falling_asleep_is_not_missed() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    rig.device.receive(&frame(1, 60)).unwrap();
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), None);
    rig.pass().unwrap();
    assert_eq!(rig.told().len(), 1);
    rig.give_receive(10..11);
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), None);
}
