//! The small services of the image: wires [`services`] to init and to the network.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the services run in the image only: see run-qemu.sh");
}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod image {
    use alloc::{
        rc::Rc,
        string::{String, ToString},
    };
    use libnet_client::Net;

    rt::entry!(main);

    fn main(env: rt::Env) -> u32 {
        match run(&env) {
            Ok(()) => 0,
            Err(error) => {
                log::error!("{error}");
                1
            }
        }
    }

    fn run(env: &rt::Env) -> Result<(), String> {
        let init = env.endpoint("system").map_err(|error| error.to_string())?;
        let network = rt::net::open(env, "net").map_err(|error| error.to_string())?;
        let net = Net::new(network, services::CONFIG);
        net.block_on(services::run(&net, Rc::new(init)))
            .map_err(|error| error.to_string())
    }
}
