//! The shell of the image: wires [`shell`] to the console, to init and to the network.
//!
//! Arguments: `exec` (commands to run instead of asking for them), `url` (where the host sees the status page).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the shell runs in the image only: see run-qemu.sh");
}

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod outside;

#[cfg(target_os = "none")]
mod image {
    use crate::outside::Outside;
    use alloc::string::{String, ToString};
    use libnet_client::{Config, Net};
    use shell::{Shell, Start};

    rt::entry!(main);

    /// Few sockets: the budget is small. A download is in a hurry, though, and such a buffer is one that the stack can fill without
    /// one of its own.
    const CONFIG: Config = Config {
        arena: 1 << 20,
        receive_buffer: 128 << 10,
        transmit_buffer: 16 << 10,
        connect_timeout: core::time::Duration::from_secs(60),
        stack_timeout: core::time::Duration::from_secs(10),
    };

    fn main(env: rt::Env) -> u32 {
        match run(&env) {
            Ok(status) => status.into(),
            Err(error) => {
                log::error!("{error}");
                1
            }
        }
    }

    fn run(env: &rt::Env) -> Result<u8, String> {
        let console = env.console().map_err(|error| error.to_string())?;
        let init = env.endpoint("system").map_err(|error| error.to_string())?;
        let network = rt::net::open(env, "net").map_err(|error| error.to_string())?;
        // Typed bytes end the same wait as the network's doorbell.
        console
            .bind(&network.events(), rt::net::FREE_BITS)
            .map_err(|error| error.to_string())?;
        let net = Net::new(network, CONFIG);
        let start = Start {
            exec: env.arg("exec").map(String::from),
            url: env.arg("url").map(String::from),
        };
        let interactive = start.exec.is_none();
        let shell = Shell::new(Outside::new(net.clone(), console, init), interactive);
        Ok(net.block_on(shell.run(&start)))
    }
}
