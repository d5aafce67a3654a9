//! The reference page names what there is.

use kernel_abi::{Error, Kind, Syscall};

const PAGE: &str = include_str!("../../../docs/syscalls.md");

#[test]
fn the_reference_names_every_call_error_and_kind() {
    for call in Syscall::ALL {
        let heading = format!("### {} `{call:?}`\n", *call as u64);
        assert!(PAGE.contains(&heading), "{heading}");
    }
    for error in Error::ALL {
        let row = format!("| {} | `{error:?}` |", error.code());
        assert!(PAGE.contains(&row), "{row}");
    }
    for kind in Kind::ALL {
        assert!(PAGE.contains(kind.name()), "{}", kind.name());
    }
    assert_eq!(PAGE.matches("### ").count(), Syscall::ALL.len());
}
