//! Laid out, not yet written.
#![no_std]
