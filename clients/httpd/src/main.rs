//! The web server of the image: wires [`httpd`] to init and to the network, and accepts connections.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the web server runs in the image only: see run-qemu.sh");
}

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod outside;

#[cfg(target_os = "none")]
mod image {
    use crate::outside::{Connection, System};
    use alloc::{
        rc::Rc,
        string::{String, ToString},
    };
    use core::{net::Ipv6Addr, time::Duration};
    use httpd::{Limits, Registry, Site};
    use libnet_client::{Config, Net, TcpListener};

    rt::entry!(main);

    const PORT: u16 = 80;
    /// Connections that may wait to be accepted.
    const BACKLOG: u16 = 128;
    /// Connections served at once. Their buffers take two thirds of the arena: closed ones keep theirs until all is sent.
    const CONNECTIONS: usize = 96;
    const CONFIG: Config = Config {
        arena: 10 << 20,
        // Requests are small, answers are not.
        receive_buffer: 4 << 10,
        transmit_buffer: 64 << 10,
        connect_timeout: Duration::from_secs(1),
        stack_timeout: Duration::from_secs(10),
    };
    /// How long to wait when connections can't be accepted for want of memory, or of a network.
    const RETRY: Duration = Duration::from_millis(100);

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
        let net = Net::new(network, CONFIG);
        net.block_on(accept(net.clone(), System::new(net.clone(), init)))
    }

    /// Accepts connections for ever; each is a task.
    async fn accept(net: Net, system: System) -> Result<(), String> {
        let registry = Registry::new(CONNECTIONS);
        let site = Rc::new(Site::new(system, registry.clone()));
        let listener = listen(&net).await?;
        log::info!("listening on port {PORT}");
        let mut failing = None;
        loop {
            let stream = match listener.accept_async().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Told once: it may go on for as long as the network is down.
                    if failing.replace(error) != Some(error) {
                        log::warn!("accept: {error}");
                    }
                    net.sleep(RETRY).await;
                    continue;
                }
            };
            failing = None;
            let place = registry.place().await;
            let site = site.clone();
            net.spawn(async move {
                let peer = stream.peer_addr();
                let served =
                    httpd::serve(Connection(stream), place, &site, &Limits::default()).await;
                if let (Err(error), Ok(peer)) = (served, peer) {
                    log::debug!("{peer}: {error}");
                }
            });
        }
    }

    /// Listens on the port, as soon as there is a network stack and it has forgotten an earlier run of this program.
    async fn listen(net: &Net) -> Result<TcpListener, String> {
        use libnet_client::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        let mut failing = None;
        loop {
            match TcpListener::bind_with_backlog(net, (Ipv6Addr::UNSPECIFIED, PORT), BACKLOG).await
            {
                Ok(listener) => return Ok(listener),
                Err(error)
                    if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) =>
                {
                    return Err(alloc::format!("port {PORT}: {error}"));
                }
                Err(error) => {
                    if failing.replace(error) != Some(error) {
                        log::warn!("port {PORT}: {error}; trying again");
                    }
                    net.sleep(RETRY).await;
                }
            }
        }
    }
}
