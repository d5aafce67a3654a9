//! The device by system calls: its registers, its interrupts, and the memory that it reaches. In the image only.
//!
//! Holds the device's capability. `unsafe` only to tell the rest of the library what is mapped where.

use crate::{
    error::{AttachError, ProbeError},
    hal::Arena,
    mmio::Mmio,
    nic::DeviceMemory,
    pci::{self, ConfigSpace},
    queue::DevicePool,
    server::Events,
    transport::{PciTransport, Vectors},
};
use alloc::vec::Vec;
use core::fmt;
use ipc_proto::frame::Pool;
use rt::{Device, Env, Error, Interrupt, Mapping, Memory, Notification, Prot, Slot};

/// Pages of both virtqueues (three each), and no more: the device reaches all of them.
const QUEUE_PAGES: u64 = 6;

/// Where the device finds a pool, and how many bytes it has there.
type Place = (u64, u64);

/// Configuration space of the device.
struct Config<'a>(&'a Device);

impl ConfigSpace for Config<'_> {
    fn read32(&self, offset: u8) -> Option<u32> {
        self.0.config_read(offset.into(), 4).ok()
    }
}

/// A device, and what it needs as long as the process lives.
pub struct Card {
    device: Device,
    vectors: Vectors,
    /// Base address registers.
    _bars: Vec<(u8, Mapping)>,
    /// Memory of the virtqueues.
    queues: Mapping,
    /// Routed while the device may access memory.
    interrupts: Vec<(Events, Interrupt)>,
    /// What may come again: see [`Card::take_due`].
    due: Option<Slot>,
}

/// Why there is no device to drive.
pub enum StartError {
    /// A capability is missing in the manifest.
    MissingCap(rt::MissingCap),
    /// The kernel refused the named step.
    Kernel(&'static str, Error),
    /// The device is not one for this driver.
    Probe(ProbeError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::MissingCap(missing) => missing.fmt(f),
            StartError::Kernel(step, error) => write!(f, "can't {step}: {error}"),
            StartError::Probe(error) => error.fmt(f),
        }
    }
}

impl From<rt::MissingCap> for StartError {
    fn from(missing: rt::MissingCap) -> Self {
        StartError::MissingCap(missing)
    }
}

impl From<ProbeError> for StartError {
    fn from(error: ProbeError) -> Self {
        StartError::Probe(error)
    }
}

/// Maps a base address register, or finds it mapped.
fn map_bar(device: &Device, bars: &mut Vec<(u8, Mapping)>, bar: u8) -> Result<Mmio, ProbeError> {
    if !bars.iter().any(|(number, _)| *number == bar) {
        let mapping = device
            .bar(bar)
            .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
            .map_err(|error| {
                log::error!("base address register {bar}: {error}");
                ProbeError::BarUnavailable(bar)
            })?;
        bars.push((bar, mapping));
    }
    let mapping = bars
        .iter()
        .find_map(|(number, mapping)| (*number == bar).then_some(mapping))
        .ok_or(ProbeError::BarUnavailable(bar))?;
    // SAFETY: the register stays mapped there as long as `bars` lives, which is the process's life ([`Card`]), and
    // rt places no Rust object in the addresses of mappings.
    Ok(unsafe { Mmio::new(mapping.base(), mapping.len()) })
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").finish_non_exhaustive()
    }
}

impl Card {
    /// Finds the device and gets memory for its queues.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn find(env: &Env) -> Result<(Card, PciTransport<Mmio>), StartError> {
        let device = env.device("nic")?;
        let failed = |step| move |error| StartError::Kernel(step, error);
        let info = device.info().map_err(failed("look at the device"))?;
        let lengths = info.bars.map(|bar| bar.len);
        let layout = pci::find(&Config(&device), &lengths)?;
        let mut bars = Vec::new();
        let transport = PciTransport::new(&layout, info.msix_entries, |bar| {
            map_bar(&device, &mut bars, bar)
        })?;
        log::info!(
            "device {:04x}:{:04x} at {:02x}:{:02x}.{}, {} interrupt vectors",
            info.vendor,
            info.device,
            info.address >> 8,
            info.address >> 3 & 0x1f,
            info.address & 7,
            info.msix_entries
        );
        let queues = Memory::create(&env.budget(), QUEUE_PAGES, true)
            .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
            .map_err(failed("get memory for the queues"))?;
        let card = Card {
            device,
            vectors: transport.vectors(),
            _bars: bars,
            queues,
            interrupts: Vec::new(),
            due: None,
        };
        Ok((card, transport))
    }

    /// The events of each MSI-X entry in use.
    fn entries(&self) -> Vec<(u16, Events)> {
        let mut entries: Vec<(u16, Events)> = Vec::new();
        for (entry, event) in [
            (self.vectors.config, Events::CONFIG),
            (self.vectors.receive, Events::RECEIVE),
            (self.vectors.transmit, Events::TRANSMIT),
        ] {
            match entries.iter_mut().find(|(number, _)| *number == entry) {
                Some((_, events)) => *events |= event,
                None => entries.push((entry, event)),
            }
        }
        entries
    }

    /// Routes interrupts to `notification`, the bits of [`Events`], and lets the device reach the `pools`, as far as these capabilities
    /// say, and the queues. Returns the memory of the queues, and where the device finds the pools, which have these buffers. After a
    /// failure it is stopped.
    ///
    /// # Errors
    /// [`AttachError::BadReply`] if one has less memory than its buffers take, else [`AttachError::Failed`].
    pub fn start(
        &mut self,
        [receive, send]: [(&Memory, Pool); 2],
        notification: &Notification,
    ) -> Result<DeviceMemory, AttachError> {
        let places = self.prepare([receive.0, send.0], notification);
        let (queues, [receive_at, send_at]) = places.map_err(|(step, error)| {
            self.stop();
            failed(step, error)
        })?;
        let pool = |(start, bytes), layout| DevicePool::new(start, bytes, layout);
        let (Some(receive), Some(send)) = (pool(receive_at, receive.1), pool(send_at, send.1))
        else {
            self.stop();
            return Err(AttachError::BadReply);
        };
        Ok(DeviceMemory {
            // SAFETY: the pages stay mapped there for the process's life, and only the library uses them.
            arena: unsafe { Arena::new(self.queues.base(), QUEUE_PAGES as usize, queues) },
            receive,
            send,
        })
    }

    /// [`Card::start`]; else says which step failed. Returns where the device finds queues and pools, and how many bytes of these.
    fn prepare(
        &mut self,
        pools: [&Memory; 2],
        notification: &Notification,
    ) -> Result<(u64, [Place; 2]), (&'static str, Error)> {
        let (queues, _) = self
            .device
            .dma_map(self.queues.memory())
            .map_err(|error| ("let the device reach its queues", error))?;
        let mut places = [(0, 0); 2];
        for (place, pool) in places.iter_mut().zip(pools) {
            *place = self
                .device
                .dma_map(pool)
                .map_err(|error| ("let the device reach a frame pool", error))?;
        }
        for (entry, events) in self.entries() {
            let interrupt = self
                .device
                .interrupt(entry, notification, events.bits())
                .map_err(|error| ("route an interrupt", error))?;
            self.interrupts.push((events, interrupt));
        }
        self.device
            .start()
            .map_err(|error| ("start the device", error))?;
        Ok((queues, places))
    }

    /// Lets these interrupts come again: all but the last, which is due.
    pub fn acknowledge(&mut self, interrupts: Events) {
        for (events, interrupt) in &self.interrupts {
            // It fails only if the device was quiesced by somebody else; then the stack's or init's news follow.
            if events.intersects(interrupts)
                && let Some(earlier) = self.due.replace(interrupt.slot())
                && let Err(error) = Interrupt::borrowed(earlier).ack()
            {
                log::warn!("interrupt: {error}");
            }
        }
    }

    /// The interrupt to acknowledge with the next wait, in the same system call. A wait follows each acknowledgement.
    pub fn take_due(&mut self) -> Option<Slot> {
        self.due.take()
    }

    /// Stops the device: from here on it reaches no memory, whatever state it is in.
    pub fn stop(&mut self) {
        if let Err(error) = self.device.quiesce() {
            log::error!("can't stop the device: {error}");
        }
        self.due = None;
        self.interrupts.clear();
    }
}

/// Says what failed in full, and sums up.
pub fn failed(step: &'static str, error: Error) -> AttachError {
    log::error!("can't {step}: {error}");
    AttachError::Failed(step)
}
