//! Both ends of channels and FIFOs over shared memory, driven by the input: what the ends are told to do, and what a hostile
//! peer writes over the memory in between.
//!
//! While nobody has written over it, everything arrives once and in order, and nobody sleeps through news.
//! Afterwards nothing is promised but errors with a type, bounded work, and no panic.

mod channel;
mod fifo;

use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{frame, shm::Shm, socket, system};

/// The first byte says what is tried.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    match generate::byte(&mut input) % 4 {
        0 => channel::run::<frame::ToStack, frame::ToDriver>(&mut input),
        1 => channel::run::<socket::Request, socket::Reply>(&mut input),
        2 => channel::run::<system::Request, system::Request>(&mut input),
        _ => fifo::run(&mut input),
    }
}

/// Writes over shared memory; mostly in the first `hot` bytes, where the indices are.
fn scribble(input: &mut Unstructured<'_>, memory: &Shm, hot: usize) {
    let how = generate::byte(input);
    let range = if how & 1 == 0 { hot } else { memory.len() };
    let at = generate::number(input, 3) as usize % range.max(1);
    if how & 2 == 0 {
        // A word, which is what indices are; near what was there, or anything.
        let at = at & !3;
        let mut word = [0; 4];
        if memory.read(at, &mut word).is_err() {
            return;
        }
        let old = u32::from_le_bytes(word);
        let new = match how >> 2 & 3 {
            0 => old.wrapping_add(generate::number(input, 4) as u32),
            1 => old.wrapping_sub(generate::number(input, 4) as u32),
            2 => generate::number(input, 4) as u32,
            _ => u32::MAX,
        };
        let _ = memory.write(at, &new.to_le_bytes());
    } else {
        let len = usize::from(how >> 2);
        let _ = memory.write(at, generate::bytes(input, len));
    }
}
