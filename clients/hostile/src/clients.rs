//! A client of the stack as any other, through `libnet-client`, whose session memory gets random bytes while it is used: indices, wake
//! words, messages, control blocks of sockets. Sessions end again and again, and are opened anew. Safe.

use crate::{
    campaign::{Attack, Outcome},
    random::Random,
};
use alloc::{rc::Rc, string::String};
use core::{cell::Cell, net::IpAddr, time::Duration};
use ipc_proto::shm::Shm;
use libnet_client::{
    Config, Family, Net, OpenError, Opened, System, TcpListener, TcpStream, UdpSocket, Wake,
};
use rt::{Error, net::KernelSystem};

/// What one session does at most.
const LIFE: Duration = Duration::from_millis(150);
/// How long a single step may take: its other side may have lost the request.
const STEP: Duration = Duration::from_millis(30);
/// Bytes of session memory in use: little, so that the random bytes hit something.
const ARENA: usize = 128 << 10;

/// The system below a client, which scribbles whenever the client rings or waits.
struct Scribbler {
    system: KernelSystem,
    window: Option<Shm>,
    random: Random,
    /// It scribbles once in so many times.
    rarity: u64,
    sessions: Rc<Cell<u64>>,
}

impl Scribbler {
    fn scribble(&mut self) {
        let Some(window) = &self.window else {
            return;
        };
        if !self.random.once_in(self.rarity) {
            return;
        }
        for _ in 0..1 + self.random.below(8) {
            // Half of it where indices, wake words and event bits are.
            let reach = if self.random.once_in(2) { 512 } else { ARENA };
            let at = self.random.below(reach as u64 - 8) as usize;
            let word = self.random.word().to_le_bytes();
            let len = 1 + self.random.below(8) as usize;
            // It is within the window, which is as long as the arena at least.
            let _ = window.write(at, word.get(..len).unwrap_or(&word));
        }
    }
}

impl System for Scribbler {
    fn now(&self) -> u64 {
        self.system.now()
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        self.window = None;
        let opened = self.system.open(len)?;
        self.sessions.set(self.sessions.get() + 1);
        self.window = Some(opened.memory.clone());
        Ok(opened)
    }

    fn ring(&mut self) {
        self.scribble();
        self.system.ring();
    }

    fn wait(&mut self, deadline: u64) -> Wake {
        self.scribble();
        self.system.wait(deadline)
    }
}

pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let sessions = Rc::new(Cell::new(0));
    for rarity in [50, 10, 3, 1] {
        let system = rt::net::open(attack.env, "net").map_err(|_| Error::BadSlot)?;
        let scribbler = Scribbler {
            system,
            window: None,
            random: Random::new(attack.random.word()),
            rarity,
            sessions: Rc::clone(&sessions),
        };
        let net = Net::new(scribbler, config());
        // It may fail in any way; what counts is what happens to others.
        let _ = net.block_on(net.timeout(LIFE, use_everything(&net, &mut attack.random)));
    }
    attack.tally.sessions += sessions.get();
    Ok(())
}

/// Little memory, short patience.
pub(crate) fn config() -> Config {
    Config {
        arena: ARENA,
        receive_buffer: 2048,
        transmit_buffer: 2048,
        connect_timeout: STEP,
        stack_timeout: 4 * STEP,
    }
}

/// The router, or whoever the program was told to talk to.
pub(crate) async fn peer(net: &Net) -> Option<IpAddr> {
    let interface = net.interface_async().await.ok()?;
    interface.routers.first().copied()
}

async fn use_everything(net: &Net, random: &mut Random) {
    let peer = net.timeout(STEP, peer(net)).await.ok().flatten();
    let peer = peer.unwrap_or(IpAddr::from([10, 77, 0, 1]));
    let listener = net
        .timeout(STEP, TcpListener::bind_async(net, "0.0.0.0:20001"))
        .await;
    let udp = net
        .timeout(STEP, UdpSocket::bind_async(net, "0.0.0.0:20002"))
        .await;
    let mut bytes = [0; 3000];
    random.fill(&mut bytes);
    loop {
        let len = random.below(bytes.len() as u64) as usize;
        let some = bytes.get(..len).unwrap_or(&bytes);
        if let Ok(Ok(udp)) = &udp {
            let to = (peer, 1 + random.below(60_000) as u16);
            let _ = net.timeout(STEP, udp.send_to_async(some, to)).await;
            let _ = net
                .timeout(STEP / 8, udp.recv_from_async(&mut [0; 64]))
                .await;
        }
        if let Ok(Ok(listener)) = &listener {
            let _ = net.timeout(STEP / 8, listener.accept_async()).await;
        }
        let port = if random.once_in(2) { 7 } else { 81 };
        if let Ok(Ok(stream)) = net
            .timeout(STEP, TcpStream::connect_async(net, (peer, port)))
            .await
        {
            let _ = net.timeout(STEP, stream.write_all_async(some)).await;
            let _ = net.timeout(STEP, stream.read_async(&mut [0; 64])).await;
            if random.once_in(2) {
                stream.abort();
            }
        }
        let sequence = random.word() as u16;
        let _ = net.ping_async(peer, sequence, sequence % 1453, STEP).await;
        let mut name = String::from("host");
        name.push((b'a' + random.below(26) as u8).into());
        name.push_str(".lab");
        let _ = net
            .timeout(STEP, net.resolve_async(&name, Family::Any))
            .await;
        let _ = net.timeout(STEP, net.sockets_async()).await;
        let _ = net.timeout(STEP, net.counters_async()).await;
    }
}
