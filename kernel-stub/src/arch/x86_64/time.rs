//! The clock (time stamp counter) and the one-shot timer (local APIC), both measured at boot against a counter
//! of known frequency: ACPI's timer, or the 8254 where there is none.

use super::apic::LocalApic;
use super::cpu::{self, inb, inl, outb};
use super::scale::{Scale, frequency};
use core::cell::Cell;

/// Measurements at boot. A busy host makes a measurement too long, hardly ever too short: the lowest frequency wins.
const ROUNDS: u32 = 3;
/// Length of a measurement.
const ROUND_MICROSECONDS: u64 = 8_000;
/// Reads of the reference for one sample, of which the quickest counts.
const TRIES: u32 = 6;
/// Looks at the reference before it counts as dead.
const PATIENCE: u32 = 10_000_000;

/// A counter of known frequency that wraps.
#[derive(Clone, Copy)]
enum Reference {
    /// ACPI 6.5, 4.8.3.3; its port. 24 bits are sure.
    PmTimer(u16),
    /// Channel 0 of the 8254, counting down from 65,536.
    Pit,
}

impl Reference {
    /// The PM timer if it counts, else the 8254, which is started.
    fn choose(pm_timer: Option<u16>) -> Reference {
        if let Some(timer) = pm_timer.map(Reference::PmTimer) {
            let first = timer.read();
            if (0..1000).any(|_| timer.read() != first) {
                return timer;
            }
        }
        for (port, value) in [(0x43, 0x34), (0x40, 0), (0x40, 0)] {
            // SAFETY: the ports of the 8254, which only this module uses; its interrupt is masked.
            unsafe { outb(port, value) };
        }
        Reference::Pit
    }

    /// Ends the periodic interrupt that the firmware left running: masked as it is, an emulator still wakes up
    /// for it. (Mode 0 comes to rest after one count.)
    fn stop_pit() {
        for (port, value) in [(0x43, 0x30), (0x40, 1), (0x40, 0)] {
            // SAFETY: the ports of the 8254, which only this module uses; its interrupt is masked.
            unsafe { outb(port, value) };
        }
    }

    fn hertz(self) -> u64 {
        match self {
            Reference::PmTimer(_) => 3_579_545,
            Reference::Pit => 1_193_182,
        }
    }

    fn mask(self) -> u32 {
        match self {
            Reference::PmTimer(_) => 0xff_ffff,
            Reference::Pit => 0xffff,
        }
    }

    /// Counts up.
    fn read(self) -> u32 {
        match self {
            Reference::PmTimer(port) => {
                // SAFETY: reading the timer that the firmware's table names has no effect.
                unsafe { inl(port) }
            }
            Reference::Pit => {
                // SAFETY: latches the count of channel 0; only this module uses the 8254.
                unsafe { outb(0x43, 0) };
                // SAFETY: as above, the low byte of the latched count.
                let low = unsafe { inb(0x40) };
                // SAFETY: as above, the high byte.
                let high = unsafe { inb(0x40) };
                0_u32.wrapping_sub(u32::from(u16::from_le_bytes([low, high])))
            }
        }
    }

    /// The count together with the time stamp at that moment.
    fn sample(self) -> (u32, u64) {
        let mut best = (0, 0, u64::MAX);
        for _ in 0..TRIES {
            let before = cpu::timestamp();
            let count = self.read();
            let took = cpu::timestamp().saturating_sub(before);
            if took < best.2 {
                best = (count, before.wrapping_add(took / 2), took);
            }
        }
        (best.0, best.1)
    }

    /// Ticks from `start` to `end`, which are less than a wrap apart.
    fn ticks(self, start: u32, end: u32) -> u32 {
        end.wrapping_sub(start) & self.mask()
    }
}

/// Frequencies in hertz.
#[derive(Clone, Copy)]
pub(super) struct Rates {
    /// Of the time stamp counter.
    pub(super) timestamp: u64,
    timer: u64,
}

impl Rates {
    /// Measures for some 25 ms; `None` if the reference stands still.
    pub(super) fn measure(apic: &mut LocalApic, pm_timer: Option<u16>) -> Option<Rates> {
        let reference = Reference::choose(pm_timer);
        let hertz = reference.hertz();
        let wanted = (hertz * ROUND_MICROSECONDS / 1_000_000) as u32;
        let mut lowest: Option<Rates> = None;
        apic.start_timer(u32::MAX);
        for _ in 0..ROUNDS {
            let (start, start_stamp) = reference.sample();
            let start_timer = apic.timer_left();
            let waited = (0..PATIENCE).any(|_| reference.ticks(start, reference.read()) >= wanted);
            if !waited {
                return None;
            }
            let (end, end_stamp) = reference.sample();
            let timer_ticks = start_timer.wrapping_sub(apic.timer_left());
            let ticks = u64::from(reference.ticks(start, end));
            let stamps = end_stamp.wrapping_sub(start_stamp);
            let round = Rates {
                timestamp: frequency(stamps, ticks, hertz)?,
                timer: frequency(u64::from(timer_ticks), ticks, hertz)?,
            };
            if lowest.is_none_or(|lowest| round.timestamp < lowest.timestamp) {
                lowest = Some(round);
            }
        }
        apic.start_timer(0);
        Reference::stop_pit();
        lowest
    }
}

/// The time since boot.
pub(super) struct Clock {
    start: u64,
    scale: Scale,
    /// The counter of a virtual machine may step back when its host does; the clock does not.
    last: Cell<u64>,
}

impl Clock {
    /// A clock that starts now; `None` if the frequency is nonsense.
    pub(super) fn new(rates: Rates) -> Option<Clock> {
        Some(Clock {
            start: cpu::timestamp(),
            scale: Scale::to_nanos(rates.timestamp)?,
            last: Cell::new(0),
        })
    }

    /// The counter at the start, and nanoseconds a tick with 32 bits after the point.
    pub(super) fn scale(&self) -> (u64, u64) {
        (self.start, self.scale.ratio())
    }

    /// Nanoseconds since [`Clock::new`].
    pub(super) fn now(&self) -> u64 {
        let ticks = cpu::timestamp().saturating_sub(self.start);
        let now = self.scale.apply_small(ticks).max(self.last.get());
        self.last.set(now);
        now
    }
}

/// The one-shot timer.
///
/// Registers of the local APIC are slow to reach, so a timer that goes off too early is left running when
/// the deadline moves back or away: [`Timer::expired`] then starts it again, or ignores it.
pub(super) struct Timer {
    scale: Scale,
    wanted: Option<u64>,
    /// When the hardware will interrupt.
    armed: Option<u64>,
}

impl Timer {
    /// A stopped timer; `None` if the frequency is nonsense.
    pub(super) fn new(rates: Rates) -> Option<Timer> {
        Some(Timer {
            scale: Scale::to_ticks(rates.timer)?,
            wanted: None,
            armed: None,
        })
    }

    /// Asks for an interrupt at `deadline`.
    #[inline(never)]
    pub(super) fn set(&mut self, apic: &mut LocalApic, clock: &Clock, deadline: Option<u64>) {
        self.wanted = deadline;
        if let Some(deadline) = deadline
            && self.armed.is_none_or(|armed| armed > deadline)
        {
            self.arm(apic, clock.now(), deadline);
        }
    }

    /// The hardware interrupted: whether the deadline has come.
    pub(super) fn expired(&mut self, apic: &mut LocalApic, clock: &Clock) -> bool {
        self.armed = None;
        let Some(deadline) = self.wanted else {
            return false;
        };
        let now = clock.now();
        if now < deadline {
            self.arm(apic, now, deadline);
            return false;
        }
        self.wanted = None;
        true
    }

    /// A deadline beyond what the counter can hold is reached in several steps, by way of `expired`.
    fn arm(&mut self, apic: &mut LocalApic, now: u64, deadline: u64) {
        let ticks = self.scale.apply(deadline.saturating_sub(now));
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        self.armed = Some(deadline);
        apic.start_timer(ticks);
    }
}
