//! The first instructions of a process, and its end. Reads the start record that init mapped.

use crate::{EXIT_NO_START_INFO, EXIT_PANIC, START_INFO_ADDRESS, env::Env, logger, syscall};
use core::panic::PanicInfo;
use kernel_abi::Syscall;
use manifest::{MAX_START_INFO, Record, StartInfo};

// The kernel jumps here with the argument in `rdi`. A zero frame pointer ends the chain of frames; a function is
// entered by `call` with the stack aligned to 16 bytes before it (System V ABI, 3.2.2).
core::arch::global_asm!(
    ".section .text._start, \"ax\"",
    ".global _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

unsafe extern "Rust" {
    /// The program's main function, defined by [`crate::entry!`].
    safe fn causeway_main(env: Env) -> u32;
}

/// `argument`: length of the start record in bytes; 0 for the first process, which has none.
extern "C" fn start(argument: u64) -> ! {
    let env = match argument {
        0 => Env::first_process(),
        len if len <= MAX_START_INFO as u64 => {
            let base = core::ptr::with_exposed_provenance::<u8>(START_INFO_ADDRESS as usize);
            // SAFETY: whoever started this process mapped that many bytes there, readable, and keeps no way to
            // write them; they stay mapped for the process's life.
            let bytes = unsafe { core::slice::from_raw_parts(base, len as usize) };
            match StartInfo::from_bytes(bytes) {
                Ok(info) => Env::new(info),
                Err(_) => exit(EXIT_NO_START_INFO),
            }
        }
        _ => exit(EXIT_NO_START_INFO),
    };
    logger::install(&env);
    exit(causeway_main(env).into())
}

/// Ends this process.
pub fn exit(code: u64) -> ! {
    loop {
        // It can't fail; the loop is there for the type.
        let _ = syscall::values(Syscall::ProcessExit, [code, 0, 0, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    logger::write(1, format_args!("{info}"));
    exit(EXIT_PANIC)
}

/// Makes `main`, a `fn(rt::Env) -> u32`, what the process runs; it exits with the returned code.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        const _: () = {
            #[unsafe(no_mangle)]
            extern "Rust" fn causeway_main(env: $crate::Env) -> u32 {
                let main: fn($crate::Env) -> u32 = $main;
                main(env)
            }
        };
    };
}
