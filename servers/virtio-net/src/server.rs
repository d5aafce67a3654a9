//! The server: attach to the stack, serve, and recover from whatever ends the attachment.
//!
//! Knows no kernel: everything outside comes through [`Platform`].
//!
//! There is one way of recovery. Whether the device failed, the stack broke the protocol or died, the device is reset,
//! the kernel stops it, the memory of the attachment is let go, and the stack is attached to anew. With each
//! attachment all buffers are the stack's, so that nothing that was under way can be confused with what comes later.
#![forbid(unsafe_code)]

use crate::{
    device::{self, EVERYTHING, Identity},
    error::{AttachError, DeviceError, SessionError, StackError},
    lookout::Lookout,
    nic::{DeviceMemory, Nic},
    registers::Registers,
    session::{Pass, Session, Shared, Wake},
    transport::PciTransport,
};
use bitflags::bitflags;
use ipc_proto::{
    hello::Hello,
    setup::{DevRequest, Refusal},
};

/// Nanoseconds in a millisecond.
const MS: u64 = 1_000_000;
/// Shortest and longest pause before the stack is attached to again, in nanoseconds.
const PAUSE: core::ops::RangeInclusive<u64> = 10 * MS..=1_000 * MS;
/// An attachment that lasted so long makes the next pause short again, in nanoseconds.
const LASTING: u64 = 1_000 * MS;
/// A device that failed so often ...
const MAX_FAILURES: usize = 5;
/// ... within this time, in nanoseconds, is given up.
const FAILURE_WINDOW: u64 = 60_000 * MS;
/// Interrupts in a row with nothing behind them, after which they are taken as rarely as the watchdog barks.
const STORM: u32 = 64;
/// So often the driver looks for frames without looking what else has happened, and without giving way.
const LOOKS_IN_A_ROW: u32 = 16;
/// How often the driver looks for something to do before a sleep at most.
const MOST_LOOKS: u32 = 2000;

bitflags! {
    /// What the server waits for. The first three are interrupts.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Events: u64 {
        /// The device's configuration changed.
        const CONFIG = 1 << 0;
        /// The device received.
        const RECEIVE = 1 << 1;
        /// The device sent.
        const TRANSMIT = 1 << 2;
        /// The stack rang.
        const BELL = 1 << 3;
        /// The stack died or dropped the attachment.
        const STACK_GONE = 1 << 4;
    }
}

impl Events {
    /// All interrupts.
    pub const INTERRUPTS: Events = Events::CONFIG
        .union(Events::RECEIVE)
        .union(Events::TRANSMIT);
}

/// What an attachment brings.
#[derive(Debug)]
pub struct Attachment {
    /// What is shared with the stack.
    pub shared: Shared,
    /// What the device was given.
    pub memory: DeviceMemory,
    /// Number of the attachment, as the stack counts.
    pub generation: u32,
}

/// The world of the server.
pub trait Platform {
    /// How registers are reached.
    type Registers: Registers;

    /// Nanoseconds since some fixed time.
    fn now(&self) -> u64;
    /// Waits for events until the time `deadline` (zero: just looks) and takes them; empty if there were none.
    fn wait(&mut self, deadline: u64) -> Events;
    /// Lets these interrupts come again: each comes twice at most and then not before this.
    fn acknowledge(&mut self, interrupts: Events);
    /// Wakes the stack, at the next wait or when giving way.
    fn ring_stack(&mut self);
    /// Lets stack and programs run until they are done, or for two milliseconds; the stack is awake.
    fn give_way(&mut self);
    /// Lets a moment pass: some tenths of a microsecond, or two microseconds with emulation.
    fn linger(&mut self);
    /// Asks the stack for an attachment, gives the device what it brings, routes interrupts to events, and lets the
    /// device reach memory. Events of an earlier attachment are gone.
    ///
    /// # Errors
    /// [`AttachError`]; nothing stays behind.
    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError>;
    /// Stops the device's access to memory, then lets go of what [`Platform::attach`] brought. Everything made from the
    /// [`Attachment`] was dropped before.
    fn detach(&mut self);
}

/// Why the server ended. A supervisor may start it again, after a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Driver and stack were built from different protocols; the stack speaks this one.
    Mismatch(Hello),
    /// The device failed again and again, at last like this.
    DeviceFailed(DeviceError),
}

/// When the device failed.
#[derive(Default)]
struct Failures([Option<u64>; MAX_FAILURES]);

impl Failures {
    /// Notes a failure. Returns whether the device is to be given up.
    fn note(&mut self, now: u64) -> bool {
        self.0.rotate_right(1);
        let [newest, .., oldest] = &mut self.0;
        *newest = Some(now);
        oldest.is_some_and(|oldest| now.saturating_sub(oldest) < FAILURE_WINDOW)
    }
}

/// Drives the device until there is no point in going on.
pub fn run<P: Platform>(platform: &mut P, transport: &PciTransport<P::Registers>) -> Outcome {
    let mut failures = Failures::default();
    let mut pause = *PAUSE.start();
    let mut known = None;
    let mut complaint = None;
    loop {
        let identity = match device::negotiate(&mut transport.clone(), EVERYTHING) {
            Ok(identity) => identity,
            Err(error) => {
                log::warn!("{error}");
                if failures.note(platform.now()) {
                    return Outcome::DeviceFailed(error);
                }
                rest(platform, &mut pause);
                continue;
            }
        };
        introduce(&identity, &mut known);
        let request = DevRequest::Attach {
            hello: Hello::FRAME,
            mac: identity.mac.0,
            mtu: identity.mtu,
            link_up: identity.link_up,
            offloads: identity.features.offloads(),
        };
        let attachment = match platform.attach(&request) {
            Ok(attachment) => attachment,
            Err(AttachError::Refused(Refusal::Mismatch(theirs))) => {
                return Outcome::Mismatch(theirs);
            }
            Err(error) => {
                // Once for each reason, not once for each attempt.
                if complaint.replace(error) != Some(error) {
                    log::info!("waiting to attach: {error}");
                }
                rest(platform, &mut pause);
                continue;
            }
        };
        complaint = None;
        let since = platform.now();
        let error = serve(platform, transport, attachment, &identity);
        platform.detach();
        log::warn!("attachment ended: {error}");
        let now = platform.now();
        if now.saturating_sub(since) >= LASTING {
            pause = *PAUSE.start();
        }
        if let SessionError::Device(error) = error
            && failures.note(now)
        {
            return Outcome::DeviceFailed(error);
        }
        rest(platform, &mut pause);
    }
}

/// Says what the device is, when that is new.
fn introduce(identity: &Identity, known: &mut Option<Identity>) {
    if known.replace(*identity) != Some(*identity) {
        let Identity {
            mac,
            mtu,
            link_up,
            features,
        } = identity;
        let link = if *link_up { "up" } else { "down" };
        log::info!(
            "device {mac}, mtu {mtu}, link {link}, features {:#x}",
            features.bits()
        );
    }
}

/// Waits for `pause`, which is longer the next time. What happens meanwhile is not for anybody: there is no attachment.
fn rest<P: Platform>(platform: &mut P, pause: &mut u64) {
    let end = platform.now().saturating_add(*pause);
    *pause = pause.saturating_mul(2).min(*PAUSE.end());
    while platform.now() < end {
        platform.wait(end);
    }
}

/// Serves an attachment until it ends. Returns why; the device was reset.
fn serve<P: Platform>(
    platform: &mut P,
    transport: &PciTransport<P::Registers>,
    attachment: Attachment,
    identity: &Identity,
) -> SessionError {
    let generation = attachment.generation;
    let Shared { receive, send, .. } = &attachment.shared;
    let (receive, send) = (receive.count(), send.count());
    let offloads = attachment.shared.offloads;
    let can = identity.features.offloads();
    if offloads.and(can) != offloads {
        // Not started: it touches no memory, whether it resets or not.
        let _ = device::reset(&mut transport.clone());
        return StackError::BadChoice.into();
    }
    let nic = match Nic::start(transport.clone(), attachment.memory, offloads) {
        Ok(nic) => nic,
        Err(error) => return error.into(),
    };
    let link_up = identity.link_up;
    let mut session = match Session::new(nic, attachment.shared, link_up, platform.now()) {
        Ok(session) => session,
        Err(error) => return error,
    };
    log::info!(
        "attached to the stack: attachment {generation}, {receive} buffers to receive into, {send} to send from"
    );
    let error = match exchange(platform, &mut session) {
        Err(error) => error,
        Ok(never) => match never {},
    };
    let counters = session.counters();
    log::info!(
        "attachment {generation}: {} frames received, {} sent, {} runts and {} odd ones dropped",
        counters.received,
        counters.transmitted,
        counters.runts,
        counters.odd
    );
    error
}

/// Makes passes, and sleeps in between when there is nothing to do. Apart from what is done once, so that the registers are for this.
#[inline(never)]
fn exchange<P: Platform>(
    platform: &mut P,
    session: &mut Session<P::Registers>,
) -> Result<core::convert::Infallible, SessionError> {
    let mut interrupts = Interrupts::new();
    let mut lookout = Lookout::new();
    // How often it has looked since it knows what else has happened, and whether the stack was rung and has yet to run.
    let (mut looks, mut owes_way) = (0, false);
    // What has ended the last sleep.
    let mut woken: Option<Events> = None;
    // As at the watchdog: whatever happened before the first sleep is looked for.
    let mut wake = Wake {
        config_changed: true,
        watchdog: true,
    };
    loop {
        // A pass is short: it is also the time at which the sleep begins.
        let now = platform.now();
        let pass = session.pass(now, wake)?;
        if let Some(events) = woken.take() {
            // The bell says that it was the stack's turn, and not the other side's.
            lookout.end(now, events == Events::RECEIVE && pass.device_work);
        }
        if pass.ring_stack {
            platform.ring_stack();
            owes_way = true;
        }
        interrupts.judge(&pass);
        let works = pass.again || pass.busy;
        // Who waits for the stack sleeps until it rings back, and looks then.
        let moment = lookout.moment().filter(|_| !works && !pass.waits_for_stack);
        let limit = if works || moment.is_some() {
            None
        } else {
            let ready = interrupts.take_ready(wake.watchdog);
            if !ready.is_empty() {
                platform.acknowledge(ready);
            }
            session.prepare_sleep(now)?
        };
        if limit.is_some() {
            lookout.begin(now);
        }
        let events = match moment {
            Some(_) if looks < LOOKS_IN_A_ROW => {
                looks += 1;
                Events::empty()
            }
            _ => {
                looks = 0;
                platform.wait(limit.unwrap_or(0))
            }
        };
        // Who looks is not interrupted by the stack.
        if pass.busy || moment.is_some() && (owes_way || looks == 0) {
            platform.give_way();
            owes_way = false;
        }
        if events.contains(Events::STACK_GONE) {
            return Err(SessionError::StackGone);
        }
        if let Some(moment) = moment
            && events.is_empty()
        {
            look(platform, session, &mut lookout, moment)?;
        }
        owes_way &= !events.contains(Events::BELL);
        woken = limit.map(|_| events).filter(|events| !events.is_empty());
        interrupts.note(events);
        wake = Wake {
            config_changed: events.contains(Events::CONFIG),
            watchdog: limit.is_some() && events.is_empty(),
        };
    }
}

/// Waits awake for something to do, for so many nanoseconds. Apart, so that the benchmark tells it from work.
#[inline(never)]
fn look<P: Platform>(
    platform: &mut P,
    session: &mut Session<P::Registers>,
    lookout: &mut Lookout,
    moment: u64,
) -> Result<(), SessionError> {
    let start = platform.now();
    lookout.begin(start);
    // Bounded, whatever the clock says.
    for _ in 0..MOST_LOOKS {
        let now = platform.now();
        if session.has_work()? {
            lookout.end(now, session.has_frames()?);
            return Ok(());
        }
        if now.saturating_sub(start) >= moment {
            break;
        }
        platform.linger();
    }
    lookout.tire();
    Ok(())
}

/// Interrupts that came and were not acknowledged: they don't come again before that.
struct Interrupts {
    pending: Events,
    /// Whether the last wake-up was by an interrupt.
    came: bool,
    /// How many in a row had nothing behind them.
    idle: u32,
}

impl Interrupts {
    fn new() -> Interrupts {
        Interrupts {
            pending: Events::empty(),
            came: false,
            idle: 0,
        }
    }

    fn note(&mut self, events: Events) {
        let interrupts = events & Events::INTERRUPTS;
        self.came = !interrupts.is_empty();
        self.pending |= interrupts;
    }

    /// Counts interrupts that were for nothing.
    #[inline]
    fn judge(&mut self, pass: &Pass) {
        if pass.device_work {
            self.idle = 0;
        } else if self.came {
            self.idle = self.idle.saturating_add(1);
            if self.idle == STORM {
                log::warn!("interrupts without reason: polling");
            }
        }
        self.came = false;
    }

    /// Interrupts to acknowledge now: all, or in a storm none until the watchdog barks.
    fn take_ready(&mut self, watchdog: bool) -> Events {
        if self.idle >= STORM && !watchdog {
            return Events::empty();
        }
        core::mem::replace(&mut self.pending, Events::empty())
    }
}

#[cfg(test)]
mod tests;
