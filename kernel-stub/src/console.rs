//! The console: output, typed input, and what the log shows of itself. Touches the platform's console and
//! a small buffer of input.
#![forbid(unsafe_code)]

use crate::allowance::{Allowance, Verdict};
use crate::kernel::Kernel;
use crate::log::{MAX_LINE, Stamp, size};
use crate::object::{Process, Watch};
use crate::platform::Platform;
use crate::store::Ref;
use core::fmt::{self, Write};

/// Typed bytes that are kept until somebody reads them.
const INPUT: usize = 256;

/// Most bytes taken off the device at a time.
const MAX_DRAIN: usize = 4096;

/// Input that was typed, and who wants to know.
#[derive(Default)]
pub(crate) struct Console {
    input: heapless::Deque<u8, INPUT>,
    bound: Option<Watch>,
}

/// Appends text to a line, and cuts what is too much.
struct Line(heapless::Vec<u8, { MAX_LINE * 3 }>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0.push(byte).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}

impl Line {
    fn new() -> Line {
        Line(heapless::Vec::new())
    }

    /// Formats; what does not fit is missing at the end.
    fn format(mut self, text: fmt::Arguments<'_>) -> Line {
        // The only error is that the line is full.
        let _full = self.write_fmt(text);
        self
    }
}

/// The text with everything replaced that a terminal would obey, or that is no text.
fn sanitised(text: &[u8]) -> Line {
    let mut line = Line::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let shown = match character.is_control() {
                true => '?',
                false => character,
            };
            if line.write_char(shown).is_err() {
                return line;
            }
        }
        if !chunk.invalid().is_empty() && line.write_char('?').is_err() {
            return line;
        }
    }
    line
}

impl<P: Platform> Kernel<P> {
    /// Takes what was typed off the device. Without a reader, more than the buffer holds is lost.
    #[cold]
    #[inline(never)]
    pub(crate) fn console_input(&mut self) {
        let mut got = false;
        for _ in 0..MAX_DRAIN {
            let Some(byte) = self.platform.console_read() else {
                break;
            };
            got |= self.console.input.push_back(byte).is_ok();
        }
        if let Some(watch) = self.console.bound.filter(|_| got) {
            self.signal_watch(watch);
        }
    }

    /// Tells a notification of input from now on; at once if there is some.
    pub(crate) fn bind_console(&mut self, watch: Watch) {
        self.console.bound = Some(watch);
        if !self.console.input.is_empty() {
            self.signal_watch(watch);
        }
    }

    /// Takes up to `out.len()` typed bytes; how many.
    pub(crate) fn read_console(&mut self, out: &mut [u8]) -> usize {
        let mut count = 0;
        for place in out {
            let Some(byte) = self.console.input.pop_front() else {
                break;
            };
            *place = byte;
            count += 1;
        }
        count
    }

    /// Logs a line, and shows it if its level is to be shown. Levels: 1 error .. 5 trace.
    pub(crate) fn append_log(&mut self, level: u8, badge: u64, text: &[u8]) {
        let time = self.platform.now();
        let line = sanitised(text);
        let stamp = Stamp { time, badge, level };
        let appended = self.log.append(&mut self.store.memory, stamp, &line.0);
        debug_assert!(appended.is_ok(), "the log lies in RAM");
        if level <= self.log.echo {
            let (seconds, micros) = (time / 1_000_000_000, time % 1_000_000_000 / 1000);
            let head = Line::new().format(format_args!("[{seconds:4}.{micros:06}] "));
            self.platform.console_write(&head.0);
            self.platform.console_write(&line.0);
            self.platform.console_write(b"\n");
        }
    }

    /// Logs a line that a process has written, unless it and those it belongs to have written too much.
    pub(crate) fn log_for(&mut self, process: Ref<Process>, level: u8, badge: u64, text: &[u8]) {
        if self.may_log(process, |speaker| &mut speaker.lines, "lines", text) {
            self.append_log(level, badge, text);
        }
    }

    /// Logs a line of the kernel's own about a process, unless those it belongs to make too many of them. About one that the first
    /// process made it is always said: that one knows how often it starts it again.
    pub(crate) fn report_of(&mut self, process: Ref<Process>, level: u8, text: fmt::Arguments<'_>) {
        let line = Line::new().format(text);
        let speaker = self.store.get(process).ok().and_then(|p| p.speaker);
        if speaker == Some(process)
            || self.may_log(process, |speaker| &mut speaker.faults, "faults", &line.0)
        {
            self.append_log(level, 0, &line.0);
        }
    }

    /// Whether there is room for a line of a process; says when lines begin to be left out, and how many were.
    fn may_log(
        &mut self,
        process: Ref<Process>,
        allowance: impl FnOnce(&mut Process) -> &mut Allowance,
        what: &str,
        text: &[u8],
    ) -> bool {
        let now = self.platform.now();
        let Some(speaker) = self.store.get(process).ok().and_then(|p| p.speaker) else {
            return true;
        };
        let Ok(entry) = self.store.get_mut(speaker) else {
            return true;
        };
        let id = entry.id;
        let verdict = allowance(entry).take(size(text), now);
        match verdict {
            Verdict::Stop => self.report(
                2,
                format_args!("kernel: too many {what} of process {id} and what it made: left out"),
            ),
            Verdict::LogAfter(out) => self.report(
                2,
                format_args!("kernel: {out} {what} of process {id} and what it made were left out"),
            ),
            Verdict::Log | Verdict::LeaveOut => {}
        }
        matches!(verdict, Verdict::Log | Verdict::LogAfter(_))
    }

    /// Logs a line of the kernel's own.
    pub(crate) fn report(&mut self, level: u8, text: fmt::Arguments<'_>) {
        let line = Line::new().format(text);
        self.append_log(level, 0, &line.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(
            &sanitised(b"a\x1b[31mb\r\nc\x7f \xc2\x9b \xff\xfe \xe2\x82\xac").0[..],
            "a?[31mb??c? ? ?? \u{20ac}".as_bytes()
        );
        let long = vec![b'x'; 4 * MAX_LINE];
        assert_eq!(sanitised(&long).0.len(), 3 * MAX_LINE);
    }
}
