//! The `log` crate's output: lines "name: text" to the log of the console. Allocates nothing once installed, so that it works
//! in a panic and without memory. Safe.

use crate::{env::Env, syscall, time};
use alloc::string::String;
use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};
use kernel_abi::Syscall;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;

/// Longest line that the kernel takes.
const MAX_LINE: usize = 512;

static NAME: Once<String> = Once::new();
/// Slot of the log, zero for none.
static SLOT: AtomicU32 = AtomicU32::new(0);

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                Level::Error => 1,
                Level::Warn => 2,
                Level::Info => 3,
                Level::Debug => 4,
                Level::Trace => 5,
            };
            write(level, *record.args());
        }
    }

    fn flush(&self) {}
}

/// Makes the process's `log` capability the log, and its `clock` the clock of [`time::now`].
pub fn install(env: &Env) {
    time::install(env);
    NAME.call_once(|| env.name().into());
    if let Ok(slot) = env.cap("log") {
        SLOT.store(slot.0, Ordering::Relaxed);
    }
    set_level(env.log_level());
    // It fails only if there is a logger already: this one.
    let _ = log::set_logger(&Logger);
}

/// Sends log lines up to this level from now on: 0 none, 1 error .. 5 trace.
pub fn set_level(level: u8) {
    log::set_max_level(match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    });
}

/// Writes text as one or more lines, long ones cut. Nowhere without a `log` capability.
pub fn write(level: u8, text: fmt::Arguments<'_>) {
    let slot = SLOT.load(Ordering::Relaxed);
    if slot != 0 {
        let mut lines = Lines::new(slot, level);
        let _ = lines.write_fmt(text);
        lines.end();
    }
}

/// Collects a line in a fixed buffer and sends it at its end.
struct Lines {
    slot: u32,
    level: u8,
    buffer: [u8; MAX_LINE],
    used: usize,
    prefix: usize,
}

impl Lines {
    fn new(slot: u32, level: u8) -> Lines {
        let mut lines = Lines {
            slot,
            level,
            buffer: [0; MAX_LINE],
            used: 0,
            prefix: 0,
        };
        if let Some(name) = NAME.get() {
            lines.append(name.as_bytes());
            lines.append(b": ");
        }
        lines.prefix = lines.used;
        lines
    }

    fn append(&mut self, bytes: &[u8]) {
        for (to, from) in self.buffer.iter_mut().skip(self.used).zip(bytes) {
            *to = *from;
        }
        self.used = self.used.saturating_add(bytes.len()).min(MAX_LINE);
    }

    /// Sends the line unless it is empty.
    fn end(&mut self) {
        if self.used > self.prefix {
            let line = self.buffer.get(..self.used).unwrap_or(&self.buffer);
            let args = [self.slot.into(), self.level.into(), 0, 0, 0, 0];
            // Whoever can't log can't report that either.
            let _ = syscall::send(Syscall::LogWrite, args, 2, line);
        }
        self.used = self.prefix;
    }
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut parts = text.split('\n');
        if let Some(first) = parts.next() {
            self.append(first.as_bytes());
        }
        for part in parts {
            self.end();
            self.append(part.as_bytes());
        }
        Ok(())
    }
}
