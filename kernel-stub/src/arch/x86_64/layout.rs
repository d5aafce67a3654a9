//! Fixed virtual addresses of the kernel's half, and the symbols of the linker script (`link.ld`).

use core::ops::Range;

/// Where physical address 0 is seen: the direct map of RAM. In the same 512 GiB as everything else of the kernel, so
/// that one table of the second level serves all of it: the fewer tables are in use, the less a switch of address spaces costs.
pub(super) const DIRECT_MAP: u64 = 0xffff_ff80_0000_0000;
/// RAM beyond is left alone (as by the portable kernel).
pub(super) const DIRECT_MAP_BYTES: u64 = 256 << 30;
/// Physical addresses of the kernel's image are this much lower (`link.ld` has the same number).
pub(super) const IMAGE: u64 = 0xffff_ffff_8000_0000;
/// 2 MiB for device registers, see `window.rs`: the last in the image's GiB.
pub(super) const WINDOW: u64 = 0xffff_ffff_bfe0_0000;
/// How much RAM from address 0 the tables of `boot.s` map, at [`IMAGE`].
pub(super) const BOOT_MAPPED: u64 = 1 << 30;

unsafe extern "C" {
    static boot_start: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static data_end: u8;
    static kernel_stack_guard: u8;
    static kernel_stack_bottom: u8;
}

/// Virtual addresses of the parts of the kernel's image, each page aligned.
pub(super) struct Image {
    /// Code.
    pub(super) text: Range<u64>,
    /// Constants.
    pub(super) rodata: Range<u64>,
    /// Variables and stacks.
    pub(super) data: Range<u64>,
    /// The page below the kernel's stack, in `data`, which stays unmapped.
    pub(super) stack_guard: Range<u64>,
    /// Everything, with the boot code, as physical addresses.
    pub(super) physical: Range<u64>,
}

impl Image {
    /// Where the linker put everything.
    pub(super) fn linked() -> Image {
        Image {
            text: (&raw const text_start).addr() as u64..(&raw const text_end).addr() as u64,
            rodata: (&raw const rodata_start).addr() as u64..(&raw const rodata_end).addr() as u64,
            data: (&raw const data_start).addr() as u64..(&raw const data_end).addr() as u64,
            stack_guard: (&raw const kernel_stack_guard).addr() as u64
                ..(&raw const kernel_stack_bottom).addr() as u64,
            physical: (&raw const boot_start).addr() as u64
                ..((&raw const data_end).addr() as u64).wrapping_sub(IMAGE),
        }
    }
}
