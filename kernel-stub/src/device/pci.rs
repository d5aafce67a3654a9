//! PCI configuration space: which functions there are, how large their BARs are, where MSI-X is.
//! Touches configuration space only, at boot and to switch bus mastering. What devices say is checked, and walks are bounded.
#![forbid(unsafe_code)]

use crate::object::{Bar, Device, MAX_INTERRUPTS, MAX_PINS, Msix};
use crate::platform::Platform;

/// Most functions that become devices: what fits into the first process's table.
pub(crate) const MAX_DEVICES: usize = 32;

/// Command register (PCI Local Bus 3.0, section 6.2.2).
pub(crate) const BUS_MASTER: u16 = 1 << 2;
const DECODE: u16 = 3;
const MEMORY: u16 = 1 << 1;
const NO_INTX: u16 = 1 << 10;

const COMMAND: u16 = 0x04;
const HEADER_TYPE: u16 = 0x0c;
const BAR0: u16 = 0x10;
const BUSES: u16 = 0x18;
const CAPABILITIES: u16 = 0x34;
/// Status register, in the upper half of the command's word: there is a list of capabilities.
const HAS_CAPABILITIES: u32 = 1 << 20;
const MSIX: u32 = 0x11;

/// Sets and clears bits of the command register. The status register above it is cleared by ones: zeros keep it.
pub(crate) fn set_command<P: Platform>(platform: &mut P, address: u16, set: u16, clear: u16) {
    let command = platform.config_read(address, COMMAND) as u16;
    let command = (command | set) & !clear;
    platform.config_write(address, COMMAND, command as u32);
}

/// Calls `found` for every function that is no bridge, on every bus that can be reached.
pub(crate) fn enumerate<P: Platform>(platform: &mut P, mut found: impl FnMut(&mut P, Device)) {
    // Buses to be visited, and those that are known (a bridge can name any bus, its own, too).
    let mut known = [0u64; 4];
    let mut buses = heapless::Vec::<u8, 256>::new();
    let mut visit = |buses: &mut heapless::Vec<u8, 256>, bus: u8| {
        if let Some(word) = known.get_mut(bus as usize / 64)
            && *word & 1 << (bus % 64) == 0
        {
            *word |= 1 << (bus % 64);
            // 256 distinct buses always fit.
            let _fits = buses.push(bus);
        }
    };
    visit(&mut buses, 0);
    while let Some(bus) = buses.pop() {
        for slot in 0..32 {
            for function in 0..8 {
                let address = (bus as u16) << 8 | slot << 3 | function;
                let ids = platform.config_read(address, 0);
                if ids as u16 == 0xffff || ids == 0 {
                    match function {
                        0 => break,
                        _ => continue,
                    }
                }
                let header = platform.config_read(address, HEADER_TYPE) >> 16;
                match header & 0x7f {
                    0 => {
                        let device = examine(platform, address, ids);
                        found(platform, device);
                    }
                    1 => {
                        // What is behind a bridge needs it to pass memory accesses both ways.
                        set_command(platform, address, MEMORY | BUS_MASTER, 0);
                        let secondary = (platform.config_read(address, BUSES) >> 8) as u8;
                        visit(&mut buses, secondary);
                    }
                    _ => {}
                }
                if function == 0 && header & 0x80 == 0 {
                    break;
                }
            }
        }
    }
}

/// Reads what a function is. Leaves it with bus mastering and INTx off.
fn examine<P: Platform>(platform: &mut P, address: u16, ids: u32) -> Device {
    let command = platform.config_read(address, COMMAND) as u16;
    // No decoding while the BARs hold nonsense.
    set_command(platform, address, NO_INTX, BUS_MASTER | DECODE);
    let bars = size_bars(platform, address);
    let memory = match bars.iter().any(|bar| bar.len > 0) {
        true => MEMORY,
        false => command & MEMORY,
    };
    set_command(platform, address, memory | command & 1, 0);
    Device {
        address,
        vendor: ids as u16,
        device: (ids >> 16) as u16,
        class: platform.config_read(address, 8) >> 8,
        bars,
        msix: find_msix(platform, address, &bars),
        pins: [None; MAX_PINS],
        number: 0,
        domain: None,
        has_strayed: false,
        strays: 0,
        watch: None,
        interrupts: [None; MAX_INTERRUPTS],
    }
}

/// Sizes the memory BARs (PCI Local Bus 3.0, section 6.2.5.1). One without an address counts as none.
fn size_bars<P: Platform>(platform: &mut P, address: u16) -> [Bar; 6] {
    let mut bars = [Bar::default(); 6];
    let mut places = bars.iter_mut().zip((BAR0..).step_by(4));
    while let Some((bar, place)) = places.next() {
        let low = platform.config_read(address, place);
        if low & 1 != 0 {
            continue;
        }
        platform.config_write(address, place, u32::MAX);
        let mask = platform.config_read(address, place);
        platform.config_write(address, place, low);
        let (mut base, mut mask) = ((low & !0xf) as u64, (mask & !0xf) as u64);
        if low & 6 == 4 {
            let Some((_, place)) = places.next() else {
                break;
            };
            let high = platform.config_read(address, place);
            platform.config_write(address, place, u32::MAX);
            let high_mask = platform.config_read(address, place);
            platform.config_write(address, place, high);
            base |= (high as u64) << 32;
            mask |= (high_mask as u64) << 32;
        } else if mask != 0 {
            mask |= 0xffff_ffff << 32;
        }
        let len = (!mask).wrapping_add(1);
        // A real mask is ones down to the size, and a real address is aligned to that.
        if mask != 0 && base != 0 && len.is_power_of_two() && base.is_multiple_of(len) {
            *bar = Bar { base, len };
        }
    }
    bars
}

/// Finds a usable MSI-X capability: table and pending bits lie inside memory BARs.
fn find_msix<P: Platform>(platform: &P, address: u16, bars: &[Bar; 6]) -> Option<Msix> {
    if platform.config_read(address, COMMAND) & HAS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = platform.config_read(address, CAPABILITIES) as u16 & 0xfc;
    // 48 capabilities fill the space, so a longer list is a loop.
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        let head = platform.config_read(address, at);
        if head & 0xff == MSIX && at <= 0xf4 {
            let entries = ((head >> 16) as u16 & 0x7ff) + 1;
            let table = platform.config_read(address, at + 4);
            let pending = platform.config_read(address, at + 8);
            let pending_bytes = (entries as u64).div_ceil(64) * 8;
            let (base, table_place) = place_in_bar(bars, table, entries as u64 * 16)?;
            let (_, pending_place) = place_in_bar(bars, pending, pending_bytes)?;
            return Some(Msix {
                capability: at,
                entries,
                table: base,
                table_place,
                pending_place,
                enabled: false,
            });
        }
        at = (head >> 8) as u16 & 0xfc;
    }
    None
}

/// Physical address, and BAR, offset and length, of a structure that a register of MSI-X places.
fn place_in_bar(bars: &[Bar; 6], register: u32, len: u64) -> Option<(u64, (u8, u64, u64))> {
    let (index, offset) = (register & 7, (register & !7) as u64);
    let bar = bars.get(index as usize)?;
    let fits = offset.checked_add(len)? <= bar.len;
    fits.then_some((bar.base + offset, (index as u8, offset, len)))
}
