//! The web server's outside in the image: system calls for init, `libnet-client` for the network.

use crate::{
    Outside, Snapshot,
    connection::Stream,
    snapshot::{MAX_RINGS, MAX_SOCKETS},
};
use alloc::vec::Vec;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorType, Read};
use ipc_proto::system::{ProcessInfo, Reply, Request};
use libnet_client::{Error, Net, Shutdown, TcpStream};
use rt::Endpoint;

/// How long init may take to answer, in nanoseconds: it never waits for anybody.
const INIT_PATIENCE: u64 = rt::time::SECOND;
/// More processes than this are not believed.
const MAX_PROCESSES: usize = 256;

/// Init and network.
pub(crate) struct System {
    net: Net,
    init: Endpoint,
}

impl System {
    pub(crate) fn new(net: Net, init: Endpoint) -> System {
        System { net, init }
    }

    fn ask(&self, request: &Request) -> Option<Reply> {
        let deadline = rt::time::now().saturating_add(INIT_PATIENCE);
        let (reply, _) = rt::message::call(&self.init, request, &[], deadline).ok()?;
        Some(reply)
    }

    fn processes(&self) -> Vec<ProcessInfo> {
        let mut processes = Vec::new();
        let mut position = 0;
        while processes.len() < MAX_PROCESSES {
            match self.ask(&Request::Process { position }) {
                Some(Reply::Process {
                    next,
                    process: Some(process),
                }) if next > position => {
                    processes.push(process);
                    position = next;
                }
                _ => break,
            }
        }
        processes
    }
}

impl Outside for System {
    fn now(&self) -> u64 {
        self.net.now()
    }

    fn recently(&self) -> u64 {
        self.net.turn_began()
    }

    type Timer = Timer;

    fn timer(&self) -> Timer {
        Timer(self.net.timer())
    }

    async fn snapshot(&self) -> Snapshot {
        let machine = match self.ask(&Request::Machine) {
            Some(Reply::Machine(machine)) => Some(machine),
            _ => None,
        };
        let mut sockets = self.net.sockets_async().await.unwrap_or_default();
        sockets.truncate(MAX_SOCKETS);
        let mut rings = self.net.rings_async().await.unwrap_or_default();
        rings.truncate(MAX_RINGS);
        Snapshot {
            now: self.net.now(),
            machine,
            processes: self.processes(),
            interface: self.net.interface_async().await.ok(),
            counters: self.net.counters_async().await.ok(),
            sockets,
            rings,
            ..Snapshot::default()
        }
    }
}

/// The network's timer.
pub(crate) struct Timer(libnet_client::Timer);

impl crate::Timer for Timer {
    fn poll_until(&mut self, deadline: u64, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_until(deadline, context)
    }
}

/// A TCP connection.
pub(crate) struct Connection(pub(crate) TcpStream);

impl ErrorType for Connection {
    type Error = Error;
}

impl Read for Connection {
    // Without a state of its own.
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> {
        self.0.read_async(buffer)
    }
}

impl Stream for Connection {
    fn write(&mut self, parts: &[&[u8]]) -> impl Future<Output = Result<usize, Error>> {
        self.0.write_vectored_async(parts)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.shutdown(Shutdown::Write)
    }
}
