//! A made-up world for the tests: virtual time, a client that was scripted, a system with two processes.

use crate::{
    connection::Stream,
    snapshot::{Outside, Snapshot, Timer},
};
use embedded_io_async::{ErrorKind, ErrorType, Read};
use ipc_proto::{
    rings::RingInfo,
    socket::{AddressSource, Counters, InterfaceInfo, SocketInfo, SocketState},
    system::{MachineInfo, ProcessInfo, RunState},
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

pub(crate) const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Rc<World>);

#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: Cell<u64>,
    timers: RefCell<BTreeSet<u64>>,
    pub(crate) snapshots: Cell<u32>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Fake {
    /// Runs futures at once until the first is ready; when all wait, time goes on. `None`: stuck.
    pub(crate) fn block_on<T>(
        &self,
        first: impl Future<Output = T>,
        others: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    ) -> Option<T> {
        let mut first = pin!(first);
        let mut others: Vec<Option<_>> = others.into_iter().map(Some).collect();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        for _ in 0..1_000_000 {
            if let Poll::Ready(value) = first.as_mut().poll(&mut context) {
                return Some(value);
            }
            for other in &mut others {
                if other
                    .as_mut()
                    .is_some_and(|other| other.as_mut().poll(&mut context).is_ready())
                {
                    *other = None;
                    flag.0.store(true, Ordering::Relaxed);
                }
            }
            if !flag.0.swap(false, Ordering::Relaxed) {
                let next = self.0.timers.borrow_mut().pop_first()?;
                self.0.now.set(self.0.now.get().max(next));
            }
        }
        panic!("runs for ever");
    }

    /// Waits until then.
    pub(crate) async fn sleep_until(&self, deadline: u64) {
        poll_fn(|_| self.until(deadline)).await;
    }

    fn until(&self, deadline: u64) -> Poll<()> {
        if self.0.now.get() >= deadline {
            return Poll::Ready(());
        }
        self.0.timers.borrow_mut().insert(deadline);
        Poll::Pending
    }
}

impl Outside for Fake {
    fn now(&self) -> u64 {
        self.0.now.get()
    }

    fn recently(&self) -> u64 {
        self.now()
    }

    type Timer = Fake;

    fn timer(&self) -> Fake {
        self.clone()
    }

    async fn snapshot(&self) -> Snapshot {
        self.0.snapshots.set(self.0.snapshots.get() + 1);
        snapshot()
    }
}

impl Timer for Fake {
    fn poll_until(&mut self, deadline: u64, _: &mut Context<'_>) -> Poll<()> {
        self.until(deadline)
    }
}

pub(crate) fn snapshot() -> Snapshot {
    let process = |id, name: &str, state| ProcessInfo {
        id,
        name: name.try_into().unwrap(),
        state,
        restarts: 1,
        priority: 10,
        cpu_micros: 1_500_000,
        caps: 9,
        pages: 30,
        budget_used: 2,
        budget_limit: 4,
        syscalls: 100,
        switches: 50,
    };
    let fault = RunState::Faulted {
        vector: 14,
        address: 16,
        instruction: 32,
    };
    Snapshot {
        now: 5 * SECOND,
        machine: Some(MachineInfo {
            frames: 100,
            free_frames: 50,
            uptime_micros: 5_000_000,
            idle_micros: 4_000_000,
            switches: 1,
            syscalls: 2,
            interrupts: 3,
        }),
        processes: vec![
            process(1, "init", RunState::Running),
            process(2, "we\"ird\\\n", fault),
        ],
        interface: Some(InterfaceInfo {
            mac: [2, 0, 0, 0, 0, 1],
            link_up: true,
            mtu: 1500,
            addresses: [("10.0.2.15".parse().unwrap(), 24)].into_iter().collect(),
            routers: ["10.0.2.2".parse().unwrap()].into_iter().collect(),
            name_servers: heapless::Vec::new(),
            source: AddressSource::Dhcp,
            lease_seconds: 100,
            attachments: 1,
        }),
        counters: Some(Counters {
            rx_bytes: 77,
            ..Counters::default()
        }),
        sockets: vec![SocketInfo {
            session: 2,
            state: SocketState::Listen,
            local: "0.0.0.0:80".parse().unwrap(),
            remote: None,
            rx_queued: 0,
            tx_queued: 0,
        }],
        rings: [RingInfo::DRIVER, 1, 1, 9]
            .map(|peer| RingInfo {
                peer,
                slots: 64,
                rx_queued: 1,
                tx_queued: 2,
                rx_messages: 30,
                tx_messages: 40,
                rx_doorbells: 5,
                tx_doorbells: 6,
                tx_full: 7,
            })
            .to_vec(),
        ..Snapshot::default()
    }
}

/// What a scripted client does, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Waits that many seconds.
    Wait(u64),
    /// Ends its sending direction.
    End,
    Reset,
}

/// The server's end of a connection to a scripted client.
pub(crate) struct Client {
    world: Fake,
    steps: VecDeque<Step>,
    /// Until when the client waits.
    until: Option<u64>,
    pub(crate) got: Rc<RefCell<Vec<u8>>>,
    /// Bytes that the client takes before it stops reading.
    pub(crate) appetite: usize,
    /// Bytes that it takes at once.
    pub(crate) mouthful: usize,
}

impl Client {
    pub(crate) fn new(world: &Fake, steps: impl IntoIterator<Item = Step>) -> Client {
        Client {
            world: world.clone(),
            steps: steps.into_iter().collect(),
            until: None,
            got: Rc::default(),
            appetite: usize::MAX,
            mouthful: 1000,
        }
    }
}

impl ErrorType for Client {
    type Error = ErrorKind;
}

impl Read for Client {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buffer.is_empty());
        poll_fn(|_| {
            loop {
                match self.steps.front_mut() {
                    None => return Poll::Pending,
                    Some(Step::End) => return Poll::Ready(Ok(0)),
                    Some(Step::Reset) => return Poll::Ready(Err(ErrorKind::ConnectionReset)),
                    Some(Step::Wait(seconds)) => {
                        let until = *self
                            .until
                            .get_or_insert(self.world.now() + *seconds * SECOND);
                        if self.world.until(until).is_pending() {
                            return Poll::Pending;
                        }
                        self.until = None;
                        self.steps.pop_front();
                    }
                    Some(Step::Send(data)) => {
                        let len = data.len().min(buffer.len());
                        buffer[..len].copy_from_slice(&data[..len]);
                        data.drain(..len);
                        if data.is_empty() {
                            self.steps.pop_front();
                        }
                        return Poll::Ready(Ok(len));
                    }
                }
            }
        })
        .await
    }
}

impl Stream for Client {
    async fn write(&mut self, parts: &[&[u8]]) -> Result<usize, ErrorKind> {
        let len = parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .min(self.mouthful)
            .min(self.appetite - self.got.borrow().len());
        if len == 0 {
            return std::future::pending().await;
        }
        let mut got = self.got.borrow_mut();
        got.extend(parts.iter().copied().flatten().take(len));
        Ok(len)
    }

    fn finish(&mut self) -> Result<(), ErrorKind> {
        self.got.borrow_mut().extend_from_slice(b"<FIN>");
        Ok(())
    }
}
