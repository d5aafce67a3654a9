//! The web server on the network of the image, and what it asks for there.

use crate::{
    Limits, Registry, Site,
    outside::{Connection, System},
};
use alloc::{rc::Rc, string::String};
use core::{net::Ipv6Addr, time::Duration};
use libnet_client::{Config, Net, TcpListener};
use rt::Endpoint;

const PORT: u16 = 80;
/// Connections that may wait to be accepted.
const BACKLOG: u16 = 128;
/// Connections served at once. Their buffers and those of the next ones take three quarters of the arena: closed ones keep theirs until all
/// is sent.
const CONNECTIONS: usize = 96;
/// Connections that the stack may hand over at once: of a crowd, each would else wake this program for itself.
const AHEAD: usize = 16;
/// The session: its policy in the manifest has to allow as much.
pub const CONFIG: Config = Config {
    arena: 10 << 20,
    // Requests are small, answers are not.
    receive_buffer: 4 << 10,
    transmit_buffer: 64 << 10,
    connect_timeout: Duration::from_secs(1),
    stack_timeout: Duration::from_secs(10),
};
/// How long to wait when connections can't be accepted for want of memory, or of a network.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts connections for ever; each is a task. `init` is the endpoint to ask for the state of the system.
///
/// # Errors
/// In words, if the port cannot be had for good.
pub async fn run(net: Net, init: Endpoint) -> Result<(), String> {
    let system = System::new(net.clone(), init);
    let registry = Registry::new(CONNECTIONS);
    let site = Rc::new(Site::new(system, registry.clone()));
    let listener = listen(&net).await?;
    listener.set_accepts_ahead(AHEAD);
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
            let served = crate::serve(Connection(stream), place, &site, &Limits::default()).await;
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
        match TcpListener::bind_with_backlog(net, (Ipv6Addr::UNSPECIFIED, PORT), BACKLOG).await {
            Ok(listener) => return Ok(listener),
            Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => {
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
