//! Looking for frames before a sleep.

use super::*;

/// What comes while it looks: how many, how long each takes, and whether they are too short to be frames.
struct Arrivals {
    count: u32,
    each: u64,
    runts: bool,
}

/// One frame after the other ends a short sleep. Then others come while it looks, and the test is over when it looks what
/// else has happened: going to sleep, or not.
fn play_short_sleeps(arrivals: Arrivals, goes_to_sleep: bool) -> World {
    let Arrivals { count, each, runts } = arrivals;
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        world.now += 5_000;
        match steps {
            1 => world.give_all_buffers(),
            2..=8 => {
                assert_eq!((world.gave_way, world.lingered), (0, 0));
                assert!(world.device.wants_interrupt(0), "it sleeps");
                world.device.receive(&frame(1, 60)).unwrap();
                (world.arrivals, world.moment, world.runts) = (count, each, runts);
                Events::RECEIVE
            }
            9 => {
                assert_eq!(world.device.wants_interrupt(0), goes_to_sleep);
                world.read();
                world.finish()
            }
            _ => panic!("it was over"),
        }
    });
    let frames = if runts { 0 } else { count as usize };
    assert_eq!(world.told.len(), 7 + frames);
    world
}

/// So many frames.
fn frames(count: u32, each: u64) -> Arrivals {
    Arrivals {
        count,
        each,
        runts: false,
    }
}

#[test]
fn a_server_looks_for_what_comes_at_once_and_sleeps_when_nothing_comes() {
    let world = play_short_sleeps(frames(3, 1_000), true);
    // In the end, for twice as long as frames let it wait.
    assert!((3 + 100..3 + 260).contains(&world.lingered));
    assert_eq!(world.gave_way, 0, "the stack was awake");
}

/// The clock of the machine may stand still, or there is none.
#[test]
fn a_look_ends_whatever_the_clock_says() {
    let world = play_short_sleeps(frames(3, 0), true);
    assert!((1_000..10_000).contains(&world.lingered));
}

/// Whoever keeps it looking with what is of no use to the stack.
#[test]
fn it_does_not_look_for_ever_without_looking_what_else_has_happened() {
    let many = Arrivals {
        count: 1_000,
        each: 1_000,
        runts: true,
    };
    let world = play_short_sleeps(many, false);
    let seen = 1_000 - world.arrivals;
    assert_eq!((seen, world.gave_way), (LOOKS_IN_A_ROW, 1));
}
