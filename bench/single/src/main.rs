//! Driver, stack, small services and web server in one process: the libraries of the standard image with the same rings and
//! channels, but in private memory, doorbells that are flags, and no other process to switch to.
//!
//! A yardstick of the benchmarks (bench.sh --guest single), nothing to run: here a mistake in one part is one in all.
//! `driver` has the loop around everything, `stack` and `program` are turns in it, `link` is how they are joined.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("single runs in the image only: see bench.sh");
}

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod driver;
#[cfg(target_os = "none")]
mod link;
#[cfg(target_os = "none")]
mod program;
#[cfg(target_os = "none")]
mod stack;

#[cfg(target_os = "none")]
mod image {
    use crate::{driver::Driver, program::Program, stack::Server};
    use alloc::{
        rc::Rc,
        string::{String, ToString},
        vec,
    };
    use core::cell::RefCell;
    use libnet_client::Net;
    use rt::Env;
    use virtio_net::server;

    rt::entry!(main);

    /// Sessions are told apart by them.
    const SERVICES: u64 = 1;
    const HTTPD: u64 = 2;

    fn main(env: Env) -> u32 {
        match run(&env) {
            Ok(()) => log::error!("the device is given up"),
            Err(error) => log::error!("{error}"),
        }
        1
    }

    /// Runs until the driver gives up.
    fn run(env: &Env) -> Result<(), String> {
        let init = || env.endpoint("system").map_err(|error| error.to_string());
        let server = Rc::new(RefCell::new(Server::new(env)?));
        let services = Program::new(env, &server, SERVICES, services::CONFIG);
        let (net, asked) = (services.net.clone(), Rc::new(init()?));
        spawn(&services.net, "services", async move {
            services::run(&net, asked)
                .await
                .map_err(|error| error.to_string())
        });
        let httpd = Program::new(env, &server, HTTPD, httpd::program::CONFIG);
        spawn(
            &httpd.net,
            "httpd",
            httpd::program::run(httpd.net.clone(), init()?),
        );
        let (mut driver, transport) = Driver::new(env, server, vec![services, httpd])?;
        server::run(&mut driver, &transport);
        Ok(())
    }

    /// Starts the main task of a program.
    fn spawn(
        net: &Net,
        name: &'static str,
        program: impl Future<Output = Result<(), String>> + 'static,
    ) {
        net.spawn(async move {
            if let Err(error) = program.await {
                log::error!("{name}: {error}");
            }
        });
    }
}
