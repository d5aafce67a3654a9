//! The store on its own: allocation of frames, references, payers.

use super::{FrameKind, Store};
use crate::boot::BootError;
use crate::object::{Budget, Notification, ThreadList};
use crate::phys::Frame;
use crate::testing::Ram;
use core::slice;
use kernel_abi::{Error, PAGE_SIZE};
use proptest::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// A store over a few frames, half of one of which does not count, and a root budget.
fn store(ram: &Ram, frames: u64) -> Store {
    let usable = PAGE / 2..(frames - 1) * PAGE + PAGE / 2;
    Store::new(ram.memory(), slice::from_ref(&usable), &(0..0)).unwrap()
}

fn root(store: &mut Store) -> super::Ref<Budget> {
    let budget = Budget {
        parent: None,
        limit: 0,
        used: 0,
    };
    let root = store.create(None, budget).unwrap();
    store.retain(root.frame());
    store.get_mut(root).unwrap().limit = store.free_frames() as u64;
    root
}

fn notification() -> Notification {
    Notification {
        bits: 5,
        waiters: ThreadList::EMPTY,
    }
}

#[test]
fn frames_are_rounded_inward_and_zero_is_never_handed_out() {
    let ram = Ram::new(16);
    let mut store = store(&ram, 16);
    // Frame 0 starts in the middle, frame 15 ends there; one holds the table.
    assert_eq!((store.managed(), store.free_frames()), (14, 13));
    let mut taken = Vec::new();
    while let Ok(frame) = store.alloc(None, FrameKind::User) {
        taken.push(frame.0);
    }
    taken.sort_unstable();
    assert_eq!(taken.len(), 13);
    assert!(taken.first() > Some(&0) && taken.last() < Some(&15));
}

#[test]
fn objects_get_a_zone_of_their_own_until_one_side_is_full() {
    let ram = Ram::new(1024);
    let mut store = store(&ram, 1024);
    let zone = 512..512 + 1022 / 64;
    let all = store.free_frames();
    for _ in zone.clone() {
        let object = store.create(None, notification()).unwrap();
        assert!(zone.contains(&object.frame()), "{object:?}");
    }
    // No room is left there; and pages go there only when there is no other.
    let more = store.create(None, notification()).unwrap();
    assert!(!zone.contains(&more.frame()));
    store.free(Frame(zone.start));
    let mut pages = Vec::new();
    while let Ok(page) = store.alloc(None, FrameKind::User) {
        pages.push(page);
    }
    assert_eq!(pages.last(), Some(&Frame(zone.start)));
    assert_eq!(pages.len() as u32, all - zone.len() as u32);
    // Blocks of the two sides are never joined: what comes back is apart again.
    for page in pages {
        store.free(page);
    }
    for index in 1..zone.len() as u32 {
        store.free(Frame(zone.start + index));
    }
    store.free(Frame(more.frame()));
    assert_eq!(store.free_frames(), all);
    let run = store.alloc_run(None, FrameKind::User, 256).unwrap();
    assert_eq!(run, Frame(256));
    let object = store.create(None, notification()).unwrap();
    assert!(zone.contains(&object.frame()));
}

#[test]
fn bad_places_of_the_archive_are_told() {
    for archive in [
        100..200,
        0..17 * PAGE,
        4 * PAGE..5 * PAGE,
        u64::MAX - 4095..u64::MAX,
    ] {
        let ram = Ram::new(16);
        let usable = PAGE..8 * PAGE;
        let made = Store::new(ram.memory(), slice::from_ref(&usable), &archive);
        assert_eq!(made.err(), Some(BootError::BadArchivePlace), "{archive:x?}");
    }
}

#[test]
fn a_stale_reference_is_gone_though_the_frame_is_in_use_again() {
    let ram = Ram::new(16);
    let mut store = store(&ram, 16);
    let root = root(&mut store);
    let old = store.create(Some(root), notification()).unwrap();
    assert_eq!(store.get(old).map(|n| n.bits), Ok(5));
    store.free(Frame(old.frame()));
    assert_eq!(store.get(old).err(), Some(Error::Gone));
    let new = store.create(Some(root), notification()).unwrap();
    assert_eq!(new.frame(), old.frame());
    assert!(store.get(new).is_ok() && store.get_mut(old).is_err());
    // Another kind under the same number is no object of that type either.
    let other_kind = super::Ref::<Budget>::new(new.frame(), new.generation());
    assert!(store.get(other_kind).is_err());
    assert!(store.at::<Budget>(new.frame()).is_none());
}

#[test]
fn the_last_reference_makes_an_object_dead_once() {
    let ram = Ram::new(16);
    let mut store = store(&ram, 16);
    let root = root(&mut store);
    let mut frames: Vec<u32> = (0..3)
        .map(|_| store.create(Some(root), notification()).unwrap().frame())
        .collect();
    for frame in &frames {
        store.retain(*frame);
        store.retain(*frame);
        store.release(*frame);
    }
    assert!(store.next_dead().is_none());
    for frame in &frames {
        store.release(*frame);
    }
    let mut dead = Vec::new();
    while let Some((kind, frame)) = store.next_dead() {
        assert_eq!(kind, FrameKind::Notification);
        dead.push(frame.0);
        store.free(frame);
    }
    dead.sort_unstable();
    frames.sort_unstable();
    assert_eq!(dead, frames);
    assert_eq!(store.get(root).unwrap().used, 0);
}

#[test]
fn a_chain_of_budgets_ends_with_its_last_frame() {
    let ram = Ram::new(64);
    let mut store = store(&ram, 64);
    let root = root(&mut store);
    let mut last = root;
    for limit in (1..=10u64).rev() {
        let child = Budget {
            parent: Some(last),
            limit: limit * 2,
            used: 0,
        };
        let child = store.create(Some(last), child).unwrap();
        store.get_mut(last).unwrap().used += limit * 2;
        last = child;
    }
    let frame = store.alloc(Some(last), FrameKind::User).unwrap();
    assert_eq!(store.get(root).unwrap().used, 21);
    store.free(frame);
    assert_eq!(store.get(root).unwrap().used, 0);
    assert!(store.get(last).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 32 }) })]

    /// Runs never overlap, never leave the memory, and everything can be had in one piece again afterwards.
    #[test]
    fn the_buddies_agree_with_a_set(steps in prop::collection::vec((1u32..40, any::<usize>()), 1..60)) {
        let ram = Ram::new(256);
        let mut store = store(&ram, 256);
        let free = store.free_frames();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (count, pick) in steps {
            if pick % 3 == 0 && !runs.is_empty() {
                let (first, count) = runs.swap_remove(pick / 3 % runs.len());
                for frame in first..first + count {
                    store.free(Frame(frame));
                }
            } else if let Ok(Frame(first)) = store.alloc_run(None, FrameKind::User, count) {
                prop_assert!(first > 0 && first + count < 256);
                for (other, len) in &runs {
                    prop_assert!(first + count <= *other || other + len <= first);
                }
                runs.push((first, count));
            }
            let used: u32 = runs.iter().map(|run| run.1).sum();
            prop_assert_eq!(store.free_frames(), free - used);
        }
        for (first, count) in runs {
            for frame in first..first + count {
                store.free(Frame(frame));
            }
        }
        prop_assert_eq!(store.free_frames(), free);
        prop_assert!(store.alloc_run(None, FrameKind::User, 128).is_err());
        prop_assert!(store.alloc_run(None, FrameKind::User, 64).is_ok());
        prop_assert!(store.alloc_run(None, FrameKind::User, u32::MAX).is_err());
    }
}

#[test]
fn two_objects_of_different_kinds_can_be_changed_together() {
    let ram = Ram::new(64);
    let mut store = store(&ram, 64);
    let budget = root(&mut store);
    let bell = store.create(Some(budget), notification()).unwrap();
    let gone = store.create(Some(budget), notification()).unwrap();
    store.free(Frame(gone.frame()));
    assert_eq!(store.split(gone).err(), Some(Error::Gone));
    let other_kind = super::Ref::<Budget>::new(bell.frame(), bell.generation());
    assert_eq!(store.get(other_kind).err(), Some(Error::Gone));
    let (entry, mut others) = store.split(bell).unwrap();
    let payer = others.get_mut(budget).unwrap();
    core::mem::swap(&mut entry.bits, &mut payer.limit);
    assert_eq!(others.get(budget).unwrap().limit, 5);
    assert_eq!(others.get(other_kind).err(), Some(Error::Gone));
    assert!(entry.bits > 5);
}
