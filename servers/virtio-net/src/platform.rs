//! The library's [`Platform`] on the kernel: capabilities, mappings, interrupts.
//!
//! Holds every capability of the process. `unsafe` only to tell the library what is mapped where.

use alloc::vec::Vec;
use core::fmt;
use ipc_proto::setup::{DevReply, DevRequest};
use rt::{
    Budget, Device, Endpoint, Env, Error, Interrupt, Mapping, Memory, Notification, Prot, Slot,
    message::{self, CallError},
};
use virtio_net::{
    error::{AttachError, ProbeError},
    hal::Arena,
    mmio::Mmio,
    nic::DeviceMemory,
    pci::{self, ConfigSpace},
    server::{Attachment, Events, Platform},
    session::Shared,
    transport::{PciTransport, Vectors},
};

/// Pages of both virtqueues (three each), and no more: the device reaches all of them.
const QUEUE_PAGES: u64 = 6;
/// How long the stack may take to answer, in nanoseconds.
const ANSWER_WITHIN: u64 = 2_000_000_000;

/// Configuration space of the device.
struct Config<'a>(&'a Device);

impl ConfigSpace for Config<'_> {
    fn read32(&self, offset: u8) -> Option<u32> {
        self.0.config_read(offset.into(), 4).ok()
    }
}

/// What came with an attachment.
struct Attached {
    /// Wakes the stack.
    bell: Notification,
    /// What the stack wakes this process with: while it holds its copy, the attachment lives.
    _doorbell: Notification,
    interrupts: Vec<(Events, Interrupt)>,
    _channel: Mapping,
    _pool: Mapping,
}

/// A device that may access memory.
struct Prepared {
    interrupts: Vec<(Events, Interrupt)>,
    /// Where it finds the virtqueues.
    queues: u64,
    /// Where it finds the frame pool.
    pool: u64,
}

/// The kernel, as the library sees it.
pub(crate) struct Kernel {
    device: Device,
    stack: Endpoint,
    notification: Notification,
    vectors: Vectors,
    /// Base address registers, mapped as long as the process lives.
    _bars: Vec<(u8, Mapping)>,
    /// Memory of the virtqueues, mapped as long as the process lives.
    queues: Mapping,
    attached: Option<Attached>,
    due: Due,
}

/// What the next wait does first, in the same system call. One wait follows each pass.
#[derive(Default)]
struct Due {
    /// Whom to ring.
    bell: Option<Slot>,
    /// What may come again.
    interrupt: Option<Slot>,
}

/// Why the server can't even begin.
pub(crate) enum StartError {
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
    // SAFETY: the register stays mapped there as long as `bars` lives, which is the process's life (`Kernel`), and
    // rt places no Rust object in the addresses of mappings.
    Ok(unsafe { Mmio::new(mapping.base(), mapping.len()) })
}

impl Kernel {
    /// Finds the device and gets memory for its queues.
    pub(crate) fn new(env: &Env) -> Result<(Kernel, PciTransport<Mmio>), StartError> {
        let device = env.device("nic")?;
        let stack = env.endpoint("netdev")?;
        let budget: Budget = env.budget();
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
        let notification = Notification::create(&budget).map_err(failed("make a notification"))?;
        let queues = Memory::create(&budget, QUEUE_PAGES, true)
            .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
            .map_err(failed("get memory for the queues"))?;
        let kernel = Kernel {
            device,
            stack,
            notification,
            vectors: transport.vectors(),
            _bars: bars,
            queues,
            attached: None,
            due: Due::default(),
        };
        Ok((kernel, transport))
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

    /// Routes interrupts and lets the device reach `pool` and the queues; else says which step failed.
    fn prepare_device(&self, pool: &Memory) -> Result<Prepared, (&'static str, Error)> {
        let (queues, _) = self
            .device
            .dma_map(self.queues.memory())
            .map_err(|error| ("let the device reach its queues", error))?;
        let (pool, _) = self
            .device
            .dma_map(pool)
            .map_err(|error| ("let the device reach the frame pool", error))?;
        let mut interrupts = Vec::new();
        for (entry, events) in self.entries() {
            let interrupt = self
                .device
                .interrupt(entry, &self.notification, events.bits())
                .map_err(|error| ("route an interrupt", error))?;
            interrupts.push((events, interrupt));
        }
        self.device
            .start()
            .map_err(|error| ("start the device", error))?;
        Ok(Prepared {
            interrupts,
            queues,
            pool,
        })
    }

    /// Says what failed in full, and sums up.
    fn failed(step: &'static str, error: Error) -> AttachError {
        log::error!("can't {step}: {error}");
        AttachError::Failed(step)
    }
}

impl Platform for Kernel {
    type Registers = Mmio;

    fn now(&self) -> u64 {
        rt::time::now()
    }

    fn wait(&mut self, deadline: u64) -> Events {
        let Due { bell, interrupt } = core::mem::take(&mut self.due);
        let bits = self
            .notification
            .ring_and_wait(bell, interrupt, Events::all().bits(), deadline);
        Events::from_bits_truncate(bits)
    }

    fn acknowledge(&mut self, interrupts: Events) {
        let attached = self.attached.iter();
        for (events, interrupt) in attached.flat_map(|attached| &attached.interrupts) {
            // It fails only if the device was quiesced by somebody else; then the stack's or init's news follow.
            if events.intersects(interrupts)
                && let Some(earlier) = self.due.interrupt.replace(interrupt.slot())
                && let Err(error) = Interrupt::borrowed(earlier).ack()
            {
                log::warn!("interrupt: {error}");
            }
        }
    }

    fn ring_stack(&mut self) {
        // It fails only if the stack is gone, which is signalled too.
        self.due.bell = self.attached.as_ref().map(|attached| attached.bell.slot());
    }

    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError> {
        let doorbell = self
            .notification
            .doorbell(Events::BELL.bits())
            .map_err(|error| Kernel::failed("make a doorbell", error))?;
        let deadline = self.now().saturating_add(ANSWER_WITHIN);
        let answer = message::call(&self.stack, request, &[doorbell.slot()], deadline);
        let (reply, caps) = match answer {
            Ok(answer) => answer,
            Err(CallError::Kernel(_)) => return Err(AttachError::NotReady),
            Err(CallError::Decode(_)) => return Err(AttachError::BadReply),
        };
        let (generation, layout, receive_buffers, offloads) = match reply {
            DevReply::Attached {
                generation,
                pool,
                receive_buffers,
                offloads,
            } => (generation, pool, receive_buffers, offloads),
            DevReply::Refused(refusal) => return Err(AttachError::Refused(refusal)),
        };
        let [Some(channel), Some(pool), Some(bell), _] = caps else {
            return Err(AttachError::BadReply);
        };
        let bell = Notification::from_raw(bell.into_raw());
        let map = |cap: rt::Cap| Memory::from_raw(cap.into_raw()).map(Prot::READ | Prot::WRITE);
        let channel = map(channel).map_err(|error| Kernel::failed("map the channel", error))?;
        let pool = map(pool).map_err(|error| Kernel::failed("map the frame pool", error))?;
        // Whatever is left of an earlier attachment.
        self.wait(0);
        let prepared = match self.prepare_device(pool.memory()) {
            Ok(prepared) => prepared,
            Err((step, error)) => {
                self.detach();
                return Err(Kernel::failed(step, error));
            }
        };
        let gone = Events::STACK_GONE.bits();
        if let Err(error) = rt::watch(doorbell.slot(), &self.notification, gone) {
            self.detach();
            return Err(Kernel::failed("watch the stack", error));
        }
        // SAFETY: the pages stay mapped there for the process's life, and only the library uses them.
        let arena =
            unsafe { Arena::new(self.queues.base(), QUEUE_PAGES as usize, prepared.queues) };
        let attachment = Attachment {
            shared: Shared {
                channel: channel.shm(),
                pool: pool.shm(),
                layout,
                receive_buffers,
                offloads,
            },
            memory: DeviceMemory {
                arena,
                pool: prepared.pool,
                layout,
            },
            generation,
        };
        self.attached = Some(Attached {
            bell,
            _doorbell: doorbell,
            interrupts: prepared.interrupts,
            _channel: channel,
            _pool: pool,
        });
        Ok(attachment)
    }

    fn detach(&mut self) {
        // First of all: from here on the device reaches no memory, whatever state it is in.
        if let Err(error) = self.device.quiesce() {
            log::error!("can't stop the device: {error}");
        }
        self.attached = None;
    }
}
