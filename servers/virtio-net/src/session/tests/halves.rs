//! How much of what was received a pass takes.

use super::*;

/// Has the device receive so many frames; returns what the stack is to be told of them, in the order in which it asks.
fn receive_all(rig: &mut Rig, count: usize) -> Vec<ToStack> {
    (0..count)
        .map(|_| received(rig.device.receive(&frame(1, 60)).unwrap(), 60))
        .collect()
}

#[test]
fn many_frames_come_in_two_halves_when_there_is_nothing_to_send() {
    let mut rig = Rig::new();
    rig.give_receive(0..20);
    rig.pass().unwrap();
    let frames = receive_all(&mut rig, 15);
    let pass = rig.pass().unwrap();
    assert!(
        pass.again,
        "it may not sleep: nothing interrupts for the second half"
    );
    assert_eq!(rig.told(), frames[..8]);
    // The answers to the first half; the second comes with them, however large it is.
    rig.send(20, &frame(1, 60));
    assert!(!rig.pass().unwrap().again);
    assert_eq!(rig.told(), frames[8..]);
}

#[test]
fn few_frames_and_those_that_come_while_there_is_something_to_send_are_taken_at_once() {
    let mut rig = Rig::new();
    rig.give_receive(0..20);
    rig.pass().unwrap();
    let few = receive_all(&mut rig, terms::SPLIT - 1);
    assert!(!rig.pass().unwrap().again);
    assert_eq!(rig.told(), few);
    rig.give_receive(0..few.len() as u16);
    rig.pass().unwrap();
    rig.send(20, &frame(1, 60));
    let many = receive_all(&mut rig, 20);
    assert!(!rig.pass().unwrap().again);
    assert_eq!(rig.told(), many);
}

/// Who has nothing to send gets everything nevertheless, half by half.
#[test]
fn passes_without_answers_take_all() {
    let mut rig = Rig::new();
    rig.give_receive(0..32);
    rig.pass().unwrap();
    let frames = receive_all(&mut rig, 32);
    let mut told = Vec::new();
    let mut shares = Vec::new();
    while told.len() < frames.len() {
        rig.pass().unwrap();
        let now = rig.told();
        shares.push(now.len());
        told.extend(now);
    }
    assert_eq!((told, shares), (frames, vec![16, 8, 8]));
}
