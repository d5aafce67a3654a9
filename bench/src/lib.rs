//! Measures Causeway in QEMU, side by side with a Linux guest. Starts and reaches only machines and namespaces of its own;
//! no traffic leaves this machine.
#![forbid(unsafe_code)]

pub mod about;
pub mod archive;
pub mod counters;
pub mod counts;
pub mod figure;
pub mod guest;
pub mod host;
pub mod lab;
pub mod load;
pub mod machine;
pub mod many;
pub mod measure;
pub mod micro;
pub mod options;
pub mod order;
pub mod plot;
pub mod profile;
pub mod report;
pub mod results;
pub mod run;
pub mod stats;

use std::fmt;

/// Why something could not be measured, for a human.
pub struct Failure(pub String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

/// Outcome of a step.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Fails with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure(format!($($message)+)));
        }
    };
}
