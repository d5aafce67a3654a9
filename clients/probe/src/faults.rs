//! Faults of every kind. `unsafe` for instructions that the processor must refuse.

use alloc::string::String;
use core::arch::asm;

/// Commits the fault of this name; comes back only if nothing stopped it.
pub(crate) fn commit(kind: &str) -> String {
    match kind {
        "null" => read(0),
        // RAM as the kernel sees it: mapped, but not for us.
        "kernel" => read(0xffff_ff80_0020_0000),
        "write-code" => write_code(),
        "run-data" => run_data(),
        "privileged" => {
            // SAFETY: in user mode `hlt` raises #GP, which is the point; were it executed it would change no memory.
            unsafe { asm!("hlt", options(nomem, nostack)) }
        }
        "port" => {
            // SAFETY: in user mode port access raises #GP; were it executed it would read a keyboard status.
            unsafe { asm!("in al, 0x64", out("al") _, options(nomem, nostack)) }
        }
        "undefined" => {
            // SAFETY: `ud2` raises #UD.
            unsafe { asm!("ud2", options(nomem, nostack)) }
        }
        "divide" => {
            // SAFETY: dividing by zero raises #DE before any register changes.
            unsafe {
                asm!("div {0:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _,
                     options(nomem, nostack))
            }
        }
        "float" => {
            let control: u16 = 0x37b;
            // SAFETY: dividing by zero with that exception not masked raises #MF at the next instruction that waits. Nothing else uses these
            // registers.
            unsafe {
                asm!("fldcw [{0}]", "fldz", "fld1", "fdivrp st(1), st", "fwait", in(reg) &control,
                     options(readonly, nostack))
            }
        }
        "wild-jump" => {
            // SAFETY: fetching from a non-canonical address raises #GP; nothing runs there.
            unsafe { asm!("jmp {0}", in(reg) 0x8000_0000_0000_0000u64, options(nomem, nostack)) }
        }
        "stack" => {
            core::hint::black_box(descend(1));
        }
        _ => return String::from("no such fault"),
    }
    String::from("the instruction was executed")
}

fn read(address: u64) {
    // SAFETY: nothing is mapped there for user mode, so the load raises #PF and yields no value.
    unsafe { asm!("mov {0}, [{1}]", out(reg) _, in(reg) address, options(readonly, nostack)) }
}

fn write_code() {
    // SAFETY: code pages are read-only, so the store raises #PF; were it executed it would rewrite one byte of `read`
    // that is not running.
    unsafe { asm!("mov byte ptr [{0}], 0xc3", in(reg) read as *const () as u64, options(nostack)) }
}

fn run_data() {
    let code = [0xc3u8; 16];
    // SAFETY: the stack is not executable, so the call raises #PF; were it executed it would return at once.
    unsafe { asm!("call {0}", in(reg) core::hint::black_box(&code).as_ptr()) }
}

/// Recurses until the guard page below the stack.
#[expect(unconditional_recursion, reason = "overflowing the stack is the point")]
fn descend(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    descend(depth.wrapping_add(frame[7])).wrapping_add(frame[3])
}
