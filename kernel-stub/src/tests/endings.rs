//! Who ends with whom: a process with its maker, the machine with the first process.

use crate::platform::Trap;
use crate::testing::{Bench, SCRATCH};
use kernel_abi::{ProcessState, ProcessStatus, Syscall, Words};

fn state_of(bench: &mut Bench, slot: u64) -> ProcessState {
    let init = bench.init;
    bench.get(init, Syscall::ProcessStatus, &[slot, SCRATCH]);
    let words = bench.words(init, SCRATCH, 16);
    ProcessStatus::from_words(&words.try_into().unwrap())
        .unwrap()
        .state
}

/// What the machine says when the first process ends, and the status that it ends with.
fn end_of_the_first(end: impl FnOnce(&mut Bench)) -> (String, String) {
    let mut bench = Bench::new();
    // Even if nothing of the log is to be shown.
    bench.get(bench.init, Syscall::LogEcho, &[3, 0]);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| end(&mut bench)));
    let status = ended.expect_err("the machine goes on");
    let status = status.downcast_ref::<String>().cloned().unwrap_or_default();
    let shown = String::from_utf8_lossy(&bench.kernel.platform.output).into_owned();
    (shown, status)
}

#[test]
fn the_machine_ends_with_its_first_process() {
    let init = |bench: &Bench| bench.init;
    let (shown, status) = end_of_the_first(|bench| {
        bench.issue(init(bench), Syscall::ProcessExit as u64, &[7]);
    });
    assert_eq!(status, "power off 104");
    let line = "kernel: the first process exited with code 7: nothing can be restarted, the machine ends\n";
    assert!(shown.ends_with(line), "{shown}");
    assert_eq!(shown.lines().count(), 1);
    let (shown, status) = end_of_the_first(|bench| {
        bench.trap(
            init(bench),
            Trap::Fault {
                vector: 14,
                error: 0,
                address: 0,
                instruction: 0,
            },
        );
    });
    assert_eq!(status, "power off 104");
    assert!(shown.contains("the first process faulted with vector 14"));
    let (_, status) = end_of_the_first(|bench| {
        bench.issue(init(bench), Syscall::ThreadExit as u64, &[]);
    });
    assert_eq!(status, "power off 104");
    // Somebody who was given the power over it.
    let (shown, status) = end_of_the_first(|bench| {
        let child = bench.spawn(bench.init, 64);
        let there = bench.grant(bench.init, 1, child.slot);
        bench.issue(child.thread, Syscall::ProcessKill as u64, &[there, 9]);
    });
    assert_eq!(status, "power off 104");
    assert!(shown.contains("was killed with code 9"));
}

#[test]
fn nobody_escapes_by_starting_another_process() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    let child = bench.spawn(init, 400);
    // Two that hold each other, so that no count of capabilities would ever bring them down; and a chain.
    let first = bench.spawn(child.thread, 40);
    let second = bench.spawn(child.thread, 40);
    bench.grant(child.thread, first.slot, second.slot);
    bench.grant(child.thread, second.slot, first.slot);
    let deep = bench.spawn(child.thread, 200);
    let deeper = bench.spawn(deep.thread, 100);
    let deepest = bench.spawn(deeper.thread, 40);
    bench.check();
    // Those in the middle can go without those that were made before and after them.
    bench.issue(second.thread, Syscall::ProcessExit as u64, &[0]);
    bench.check();
    bench.get(init, Syscall::ProcessKill, &[child.slot, 1]);
    for thread in [first.thread, deep.thread, deeper.thread, deepest.thread] {
        assert!(bench.kernel.store.get(thread).is_err(), "it runs on");
    }
    bench.check();
    bench.get(init, Syscall::CapDelete, &[child.slot]);
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn a_process_can_kill_the_one_that_made_it_and_goes_with_it() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 200);
    let grandchild = bench.spawn(child.thread, 64);
    let up = bench.grant(child.thread, 1, grandchild.slot);
    let answer = bench.issue(grandchild.thread, Syscall::ProcessKill as u64, &[up, 3]);
    assert_eq!(answer, None);
    assert_eq!(state_of(&mut bench, child.slot), ProcessState::Killed(3));
    bench.check();
}
