//! Writes docs/protocol.md to the standard output.
#![forbid(unsafe_code)]

fn main() {
    print!("{}", protocol_reference::render());
}
