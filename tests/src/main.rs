//! Runs the system tests: `system-tests [FILTER] [--test-threads N]`. The image must have been built before.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

mod cases;

use libtest_mimic::{Arguments, Trial};
use system_tests::machine::build_dir;

fn main() {
    let mut arguments = Arguments::from_args();
    // Two machines at a time: that is what two cores carry.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    for file in ["kernel", "boot.cpio", "tests.cpio", "hostile.cpio"] {
        if !build_dir().join(file).exists() {
            eprintln!("build/{file} is missing: run ./run-tests.sh, which builds it");
            std::process::exit(2);
        }
    }
    let trials = cases::all()
        .into_iter()
        .map(|(name, test)| Trial::test(name, move || test().map_err(|failure| failure.0.into())))
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
