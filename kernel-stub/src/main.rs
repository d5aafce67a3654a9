//! The kernel's program: takes the machine over and runs the portable kernel on it. For the bare machine only.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use core::panic::PanicInfo;
    use kernel_stub::arch::{self, Booted, emergency};
    use kernel_stub::boot::BootInfo;
    use kernel_stub::kernel::Kernel;

    /// Status of the machine after a panic of the kernel.
    const STATUS_PANIC: u8 = 101;
    /// Status of the machine when the kernel could not start.
    const STATUS_NO_BOOT: u8 = 103;

    /// Called by the architecture's entry code, once, with what the boot loader passed to that.
    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(loader: u64) -> ! {
        let booted = match arch::boot(loader) {
            Ok(booted) => booted,
            Err(failure) => give_up(format_args!("{failure}")),
        };
        run(booted)
    }

    fn run(booted: Booted) -> ! {
        let command_line = match str::from_utf8(&booted.command_line) {
            Ok(text) => text,
            Err(_) => give_up(format_args!("the command line is not UTF-8")),
        };
        let info = BootInfo {
            memory: booted.memory,
            usable: &booted.usable,
            archive: booted.archive,
            command_line,
            pci: booted.pci,
            processors: booted.processors,
        };
        match Kernel::new(booted.machine, info) {
            Ok(mut kernel) => kernel.run(),
            Err(error) => give_up(format_args!("{error}")),
        }
    }

    fn give_up(why: core::fmt::Arguments<'_>) -> ! {
        emergency::write(format_args!("kernel: can't start: {why}\n"));
        emergency::end(STATUS_NO_BOOT)
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        emergency::write(format_args!("\nkernel: {info}\n"));
        emergency::end(STATUS_PANIC)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This program is the kernel: it runs in the image only, see run-qemu.sh.");
}
