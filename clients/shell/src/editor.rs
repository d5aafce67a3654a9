//! The line editor: bytes of a terminal in, what to show and finished lines out.
//!
//! Knows no console: the caller passes each byte in and writes what [`Editor::key`] appended to its buffer. Keys
//! are those of readline's emacs mode; terminals are assumed to understand the ECMA-48 sequences of a VT100.
//! Bounded: a line has at most [`MAX_LINE`] characters, the history [`MAX_HISTORY`] lines.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write;

/// Longest line, in characters; more is answered by the bell.
pub const MAX_LINE: usize = 1000;
/// Lines remembered.
pub const MAX_HISTORY: usize = 100;

/// What a byte led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing that concerns the caller.
    None,
    /// A line was entered.
    Line(String),
    /// Ctrl-C, or Ctrl-]: the line was dropped.
    Interrupt,
    /// Ctrl-D on an empty line.
    EndOfInput,
}

/// Where in an escape sequence the input is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    None,
    /// After ESC.
    Started,
    /// After ESC `[` or ESC `O`, with the number so far.
    Sequence(u16),
}

/// A line in the making.
#[derive(Debug)]
pub struct Editor {
    prompt: String,
    /// Words that Tab completes at the start of a line.
    commands: Vec<&'static str>,
    line: Vec<char>,
    cursor: usize,
    history: VecDeque<String>,
    /// Which line of the history is shown; its length: the line in the making.
    shown: usize,
    /// The line in the making, kept while an older one is shown.
    draft: Vec<char>,
    escape: Escape,
    /// Bytes of a UTF-8 character that has not ended yet.
    partial: Vec<u8>,
    /// The last byte was a carriage return: a line feed behind it is not another line.
    after_return: bool,
}

impl Editor {
    /// Makes an editor with an empty history.
    pub fn new(prompt: &str, commands: Vec<&'static str>) -> Editor {
        Editor {
            prompt: prompt.to_string(),
            commands,
            line: Vec::new(),
            cursor: 0,
            history: VecDeque::new(),
            shown: 0,
            draft: Vec::new(),
            escape: Escape::None,
            partial: Vec::new(),
            after_return: false,
        }
    }

    /// Shows the prompt for a new line.
    pub fn start(&self, show: &mut String) {
        show.push_str(&self.prompt);
    }

    /// Takes one byte from the terminal; appends to `show` what the terminal should get.
    pub fn key(&mut self, byte: u8, show: &mut String) -> Event {
        let after_return = core::mem::take(&mut self.after_return);
        match self.escape {
            Escape::None => {}
            Escape::Started => {
                self.escape = match byte {
                    b'[' | b'O' => Escape::Sequence(0),
                    _ => Escape::None,
                };
                return Event::None;
            }
            Escape::Sequence(number) => {
                self.sequence(byte, number, show);
                return Event::None;
            }
        }
        match byte {
            b'\r' => {
                self.after_return = true;
                return self.enter(show);
            }
            b'\n' if after_return => {}
            b'\n' => return self.enter(show),
            0x01 => self.move_to(0, show),
            0x02 => self.move_to(self.cursor.saturating_sub(1), show),
            0x03 | 0x1d => {
                show.push_str("^C\r\n");
                self.clear();
                return Event::Interrupt;
            }
            0x04 if self.line.is_empty() => return Event::EndOfInput,
            0x04 => self.delete(self.cursor, self.cursor.saturating_add(1), show),
            0x05 => self.move_to(self.line.len(), show),
            0x06 => self.move_to(self.cursor.saturating_add(1), show),
            0x08 | 0x7f => self.delete(self.cursor.saturating_sub(1), self.cursor, show),
            b'\t' => self.complete(show),
            0x0b => self.delete(self.cursor, self.line.len(), show),
            0x0c => {
                show.push_str("\x1b[H\x1b[2J");
                self.redraw(show);
            }
            0x0e => self.newer(show),
            0x10 => self.older(show),
            0x15 => self.delete(0, self.cursor, show),
            0x17 => self.delete(self.word_start(), self.cursor, show),
            0x1b => self.escape = Escape::Started,
            0x00..=0x1f => {}
            _ => self.text(byte, show),
        }
        Event::None
    }

    /// Ends or goes on with an escape sequence (ECMA-48 section 5.4).
    fn sequence(&mut self, byte: u8, number: u16, show: &mut String) {
        self.escape = Escape::None;
        match (byte, number) {
            (b'0'..=b'9', _) => {
                let digit = u16::from(byte.wrapping_sub(b'0'));
                self.escape = Escape::Sequence(number.saturating_mul(10).saturating_add(digit));
            }
            // A parameter of a modified key: the last one decides, and is none that we know.
            (b';', _) => self.escape = Escape::Sequence(0),
            (b'A', _) => self.older(show),
            (b'B', _) => self.newer(show),
            (b'C', _) => self.move_to(self.cursor.saturating_add(1), show),
            (b'D', _) => self.move_to(self.cursor.saturating_sub(1), show),
            (b'H', _) | (b'~', 1 | 7) => self.move_to(0, show),
            (b'F', _) | (b'~', 4 | 8) => self.move_to(self.line.len(), show),
            (b'~', 3) => self.delete(self.cursor, self.cursor.saturating_add(1), show),
            _ => {}
        }
    }

    fn enter(&mut self, show: &mut String) -> Event {
        show.push_str("\r\n");
        let line: String = self.line.iter().collect();
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            if self.history.len() >= MAX_HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        self.clear();
        Event::Line(line)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.draft.clear();
        self.shown = self.history.len();
        self.partial.clear();
    }

    /// A byte of text: a character, or part of one.
    fn text(&mut self, byte: u8, show: &mut String) {
        self.partial.push(byte);
        match core::str::from_utf8(&self.partial) {
            Ok(text) => {
                let characters: Vec<char> = text.chars().collect();
                self.partial.clear();
                self.insert(&characters, show);
            }
            // It may still become a character.
            Err(error) if error.error_len().is_none() && self.partial.len() < 4 => {}
            Err(_) => self.partial.clear(),
        }
    }

    fn insert(&mut self, characters: &[char], show: &mut String) {
        if self.line.len().saturating_add(characters.len()) > MAX_LINE {
            show.push('\x07');
            return;
        }
        let at = self.cursor.min(self.line.len());
        self.line.splice(at..at, characters.iter().copied());
        self.cursor = at.saturating_add(characters.len());
        if self.cursor == self.line.len() {
            show.extend(characters);
        } else {
            self.redraw(show);
        }
    }

    fn delete(&mut self, from: usize, to: usize, show: &mut String) {
        let to = to.min(self.line.len());
        if from >= to {
            return;
        }
        self.line.drain(from..to);
        self.cursor = from;
        self.redraw(show);
    }

    fn move_to(&mut self, to: usize, show: &mut String) {
        let to = to.min(self.line.len());
        if to < self.cursor {
            let _ = write!(show, "\x1b[{}D", self.cursor.saturating_sub(to));
        } else if to > self.cursor {
            let _ = write!(show, "\x1b[{}C", to.saturating_sub(self.cursor));
        }
        self.cursor = to;
    }

    /// Where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let in_word = before.iter().rposition(|c| !c.is_whitespace());
        let space = in_word.and_then(|end| {
            before
                .get(..end)
                .unwrap_or_default()
                .iter()
                .rposition(|c| c.is_whitespace())
        });
        space.map_or(0, |at| at.saturating_add(1))
    }

    fn older(&mut self, show: &mut String) {
        let Some(to) = self.shown.checked_sub(1) else {
            return;
        };
        if self.shown == self.history.len() {
            self.draft = core::mem::take(&mut self.line);
        }
        self.show_history(to, show);
    }

    fn newer(&mut self, show: &mut String) {
        if self.shown < self.history.len() {
            self.show_history(self.shown.saturating_add(1), show);
        }
    }

    fn show_history(&mut self, to: usize, show: &mut String) {
        self.line = match self.history.get(to) {
            Some(line) => line.chars().collect(),
            None => core::mem::take(&mut self.draft),
        };
        self.shown = to;
        self.cursor = self.line.len();
        self.redraw(show);
    }

    /// Completes the first word of the line.
    fn complete(&mut self, show: &mut String) {
        let typed: String = self.line.iter().take(self.cursor).collect();
        if typed.contains(char::is_whitespace) {
            return;
        }
        let candidates: Vec<&'static str> = self
            .commands
            .iter()
            .copied()
            .filter(|command| command.starts_with(&typed))
            .collect();
        let Some((first, others)) = candidates.split_first() else {
            show.push('\x07');
            return;
        };
        let common = others.iter().fold(first.len(), |common, other| {
            let same = first.bytes().zip(other.bytes());
            common.min(same.take_while(|(a, b)| a == b).count())
        });
        let mut rest: Vec<char> = first
            .get(typed.len()..common)
            .unwrap_or_default()
            .chars()
            .collect();
        if others.is_empty() {
            rest.push(' ');
        }
        if rest.is_empty() {
            let _ = write!(show, "\r\n{}\r\n", candidates.join("  "));
            self.redraw(show);
        } else {
            self.insert(&rest, show);
        }
    }

    fn redraw(&self, show: &mut String) {
        show.push('\r');
        show.push_str(&self.prompt);
        show.extend(&self.line);
        show.push_str("\x1b[K");
        let back = self.line.len().saturating_sub(self.cursor);
        if back > 0 {
            let _ = write!(show, "\x1b[{back}D");
        }
    }
}

#[cfg(test)]
mod tests;
