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
    use ipc_proto::system::{Reply, Request};
    use libnet_client::Net;
    use rt::Endpoint;

    rt::entry!(main);

    /// How long init may take to answer, in nanoseconds: it never waits for anybody.
    const INIT_PATIENCE: u64 = rt::time::SECOND;

    /// The endpoint `system`.
    struct Init(Endpoint);

    impl services::Init for Init {
        fn ask(&self, request: &Request) -> Option<Reply> {
            let deadline = rt::time::now().saturating_add(INIT_PATIENCE);
            let (reply, _) = rt::message::call(&self.0, request, &[], deadline).ok()?;
            Some(reply)
        }
    }

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
        net.block_on(services::run(&net, Rc::new(Init(init))))
            .map_err(|error| error.to_string())
    }
}
