//! Looking for frames before a sleep.

use super::*;

/// One frame after the other ends a short sleep. Then so many come, each after a while, without a sleep, and then none.
fn play_short_sleeps(arrivals: u32, each: u64) -> World {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        world.now += 5_000;
        match steps {
            1 => {
                world.give(ToDriver::Receive {
                    buffers: Run {
                        first: 0,
                        count: BUFFERS,
                    },
                });
                Events::BELL
            }
            2..=8 => {
                assert_eq!((world.gave_way, world.lingered), (0, 0));
                assert!(world.device.wants_interrupt(0), "it sleeps");
                world.device.receive(&frame(1, 60)).unwrap();
                (world.arrivals, world.moment) = (arrivals, each);
                Events::RECEIVE
            }
            9 => {
                assert!(world.device.wants_interrupt(0), "it sleeps again");
                world.read();
                world.finish()
            }
            _ => panic!("it was over"),
        }
    });
    assert_eq!(world.told.len(), 7 + arrivals as usize);
    world
}

#[test]
fn a_server_looks_for_what_comes_at_once_and_sleeps_when_nothing_comes() {
    let world = play_short_sleeps(3, 1_000);
    // In the end, for twice as long as frames let it wait.
    assert!((3 + 100..3 + 260).contains(&world.lingered));
    assert_eq!(world.gave_way, 0, "the stack was awake");
}

/// The clock of the machine may stand still, or there is none.
#[test]
fn a_look_ends_whatever_the_clock_says() {
    let world = play_short_sleeps(3, 0);
    assert!((1_000..10_000).contains(&world.lingered));
}

/// Whoever keeps it looking with what is of no use to the stack.
#[test]
fn it_does_not_look_for_ever_without_looking_what_else_has_happened() {
    let mut steps = 0;
    let (_, world) = play(&[], move |world| {
        steps += 1;
        world.now += 5_000;
        match steps {
            1 => {
                world.give(ToDriver::Receive {
                    buffers: Run {
                        first: 0,
                        count: BUFFERS,
                    },
                });
                Events::BELL
            }
            2..=8 => {
                world.device.receive(&frame(1, 60)).unwrap();
                (world.arrivals, world.runts) = (1_000, true);
                Events::RECEIVE
            }
            _ => world.finish(),
        }
    });
    let seen = 1_000 - world.arrivals;
    assert_eq!((seen, world.gave_way), (LOOKS_IN_A_ROW, 1));
}
