//! Derivation, deletion, revocation, watches, budgets.

use crate::testing::Bench;
use kernel_abi::{Error, Rights, Slot, Syscall};
use proptest::prelude::*;

const ALL: u64 = Rights::all().bits() as u64;

#[test]
fn a_derived_capability_is_never_wider() {
    let mut bench = Bench::new();
    let init = bench.init;
    let endpoint = bench.get(init, Syscall::EndpointCreate, &[2]);
    let call = Rights::CALL.bits() as u64;
    let narrow = bench.get(init, Syscall::CapDerive, &[endpoint, call, 7]);
    let wide = bench.get(init, Syscall::CapDerive, &[narrow, ALL, 0]);
    let [info, badge, _] = bench.call(init, Syscall::CapInfo, &[wide]).unwrap();
    assert_eq!((info >> 8 & 0xff_ffff, badge), (call, 7));
    let again = bench.call(init, Syscall::CapDerive, &[narrow, ALL, 8]);
    assert_eq!(again, Err(Error::Refused));
    let recv = bench.call(init, Syscall::EndpointRecv, &[narrow, 0, 0]);
    assert_eq!(recv, Err(Error::NoRights));
    let odd = bench.call(init, Syscall::CapDerive, &[narrow, 1 << 31, 0]);
    assert_eq!(odd, Err(Error::BadArgument));
    bench.check();
}

#[test]
fn a_stale_slot_is_an_error_for_ever() {
    let mut bench = Bench::new();
    let init = bench.init;
    let first = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::CapDelete, &[first]);
    let second = bench.get(init, Syscall::NotificationCreate, &[2]);
    assert_eq!(Slot(first as u32).index(), Slot(second as u32).index());
    assert_ne!(first, second);
    for bad in [0, first, 999, 4095, u64::MAX, first | 1 << 40] {
        let signal = bench.call(init, Syscall::NotificationSignal, &[bad, 1]);
        assert_eq!(signal, Err(Error::BadSlot), "{bad:#x}");
    }
    let kind = bench.call(init, Syscall::NotificationSignal, &[2, 1]);
    assert_eq!(kind, Err(Error::WrongKind));
}

#[test]
fn deleting_hands_children_to_the_parent_and_revoking_takes_all() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let root = bench.get(init, Syscall::NotificationCreate, &[2]);
    let middle = bench.get(init, Syscall::CapDerive, &[root, ALL, 0]);
    let far = bench.grant(init, middle, child.slot);
    let further = bench.get(child.thread, Syscall::CapDerive, &[far, ALL, 0]);
    bench.get(init, Syscall::CapDelete, &[middle]);
    bench.get(child.thread, Syscall::CapDelete, &[far]);
    bench.get(child.thread, Syscall::NotificationSignal, &[further, 1]);
    bench.check();
    bench.get(init, Syscall::CapRevoke, &[root]);
    let gone = bench.call(child.thread, Syscall::NotificationSignal, &[further, 1]);
    assert_eq!(gone, Err(Error::BadSlot));
    bench.get(init, Syscall::NotificationWait, &[root, 1, 0]);
    bench.check();
}

#[test]
fn revoking_a_long_chain_needs_no_stack() {
    let mut bench = Bench::new();
    let init = bench.init;
    let root = bench.get(init, Syscall::NotificationCreate, &[2]);
    let mut last = root;
    let mut made = 0;
    while let Ok([slot, ..]) = bench.call(init, Syscall::CapDerive, &[last, ALL, 0]) {
        last = slot;
        made += 1;
    }
    let full = bench.call(init, Syscall::CapDerive, &[last, ALL, 0]);
    assert_eq!(full, Err(Error::TableFull));
    assert!(made > 4000);
    bench.get(init, Syscall::CapRevoke, &[root]);
    assert_eq!(bench.get(init, Syscall::CapInfo, &[root]) >> 32, 0);
    bench.check();
}

#[test]
fn a_watch_fires_when_the_last_descendant_goes() {
    let mut bench = Bench::new();
    let init = bench.init;
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let session = bench.get(init, Syscall::EndpointCreate, &[2]);
    // Without a child: at once.
    bench.get(init, Syscall::CapWatch, &[session, bell, 1]);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 1, 0]), 1);
    let one = bench.spawn(init, 64);
    let two = bench.spawn(init, 64);
    let first = bench.grant(init, session, one.slot);
    bench.grant(init, session, two.slot);
    bench.get(init, Syscall::CapWatch, &[session, bell, 4]);
    // The first passes its own on by way of a copy, and dies.
    bench.get(one.thread, Syscall::CapDerive, &[first, ALL, 0]);
    bench.get(init, Syscall::ProcessKill, &[one.slot, 0]);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 7, 0]), 0);
    bench.get(init, Syscall::ProcessKill, &[two.slot, 0]);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 7, 0]), 4);
    bench.check();
}

#[test]
fn a_watch_whose_notification_is_gone_is_harmless() {
    let mut bench = Bench::new();
    let init = bench.init;
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let session = bench.get(init, Syscall::EndpointCreate, &[2]);
    let child = bench.get(init, Syscall::CapDerive, &[session, ALL, 0]);
    bench.get(init, Syscall::CapWatch, &[session, bell, 1]);
    bench.get(init, Syscall::CapDelete, &[bell]);
    // The frame may hold another notification by now, which is not meant.
    let other = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::CapDelete, &[child]);
    assert_eq!(
        bench.get(init, Syscall::NotificationWait, &[other, 1, 0]),
        0
    );
    bench.check();
}

#[test]
fn budgets_are_carved_exhausted_and_returned() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    let small = bench.get(init, Syscall::BudgetCreate, &[2, 4]);
    let tiny = bench.get(init, Syscall::BudgetCreate, &[small, 2]);
    let too_much = bench.call(init, Syscall::BudgetCreate, &[small, 1]);
    assert_eq!(too_much, Err(Error::NoBudget));
    bench.get(init, Syscall::NotificationCreate, &[tiny]);
    let last = bench.get(init, Syscall::NotificationCreate, &[tiny]);
    let empty = bench.call(init, Syscall::NotificationCreate, &[tiny]);
    assert_eq!(empty, Err(Error::NoBudget));
    let usage = bench.call(init, Syscall::BudgetInfo, &[tiny]);
    assert_eq!(usage, Ok([2, 2, 0]));
    // Nobody names the budgets any more, but what they paid for is there.
    bench.get(init, Syscall::CapDelete, &[small]);
    bench.get(init, Syscall::CapDelete, &[tiny]);
    bench.check();
    bench.get(init, Syscall::NotificationSignal, &[last, 1]);
    let slots = (0..64u64).rev();
    for slot in slots.filter(|slot| *slot > 50) {
        let info = bench.call(init, Syscall::CapInfo, &[slot]);
        if info.is_ok_and(|[info, ..]| info & 0xff == 6) {
            bench.get(init, Syscall::CapDelete, &[slot]);
        }
    }
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn a_full_table_loses_no_object() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 200);
    let me = child.thread;
    while bench.call(me, Syscall::CapDerive, &[1, ALL, 0]).is_ok() {}
    let before = bench.free_frames();
    for (call, arguments) in [
        (Syscall::EndpointCreate, &[2, 0, 0][..]),
        (Syscall::NotificationCreate, &[2, 0, 0]),
        (Syscall::MemoryCreate, &[2, 3, 0]),
        (Syscall::BudgetCreate, &[2, 3, 0]),
        (Syscall::ProcessCreate, &[2, 3, 0]),
        (Syscall::ThreadCreate, &[0, 0x40_0000, 0x50_0000, 0, 1]),
    ] {
        assert_eq!(
            bench.call(me, call, arguments),
            Err(Error::TableFull),
            "{call:?}"
        );
        assert_eq!(bench.free_frames(), before, "{call:?}");
    }
    bench.check();
}

/// A step of the tree test.
#[derive(Clone, Debug)]
enum Step {
    Derive(usize, u8),
    Delete(usize),
    Revoke(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, rights)| Step::Derive(at, rights)),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => any::<usize>().prop_map(Step::Revoke),
    ]
}

/// One capability as the model sees it: slot, rights, index of the parent.
type Node = (u64, u64, Option<usize>);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn trees_agree_with_a_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new();
        let init = bench.init;
        let rights = (Rights::SIGNAL | Rights::WAIT | Rights::GRANT).bits() as u64;
        let root = bench.get(init, Syscall::NotificationCreate, &[2]);
        let mut nodes: Vec<Option<Node>> = vec![Some((root, rights, None))];
        for step in steps {
            let live: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].is_some()).collect();
            let (Step::Derive(at, _) | Step::Delete(at) | Step::Revoke(at)) = step;
            let Some(at) = live.get(at % live.len().max(1)).copied() else {
                break;
            };
            let (slot, held, parent) = nodes[at].unwrap();
            match step {
                Step::Derive(_, mask) => {
                    let mask = (mask as u64) << 3 & ALL;
                    let new = bench.get(init, Syscall::CapDerive, &[slot, mask, 0]);
                    nodes.push(Some((new, held & mask, Some(at))));
                }
                Step::Delete(_) => {
                    bench.get(init, Syscall::CapDelete, &[slot]);
                    nodes[at] = None;
                    for node in nodes.iter_mut().flatten().filter(|node| node.2 == Some(at)) {
                        node.2 = parent;
                    }
                }
                Step::Revoke(_) => {
                    bench.get(init, Syscall::CapRevoke, &[slot]);
                    // Children come after their parents.
                    let mut gone = vec![at];
                    for (index, node) in nodes.iter_mut().enumerate() {
                        let parent = node.and_then(|node| node.2);
                        if parent.is_some_and(|parent| gone.contains(&parent)) {
                            gone.push(index);
                            *node = None;
                        }
                    }
                }
            }
            for (index, (slot, rights, _)) in nodes.iter().enumerate().filter_map(|(i, n)| Some((i, (*n)?))) {
                let info = bench.get(init, Syscall::CapInfo, &[slot]);
                let has_child = nodes.iter().flatten().any(|node| node.2 == Some(index));
                prop_assert_eq!(info, 6 | rights << 8 | (has_child as u64) << 32);
            }
        }
        bench.check();
    }
}

#[test]
fn a_process_with_a_long_chain_of_capabilities_ends_in_few_steps() {
    let mut bench = Bench::with_frames(4096);
    let init = bench.init;
    let child = bench.spawn(init, 1500);
    let me = child.thread;
    // Each derived from the one before. Slots are emptied from the lowest, which is the last derived.
    let mut last = bench.get(me, Syscall::NotificationCreate, &[2]);
    for _ in 0..1000 {
        last = bench.get(me, Syscall::CapDerive, &[last, ALL, 0]);
    }
    // Others hold many that were derived from the last.
    let other = bench.spawn(init, 1000);
    let there = bench.grant(init, other.slot, child.slot);
    for _ in 0..1000 {
        bench.get(me, Syscall::ProcessGrant, &[there, last, 0, ALL, 0]);
    }
    bench.check();
    crate::cap::take_links();
    bench.get(init, Syscall::ProcessKill, &[child.slot, 0]);
    let links = crate::cap::take_links();
    // Every capability is handed up once, and not a thousand times.
    assert!(links <= 2100, "{links} steps");
    bench.check();
}
