//! The stack server's program. Thin: joins the library to the kernel's capabilities.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod server;

#[cfg(target_os = "none")]
mod program {
    //! Start, and the code to exit with.

    use crate::server::Server;

    /// Exit code, for the supervisor's log.
    const EXIT_NOT_STARTED: u32 = 2;

    rt::entry!(main);

    fn main(env: rt::Env) -> u32 {
        match Server::new(&env) {
            Ok(mut server) => server.run(),
            Err(error) => {
                log::error!("{error}");
                EXIT_NOT_STARTED
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    println!("netstack runs in the image only");
}
