//! The bytes typed at the console, between the commands that read them and the watch for the keys that end a command.

use crate::platform::Platform;
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll},
};

/// Bytes typed ahead that are kept.
const MAX_AHEAD: usize = 4096;
/// The keys that end a command: Ctrl-C, and Ctrl-] for terminals on which Ctrl-C ends QEMU.
pub const INTERRUPTS: [u8; 2] = [0x03, 0x1d];

/// What was typed and not yet used.
#[derive(Debug, Default)]
pub struct Input {
    ahead: RefCell<VecDeque<u8>>,
    /// A command reads the console: what it has not taken yet must wait instead of being dropped.
    consumed: Cell<bool>,
}

impl Input {
    /// The next typed byte.
    pub async fn byte<P: Platform>(&self, platform: &P) -> u8 {
        poll_fn(|context| {
            loop {
                if let Some(byte) = self.ahead.borrow_mut().pop_front() {
                    return Poll::Ready(byte);
                }
                let mut typed = [0; 256];
                match platform.poll_console(context, &mut typed) {
                    Poll::Ready(len) => self.keep(typed.get(..len).unwrap_or_default()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Waits for one of [`INTERRUPTS`]; other bytes are kept for whoever reads next, and drops what was typed ahead of it.
    pub async fn interrupt<P: Platform>(&self, platform: &P) {
        poll_fn(|context| self.poll_interrupt(platform, context)).await;
    }

    fn poll_interrupt<P: Platform>(&self, platform: &P, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.consumed.get() && self.ahead.borrow().len() >= MAX_AHEAD {
                // Whoever takes some of it runs in the same task, so that this is polled again.
                return Poll::Pending;
            }
            let mut typed = [0; 256];
            let typed = match platform.poll_console(context, &mut typed) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(len) => typed.get(..len).unwrap_or_default(),
            };
            if let Some(at) = typed.iter().rposition(|byte| INTERRUPTS.contains(byte)) {
                self.ahead.borrow_mut().clear();
                self.keep(typed.get(at.saturating_add(1)..).unwrap_or_default());
                return Poll::Ready(());
            }
            self.keep(typed);
        }
    }

    fn keep(&self, typed: &[u8]) {
        let mut ahead = self.ahead.borrow_mut();
        // A reader may find one more read than fits: the limit is on when to read, not on what to drop.
        let limit = if self.consumed.get() {
            MAX_AHEAD.saturating_add(256)
        } else {
            MAX_AHEAD
        };
        let room = limit.saturating_sub(ahead.len());
        ahead.extend(typed.iter().take(room));
    }

    /// Says whether the running command reads the console.
    pub fn set_consumed(&self, consumed: bool) {
        self.consumed.set(consumed);
    }
}

/// What a terminal in canonical mode does (POSIX termios, section 11.1.6): lines with echo and erase.
#[derive(Debug, Default)]
pub struct LineDiscipline {
    line: Vec<u8>,
}

/// What [`LineDiscipline::byte`] made of a byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Canonical {
    /// Nothing yet.
    Editing,
    /// Bytes for the reader.
    Data(Vec<u8>),
    /// End of file: Ctrl-D on an empty line.
    EndOfFile,
}

impl LineDiscipline {
    /// Longest line; more input is dropped until it ends.
    const MAX_LINE: usize = 4095;

    /// Takes a typed byte; appends what the terminal should show to `echo`.
    pub fn byte(&mut self, byte: u8, echo: &mut Vec<u8>) -> Canonical {
        match byte {
            b'\r' | b'\n' => {
                echo.extend_from_slice(b"\r\n");
                self.line.push(b'\n');
                return Canonical::Data(core::mem::take(&mut self.line));
            }
            0x04 if self.line.is_empty() => return Canonical::EndOfFile,
            0x04 => return Canonical::Data(core::mem::take(&mut self.line)),
            0x08 | 0x7f => {
                if self.line.is_empty() {
                    return Canonical::Editing;
                }
                // All bytes of a UTF-8 character go at once.
                while self.line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                echo.extend_from_slice(b"\x08 \x08");
            }
            0x15 => {
                for _ in self.line.drain(..).filter(|byte| byte & 0xc0 != 0x80) {
                    echo.extend_from_slice(b"\x08 \x08");
                }
            }
            _ if self.line.len() < Self::MAX_LINE => {
                self.line.push(byte);
                echo.push(byte);
            }
            _ => {}
        }
        Canonical::Editing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(keys: &str) -> (Vec<Canonical>, Vec<u8>) {
        let mut discipline = LineDiscipline::default();
        let mut echo = Vec::new();
        let results = keys
            .bytes()
            .map(|byte| discipline.byte(byte, &mut echo))
            .filter(|result| *result != Canonical::Editing)
            .collect();
        (results, echo)
    }

    #[test]
    fn lines_are_edited_before_they_are_sent() {
        let data = |text: &str| Canonical::Data(text.as_bytes().to_vec());
        assert_eq!(type_in("hé\x7fallo\r").0, [data("hallo\n")]);
        assert_eq!(
            type_in("wrong\x15right\r\x04").0,
            [data("right\n"), Canonical::EndOfFile]
        );
        assert_eq!(
            type_in("part\x04\x04").0,
            [data("part"), Canonical::EndOfFile]
        );
        assert_eq!(type_in("ab\r").1, b"ab\r\n");
    }

    #[test]
    fn erase_on_an_empty_line_shows_nothing_it_must_not() {
        assert_eq!(type_in("\x15\x15").1, b"");
        assert_eq!(type_in("\x7f").1, b"");
    }

    #[test]
    fn overlong_lines_are_cut() {
        let (results, _) = type_in(&("x".repeat(10_000) + "\r"));
        let [Canonical::Data(line)] = &results[..] else {
            panic!("{results:?}")
        };
        assert_eq!(line.len(), LineDiscipline::MAX_LINE + 1);
    }
}
