//! Whether the stack gives back what an attack makes it take: what is alive after one storm is alive after the next, and no more.
//!
//! The wire, the services and hostile clients attack one stack at once, under virtual time. `STORM_SECONDS` in the environment makes
//! the storms longer.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod counting;
mod hostile;
mod machine;

use counting::live;
use machine::Machine;

/// Seconds of a storm if nobody says otherwise, and how many there are behind the first, which makes tables grow to what they need.
const SECONDS: u64 = 2;
const STORMS: usize = 1;
/// Seconds in which a connection without a client, or one that has ended, is forgotten.
const QUIET: u64 = 200;
/// Allocations, and bytes of them, that may come and go: nodes of tables of neighbours and of the wire's own, which are bounded.
const BLOCKS: usize = 48;
const BYTES: usize = 192 << 10;

#[test]
fn what_a_storm_takes_comes_back() {
    let seconds = std::env::var("STORM_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let mut machine = Machine::new(1);
    let mut first = None;
    for storm in 0..=STORMS {
        machine.storm(seconds);
        let holdings = machine.stack.borrow().holdings();
        let most = live();
        machine.quiet(QUIET);
        machine.stack.borrow().check_invariants();
        let now = live();
        println!("storm {storm}: {most:?}, then {now:?}; {holdings:?}");
        let first = *first.get_or_insert(now);
        assert!(
            now.blocks <= first.blocks + BLOCKS && now.bytes <= first.bytes + BYTES,
            "{first:?} behind the first storm, {now:?} behind number {storm}"
        );
    }
    let (happened, moved) = (machine.happened, &machine.peer.moved);
    println!("{happened:?}, {} transfers", moved.transfers);
    // It was a storm, and the peer was served all the same.
    assert_eq!(moved.failures, [""; 0]);
    assert!(happened.frames > 10_000 * seconds && happened.sessions > 100 * seconds);
    assert!(moved.transfers > seconds && machine.attacker.answered > seconds);
    assert!(machine.attacker.attacks.values().all(|frames| *frames > 0));
}
