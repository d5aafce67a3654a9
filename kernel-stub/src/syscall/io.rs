//! System calls on clock, console, log and machine.

use super::{Caller, DONE, done};
use crate::kernel::{Kernel, Outcome};
use crate::log::{HEADER, MAX_LINE};
use crate::platform::Platform;
use crate::user::Access;
use kernel_abi::{Error, Kind, MachineInfo, PAGE_SIZE, Rights, Words};

/// Bytes that are copied at a time.
const CHUNK: usize = 256;

/// Highest status that ends the machine.
const MAX_STATUS: u64 = 100;

/// A length in bytes, at most `most`.
fn at_most(len: u64, most: usize) -> usize {
    usize::try_from(len).unwrap_or(most).min(most)
}

impl<P: Platform> Kernel<P> {
    pub(super) fn clock_now(&mut self, me: Caller, clock: u64) -> Result<Outcome, Error> {
        self.own(me, clock, Kind::Clock, Rights::READ)?;
        Ok(done(self.platform.now()))
    }

    pub(super) fn clock_scale(&mut self, me: Caller, clock: u64) -> Result<Outcome, Error> {
        self.own(me, clock, Kind::Clock, Rights::READ)?;
        self.let_count(me.process, true)?;
        let (start, scale) = self.platform.counter();
        Ok(Outcome::Done([start, scale, 0]))
    }

    pub(super) fn console_write(
        &mut self,
        me: Caller,
        console: u64,
        from: u64,
        len: u64,
    ) -> Result<Outcome, Error> {
        // Whoever may only write has the log, where lines are stamped with his badge and hold nothing but text.
        self.own(me, console, Kind::Console, Rights::READ | Rights::WRITE)?;
        let root = self.sched.root();
        let len = at_most(len, PAGE_SIZE);
        self.check_user(root, from, len, Access::Read)?;
        let mut buffer = [0; CHUNK];
        for start in (0..len).step_by(CHUNK) {
            let (chunk, _) = buffer.split_at_mut(CHUNK.min(len - start));
            self.copy_from_user(root, from + start as u64, chunk)?;
            self.platform.console_write(chunk);
        }
        Ok(done(len as u64))
    }

    pub(super) fn console_read(
        &mut self,
        me: Caller,
        console: u64,
        to: u64,
        len: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, console, Kind::Console, Rights::READ)?;
        let root = self.sched.root();
        let len = at_most(len, CHUNK);
        // Before anything is taken out of the buffer.
        self.check_user(root, to, len, Access::Write)?;
        let mut buffer = [0; CHUNK];
        let (room, _) = buffer.split_at_mut(len);
        let count = self.read_console(room);
        let (typed, _) = room.split_at(count);
        self.copy_to_user(root, to, typed)?;
        Ok(done(count as u64))
    }

    pub(super) fn console_bind(
        &mut self,
        me: Caller,
        console: u64,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, console, Kind::Console, Rights::READ)?;
        let watch = self.watch(me, notification, bits)?;
        self.bind_console(watch);
        Ok(DONE)
    }

    pub(super) fn log_write(
        &mut self,
        me: Caller,
        console: u64,
        level: u64,
        [from, len]: [u64; 2],
    ) -> Result<Outcome, Error> {
        let found = self.own(me, console, Kind::Console, Rights::WRITE)?;
        let level = u8::try_from(level).map_err(|_| Error::BadArgument)?;
        if !(1..=5).contains(&level) || len > MAX_LINE as u64 {
            return Err(Error::BadArgument);
        }
        let mut buffer = [0; MAX_LINE];
        let (line, _) = buffer.split_at_mut(at_most(len, MAX_LINE));
        self.copy_from_user(self.sched.root(), from, line)?;
        self.log_for(me.process, level, found.badge, line);
        Ok(DONE)
    }

    pub(super) fn log_read(
        &mut self,
        me: Caller,
        console: u64,
        sequence: u64,
        [to, room]: [u64; 2],
    ) -> Result<Outcome, Error> {
        self.own(me, console, Kind::Console, Rights::READ)?;
        if room < HEADER as u64 {
            return Err(Error::BadArgument);
        }
        let mut record = [0; HEADER + MAX_LINE];
        let read = self.log.read(&self.store.memory, sequence, &mut record);
        let Some((len, next)) = read.map_err(|_| Error::BadAddress)? else {
            return Ok(Outcome::Done([0, sequence, 0]));
        };
        let (bytes, _) = record.split_at(len.min(at_most(room, len)));
        self.copy_to_user(self.sched.root(), to, bytes)?;
        Ok(Outcome::Done([bytes.len() as u64, next, 0]))
    }

    pub(super) fn log_echo(
        &mut self,
        me: Caller,
        console: u64,
        level: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, console, Kind::Console, Rights::MANAGE)?;
        match u8::try_from(level) {
            Ok(level) if level <= 5 => self.log.echo = level,
            _ => return Err(Error::BadArgument),
        }
        Ok(DONE)
    }

    pub(super) fn machine_power(
        &mut self,
        me: Caller,
        machine: u64,
        status: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, machine, Kind::Machine, Rights::MANAGE)?;
        match u8::try_from(status) {
            Ok(code) if status <= MAX_STATUS => self.platform.power_off(code),
            _ => Err(Error::BadArgument),
        }
    }

    pub(super) fn machine_info(
        &mut self,
        me: Caller,
        machine: u64,
        to: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, machine, Kind::Machine, Rights::READ)?;
        let uptime_ns = self.account();
        let info = MachineInfo {
            frames: self.store.managed() as u64,
            free_frames: self.store.free_frames() as u64,
            uptime_ns,
            idle_ns: self.sched.idle_ns,
            switches: self.sched.switches,
            syscalls: self.syscalls,
            interrupts: self.interrupts,
            processors: self.processors as u64,
        };
        self.words_to_user(self.sched.root(), to, &info.to_words())?;
        Ok(DONE)
    }

    pub(super) fn machine_command_line(
        &mut self,
        me: Caller,
        machine: u64,
        to: u64,
        room: u64,
    ) -> Result<Outcome, Error> {
        self.own(me, machine, Kind::Machine, Rights::READ)?;
        let line = self.command_line.clone();
        let len = at_most(room, line.len());
        let bytes = line.as_bytes().get(..len).unwrap_or_default();
        self.copy_to_user(self.sched.root(), to, bytes)?;
        Ok(done(line.len() as u64))
    }
}
