//! What must hold in the kernel's tables between any two system calls.

use super::{Bench, Sim};
use crate::cap::{Cap, CapRef, CapTable, lookup};
use crate::kernel::Kernel;
use crate::object::{
    Budget, Chain, Device, Endpoint, MapTable, Memory, Notification, Pin, Process, Tcb, ThreadList,
    ThreadState,
};
use crate::platform::Platform;
use crate::store::{FrameKind, Ref};
use kernel_abi::{FOREVER, Kind, ProcessState, Prot, Rights};
use std::collections::{BTreeMap, BTreeSet};

/// What the tables say when they are counted anew.
#[derive(Default)]
struct Count {
    /// Frames and budgets paid, by frame of the budget.
    paid: BTreeMap<u32, u64>,
    /// References, by frame of the object.
    refs: BTreeMap<u32, u32>,
    receivers: BTreeMap<u32, u32>,
    mappings: BTreeMap<u32, u16>,
    writers: BTreeMap<u32, u32>,
    executers: BTreeMap<u32, u32>,
}

impl Bench {
    /// Panics if a table contradicts another.
    pub(crate) fn check(&self) {
        check(&self.kernel);
    }
}

/// Frames in use, by what they hold.
struct Index(BTreeMap<u8, Vec<u32>>);

impl Index {
    fn new(kernel: &Kernel<Sim>) -> Index {
        let mut index = BTreeMap::<u8, Vec<u32>>::new();
        for frame in 0..kernel.store.memory.frames() {
            let kind = kernel.store.kind(crate::phys::Frame(frame));
            index.entry(kind as u8).or_default().push(frame);
        }
        Index(index)
    }

    fn of(&self, kind: FrameKind) -> impl Iterator<Item = u32> + '_ {
        self.0.get(&(kind as u8)).into_iter().flatten().copied()
    }
}

fn list(kernel: &Kernel<Sim>, chain: Chain, list: ThreadList) -> Vec<Ref<Tcb>> {
    let mut out = Vec::new();
    let (mut next, mut prev) = (list.head, None);
    while let Some(thread) = next {
        let links = kernel.store.get(thread).unwrap().links[chain as usize];
        assert_eq!(links.prev, prev);
        prev = next;
        next = links.next;
        out.push(thread);
    }
    assert_eq!(list.head.and(list.tail), prev);
    out
}

fn check(kernel: &Kernel<Sim>) {
    let store = &kernel.store;
    let mut count = Count::default();
    count.refs.insert(kernel.root_budget.frame(), 1);
    let index = Index::new(kernel);
    let mut used = 0;
    for frame in 0..store.memory.frames() {
        let kind = store.kind(crate::phys::Frame(frame));
        match kind {
            FrameKind::Reserved | FrameKind::Archive | FrameKind::Free | FrameKind::FreePart => {
                continue;
            }
            _ => used += 1,
        }
        *count.paid.entry(store.payer(frame)).or_default() += 1;
    }
    assert_eq!(
        used + store.free_frames(),
        store.managed(),
        "frames are lost"
    );
    check_caps(kernel, &index, &mut count);
    check_families(kernel, &index);
    check_threads(kernel, &index, &mut count);
    check_memory(kernel, &index, &mut count);
    for frame in index.of(FrameKind::Budget) {
        let budget = store.at::<Budget>(frame).unwrap();
        if let Some(parent) = budget.parent {
            *count.paid.entry(parent.frame()).or_default() += budget.limit;
        }
    }
    for frame in index.of(FrameKind::Budget) {
        let budget = store.at::<Budget>(frame).unwrap();
        let paid = count.paid.get(&frame).copied().unwrap_or(0);
        assert_eq!(budget.used, paid, "use of budget {frame}");
        assert!(budget.used <= budget.limit);
    }
    for kind in [
        FrameKind::Budget,
        FrameKind::Memory,
        FrameKind::Process,
        FrameKind::Thread,
        FrameKind::Endpoint,
        FrameKind::Notification,
        FrameKind::Interrupt,
        FrameKind::Device,
    ] {
        for frame in index.of(kind) {
            let refs = count.refs.get(&frame).copied().unwrap_or(0);
            assert_eq!(store.refs(frame), refs, "references to {kind:?} {frame}");
            assert!(
                refs > 0 || kind == FrameKind::Budget,
                "{kind:?} {frame} leaked"
            );
        }
    }
    for frame in index.of(FrameKind::Endpoint) {
        let endpoint = store.at::<Endpoint>(frame).unwrap();
        let receivers = count.receivers.get(&frame).copied().unwrap_or(0);
        assert_eq!(endpoint.receive_caps, receivers);
        assert!(receivers > 0 || (endpoint.callers.is_empty() && endpoint.served.is_empty()));
    }
}

fn check_caps(kernel: &Kernel<Sim>, index: &Index, count: &mut Count) {
    let store = &kernel.store;
    let mut owned = BTreeSet::new();
    for frame in index.of(FrameKind::Process) {
        let process = store.at::<Process>(frame).unwrap();
        let mut caps = 0;
        for (table, word) in process.tables.iter().zip(process.used) {
            assert!(*table != 0 || word & !1 == 0);
            let entries = store.at::<CapTable>(*table);
            owned.extend(entries.map(|_| *table));
            for (index, cap) in entries.iter().flat_map(|table| table.0.iter()).enumerate() {
                let is_used = word & 1 << index != 0 && (cap.slot != 0 || index != 0);
                assert_eq!(cap.kind != 0, is_used);
                if cap.kind != 0 {
                    caps += 1;
                    assert_eq!(cap.owner, frame);
                    check_cap(kernel, CapRef::new(*table, index as u16), cap, count);
                }
            }
        }
        assert_eq!(process.caps, caps);
        assert!(process.is_alive() || caps == 0);
    }
    assert_eq!(owned.len(), index.of(FrameKind::CapTable).count());
}

/// Everybody but the first process has a maker that lives, and is in its list.
fn check_families(kernel: &Kernel<Sim>, index: &Index) {
    let store = &kernel.store;
    let (mut living, mut listed) = (0, 0);
    for frame in index.of(FrameKind::Process) {
        let process = store.at::<Process>(frame).unwrap();
        let is_first = kernel.first.is_some_and(|first| first.frame() == frame);
        assert_eq!(process.maker.is_some(), process.is_alive() && !is_first);
        let speaker = process.speaker.map(|speaker| store.get(speaker));
        assert!(!process.is_alive() || speaker.is_none_or(|it| it.unwrap().is_alive()));
        assert!(process.speaker.is_some() != is_first, "who speaks for it");
        living += process.maker.is_some() as u32;
        let (mut next, mut prev) = (process.made, None);
        assert!(next.is_none() || process.is_alive());
        while let Some(made) = next {
            let entry = store.get(made).unwrap();
            assert_eq!(entry.maker.map(|maker| maker.frame()), Some(frame));
            assert_eq!(entry.made_links.prev, prev);
            (prev, next) = (next, entry.made_links.next);
            listed += 1;
        }
    }
    assert_eq!(living, listed);
}

fn check_cap(kernel: &Kernel<Sim>, at: CapRef, cap: &Cap, count: &mut Count) {
    let store = &kernel.store;
    if cap.frame != 0 && !(cap.kind == Kind::Process as u8 && cap.frame == cap.owner) {
        *count.refs.entry(cap.frame).or_default() += 1;
    }
    if cap.kind == Kind::Endpoint as u8 && cap.rights().contains(Rights::RECV) {
        *count.receivers.entry(cap.frame).or_default() += 1;
    }
    if let Some(parent) = cap.parent.get(store) {
        assert_ne!(parent.kind, 0);
        if parent.kind == Kind::Device as u8 && cap.kind != Kind::Device as u8 {
            assert!(cap.kind == Kind::Memory as u8 || cap.kind == Kind::Interrupt as u8);
        } else {
            assert_eq!((parent.kind, parent.frame), (cap.kind, cap.frame));
            assert!(parent.rights().contains(cap.rights()), "rights grew");
            assert!(
                parent.badge == 0 || parent.badge == cap.badge,
                "the badge changed"
            );
        }
    } else {
        assert_eq!((cap.next, cap.prev), (CapRef::NONE, CapRef::NONE));
    }
    let (mut child, mut prev) = (cap.child, CapRef::NONE);
    while let Some(entry) = child.get(store) {
        assert_eq!((entry.parent, entry.prev), (at, prev));
        prev = child;
        child = entry.next;
    }
}

fn check_threads(kernel: &Kernel<Sim>, index: &Index, count: &mut Count) {
    let store = &kernel.store;
    let mut armed = 0;
    let waiting = kernel.sched.waiting_to_run(store);
    let mut ready: BTreeSet<_> = waiting
        .iter()
        .map(|(thread, priority)| (thread.frame(), *priority))
        .collect();
    assert_eq!(ready.len(), waiting.len());
    for frame in index.of(FrameKind::Process) {
        let process = store.at::<Process>(frame).unwrap();
        let threads = list(kernel, Chain::Family, process.threads);
        if !threads.is_empty() {
            assert_eq!(process.state, ProcessState::Running);
            *count.refs.entry(frame).or_default() += 1;
        }
        for caller in list(kernel, Chain::Service, process.serving) {
            let state = store.get(caller).unwrap().state;
            assert!(matches!(state, ThreadState::Served(_, server) if server.frame() == frame));
        }
        for thread in threads {
            *count.refs.entry(thread.frame()).or_default() += 1;
            let tcb = store.get(thread).unwrap();
            assert_eq!(tcb.process.frame(), frame);
            armed += tcb.timer.armed as u32;
            check_memo(kernel, thread);
            let is_seen_to = tcb.timer.armed && tcb.timer.key <= tcb.deadline;
            let queue = match tcb.state {
                ThreadState::Ready => {
                    let runs = kernel.sched.current == Some(thread);
                    assert!(runs != ready.remove(&(thread.frame(), tcb.priority)));
                    continue;
                }
                _ if tcb.deadline != FOREVER && !is_seen_to => panic!("it would wait for ever"),
                ThreadState::Dead => panic!("a dead thread in a process"),
                ThreadState::Calling(endpoint) => store.get(endpoint).unwrap().callers,
                ThreadState::Receiving(endpoint, _) => store.get(endpoint).unwrap().receivers,
                ThreadState::Served(endpoint, _) => store.get(endpoint).unwrap().served,
                ThreadState::Waiting(notification, _) => store.get(notification).unwrap().waiters,
            };
            assert!(list(kernel, Chain::Queue, queue).contains(&thread));
        }
    }
    assert!(ready.is_empty(), "somebody would run who is not ready");
    for frame in index.of(FrameKind::Notification) {
        let notification = store.at::<Notification>(frame).unwrap();
        for thread in list(kernel, Chain::Queue, notification.waiters) {
            let ThreadState::Waiting(_, mask) = store.get(thread).unwrap().state else {
                panic!("a waiter that does not wait");
            };
            assert_eq!(notification.bits & mask, 0, "a wake-up was lost");
        }
    }
    assert_eq!(kernel.deadlines.count(store), armed);
}

/// What a thread remembers of its capabilities is what the table says.
fn check_memo(kernel: &Kernel<Sim>, thread: Ref<Tcb>) {
    let tcb = kernel.store.get(thread).unwrap();
    for note in tcb.memo.noted(kernel.deleted) {
        let slot = note.slot;
        let found = lookup(&kernel.store, tcb.process, slot, note.kind, note.rights).unwrap();
        let object = found.object::<Tcb>();
        let named = (object.frame(), object.generation());
        assert_eq!(named, note.object, "slot {slot:#x}");
        assert!(note.badge == found.badge || note.rights != Rights::SIGNAL);
    }
}

fn check_memory(kernel: &Kernel<Sim>, index: &Index, count: &mut Count) {
    let store = &kernel.store;
    for frame in index.of(FrameKind::Process) {
        let process = store.at::<Process>(frame).unwrap();
        let (mut next, mut maps, mut pages) = (process.maps, 0, 0);
        while let Some(table) = store.at::<MapTable>(next) {
            next = table.next;
            let used = table.entries.iter().filter(|entry| entry.address != 0);
            assert_eq!(used.clone().count(), table.used as usize);
            for entry in used {
                maps += 1;
                pages += entry.pages as u64;
                if entry.cap == CapRef::NONE.0 {
                    for page in 0..entry.pages as u64 {
                        let at = entry.address + page * 4096;
                        let (shown, prot) = kernel
                            .platform
                            .translate(&store.memory, process.root, at)
                            .unwrap();
                        assert_eq!(shown, process.scratch.address());
                        assert!(!prot.contains(Prot::EXEC));
                    }
                    continue;
                }
                let cap = CapRef(entry.cap).get(store).unwrap();
                assert_eq!((cap.kind, cap.owner), (Kind::Memory as u8, frame));
                *count.mappings.entry(entry.cap).or_default() += 1;
                let prot = Prot::from_bits_truncate(entry.prot);
                assert!(!prot.contains(Prot::WRITE | Prot::EXEC));
                *count.writers.entry(cap.frame).or_default() += prot.contains(Prot::WRITE) as u32;
                *count.executers.entry(cap.frame).or_default() += prot.contains(Prot::EXEC) as u32;
            }
        }
        assert_eq!((process.map_count, process.pages), (maps, pages));
    }
    for table in index.of(FrameKind::CapTable) {
        for (index, cap) in store.at::<CapTable>(table).unwrap().0.iter().enumerate() {
            let at = CapRef::new(table, index as u16);
            assert_eq!(
                cap.mappings,
                count.mappings.get(&at.0).copied().unwrap_or(0)
            );
        }
    }
    for frame in index.of(FrameKind::Device) {
        let device = store.at::<Device>(frame).unwrap();
        check_reach(kernel, device);
        for Pin { memory, writes } in device.pins.iter().flatten() {
            *count.refs.entry(memory.frame()).or_default() += 1;
            *count.writers.entry(memory.frame()).or_default() += *writes as u32;
        }
    }
    for frame in index.of(FrameKind::Memory) {
        let memory = store.at::<Memory>(frame).unwrap();
        let counted = |map: &BTreeMap<u32, u32>| map.get(&frame).copied().unwrap_or(0);
        let (writers, executers) = (counted(&count.writers), counted(&count.executers));
        assert_eq!((memory.writers, memory.executers), (writers, executers));
        assert!(writers == 0 || executers == 0, "writable and executable");
    }
}

/// A device reaches what is pinned for it, as it is pinned, and no other frame.
fn check_reach(kernel: &Kernel<Sim>, device: &Device) {
    let store = &kernel.store;
    let mut pinned = BTreeMap::new();
    for Pin { memory, writes } in device.pins.iter().flatten() {
        let pages = store.get(*memory).unwrap().pages;
        let first = kernel.page_frame(*memory, 0).unwrap();
        pinned.extend((first.0..first.0 + pages).map(|frame| (frame, *writes)));
    }
    let domain = kernel.platform.domains.get(&device.address);
    let domain = domain.copied().flatten();
    assert_eq!(domain.map(|(_, root)| root), device.domain);
    if device.domain.is_none() {
        assert!(pinned.is_empty() || !kernel.platform.isolates);
        return;
    }
    for frame in 0..store.memory.frames() {
        let reaches =
            kernel
                .platform
                .reaches(&store.memory, device.address, crate::phys::Frame(frame));
        let pinned = pinned.get(&frame).copied();
        assert_eq!(reaches, pinned, "reach of frame {frame}");
    }
}
