//! The driver server's program. Thin: joins the library to the kernel's capabilities.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod platform;

#[cfg(target_os = "none")]
mod program {
    //! Start, run, and the code to exit with.

    use crate::platform::Kernel;
    use ipc_proto::hello::Hello;
    use virtio_net::server::{self, Outcome};

    /// Exit codes, for the supervisor's log.
    const EXIT_NOT_STARTED: u32 = 2;
    const EXIT_MISMATCH: u32 = 3;
    const EXIT_DEVICE_FAILED: u32 = 4;

    rt::entry!(main);

    fn main(env: rt::Env) -> u32 {
        let (mut kernel, transport) = match Kernel::new(&env) {
            Ok(started) => started,
            Err(error) => {
                log::error!("{error}");
                return EXIT_NOT_STARTED;
            }
        };
        match server::run(&mut kernel, &transport) {
            Outcome::Mismatch(theirs) => {
                if let Err(mismatch) = Hello::FRAME.check(&theirs) {
                    log::error!("{mismatch}");
                }
                EXIT_MISMATCH
            }
            Outcome::DeviceFailed(error) => {
                log::error!("device marked failed: {error}");
                EXIT_DEVICE_FAILED
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    println!("virtio-net runs in the image only");
}
