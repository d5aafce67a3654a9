//! A made-up world for the tests: console, clock, init and network, with virtual time and no threads.

use crate::platform::{Datagrams, Listener, NoAnswer, Platform, Pong, Stream};
use ipc_proto::{
    rings::RingInfo,
    socket::{AddressSource, Counters, Family, InterfaceInfo, NetError, SocketInfo},
    system,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// How a fake server answers what was sent to it: bytes, and whether it ends its side then.
pub(crate) type Answer = Rc<dyn Fn(&[u8]) -> (Vec<u8>, bool)>;

/// What init answers.
type Init = Box<dyn Fn(&system::Request) -> Result<system::Reply, NoAnswer>>;
/// Microseconds until the answer to an echo request of that sequence number.
type Pings = Box<dyn Fn(u16) -> Result<u32, NetError>>;
/// What a name leads to.
type Names = BTreeMap<String, Result<Vec<IpAddr>, NetError>>;

pub(crate) struct World {
    pub(crate) now: Cell<u64>,
    timers: RefCell<BTreeSet<u64>>,
    pub(crate) shown: RefCell<Vec<u8>>,
    /// What is typed, and when.
    pub(crate) typed: RefCell<VecDeque<(u64, Vec<u8>)>>,
    pub(crate) asked: RefCell<Vec<system::Request>>,
    pub(crate) init: RefCell<Init>,
    /// No question to the stack is answered.
    pub(crate) stack_dead: Cell<bool>,
    /// When the network gets its address.
    pub(crate) address_at: Cell<u64>,
    pub(crate) names: RefCell<Names>,
    pub(crate) pings: RefCell<Pings>,
    pub(crate) servers: RefCell<BTreeMap<SocketAddr, Answer>>,
    pub(crate) refusals: RefCell<BTreeMap<SocketAddr, NetError>>,
    pub(crate) sockets: RefCell<Vec<SocketInfo>>,
    /// What was sent over all connections, with a marker for each end.
    pub(crate) sent: Rc<RefCell<Vec<u8>>>,
    /// Datagrams waiting at UDP sockets.
    pub(crate) datagrams: RefCell<VecDeque<(SocketAddr, Vec<u8>)>>,
}

/// The tests' handle on the world.
#[derive(Clone)]
pub(crate) struct Fake(pub(crate) Rc<World>);

pub(crate) const SECOND: u64 = 1_000_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake(Rc::new(World {
            now: Cell::new(SECOND),
            timers: RefCell::default(),
            shown: RefCell::default(),
            typed: RefCell::default(),
            asked: RefCell::default(),
            init: RefCell::new(Box::new(|_| Err(NoAnswer))),
            stack_dead: Cell::new(false),
            address_at: Cell::new(0),
            names: RefCell::default(),
            pings: RefCell::new(Box::new(|_| Ok(1500))),
            servers: RefCell::default(),
            refusals: RefCell::default(),
            sockets: RefCell::default(),
            sent: Rc::default(),
            datagrams: RefCell::default(),
        }))
    }

    /// Runs a future; when all wait, the time goes on to the next timer. `None` if there is none: stuck.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        for _ in 0..1_000_000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(value);
            }
            if flag.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            let next = self.0.timers.borrow_mut().pop_first()?;
            self.0.now.set(self.0.now.get().max(next));
        }
        panic!("runs for ever");
    }

    pub(crate) fn type_at(&self, seconds: f64, keys: &str) {
        let at = (seconds * SECOND as f64) as u64;
        self.0.typed.borrow_mut().push_back((at, keys.into()));
    }

    /// What the console shows, without carriage returns.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.shown.borrow()).replace('\r', "")
    }

    pub(crate) fn serve(&self, at: &str, answer: impl Fn(&[u8]) -> (Vec<u8>, bool) + 'static) {
        self.0
            .servers
            .borrow_mut()
            .insert(at.parse().unwrap(), Rc::new(answer));
    }

    pub(crate) fn name(&self, name: &str, answer: Result<&[&str], NetError>) {
        let answer = answer.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        self.0.names.borrow_mut().insert(name.into(), answer);
    }

    fn until(&self, deadline: u64) -> Poll<()> {
        if self.0.now.get() >= deadline {
            return Poll::Ready(());
        }
        self.0.timers.borrow_mut().insert(deadline);
        Poll::Pending
    }
}

impl Platform for Fake {
    type Stream = FakeStream;
    type Listener = FakeListener;
    type Datagrams = FakeDatagrams;

    fn now(&self) -> u64 {
        self.0.now.get()
    }

    async fn sleep(&self, duration: Duration) {
        let deadline = self.now() + duration.as_nanos() as u64;
        poll_fn(|_| self.until(deadline)).await;
    }

    fn write(&self, bytes: &[u8]) {
        self.0.shown.borrow_mut().extend_from_slice(bytes);
    }

    fn poll_console(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        let mut typed = self.0.typed.borrow_mut();
        let Some((at, keys)) = typed.front_mut() else {
            return Poll::Pending;
        };
        if self.until(*at).is_pending() {
            return Poll::Pending;
        }
        let len = keys.len().min(buffer.len());
        buffer[..len].copy_from_slice(&keys[..len]);
        keys.drain(..len);
        if keys.is_empty() {
            typed.pop_front();
        }
        Poll::Ready(len)
    }

    fn system(&self, request: &system::Request) -> Result<system::Reply, NoAnswer> {
        self.0.asked.borrow_mut().push(request.clone());
        (self.0.init.borrow())(request)
    }

    async fn interface(&self) -> Result<InterfaceInfo, NetError> {
        if self.0.stack_dead.get() {
            return std::future::pending().await;
        }
        let up = self.now() >= self.0.address_at.get();
        let list = |all: &[&str]| {
            all.iter()
                .map(|text| text.parse::<IpAddr>().unwrap())
                .collect::<Vec<_>>()
        };
        let addresses = [
            ("fe80::5054:ff:fe12:3456".parse().unwrap(), 64),
            ("10.0.2.15".parse().unwrap(), 24),
        ];
        Ok(InterfaceInfo {
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            link_up: true,
            mtu: 1500,
            addresses: addresses.into_iter().take(1 + usize::from(up)).collect(),
            routers: if up {
                list(&["10.0.2.2"]).into_iter().collect()
            } else {
                heapless::Vec::new()
            },
            name_servers: if up {
                list(&["10.0.2.3"]).into_iter().collect()
            } else {
                heapless::Vec::new()
            },
            source: if up {
                AddressSource::Dhcp
            } else {
                AddressSource::None
            },
            lease_seconds: 86400,
            attachments: 1,
        })
    }

    async fn counters(&self) -> Result<Counters, NetError> {
        Ok(Counters {
            rx_frames: 7,
            tx_bytes: 4242,
            ..Counters::default()
        })
    }

    async fn rings(&self) -> Result<Vec<RingInfo>, NetError> {
        Ok([RingInfo::DRIVER, 1, 77]
            .map(|peer| RingInfo {
                peer,
                slots: 64,
                rx_queued: 1,
                tx_queued: 2,
                rx_messages: 3,
                tx_messages: 4,
                rx_doorbells: 5,
                tx_doorbells: 6,
                tx_full: 7,
            })
            .to_vec())
    }

    async fn sockets(&self) -> Result<Vec<SocketInfo>, NetError> {
        Ok(self.0.sockets.borrow().clone())
    }

    async fn resolve(&self, name: &str, _: Family, _: Duration) -> Result<Vec<IpAddr>, NetError> {
        self.0
            .names
            .borrow()
            .get(name)
            .cloned()
            .unwrap_or(Err(NetError::NameNotFound))
    }

    async fn ping(
        &self,
        to: IpAddr,
        sequence: u16,
        len: u16,
        timeout: Duration,
    ) -> Result<Pong, NetError> {
        let result = (self.0.pings.borrow())(sequence);
        match result {
            Ok(micros) => self.sleep(Duration::from_micros(micros.into())).await,
            Err(_) => self.sleep(timeout).await,
        }
        result.map(|micros| Pong {
            from: to,
            micros,
            hop_limit: 64,
            len,
        })
    }

    async fn connect(&self, to: SocketAddr, _: Duration) -> Result<FakeStream, NetError> {
        if let Some(error) = self.0.refusals.borrow().get(&to) {
            return Err(*error);
        }
        let answer = self
            .0
            .servers
            .borrow()
            .get(&to)
            .cloned()
            .ok_or(NetError::ConnectionRefused)?;
        Ok(self.stream(to, answer))
    }

    async fn listen(&self, port: u16) -> Result<FakeListener, NetError> {
        if port == 80 {
            return Err(NetError::Denied);
        }
        Ok(FakeListener(self.clone()))
    }

    async fn udp(&self, _: u16) -> Result<FakeDatagrams, NetError> {
        Ok(FakeDatagrams(self.clone()))
    }
}

impl Fake {
    fn stream(&self, peer: SocketAddr, answer: Answer) -> FakeStream {
        FakeStream {
            world: self.clone(),
            peer,
            answer,
            request: RefCell::default(),
            incoming: RefCell::default(),
            ended: Cell::new(false),
            reader: RefCell::default(),
        }
    }
}

/// A connection to a fake server, which sees all that was sent so far at each write.
pub(crate) struct FakeStream {
    world: Fake,
    peer: SocketAddr,
    answer: Answer,
    request: RefCell<Vec<u8>>,
    incoming: RefCell<VecDeque<u8>>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl FakeStream {
    fn tell(&self, data: &[u8]) {
        self.world.0.sent.borrow_mut().extend_from_slice(data);
        let mut request = self.request.borrow_mut();
        request.extend_from_slice(data);
        let (answer, end) = (self.answer)(&request);
        if !answer.is_empty() || end {
            request.clear();
        }
        self.incoming.borrow_mut().extend(answer);
        self.ended.set(end);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

impl Stream for FakeStream {
    async fn read(&self, buffer: &mut [u8]) -> Result<usize, NetError> {
        poll_fn(|context| {
            let mut incoming = self.incoming.borrow_mut();
            if incoming.is_empty() && !self.ended.get() {
                *self.reader.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            let len = incoming.len().min(buffer.len()).min(1000);
            for (to, from) in buffer.iter_mut().zip(incoming.drain(..len)) {
                *to = from;
            }
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn write(&self, data: &[u8]) -> Result<usize, NetError> {
        let len = data.len().min(7);
        self.tell(&data[..len]);
        Ok(len)
    }

    async fn finish(&self) -> Result<(), NetError> {
        self.tell(b"<FIN>");
        Ok(())
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Accepts one connection from a peer that says "hi" and waits for the end.
pub(crate) struct FakeListener(Fake);

impl Listener for FakeListener {
    type Stream = FakeStream;
    async fn accept(&self) -> Result<FakeStream, NetError> {
        self.0.sleep(Duration::from_secs(1)).await;
        let answer: Answer = Rc::new(|sent| (vec![], sent.ends_with(b"<FIN>")));
        let stream = self.0.stream("10.0.2.2:5555".parse().unwrap(), answer);
        stream.incoming.borrow_mut().extend(b"hi\n");
        Ok(stream)
    }
}

pub(crate) struct FakeDatagrams(Fake);

impl Datagrams for FakeDatagrams {
    async fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        poll_fn(|_| match self.0.0.datagrams.borrow_mut().pop_front() {
            None => Poll::Pending,
            Some((from, data)) => {
                let len = data.len().min(buffer.len());
                buffer[..len].copy_from_slice(&data[..len]);
                Poll::Ready(Ok((len, from)))
            }
        })
        .await
    }

    async fn send(&self, to: SocketAddr, data: &[u8]) -> Result<(), NetError> {
        let mut sent = self.0.0.sent.borrow_mut();
        sent.extend_from_slice(format!("{to}<").as_bytes());
        sent.extend_from_slice(data);
        // An echo server.
        self.0
            .0
            .datagrams
            .borrow_mut()
            .push_back((to, data.to_vec()));
        Ok(())
    }
}
