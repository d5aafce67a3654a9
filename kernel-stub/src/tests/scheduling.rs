//! Who runs when: priorities, slices, deadlines, idle time.

use crate::object::{Tcb, ThreadState};
use crate::sched::{SLICE_NS, patience::PATIENCE_NS};
use crate::store::Ref;
use crate::testing::{Bench, SCRATCH};
use kernel_abi::{BOOT_STACK_TOP, Error, FOREVER, ProcessState, Syscall};
use proptest::prelude::*;

/// Threads of init, known by their arguments, at these priorities; init waits for ever.
fn threads(bench: &mut Bench, priorities: &[u64]) -> Vec<Ref<Tcb>> {
    let init = bench.init;
    let process = bench.process(init);
    let made = priorities
        .iter()
        .enumerate()
        .map(|(index, priority)| {
            let start = [0, 0x40_0000, BOOT_STACK_TOP, 100 + index as u64, *priority];
            let slot = bench.get(init, Syscall::ThreadCreate, &start);
            let found = crate::cap::find(&bench.kernel.store, process, slot).unwrap();
            found.object()
        })
        .collect();
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.wait(init, Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.kernel.platform.ran.clear();
    made
}

fn run(bench: &mut Bench, steps: usize) -> Vec<u64> {
    bench.kernel.platform.ran.clear();
    for _ in 0..steps {
        bench.kernel.step();
    }
    bench.kernel.platform.ran.clone()
}

#[test]
fn the_highest_priority_runs_alone() {
    let mut bench = Bench::new();
    threads(&mut bench, &[3, 7, 5]);
    assert_eq!(run(&mut bench, 50), [101; 50]);
    bench.check();
}

#[test]
fn equals_take_turns_when_their_slice_is_over() {
    let mut bench = Bench::new();
    threads(&mut bench, &[4, 4, 4]);
    assert_eq!(run(&mut bench, 3), [100; 3]);
    assert!(bench.kernel.platform.timer.is_some());
    let mut order = Vec::new();
    for _ in 0..6 {
        bench.kernel.platform.clock += SLICE_NS;
        // The step in which the timer goes off, and the one after it.
        order.push(run(&mut bench, 2)[1]);
    }
    assert_eq!(order, [101, 102, 100, 101, 102, 100]);
}

#[test]
fn a_thread_alone_needs_no_timer() {
    let mut bench = Bench::new();
    threads(&mut bench, &[4]);
    run(&mut bench, 3);
    assert_eq!(bench.kernel.platform.timer, None);
}

#[test]
fn waking_a_more_urgent_thread_preempts_and_the_preempted_comes_next() {
    let mut bench = Bench::new();
    let made = threads(&mut bench, &[4, 4, 9]);
    // The urgent one waits for a deadline.
    let bell = {
        let init_process = bench.process(made[2]);
        let owner = bench.kernel.store.get(init_process).unwrap();
        assert!(owner.threads.only().is_none());
        bench.get(made[2], Syscall::NotificationCreate, &[2])
    };
    let soon = bench.kernel.platform.clock + 5_000_000;
    bench.wait(made[2], Syscall::NotificationWait, &[bell, 1, soon]);
    for thread in &made[..2] {
        bench.kernel.set_priority(*thread, 4).unwrap();
    }
    bench.kernel.set_priority(made[2], 9).unwrap();
    let before = run(&mut bench, 1)[0];
    assert_eq!(bench.kernel.platform.timer, Some(soon));
    bench.kernel.platform.clock = soon;
    let order = run(&mut bench, 2);
    assert_eq!(order, [before, 102]);
    assert_eq!(bench.result(made[2]), Some(Ok([0; 3])));
    bench.wait(made[2], Syscall::NotificationWait, &[bell, 1, FOREVER]);
    assert_eq!(run(&mut bench, 1), [before]);
    bench.check();
}

/// Two threads of these priorities, of which the first has just woken the second, and runs on.
fn woken(bench: &mut Bench, priorities: [u64; 2]) -> [Ref<Tcb>; 2] {
    let made = threads(bench, &priorities);
    let bell = bench.get(made[1], Syscall::NotificationCreate, &[2]);
    bench.wait(made[1], Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench
        .kernel
        .set_priority(made[1], priorities[1] as u8)
        .unwrap();
    bench.get(made[0], Syscall::NotificationSignal, &[bell, 1]);
    bench
        .kernel
        .set_priority(made[0], priorities[0] as u8)
        .unwrap();
    bench.check();
    [made[0], made[1]]
}

#[test]
fn who_was_woken_runs_at_once_only_if_it_is_more_urgent() {
    for (priorities, first) in [([4, 9], 101), ([9, 4], 100), ([4, 4], 100)] {
        let mut bench = Bench::new();
        woken(&mut bench, priorities);
        assert_eq!(run(&mut bench, 1), [first], "{priorities:?}");
        let ends = bench.kernel.platform.timer.is_some();
        assert_eq!(ends, priorities == [4, 4], "the slice of {priorities:?}");
        bench.check();
    }
}

#[test]
fn who_was_woken_can_change_and_end_before_it_runs() {
    let mut bench = Bench::new();
    let [_, second] = woken(&mut bench, [4, 3]);
    bench.kernel.set_priority(second, 5).unwrap();
    bench.check();
    assert_eq!(run(&mut bench, 1), [101]);

    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let there = bench.grant(init, bell, child.slot);
    let arguments = [there, 1, FOREVER];
    bench.wait(child.thread, Syscall::NotificationWait, &arguments);
    bench.get(init, Syscall::NotificationSignal, &[bell, 1]);
    bench.check();
    let process = bench.process(child.thread);
    let killed = ProcessState::Killed(0);
    bench.kernel.end_process(process, killed);
    bench.kernel.reap();
    bench.check();
    // Others that become ready meanwhile come after it, or before it if they are more urgent.
    let mut bench = Bench::new();
    let made = threads(&mut bench, &[4, 6, 5, 4]);
    let bell = bench.get(made[0], Syscall::NotificationCreate, &[2]);
    for (index, thread) in made.iter().enumerate().skip(1) {
        let arguments = [bell, 1 << index, FOREVER];
        bench.wait(*thread, Syscall::NotificationWait, &arguments);
    }
    for (thread, priority) in made.iter().zip([4, 6, 5, 4]) {
        bench.kernel.set_priority(*thread, priority).unwrap();
    }
    bench.get(made[0], Syscall::NotificationSignal, &[bell, u64::MAX]);
    bench.kernel.set_priority(made[0], 3).unwrap();
    let mut order = Vec::new();
    for thread in [1, 2, 3, 0] {
        order.extend(run(&mut bench, 1));
        bench.kernel.set_priority(made[thread], 1).unwrap();
        bench.check();
    }
    assert_eq!(order, [101, 102, 103, 100]);
}

/// A thread that works (priority 4), and one (9) that the first has just woken and that is patient (2).
fn patient(bench: &mut Bench) -> [Ref<Tcb>; 2] {
    let made = threads(bench, &[4, 9]);
    let bell = bench.get(made[1], Syscall::NotificationCreate, &[2]);
    bench.kernel.set_priorities(made[1], 9, 2).unwrap();
    bench.wait(made[1], Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.get(made[0], Syscall::NotificationSignal, &[bell, 1]);
    bench.kernel.set_priority(made[0], 4).unwrap();
    bench.kernel.set_priorities(made[1], 9, 2).unwrap();
    bench.check();
    [made[0], made[1]]
}

#[test]
fn a_patient_thread_lets_others_finish_but_not_for_ever() {
    let mut bench = Bench::new();
    let [worker, _] = patient(&mut bench);
    let since = bench.kernel.platform.clock;
    assert_eq!(run(&mut bench, 3), [100; 3]);
    let timer = bench.kernel.platform.timer.unwrap();
    assert!(timer >= since + PATIENCE_NS && timer < since + PATIENCE_NS + SLICE_NS / 10);
    bench.kernel.platform.clock = timer - 1;
    bench.kernel.timer_expired();
    assert_eq!(run(&mut bench, 1), [100]);
    bench.check();
    // It is urgent now, and stays that until it waits: who wakes does not preempt it.
    bench.kernel.platform.clock = timer;
    bench.kernel.timer_expired();
    bench.check();
    assert_eq!(run(&mut bench, 2), [101; 2]);
    bench.kernel.set_priority(worker, 8).unwrap();
    assert_eq!(run(&mut bench, 1), [101]);
    bench.check();
}

#[test]
fn a_patient_thread_runs_at_once_when_others_wait_and_then_is_urgent() {
    let mut bench = Bench::new();
    let [worker, patient] = patient(&mut bench);
    let bell = bench.get(worker, Syscall::NotificationCreate, &[2]);
    bench.wait(worker, Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.kernel.set_priority(worker, 4).unwrap();
    bench.kernel.set_priorities(patient, 9, 2).unwrap();
    assert_eq!(run(&mut bench, 2), [101; 2]);
    assert_eq!(bench.kernel.platform.timer, None, "nobody has to hurry");
    bench.kernel.wake(worker, Ok([1, 0, 0]), false);
    assert_eq!(run(&mut bench, 1), [101]);
    // When it has waited, it is patient again.
    bench.wait(patient, Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.kernel.set_priorities(patient, 9, 2).unwrap();
    bench.get(worker, Syscall::NotificationSignal, &[bell, 1]);
    bench.kernel.set_priority(worker, 4).unwrap();
    assert_eq!(run(&mut bench, 1), [100]);
    bench.check();
}

#[test]
fn a_patient_thread_that_yields_lets_the_same_finish_as_when_it_has_waited() {
    let mut bench = Bench::new();
    let [worker, patient] = patient(&mut bench);
    assert_eq!(run(&mut bench, 1), [100]);
    bench.kernel.platform.clock = bench.kernel.platform.timer.unwrap();
    bench.kernel.timer_expired();
    assert_eq!(run(&mut bench, 2), [101; 2]);
    let since = bench.kernel.platform.clock;
    bench.get(patient, Syscall::ThreadYield, &[]);
    bench.check();
    assert_eq!(run(&mut bench, 3), [100; 3]);
    let timer = bench.kernel.platform.timer.unwrap();
    assert!(timer >= since + PATIENCE_NS);
    bench.kernel.platform.clock = timer;
    bench.kernel.timer_expired();
    assert_eq!(run(&mut bench, 2), [101; 2]);
    // With nobody else, at once.
    let bell = bench.get(worker, Syscall::NotificationCreate, &[2]);
    bench.wait(worker, Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.get(patient, Syscall::ThreadYield, &[]);
    assert_eq!(run(&mut bench, 1), [101]);
    bench.check();
}

#[test]
fn only_who_is_patient_and_waits_sets_the_timer() {
    let mut bench = Bench::new();
    let mut priorities = [4; 40];
    [priorities[0], priorities[1]] = [6, 9];
    let made = threads(&mut bench, &priorities);
    let bell = bench.get(made[1], Syscall::NotificationCreate, &[2]);
    bench.kernel.set_priorities(made[1], 9, 4).unwrap();
    bench.wait(made[1], Syscall::NotificationWait, &[bell, 1, FOREVER]);
    bench.kernel.set_priorities(made[1], 9, 4).unwrap();
    bench.kernel.set_priority(made[0], 6).unwrap();
    // Others of its first priority are none of its business.
    assert_eq!(run(&mut bench, 3), [100; 3]);
    assert_eq!(bench.kernel.platform.timer, None);
    // It is found among them all.
    bench.get(made[0], Syscall::NotificationSignal, &[bell, 1]);
    bench.kernel.set_priority(made[0], 6).unwrap();
    assert_eq!(run(&mut bench, 1), [100]);
    bench.kernel.platform.clock = bench.kernel.platform.timer.unwrap();
    bench.kernel.timer_expired();
    bench.check();
    assert_eq!(run(&mut bench, 2), [101; 2]);
}

#[test]
fn nobody_is_more_patient_than_the_lowest_and_nobody_waits_for_the_dead() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let thread = [0, 0x40_0000, BOOT_STACK_TOP, 1, 3];
    let slot = bench.get(child.thread, Syscall::ThreadCreate, &thread);
    for (number, error) in [(16, Error::BadArgument), (u64::MAX, Error::BadArgument)] {
        let answer = bench.call(child.thread, Syscall::ThreadPatience, &[slot, number]);
        assert_eq!(answer, Err(error));
    }
    bench.get(child.thread, Syscall::ThreadPatience, &[slot, 0]);
    bench.check();
    // Patience does not make it more urgent than it is.
    bench.get(child.thread, Syscall::ThreadPatience, &[slot, 9]);
    bench.check();
    let process = bench.process(child.thread);
    let found = crate::cap::find(&bench.kernel.store, process, slot).unwrap();
    assert_eq!(
        bench
            .kernel
            .store
            .get(found.object::<Tcb>())
            .unwrap()
            .priority,
        3
    );
}

#[test]
fn being_preempted_often_earns_no_new_slices() {
    let mut bench = Bench::new();
    let made = threads(&mut bench, &[4, 4, 15]);
    let bell = bench.get(made[2], Syscall::NotificationCreate, &[2]);
    for thread in &made[..2] {
        bench.kernel.set_priority(*thread, 4).unwrap();
    }
    // The urgent one wakes every millisecond, and sleeps again at once.
    let mut ran = Vec::new();
    for _ in 0..40 {
        let soon = bench.kernel.platform.clock + 1_000_000;
        bench.wait(made[2], Syscall::NotificationWait, &[bell, 1, soon]);
        ran.extend(run(&mut bench, 1));
        bench.kernel.platform.clock = soon;
        bench.kernel.timer_expired();
    }
    let count = |who| ran.iter().filter(|ran| **ran == who).count();
    assert!(count(100) >= 15 && count(101) >= 15, "{ran:?}");
    bench.check();
}

#[test]
fn an_idle_machine_sleeps_until_the_next_deadline() {
    let mut bench = Bench::new();
    let init = bench.init;
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let later = bench.kernel.platform.clock + 3_600_000_000_000;
    bench.wait(init, Syscall::NotificationWait, &[bell, 1, later]);
    assert!(run(&mut bench, 1).is_empty());
    assert_eq!(bench.kernel.platform.clock, later);
    assert_eq!(bench.result(init), Some(Ok([0; 3])));
    bench.get(init, Syscall::MachineInfo, &[5, SCRATCH]);
    let words = bench.words(init, SCRATCH, 8);
    assert!(words[3] >= 3_599_000_000_000, "idle {}", words[3]);
    bench.check();
}

#[test]
fn time_is_booked_to_who_used_it() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    for _ in 0..100 {
        bench.get(child.thread, Syscall::ThreadYield, &[]);
    }
    bench.get(init, Syscall::ProcessStatus, &[child.slot, SCRATCH]);
    let cpu_ns = bench.words(init, SCRATCH, 16)[6];
    assert!((100_000..200_000).contains(&cpu_ns), "{cpu_ns}");
}

#[test]
fn the_end_of_a_process_is_its_own_time() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let idle = bench.kernel.sched.idle_ns;
    bench.kernel.platform.freeing = 50_000_000;
    bench.issue(child.thread, Syscall::ProcessExit as u64, &[0]);
    bench.kernel.platform.freeing = 0;
    bench.get(init, Syscall::ProcessStatus, &[child.slot, SCRATCH]);
    let its = bench.words(init, SCRATCH, 16)[6];
    assert!((50_000_000..51_000_000).contains(&its), "{its}");
    let init_itself = bench.kernel.store.get(init).unwrap().usage.cpu_ns;
    assert!(init_itself < 1_000_000, "{init_itself}");
    assert_eq!(bench.kernel.sched.idle_ns, idle);
}

#[test]
fn notifications_wake_only_those_who_wait_for_the_bits() {
    let mut bench = Bench::new();
    let init = bench.init;
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let one = bench.spawn(init, 64);
    let two = bench.spawn(init, 64);
    let bell_one = bench.grant(init, bell, one.slot);
    let bell_two = bench.grant(init, bell, two.slot);
    bench.wait(
        one.thread,
        Syscall::NotificationWait,
        &[bell_one, 6, FOREVER],
    );
    bench.wait(
        two.thread,
        Syscall::NotificationWait,
        &[bell_two, 12, FOREVER],
    );
    bench.get(init, Syscall::NotificationSignal, &[bell, 1]);
    bench.check();
    bench.get(init, Syscall::NotificationSignal, &[bell, 4]);
    assert_eq!(bench.result(one.thread), Some(Ok([4, 0, 0])));
    assert_eq!(bench.result(two.thread), None);
    bench.get(init, Syscall::NotificationSignal, &[bell, 8 | 16]);
    assert_eq!(bench.result(two.thread), Some(Ok([8, 0, 0])));
    assert_eq!(
        bench.get(init, Syscall::NotificationWait, &[bell, u64::MAX, 0]),
        17
    );
    // A badge is all that its holder can signal.
    let badged = bench.get(
        init,
        Syscall::CapDerive,
        &[bell, u32::MAX as u64 & 0x7ff, 32],
    );
    bench.get(init, Syscall::NotificationSignal, &[badged, 3]);
    assert_eq!(
        bench.get(init, Syscall::NotificationWait, &[bell, u64::MAX, 0]),
        32
    );
    bench.check();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn deadlines_come_in_order(steps in prop::collection::vec((0usize..12, 0u64..1000), 1..80)) {
        let mut bench = Bench::new();
        let made = threads(&mut bench, &[4; 12]);
        let bell = bench.get(made[0], Syscall::NotificationCreate, &[2]);
        let mut armed = std::collections::HashMap::new();
        for (index, offset) in steps {
            let base = bench.kernel.platform.clock + 10_000_000;
            match armed.remove(&index) {
                // Waits: ended by hand.
                Some(_) => bench.kernel.wake(made[index], Ok([9, 0, 0]), false),
                None => {
                    let deadline = base + offset;
                    bench.wait(made[index], Syscall::NotificationWait, &[bell, 1, deadline]);
                    armed.insert(index, deadline);
                }
            }
            bench.check();
            let next = bench.kernel.deadlines.next();
            prop_assert!(armed.values().all(|deadline| next <= *deadline));
        }
        while bench.kernel.deadlines.next() != FOREVER {
            let next = bench.kernel.deadlines.next();
            bench.kernel.platform.clock = next;
            bench.kernel.timer_expired();
            armed.retain(|_, deadline| *deadline > next);
            bench.check();
            for (index, thread) in made.iter().enumerate() {
                let waits = matches!(bench.state(*thread), ThreadState::Waiting(..));
                prop_assert_eq!(waits, armed.contains_key(&index));
            }
        }
        prop_assert!(armed.is_empty());
    }
}
