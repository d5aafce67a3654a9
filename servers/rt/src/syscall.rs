//! System calls as functions, one for each shape of memory argument. The only place with the `syscall`
//! instruction; all else in this crate goes through here.
//!
//! On a host there is no kernel: a test installs a [`Kernel`] of its own for its thread
//! ([`crate::testing::install`]); without one every call fails with [`Error::BadSyscall`].

use kernel_abi::{Error, Message, Slot, Syscall};

/// Result values `v0..v2` of a system call.
pub type Outcome = Result<[u64; 3], Error>;

/// Something that answers system calls: the kernel, or a fake of a test.
///
/// Arguments are as in [`Syscall`]. Where a call takes a pointer (and a length behind it), the method's own
/// parameter stands for it, `at` is the position of the pointer, and `args` hold zero there.
pub trait Kernel {
    /// A call without memory arguments.
    fn values(&mut self, call: Syscall, args: [u64; 6]) -> Outcome;
    /// A call with a message.
    fn message(
        &mut self,
        call: Syscall,
        args: [u64; 6],
        at: usize,
        message: &mut Message,
    ) -> Outcome;
    /// A call that reads bytes.
    fn send(&mut self, call: Syscall, args: [u64; 6], at: usize, bytes: &[u8]) -> Outcome;
    /// A call that writes bytes.
    fn receive(&mut self, call: Syscall, args: [u64; 6], at: usize, bytes: &mut [u8]) -> Outcome;
    /// A call that writes a record of words; no length is passed.
    fn words(&mut self, call: Syscall, args: [u64; 6], at: usize, words: &mut [u64]) -> Outcome;
}

#[cfg(target_os = "none")]
mod backend {
    use super::{Kernel, Outcome};
    use kernel_abi::{Error, Message, Syscall};

    /// The kernel below this process.
    struct Hardware;

    /// Executes `syscall`.
    ///
    /// # Safety
    /// Every pointer among the arguments must be valid for what the call does with it, and the call must not
    /// change memory or mappings that Rust objects live in.
    unsafe fn raw(call: Syscall, args: [u64; 6]) -> Outcome {
        let [a0, a1, a2, a3, a4, a5] = args;
        let code: u64;
        let (v0, v1, v2): (u64, u64, u64);
        // SAFETY: the registers are those of the convention in kernel-abi; the kernel keeps all others and the
        // stack. What the call does to memory is the caller's promise.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") call as u64 => code,
                in("rdi") a0,
                in("rsi") a1,
                inlateout("rdx") a2 => v0,
                in("r10") a3,
                inlateout("r8") a4 => v1,
                inlateout("r9") a5 => v2,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        match code {
            0 => Ok([v0, v1, v2]),
            code => Err(Error::from_code(code).unwrap_or(Error::BadSyscall)),
        }
    }

    /// `args` with `pointer` (and `len` behind it) put in.
    fn with_pointer(mut args: [u64; 6], at: usize, pointer: u64, len: Option<u64>) -> [u64; 6] {
        if let Some(slot) = args.get_mut(at) {
            *slot = pointer;
        }
        if let (Some(slot), Some(len)) = (args.get_mut(at.saturating_add(1)), len) {
            *slot = len;
        }
        args
    }

    impl Kernel for Hardware {
        fn values(&mut self, call: Syscall, args: [u64; 6]) -> Outcome {
            // SAFETY: no pointers. Of the calls that change this process's mappings, `MemoryMap` maps only where
            // nothing is, and unmapping happens only through `Mapping`, whose memory holds no Rust objects.
            unsafe { raw(call, args) }
        }

        fn message(
            &mut self,
            call: Syscall,
            args: [u64; 6],
            at: usize,
            message: &mut Message,
        ) -> Outcome {
            let pointer = core::ptr::from_mut(message) as u64;
            // SAFETY: `message` is exclusively borrowed, and the kernel reads and writes one `Message` there, of
            // which every byte pattern is valid.
            unsafe { raw(call, with_pointer(args, at, pointer, None)) }
        }

        fn send(&mut self, call: Syscall, args: [u64; 6], at: usize, bytes: &[u8]) -> Outcome {
            let args = with_pointer(args, at, bytes.as_ptr() as u64, Some(bytes.len() as u64));
            // SAFETY: the kernel only reads, and only `bytes`.
            unsafe { raw(call, args) }
        }

        fn receive(
            &mut self,
            call: Syscall,
            args: [u64; 6],
            at: usize,
            bytes: &mut [u8],
        ) -> Outcome {
            let args = with_pointer(
                args,
                at,
                bytes.as_mut_ptr() as u64,
                Some(bytes.len() as u64),
            );
            // SAFETY: `bytes` is exclusively borrowed, and the kernel writes within it.
            unsafe { raw(call, args) }
        }

        fn words(
            &mut self,
            call: Syscall,
            args: [u64; 6],
            at: usize,
            words: &mut [u64],
        ) -> Outcome {
            let args = with_pointer(args, at, words.as_mut_ptr() as u64, None);
            // SAFETY: `words` is exclusively borrowed and as long as the record that the call writes: the
            // callers below pass arrays of the length that kernel-abi gives for it.
            unsafe { raw(call, args) }
        }
    }

    /// Runs `f` with the kernel.
    pub(super) fn with<R>(f: impl FnOnce(&mut dyn Kernel) -> R) -> R {
        f(&mut Hardware)
    }
}

#[cfg(not(target_os = "none"))]
use crate::testing as backend;

/// A call without memory arguments.
pub(crate) fn values(call: Syscall, args: [u64; 6]) -> Outcome {
    backend::with(|kernel| kernel.values(call, args))
}

/// A call on one capability with no further argument.
pub(crate) fn simple(call: Syscall, slot: Slot) -> Outcome {
    values(call, [slot.0.into(), 0, 0, 0, 0, 0])
}

/// A call with a message at argument `at`.
pub(crate) fn message(call: Syscall, args: [u64; 6], at: usize, message: &mut Message) -> Outcome {
    backend::with(|kernel| kernel.message(call, args, at, message))
}

/// A call that reads bytes at argument `at` (length behind).
pub(crate) fn send(call: Syscall, args: [u64; 6], at: usize, bytes: &[u8]) -> Outcome {
    backend::with(|kernel| kernel.send(call, args, at, bytes))
}

/// A call that writes bytes at argument `at` (length behind).
pub(crate) fn receive(call: Syscall, args: [u64; 6], at: usize, bytes: &mut [u8]) -> Outcome {
    backend::with(|kernel| kernel.receive(call, args, at, bytes))
}

/// A call on one capability that writes a record of `N` words at argument 1.
pub(crate) fn record<const N: usize>(call: Syscall, slot: Slot) -> Result<[u64; N], Error> {
    let mut words = [0; N];
    backend::with(|kernel| kernel.words(call, [slot.0.into(), 0, 0, 0, 0, 0], 1, &mut words))?;
    Ok(words)
}

/// [`Syscall::ProcessCaps`]: fills `words` (four a record) and returns the count and the next index.
pub(crate) fn process_caps(
    process: Slot,
    from: u32,
    words: &mut [u64],
) -> Result<(usize, u32), Error> {
    let room = words.len() as u64 / 4;
    let args = [process.0.into(), from.into(), 0, room, 0, 0];
    let [count, next, _] =
        backend::with(|kernel| kernel.words(Syscall::ProcessCaps, args, 2, words))?;
    Ok((count.min(room) as usize, next as u32))
}
