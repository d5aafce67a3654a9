//! The supervisor against a fake kernel, under virtual time.

use super::*;
use crate::{
    backoff::{MIN_INTERVAL, PATIENCE, STABLE},
    testing::{Fake, World, archive, manifest},
};
use std::rc::Rc;

const SECOND: u64 = 1_000_000_000;

fn supervisor<'a>(archive: &'a [u8], cards: u64, line: &str) -> (Rc<World>, Supervisor<'a, Fake>) {
    let kernel = Fake::new(cards);
    let world = kernel.world.clone();
    let supervisor =
        Supervisor::new(kernel, manifest(), archive, CommandLine::parse(line)).unwrap();
    (world, supervisor)
}

/// Whether each process runs.
fn running(supervisor: &Supervisor<'_, Fake>) -> Vec<bool> {
    let runs = |child: &Child<_>| matches!(child.state, State::Running { .. });
    supervisor.children.iter().map(runs).collect()
}

fn end(world: &World, supervisor: &Supervisor<'_, Fake>, position: usize, how: ProcessState) {
    let id = supervisor.children[position].id;
    world.states.borrow_mut().insert(id, how);
}

const FAULT: ProcessState = ProcessState::Faulted {
    vector: 14,
    error: 4,
    address: 0,
    instruction: 0x20_0000,
};

#[test]
fn everything_is_started_at_once_and_nothing_is_left_to_do() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    assert_eq!(supervisor.run(0), None);
    assert_eq!(running(&supervisor), [true; 4]);
    assert_eq!(supervisor.run(SECOND), None);
    // Of all that was made for the four, init keeps one capability each.
    let alive = world.alive.borrow();
    assert_eq!(
        (alive["process"], alive["budget"], alive["memory"]),
        (4, 0, 0)
    );
    assert_eq!(alive["endpoint"], 3);
    assert_eq!(world.count("echo 2"), 1, "the shell has the console");
}

#[test]
fn a_log_level_of_the_command_line_keeps_the_console_as_it_is() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "log=debug");
    supervisor.run(0);
    assert_eq!(world.count("echo"), 0);
}

#[test]
fn a_fault_of_one_process_restarts_that_one_only() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.run(0);
    let ids: Vec<u64> = supervisor.children.iter().map(|child| child.id).collect();
    end(&world, &supervisor, 1, FAULT);
    assert_eq!(supervisor.run(STABLE), None);
    assert_eq!(running(&supervisor), [true; 4]);
    let now: Vec<u64> = supervisor.children.iter().map(|child| child.id).collect();
    assert_eq!(now, [ids[0], 5, ids[2], ids[3]]);
    assert_eq!(supervisor.children[1].restarts, 1);
    assert_eq!(supervisor.children[1].ended, Some(FAULT));
    assert_eq!(world.alive.borrow()["process"], 4, "the dead one is let go");
}

#[test]
fn a_driver_whose_device_strays_is_replaced() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.run(0);
    assert_eq!(world.count("watch device 0"), 1);
    let quiesced = world.count("quiesce 0");
    let id = supervisor.children[0].id;
    world.strays.set(1);
    supervisor.run(STABLE);
    assert_eq!(
        supervisor.children[0].ended,
        Some(ProcessState::Killed(KILL_STRAYED))
    );
    assert_ne!(supervisor.children[0].id, id);
    assert_eq!(running(&supervisor), [true; 4]);
    assert!(world.count("quiesce 0") > quiesced);
    // Counted once.
    supervisor.run(2 * STABLE);
    assert_eq!(supervisor.children[0].restarts, 1);
}

#[test]
fn a_dead_driver_is_quiesced_before_anything_else_happens() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.run(0);
    end(&world, &supervisor, 0, ProcessState::Killed(1));
    world.journal.borrow_mut().clear();
    supervisor.run(STABLE);
    let journal = world.journal.borrow();
    assert_eq!(journal[0], "quiesce 0");
    assert!(journal.iter().any(|step| step.starts_with("start ")));
}

#[test]
fn a_device_that_does_not_stop_keeps_its_driver_from_being_started() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.run(0);
    end(&world, &supervisor, 0, FAULT);
    world.quiesce_fails.set(true);
    let due = supervisor.run(STABLE).unwrap();
    assert_eq!(running(&supervisor), [false, true, true, true]);
    world.quiesce_fails.set(false);
    assert_eq!(supervisor.run(due), None);
    assert_eq!(running(&supervisor), [true; 4]);
}

#[test]
fn without_its_device_a_driver_is_not_started_and_the_rest_is() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (_, mut supervisor) = supervisor(&archive, 0, "");
    assert_eq!(supervisor.run(0), None);
    assert_eq!(running(&supervisor), [false, true, true, true]);
}

#[test]
fn policies_decide_what_is_started_again() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.manifest.processes[2].restart = Restart::Never;
    supervisor.run(0);
    end(&world, &supervisor, 1, ProcessState::Exited(0));
    end(&world, &supervisor, 2, FAULT);
    end(&world, &supervisor, 3, ProcessState::Exited(0));
    assert_eq!(supervisor.run(STABLE), None);
    assert_eq!(running(&supervisor), [true, true, false, false]);
}

#[test]
fn a_process_that_dies_at_once_is_started_rarer_and_rarer() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    let mut now = 0;
    let mut starts = vec![0];
    supervisor.run(now);
    while starts.len() < 12 {
        end(&world, &supervisor, 3, FAULT);
        now = supervisor.run(now).unwrap();
        assert_eq!(running(&supervisor)[..3], [true; 3]);
        supervisor.run(now);
        starts.push(now);
    }
    let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= MIN_INTERVAL) && gaps.is_sorted());
    assert!(gaps[PATIENCE as usize + 2] > 2 * MIN_INTERVAL);
    assert_eq!(supervisor.children[3].restarts, 11);
}

#[test]
fn too_little_memory_for_one_process_is_retried_and_stops_nobody_else() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.manifest.processes[1].budget = 1_000_000;
    let due = supervisor.run(0).unwrap();
    assert_eq!(running(&supervisor), [true, false, true, true]);
    world.pages_left.set(2_000_000);
    assert_eq!(supervisor.run(due), None);
    assert_eq!(running(&supervisor), [true; 4]);
}

#[test]
fn a_machine_too_small_for_any_process_is_told_from_one_too_small_for_all() {
    let archive = archive(&[]);
    let (world, supervisor) = supervisor(&archive, 1, "");
    for (pages, suffices) in [(1000, true), (399, true), (100, true), (99, false)] {
        world.pages_left.set(pages);
        assert_eq!(supervisor.memory_suffices(), suffices, "{pages} pages");
    }
}

#[test]
fn a_missing_or_broken_program_is_given_up() {
    let mut archive = archive(&["driver", "stack", "bare"]);
    let (_, mut first) = supervisor(&archive, 1, "");
    assert_eq!(first.run(0), None);
    assert_eq!(running(&first), [true, true, false, true]);
    // The file of `driver` is the first: spoil its ELF magic.
    let at = archive
        .windows(4)
        .position(|bytes| bytes == b"\x7fELF")
        .unwrap();
    archive[at] = 0;
    let (_, mut second) = supervisor(&archive, 1, "");
    assert_eq!(second.run(0), None);
    assert_eq!(running(&second), [false, true, false, true]);
}

#[test]
fn a_stack_that_has_no_room_is_refused() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    for pages in [4097, 200_000, u32::MAX] {
        let (_, mut supervisor) = supervisor(&archive, 1, "");
        supervisor.manifest.processes[3].stack = pages;
        assert_eq!(supervisor.run(0), None);
        assert_eq!(running(&supervisor), [true, true, true, false], "{pages}");
    }
}

#[test]
fn whichever_step_of_a_start_fails_nothing_is_left_behind() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    for step in 0.. {
        let (world, mut supervisor) = supervisor(&archive, 1, "");
        // Only the shell, which has capabilities of most sorts.
        for position in [0, 1, 3] {
            supervisor.children[position].state = State::Ended;
        }
        world.fail_after.set(Some(step));
        let due = supervisor.run(0);
        let alive = world.alive.borrow().clone();
        let count = |what| alive.get(what).copied().unwrap_or(0);
        if running(&supervisor)[2] {
            assert!(step > 15, "a start has more steps than that");
            break;
        }
        assert!(due.is_some(), "step {step}: it is tried again");
        let left = [count("process"), count("budget"), count("memory")];
        assert_eq!(left, [0; 3], "step {step}");
    }
}

#[test]
fn what_is_mapped_is_never_writable_and_executable_and_has_a_guard_below_the_stack() {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let (world, mut supervisor) = supervisor(&archive, 1, "");
    supervisor.run(0);
    let journal = world.journal.borrow();
    let maps: Vec<_> = journal
        .iter()
        .filter(|step| step.starts_with("map "))
        .collect();
    // Code, start record, stack, of each.
    assert_eq!(maps.len(), 12);
    assert!(maps.iter().all(|step| !step.ends_with("0x7")));
    let stack = format!("map {:#x} 4 0x3", rt::BOOT_STACK_TOP - 4 * 4096);
    assert_eq!(maps.iter().filter(|step| step.contains(&stack)).count(), 4);
}
