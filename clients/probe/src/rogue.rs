//! A driver that lies to its device about where the frames are: it has the device read or write memory that it was not given, or
//! write memory that it was given to read.
//! With an IOMMU the device is stopped at the first try; without one, this program reports what the device has done.
//!
//! Everything is done by the rules but for one address, so that nothing but the IOMMU can be what stops it. `unsafe`
//! only to tell the driver library what is mapped where.

use crate::image::Finding;
use alloc::{format, string::ToString, vec::Vec};
use ipc_proto::frame::{BUFFER_SIZE, HEADROOM, Offloads, Pool};
use rt::{Device, Env, Mapping, Memory, Notification, Prot, Rights};
use virtio_net::{
    error::ProbeError,
    hal::Arena,
    mmio::Mmio,
    nic::{DeviceMemory, Nic},
    offload::HEADER,
    pci::{self, ConfigSpace},
    queue::DevicePool,
    transport::PciTransport,
};

const QUEUE_PAGES: u64 = 6;
/// Looks at the rings before it gives up, and the time between two in nanoseconds.
const LOOKS: u32 = 400;
const PAUSE: u64 = 50_000_000;
/// A frame to everybody, of an ethernet type for experiments (IEEE 802), with a text that must not get out.
const SECRET: &[u8] = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x88\xb5this memory was not given to the device, and is sixty bytes";

struct Config<'a>(&'a Device);

impl ConfigSpace for Config<'_> {
    fn read32(&self, offset: u8) -> Option<u32> {
        self.0.config_read(offset.into(), 4).ok()
    }
}

/// Memory that the device may not write, and its physical address: it was mapped for the device, to be read. Unless the device `may_read`
/// it was taken away again.
fn victim(env: &Env, device: &Device, may_read: bool) -> Result<(Mapping, u64), rt::Error> {
    let memory = Memory::create(&env.budget(), 1, true)?.map(Prot::READ | Prot::WRITE)?;
    if memory.shm().write(HEADROOM, SECRET).is_err() {
        return Err(rt::Error::BadArgument);
    }
    let to_read = memory.memory().derive(Rights::READ | Rights::DMA)?;
    let (address, _) = device.dma_map(&to_read)?;
    if !may_read {
        device.quiesce()?;
    }
    Ok((memory, address))
}

fn transport(
    device: &Device,
    bars: &mut Vec<Mapping>,
) -> Result<PciTransport<Mmio>, alloc::string::String> {
    let info = device.info().map_err(|error| error.to_string())?;
    let lengths = info.bars.map(|bar| bar.len);
    let layout = pci::find(&Config(device), &lengths).map_err(|error| error.to_string())?;
    PciTransport::new(&layout, info.msix_entries, |bar| {
        let mapping = device
            .bar(bar)
            .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
            .map_err(|_| ProbeError::BarUnavailable(bar))?;
        // SAFETY: the caller keeps `bars` for the process's life, and rt places no Rust object in mappings.
        let registers = unsafe { Mmio::new(mapping.base(), mapping.len()) };
        bars.push(mapping);
        Ok(registers)
    })
    .map_err(|error| error.to_string())
}

/// Makes the device send (`way` = `read`) or overwrite (`write`) memory that is not its own, or overwrite what it may read (`overwrite`).
pub(crate) fn lead_astray(env: &Env) -> Finding {
    let device = env.device("nic").map_err(|error| error.to_string())?;
    let way = env.arg("way").unwrap_or("read");
    let failed = |error: rt::Error| error.to_string();
    let mut bars = Vec::new();
    let transport = transport(&device, &mut bars)?;
    let (memory, address) = victim(env, &device, way == "overwrite").map_err(failed)?;
    let queues = Memory::create(&env.budget(), QUEUE_PAGES, true)
        .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
        .map_err(failed)?;
    let (queues_at, _) = device.dma_map(queues.memory()).map_err(failed)?;
    // SAFETY: the pages stay mapped for the process's life, and only the library uses them.
    let arena = unsafe { Arena::new(queues.base(), QUEUE_PAGES as usize, queues_at) };
    device.start().map_err(failed)?;
    let buffers = (rt::PAGE_SIZE / BUFFER_SIZE) as u16;
    let layout = Pool {
        small: buffers,
        large: 0,
    };
    let pool =
        DevicePool::new(address, rt::PAGE_SIZE as u64, layout).ok_or("no room for frames")?;
    let lie = DeviceMemory {
        arena,
        receive: pool,
        send: pool,
    };
    let mut nic =
        Nic::start(transport, lie, Offloads::default()).map_err(|error| error.to_string())?;
    let posted = match way {
        "write" | "overwrite" => (0..buffers).all(|buffer| nic.post_receive(buffer)),
        _ => nic.post_transmit(0, SECRET.len() as u16, [0; HEADER]),
    };
    if !posted {
        return Err("the queue has no room".into());
    }
    nic.kick();
    let never = Notification::create(&env.budget()).map_err(failed)?;
    for _ in 0..LOOKS {
        never.wait(1, rt::time::now().saturating_add(PAUSE));
        let mut now = [0; SECRET.len()];
        let read = memory.shm().read(HEADROOM, &mut now);
        if read.is_err() || now != *SECRET {
            return Ok(format!("{way}: the device has overwritten foreign memory"));
        }
        if let Ok(Some(_)) = nic.reap_transmit() {
            return Ok(format!("{way}: the device has taken foreign memory"));
        }
    }
    Err(format!("{way}: the device did nothing"))
}
