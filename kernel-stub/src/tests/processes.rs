//! Processes and threads: start, end, faults, watches, and that nothing is lost.

use crate::platform::Trap;
use crate::testing::{BUDGET, Bench, SCRATCH};
use kernel_abi::{Error, FOREVER, ProcessState, ProcessStatus, Rights, Syscall, USER_END, Words};

const ALL: u64 = Rights::all().bits() as u64;

fn status(bench: &mut Bench, slot: u64) -> ProcessStatus {
    let init = bench.init;
    let page = scratch(bench);
    bench.get(init, Syscall::ProcessStatus, &[slot, page]);
    let words = bench.words(init, page, 16);
    ProcessStatus::from_words(&words.try_into().unwrap()).unwrap()
}

/// Init's stack is its place for records.
fn scratch(_bench: &Bench) -> u64 {
    SCRATCH
}

#[test]
fn ten_thousand_processes_leave_nothing_behind() {
    let mut bench = Bench::new();
    let init = bench.init;
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let shared = bench.get(init, Syscall::MemoryCreate, &[2, 2, 0]);
    let endpoint = bench.get(init, Syscall::EndpointCreate, &[2]);
    let mut free = None;
    for cycle in 0..10_000u64 {
        let child = bench.spawn(init, 40);
        bench.get(init, Syscall::ProcessWatch, &[child.slot, bell, 1]);
        let page = bench.grant(init, shared, child.slot);
        let me = child.thread;
        bench.get(me, Syscall::MemoryMap, &[0, page, 0x1000_0000, 0, 2, 2]);
        bench.get(me, Syscall::MemoryCreate, &[2, 3, 0]);
        let call = bench.grant(init, endpoint, child.slot);
        match cycle % 4 {
            0 => {
                bench.issue(me, Syscall::ProcessExit as u64, &[7]);
            }
            1 => {
                bench.get(init, Syscall::ProcessKill, &[child.slot, 1]);
            }
            2 => bench.trap(
                me,
                Trap::Fault {
                    vector: 14,
                    error: 6,
                    address: 8,
                    instruction: 0x40_0000,
                },
            ),
            _ => {
                bench.put_message(me, SCRATCH, b"hello", &[page]);
                bench.wait(me, Syscall::EndpointCall, &[call, SCRATCH, FOREVER]);
                bench.get(init, Syscall::ProcessKill, &[child.slot, 1]);
            }
        }
        assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 1, 0]), 1);
        bench.get(init, Syscall::CapDelete, &[child.slot]);
        if cycle % 1000 < 4 {
            bench.check();
        }
        assert_eq!(
            bench.free_frames(),
            *free.get_or_insert(bench.free_frames()),
            "cycle {cycle}"
        );
    }
}

#[test]
fn a_fault_ends_the_process_and_is_told() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::ProcessWatch, &[child.slot, bell, 8]);
    let id = status(&mut bench, child.slot).id;
    bench.trap(
        child.thread,
        Trap::Fault {
            vector: 14,
            error: 4,
            address: 0x1234,
            instruction: 0x40_0042,
        },
    );
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 8, 0]), 8);
    let state = status(&mut bench, child.slot).state;
    let expected = ProcessState::Faulted {
        vector: 14,
        error: 4,
        address: 0x1234,
        instruction: 0x40_0042,
    };
    assert_eq!(state, expected);
    let shown = String::from_utf8_lossy(&bench.kernel.platform.output);
    let line =
        format!("kernel: process {id} faulted: vector 14 error 0x4 address 0x1234 ip 0x400042\n");
    assert!(shown.ends_with(&line), "{shown}");
    // The end was before the watch: at once.
    bench.get(init, Syscall::ProcessWatch, &[child.slot, bell, 2]);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 2, 0]), 2);
    bench.check();
}

#[test]
fn the_dead_can_only_be_looked_at() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    bench.issue(child.thread, Syscall::ProcessExit as u64, &[42]);
    let now = status(&mut bench, child.slot);
    assert_eq!(now.state, ProcessState::Exited(42));
    assert_eq!(
        (now.caps, now.threads, now.pages, now.budget_used),
        (0, 0, 0, 1)
    );
    let slot = child.slot;
    for (call, arguments, expected) in [
        (Syscall::ProcessKill, vec![slot, 0], Error::BadState),
        (
            Syscall::ProcessGrant,
            vec![slot, 2, 0, ALL, 0],
            Error::BadState,
        ),
        (
            Syscall::ThreadCreate,
            vec![slot, 0x40_0000, 0, 0, 1],
            Error::BadState,
        ),
        (
            Syscall::MemoryMap,
            vec![slot, 1, 0x10_0000, 0, 1, 1],
            Error::BadSlot,
        ),
        (
            Syscall::MemoryUnmap,
            vec![slot, 0x10_0000, 1],
            Error::BadArgument,
        ),
    ] {
        assert_eq!(
            bench.call(init, call, &arguments),
            Err(expected),
            "{call:?}"
        );
    }
    bench.check();
}

#[test]
fn a_process_ends_with_its_last_thread() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let start = [0, 0x40_0000, SCRATCH, 5, 15];
    let slot = bench.get(child.thread, Syscall::ThreadCreate, &start);
    let found = crate::cap::find(&bench.kernel.store, bench.process(child.thread), slot).unwrap();
    let second = found.object();
    bench.issue(child.thread, Syscall::ThreadExit as u64, &[]);
    bench.check();
    assert_eq!(status(&mut bench, child.slot).threads, 1);
    let priority = bench.call(second, Syscall::ThreadPriority, &[slot, 3]);
    assert!(priority.is_ok());
    bench.issue(second, Syscall::ThreadExit as u64, &[]);
    assert_eq!(
        status(&mut bench, child.slot).state,
        ProcessState::Exited(0)
    );
    bench.check();
}

#[test]
fn a_process_can_kill_itself_through_its_capability() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let answer = bench.issue(child.thread, Syscall::ProcessKill as u64, &[1, 6]);
    assert_eq!(answer, None);
    assert_eq!(
        status(&mut bench, child.slot).state,
        ProcessState::Killed(6)
    );
    bench.check();
}

#[test]
fn a_process_that_nobody_names_runs_on_and_leaves_nothing() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    let child = bench.spawn(init, 64);
    bench.get(init, Syscall::CapDelete, &[child.slot]);
    bench.check();
    bench.get(child.thread, Syscall::NotificationCreate, &[2]);
    bench.issue(child.thread, Syscall::ProcessExit as u64, &[0]);
    assert_eq!(bench.free_frames(), free);
    // One that was never started goes with its last capability, though it holds one to itself.
    let idle = bench.get(init, Syscall::ProcessCreate, &[2, 3]);
    bench.get(init, Syscall::ProcessGrant, &[idle, idle, 1, ALL, 0]);
    bench.get(init, Syscall::CapDelete, &[idle]);
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn chains_of_processes_that_hold_each_other_come_down_together() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    // Each holds the only capability to the next; none was started.
    let first = bench.get(init, Syscall::ProcessCreate, &[2, 3]);
    let mut last = first;
    for _ in 0..100 {
        let next = bench.get(init, Syscall::ProcessCreate, &[2, 3]);
        bench.get(init, Syscall::ProcessGrant, &[last, next, 0, ALL, 0]);
        if last != first {
            bench.get(init, Syscall::CapDelete, &[last]);
        }
        last = next;
    }
    bench.get(init, Syscall::CapDelete, &[last]);
    bench.check();
    bench.get(init, Syscall::CapDelete, &[first]);
    bench.check();
    // Nothing but a second frame of init's own table.
    assert!(free - bench.free_frames() <= 1);
}

#[test]
fn places_and_priorities_are_checked() {
    let mut bench = Bench::new();
    let init = bench.init;
    for priority in [16, 255, 256, u64::MAX] {
        let create = bench.call(init, Syscall::ProcessCreate, &[2, priority]);
        assert_eq!(create, Err(Error::BadArgument));
    }
    // Nobody can give more urgency than he has.
    let meek = bench.spawn(init, 64);
    let meek_process = bench.process(meek.thread);
    bench
        .kernel
        .store
        .get_mut(meek_process)
        .unwrap()
        .max_priority = 5;
    let urgent = bench.call(meek.thread, Syscall::ProcessCreate, &[BUDGET, 6]);
    assert_eq!(urgent, Err(Error::BadArgument));
    bench.get(meek.thread, Syscall::ProcessCreate, &[BUDGET, 5]);
    let process = bench.get(init, Syscall::ProcessCreate, &[2, 3]);
    for (entry, stack, priority) in [
        (0x40_0000, 0x50_0000, 4),
        (USER_END, 0x50_0000, 1),
        (0xffff_8000_0000_0000, 0x50_0000, 1),
        (0x40_0000, USER_END + 1, 1),
        (0x40_0000, 1 << 63, 1),
    ] {
        let request = [process, entry, stack, 0, priority];
        let create = bench.call(init, Syscall::ThreadCreate, &request);
        assert_eq!(create, Err(Error::BadArgument));
    }
    let slot = [process, 2, 3, ALL, 0];
    bench.get(init, Syscall::ProcessGrant, &slot);
    assert_eq!(
        bench.call(init, Syscall::ProcessGrant, &slot),
        Err(Error::Busy)
    );
    for index in [4096, 65536, u64::MAX] {
        let grant = bench.call(init, Syscall::ProcessGrant, &[process, 2, index, ALL, 0]);
        assert_eq!(grant, Err(Error::BadArgument));
    }
    bench.check();
}

#[test]
fn capabilities_are_listed_page_by_page() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    for _ in 0..100 {
        bench.get(child.thread, Syscall::CapDerive, &[1, ALL, 0]);
    }
    let total = status(&mut bench, child.slot).caps;
    let (mut from, mut seen) = (0, 0);
    loop {
        let list = [child.slot, from, SCRATCH, 7];
        let [count, next, _] = bench.call(init, Syscall::ProcessCaps, &list).unwrap();
        assert!(count <= 7);
        seen += count;
        let words = bench.words(init, SCRATCH, 4);
        assert!(
            count == 0 || kernel_abi::CapRecord::from_words(&words.try_into().unwrap()).is_some()
        );
        if next == 0 {
            break;
        }
        assert!(next > from && count > 0);
        from = next;
    }
    assert_eq!(seen, total);
    let end = bench.call(
        init,
        Syscall::ProcessCaps,
        &[child.slot, u64::MAX, SCRATCH, 7],
    );
    assert_eq!(end, Ok([0; 3]));
}

#[test]
fn only_so_many_can_watch_a_process() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let bells: Vec<_> = (0..9)
        .map(|_| bench.get(init, Syscall::NotificationCreate, &[2]))
        .collect();
    for (index, bell) in bells.iter().enumerate() {
        let watch = bench.call(init, Syscall::ProcessWatch, &[child.slot, *bell, 1]);
        assert_eq!(watch.is_ok(), index < 8);
    }
    // A dead notification makes room.
    bench.get(init, Syscall::CapDelete, &[bells[3]]);
    bench.get(init, Syscall::ProcessWatch, &[child.slot, bells[8], 1]);
    bench.get(init, Syscall::ProcessKill, &[child.slot, 0]);
    assert_eq!(
        bench.get(init, Syscall::NotificationWait, &[bells[8], 1, 0]),
        1
    );
    bench.check();
}
