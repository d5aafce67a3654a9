//! What can go wrong, by the party that is to blame.
//!
//! No behaviour but the texts.
#![forbid(unsafe_code)]

use core::fmt;
use ipc_proto::setup::Refusal;

/// Why a PCI function is not a device that this driver can serve. Trying again does not help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeError {
    /// Vendor and device number are those of something else.
    NotVirtioNet {
        /// PCI vendor.
        vendor: u16,
        /// PCI device.
        device: u16,
    },
    /// Configuration space could not be read.
    ConfigRead,
    /// The list of capabilities leads outside configuration space, or in a circle.
    BadCapabilityList,
    /// A virtio structure does not lie within its base address register, is too short or unaligned.
    BadStructure(Structure),
    /// A virtio structure is not there.
    MissingStructure(Structure),
    /// The registers could not be mapped.
    BarUnavailable(u8),
    /// The function has no MSI-X table.
    NoMsix,
}

/// A structure of virtio registers (VIRTIO 1.2 section 4.1.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// Common configuration.
    Common,
    /// Notifications.
    Notify,
    /// Network configuration.
    Device,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::Common => "common configuration",
            Structure::Notify => "notification",
            Structure::Device => "device configuration",
        })
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeError::NotVirtioNet { vendor, device } => {
                write!(f, "{vendor:04x}:{device:04x} is no virtio network device")
            }
            ProbeError::ConfigRead => f.write_str("configuration space can't be read"),
            ProbeError::BadCapabilityList => f.write_str("malformed list of PCI capabilities"),
            ProbeError::BadStructure(which) => {
                write!(f, "malformed {which} structure")
            }
            ProbeError::MissingStructure(which) => {
                write!(
                    f,
                    "no {which} structure: a legacy device, or not virtio 1.x"
                )
            }
            ProbeError::BarUnavailable(bar) => {
                write!(f, "base address register {bar} can't be mapped")
            }
            ProbeError::NoMsix => f.write_str("no MSI-X interrupts"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// The device broke the specification, or failed. A reset may help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceError {
    /// It did not finish a reset.
    ResetTimeout,
    /// It does not offer VIRTIO_F_VERSION_1.
    Legacy,
    /// It refused a subset of the features that it offers (VIRTIO 1.2 section 3.1.1, step 6).
    FeaturesRefused,
    /// It no longer offers to do with frames what it offered before.
    OffloadsWithdrawn,
    /// It has no hardware address (VIRTIO_NET_F_MAC).
    NoMac,
    /// Its configuration changed each time that it was read.
    UnstableConfig,
    /// A queue is too short, or its size is not a power of two.
    QueueSize {
        /// Number of the queue.
        queue: u16,
        /// What the device said.
        size: u32,
    },
    /// A queue could not be set up: no memory that the device reaches, or in use after a reset.
    QueueSetup(u16),
    /// The notification register of a queue lies outside the notification structure.
    NotifyOutside(u16),
    /// It refused an MSI-X vector.
    VectorRefused,
    /// It set DEVICE_NEEDS_RESET.
    NeedsReset,
    /// The index of a used ring counts more buffers than the device was given.
    UsedIndex {
        /// Number of the queue.
        queue: u16,
        /// How many buffers the index claims.
        claimed: u16,
        /// How many were in the device's hands.
        in_flight: u16,
    },
    /// A used ring names a descriptor that is not in the device's hands.
    UsedId {
        /// Number of the queue.
        queue: u16,
        /// The descriptor named.
        id: u32,
    },
    /// A used ring claims that more was written than there was room for, or less than the header.
    UsedLength {
        /// Number of the queue.
        queue: u16,
        /// The claimed length in bytes.
        len: u32,
    },
    /// It took buffers and returned none for a long time.
    Stuck,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::ResetTimeout => f.write_str("device does not finish its reset"),
            DeviceError::Legacy => f.write_str("device does not offer virtio 1.x"),
            DeviceError::FeaturesRefused => f.write_str("device refused its own features"),
            DeviceError::OffloadsWithdrawn => f.write_str("device offers less than before"),
            DeviceError::NoMac => f.write_str("device has no hardware address"),
            DeviceError::UnstableConfig => f.write_str("device configuration keeps changing"),
            DeviceError::QueueSize { queue, size } => {
                write!(f, "queue {queue} has an unusable size of {size}")
            }
            DeviceError::QueueSetup(queue) => write!(f, "queue {queue} can't be set up"),
            DeviceError::NotifyOutside(queue) => {
                write!(f, "notification register of queue {queue} is out of range")
            }
            DeviceError::VectorRefused => f.write_str("device refused an interrupt vector"),
            DeviceError::NeedsReset => f.write_str("device asks for a reset"),
            DeviceError::UsedIndex {
                queue,
                claimed,
                in_flight,
            } => write!(
                f,
                "queue {queue}: device returned {claimed} buffers but had {in_flight}"
            ),
            DeviceError::UsedId { queue, id } => {
                write!(
                    f,
                    "queue {queue}: device returned descriptor {id}, which it did not have"
                )
            }
            DeviceError::UsedLength { queue, len } => {
                write!(
                    f,
                    "queue {queue}: device claims an impossible length of {len} bytes"
                )
            }
            DeviceError::Stuck => f.write_str("device returns no buffers"),
        }
    }
}

impl core::error::Error for DeviceError {}

/// The stack broke the frame protocol. It loses its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackError {
    /// An index or message on the channel makes no sense.
    Channel,
    /// The memory that it gave is too small for a channel, or for the pool that it announced.
    BadMemory,
    /// A buffer that the pool does not have.
    NoSuchBuffer(u16),
    /// A buffer that is in the driver's hands already.
    NotYours(u16),
    /// A frame shorter than an Ethernet header or longer than a buffer.
    BadLength {
        /// The buffer.
        buffer: u16,
        /// Claimed length in bytes.
        len: u16,
    },
    /// It asks for something to be done to a frame that makes no sense there, or was not agreed on.
    BadOffload {
        /// The buffer.
        buffer: u16,
    },
    /// It chose more than the device can do with frames.
    BadChoice,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::Channel => f.write_str("stack wrote nonsense on the channel"),
            StackError::BadMemory => f.write_str("stack gave unsuitable memory"),
            StackError::NoSuchBuffer(buffer) => {
                write!(f, "stack named buffer {buffer}, which does not exist")
            }
            StackError::NotYours(buffer) => {
                write!(f, "stack gave buffer {buffer} twice")
            }
            StackError::BadLength { buffer, len } => {
                write!(f, "stack sent a frame of {len} bytes in buffer {buffer}")
            }
            StackError::BadOffload { buffer } => {
                write!(f, "stack asked for the impossible with buffer {buffer}")
            }
            StackError::BadChoice => f.write_str("stack chose what the device can't do"),
        }
    }
}

impl core::error::Error for StackError {}

/// Why an attachment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionError {
    /// The device is to blame.
    Device(DeviceError),
    /// The stack is to blame.
    Stack(StackError),
    /// The stack died or dropped the attachment.
    StackGone,
}

impl From<DeviceError> for SessionError {
    fn from(error: DeviceError) -> Self {
        SessionError::Device(error)
    }
}

impl From<StackError> for SessionError {
    fn from(error: StackError) -> Self {
        SessionError::Stack(error)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Device(error) => error.fmt(f),
            SessionError::Stack(error) => error.fmt(f),
            SessionError::StackGone => f.write_str("stack is gone"),
        }
    }
}

impl core::error::Error for SessionError {}

/// Why the stack could not be attached to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// Nobody answers yet. Trying again helps.
    NotReady,
    /// The stack refused.
    Refused(Refusal),
    /// The stack's answer makes no sense.
    BadReply,
    /// The named step failed on this side, for want of memory or rights.
    Failed(&'static str),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::NotReady => f.write_str("stack is not there yet"),
            AttachError::Refused(refusal) => write!(f, "stack refused: {refusal:?}"),
            AttachError::BadReply => f.write_str("stack gave a malformed answer"),
            AttachError::Failed(step) => write!(f, "can't {step}"),
        }
    }
}

impl core::error::Error for AttachError {}
