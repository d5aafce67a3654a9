//! For tests on a host: a fake kernel for the current thread.

extern crate std;

use crate::syscall::{Kernel, Outcome};
use alloc::boxed::Box;
use core::cell::RefCell;
use kernel_abi::{Error, Message, Syscall};

std::thread_local! {
    static KERNEL: RefCell<Box<dyn Kernel>> = RefCell::new(Box::new(NoKernel));
}

/// Fails every call.
struct NoKernel;

impl Kernel for NoKernel {
    fn values(&mut self, _: Syscall, _: [u64; 6]) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn message(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &mut Message) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn send(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &[u8]) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn receive(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &mut [u8]) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn words(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &mut [u64]) -> Outcome {
        Err(Error::BadSyscall)
    }
}

/// From now on `kernel` answers the system calls that this thread makes.
pub fn install(kernel: impl Kernel + 'static) {
    KERNEL.with(|current| *current.borrow_mut() = Box::new(kernel));
}

pub(crate) fn with<R>(f: impl FnOnce(&mut dyn Kernel) -> R) -> R {
    KERNEL.with(|kernel| f(kernel.borrow_mut().as_mut()))
}
