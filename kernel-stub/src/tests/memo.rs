//! What threads remember of their capabilities: nothing outlives a capability that was deleted, by whomever.

use super::devices::nic;
use crate::testing::{BUDGET, Bench, Child};
use kernel_abi::{Error, Rights, Slot, Syscall};

const ALL: u64 = Rights::all().bits() as u64;

/// Waits without waiting for it, rings, acknowledges: what a thread remembers for the next time.
fn turn(bench: &mut Bench, child: Child, slots: [u64; 3]) -> Result<u64, Error> {
    let [bell, ring, interrupt] = slots;
    let arguments = [bell, u64::MAX, 0, ring, interrupt];
    let answer = bench.call(child.thread, Syscall::NotificationWait, &arguments);
    bench.check();
    answer.map(|[bits, ..]| bits)
}

fn take(bench: &mut Bench, bell: u64) -> u64 {
    let init = bench.init;
    bench.get(init, Syscall::NotificationWait, &[bell, u64::MAX, 0])
}

/// What the notes of a child's thread are about.
fn notes(bench: &Bench, child: Child) -> usize {
    let tcb = bench.kernel.store.get(child.thread).unwrap();
    tcb.memo.noted(bench.kernel.deleted).len()
}

#[test]
fn what_was_found_is_found_again() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let peer = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
    let bell = bench.get(child.thread, Syscall::NotificationCreate, &[BUDGET]);
    let rings: Vec<u64> = (0..20)
        .map(|bit| {
            let badged = bench.get(init, Syscall::CapDerive, &[peer, ALL, 1 << bit]);
            bench.grant(init, badged, child.slot)
        })
        .collect();
    for _ in 0..3 {
        for (bit, ring) in rings.iter().enumerate() {
            assert_eq!(turn(&mut bench, child, [bell, *ring, 0]), Ok(0));
            assert_eq!(take(&mut bench, peer), 1 << bit);
        }
    }
    assert_eq!(notes(&bench, child), 1 + 8, "and no more");
    // A right that is for something else is none.
    let narrow = Rights::WAIT.bits() as u64;
    let deaf = bench.get(child.thread, Syscall::CapDerive, &[rings[0], narrow, 0]);
    for _ in 0..2 {
        assert_eq!(turn(&mut bench, child, [deaf, 0, 0]), Ok(0));
        let ring = turn(&mut bench, child, [bell, deaf, 0]);
        assert_eq!(ring, Err(Error::NoRights));
        let wide = turn(&mut bench, child, [bell | 1 << 32, rings[0], 0]);
        assert_eq!(wide, Err(Error::BadSlot));
        let wide = turn(&mut bench, child, [bell, rings[0] | 1 << 32, 0]);
        assert_eq!(wide, Err(Error::BadSlot));
    }
    assert_eq!(take(&mut bench, peer), 0);
}

/// Whichever two slots a server's peers have, both are noted: it rings them in turns.
#[test]
fn two_peers_do_not_push_each_other_out() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let peer = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
    let bell = bench.get(child.thread, Syscall::NotificationCreate, &[BUDGET]);
    let rings: Vec<u64> = (0..40)
        .map(|_| bench.grant(init, peer, child.slot))
        .collect();
    for (first, second) in (0..40).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let pair = [rings[first], rings[second]];
        for ring in [pair, pair].concat() {
            assert_eq!(turn(&mut bench, child, [bell, ring, 0]), Ok(0));
        }
        let tcb = bench.kernel.store.get(child.thread).unwrap();
        let noted = tcb.memo.noted(bench.kernel.deleted);
        for ring in pair {
            let known = noted.iter().any(|note| note.slot == ring);
            assert!(known, "{ring:#x} of {pair:x?}");
        }
    }
}

#[test]
fn what_was_revoked_is_forgotten_at_once() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let roots: Vec<u64> = (0..2)
        .map(|_| bench.get(init, Syscall::NotificationCreate, &[BUDGET]))
        .collect();
    let card = nic(&mut bench);
    for gone in 0..3 {
        let kept = [roots[0], roots[1], card];
        let [bell, ring, card] = kept.map(|root| bench.grant(init, root, child.slot));
        let arguments = [card, 1, bell, 1];
        let interrupt = bench.get(child.thread, Syscall::DeviceInterrupt, &arguments);
        let slots = [bell, ring, interrupt];
        for _ in 0..2 {
            assert_eq!(turn(&mut bench, child, slots), Ok(0));
        }
        assert_eq!(notes(&bench, child), 3);
        bench.get(init, Syscall::CapRevoke, &[kept[gone]]);
        assert_eq!(notes(&bench, child), 0);
        assert_eq!(turn(&mut bench, child, slots), Err(Error::BadSlot));
        for root in kept {
            bench.get(init, Syscall::CapRevoke, &[root]);
        }
        // Slots and frames serve again, for others.
        let other = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
        let again = bench.grant(init, other, child.slot);
        assert!(
            slots
                .iter()
                .any(|slot| Slot(*slot as u32).index() == Slot(again as u32).index())
        );
        assert_eq!(turn(&mut bench, child, slots), Err(Error::BadSlot));
        bench.get(init, Syscall::CapRevoke, &[other]);
        bench.get(init, Syscall::CapDelete, &[other]);
    }
}

#[test]
fn the_very_number_of_a_slot_can_come_to_mean_another_object() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let bell = bench.get(child.thread, Syscall::NotificationCreate, &[BUDGET]);
    let first = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
    let second = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
    let slot = bench.grant(init, first, child.slot);
    for _ in 0..2 {
        turn(&mut bench, child, [bell, slot, 0]).unwrap();
        bench.get(child.thread, Syscall::NotificationSignal, &[slot, 4]);
    }
    assert_eq!(take(&mut bench, first), 4);
    // The slot's generation comes round.
    let badged = bench.get(init, Syscall::CapDerive, &[second, ALL, 2]);
    let mut now = slot;
    loop {
        bench.get(child.thread, Syscall::CapDelete, &[now]);
        now = bench.grant(init, badged, child.slot);
        if now == slot {
            break;
        }
    }
    turn(&mut bench, child, [bell, slot, 0]).unwrap();
    assert_eq!((take(&mut bench, first), take(&mut bench, second)), (0, 2));
    bench.get(child.thread, Syscall::NotificationSignal, &[slot, 4]);
    assert_eq!((take(&mut bench, first), take(&mut bench, second)), (0, 2));
}

#[test]
fn the_last_capability_takes_the_object_and_its_frame_serves_others() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let bell = bench.get(child.thread, Syscall::NotificationCreate, &[BUDGET]);
    let ring = bench.get(child.thread, Syscall::NotificationCreate, &[BUDGET]);
    turn(&mut bench, child, [bell, ring, 0]).unwrap();
    let frame = |bench: &mut Bench, thread, slot| {
        let [_, _, frame] = bench.call(thread, Syscall::CapInfo, &[slot]).unwrap();
        frame
    };
    let was = frame(&mut bench, child.thread, ring);
    bench.get(child.thread, Syscall::CapDelete, &[ring]);
    let victim = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
    assert_eq!(frame(&mut bench, init, victim), was);
    for _ in 0..2 {
        let answer = turn(&mut bench, child, [bell, ring, 0]);
        assert_eq!(answer, Err(Error::BadSlot));
        let signal = bench.call(child.thread, Syscall::NotificationSignal, &[ring, 1]);
        assert_eq!(signal, Err(Error::BadSlot));
    }
    assert_eq!(take(&mut bench, victim), 0);
}

#[test]
fn a_thread_in_the_frame_of_another_remembers_nothing() {
    let mut bench = Bench::new();
    let init = bench.init;
    let budget = bench.get(init, Syscall::BudgetCreate, &[BUDGET, 64]);
    let mut frames = Vec::new();
    for round in 0..8 {
        let child = bench.spawn_on(init, budget);
        frames.push(child.thread.frame());
        let peer = bench.get(init, Syscall::NotificationCreate, &[BUDGET]);
        let [bell, ring] = [peer; 2].map(|peer| bench.grant(init, peer, child.slot));
        assert_eq!(notes(&bench, child), 0, "round {round}");
        // The same numbers as the other's, but other objects.
        turn(&mut bench, child, [bell, ring, 0]).unwrap();
        bench.get(child.thread, Syscall::NotificationSignal, &[ring, 1]);
        assert_eq!(take(&mut bench, peer), 1);
        bench.get(init, Syscall::ProcessKill, &[child.slot, 0]);
        bench.get(init, Syscall::CapDelete, &[child.slot]);
    }
    frames.sort_unstable();
    frames.dedup();
    assert!(frames.len() < 8, "none was used again");
}
