//! Measures Causeway in QEMU. Starts and reaches only machines and namespaces of its own.
#![forbid(unsafe_code)]

pub mod counts;
