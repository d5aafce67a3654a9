//! The stack: what it is made of, its clients and its driver, and one pass of its work.

use crate::{
    Config, Instant,
    accounts::Account,
    addressing::Addressing,
    burst::Burst,
    connection::FlowKey,
    engine::{Engine, FrameSink},
    flow::{Entry, Flow, wake},
    frames::Frames,
    key_map::KeyMap,
    listener::{HalfOpens, Listener, TimeWaits},
    neighbors::Neighbors,
    policy::{Bucket, Policies},
    random::Random,
    reassembly::Reassembly,
    recent::Recent,
    session::{BELLS, Sessions, Target},
    slab::{Id, Slab},
    spares::Spares,
    timers::Timers,
    turn::Context,
    udp::earlier,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use core::time::Duration;
use ipc_proto::socket::Counters;

/// Turns of flows in one pass.
const PASS_TURNS: usize = 256;
/// Deadlines handled in one pass.
const PASS_TIMERS: usize = 512;
/// Requests of a client in one pass.
const PASS_REQUESTS: usize = 32;
/// Answers a second to those who ask in vain (resets, unreachables), one and a half for each on average, and echo replies.
const VAIN_ANSWERS: u32 = 300;
const ECHO_REPLIES: u32 = 5000;

/// Shortest time from one pass without work left to the next.
const MIN_SLEEP: Duration = Duration::from_micros(100);

/// A pass that comes so much later than it was due does because the machine stood still.
const STANDSTILL: Duration = Duration::from_secs(5);

/// The driver's doorbell, among those that [`Stack::heard`] is told of.
pub const DRIVER_BELL: u64 = 1 << BELLS;

/// A session's number.
pub type SessionId = Id;

/// What is left after a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Next {
    /// Work is left: call [`Stack::poll`] again at once.
    pub work_left: bool,
    /// Else: call it at this time, or when a doorbell rings.
    pub deadline: Option<Instant>,
}

/// The stack.
pub struct Stack {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) engine: Engine,
    pub(crate) frames: Frames,
    pub(crate) addressing: Addressing,
    pub(crate) neighbors: Neighbors,
    pub(crate) random: Random,
    pub(crate) half_open: HalfOpens,
    pub(crate) time_waits: TimeWaits,
    pub(crate) spares: Spares,
    pub(crate) flows: Slab<Entry>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) sessions: Sessions,
    pub(crate) policies: Policies,
    pub(crate) accounts: BTreeMap<u64, Account>,
    pub(crate) connections: KeyMap<Id>,
    pub(crate) tcp_ports: BTreeMap<u16, Vec<Id>>,
    pub(crate) udp_ports: BTreeMap<u16, Vec<Id>>,
    pub(crate) echoes: BTreeMap<u16, Id>,
    pub(crate) unanswered: Vec<FlowKey>,
    pub(crate) reassembly: Reassembly,
    pub(crate) recent: Recent,
    pub(crate) timers: Timers,
    pub(crate) ready: VecDeque<Id>,
    pub(crate) starved: Vec<Id>,
    pub(crate) orphans: VecDeque<Id>,
    pub(crate) ended: Vec<SessionId>,
    pub(crate) counters: Counters,
    pub(crate) memory_used: usize,
    pub(crate) vain: Bucket,
    pub(crate) echo: Bucket,
    pub(crate) conflict: Option<Instant>,
    /// Lines of the log about clients, by account.
    pub(crate) complaints: BTreeMap<u64, Burst>,
    /// Those about the link.
    pub(crate) link_lines: Burst,
    pub(crate) generation: u32,
    pub(crate) link_was_up: bool,
    address_work: bool,
    /// When addresses have something to do.
    addressing_at: Option<Instant>,
    /// When the first thing of those that only age has done so; to be found out anew.
    pub(crate) ages_at: Option<Instant>,
    pub(crate) ages_anew: bool,
    /// The first deadline behind the last pass.
    first: Option<Instant>,
    /// When the next pass was due.
    due: Option<Instant>,
    /// For received frames, as [`Train::room`] says.
    pub(crate) buffer: Vec<u8>,
}

impl Stack {
    /// A stack without driver and clients. `seed` must be unpredictable: sequence numbers, ports and identifiers come
    /// from it.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Stack {
        let mut random = Random::new(seed);
        Stack {
            engine: Engine::new([2, 0, 0, 0, 0, 0], (1500, 0), random.u64(), now),
            addressing: Addressing::new(config.clone()),
            config,
            now,
            frames: Frames::default(),
            neighbors: Neighbors::default(),
            half_open: HalfOpens::new(&mut random),
            time_waits: TimeWaits::new(&mut random),
            connections: KeyMap::new(&mut random),
            random,
            spares: Spares::default(),
            flows: Slab::new(),
            listeners: Slab::new(),
            sessions: Sessions::new(),
            policies: Policies::default(),
            accounts: BTreeMap::new(),
            tcp_ports: BTreeMap::new(),
            udp_ports: BTreeMap::new(),
            echoes: BTreeMap::new(),
            unanswered: Vec::new(),
            reassembly: Reassembly::default(),
            recent: Recent::default(),
            timers: Timers::new(),
            ready: VecDeque::new(),
            starved: Vec::new(),
            orphans: VecDeque::new(),
            ended: Vec::new(),
            counters: Counters::default(),
            memory_used: 0,
            vain: Bucket::new(VAIN_ANSWERS, now),
            echo: Bucket::new(ECHO_REPLIES, now),
            conflict: None,
            complaints: BTreeMap::new(),
            link_lines: Burst::default(),
            generation: 0,
            link_was_up: false,
            address_work: true,
            addressing_at: None,
            ages_at: None,
            ages_anew: false,
            first: None,
            due: None,
            buffer: Vec::new(),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let frames = self.frames.counters;
        Counters {
            rx_frames: frames.rx_frames,
            rx_bytes: frames.rx_bytes,
            tx_frames: frames.tx_frames,
            tx_bytes: frames.tx_bytes,
            tx_dropped: self.counters.tx_dropped.saturating_add(frames.tx_dropped),
            sessions: self.sessions.len() as u32,
            sockets: self.sessions.iter().fold(0, |sum: usize, (_, session)| {
                sum.saturating_add(session.sockets())
            }) as u32,
            ..self.counters
        }
    }

    /// One pass: frames, deadlines, requests, flows. Bounded work.
    pub fn poll(&mut self, now: Instant) -> Next {
        self.now = self.now.max(now);
        self.notice_standstill();
        let mut work_left = self.receive();
        if self.first.is_some_and(|first| first <= self.now) {
            work_left |= self.run_timers();
        }
        work_left |= self.serve_sessions();
        if !self.starved.is_empty() && self.frames.has_room() {
            self.wake_starved();
        }
        for _ in 0..PASS_TURNS {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            self.run_flow(id);
        }
        work_left |= !self.ready.is_empty();
        if core::mem::take(&mut self.address_work) {
            self.addressing_at = self.with_context(|addressing, context| addressing.turn(context));
            self.ages_anew = true;
        }
        self.publish();
        // What was due has had its turn: whatever claims to be due still must not keep the processor busy.
        self.first = self.first_deadline();
        let deadline = self
            .first
            .map(|deadline| deadline.max(self.now.after(MIN_SLEEP)));
        self.due = if work_left { Some(self.now) } else { deadline };
        Next {
            work_left,
            deadline,
        }
    }

    #[inline(never)]
    fn wake_starved(&mut self) {
        for id in core::mem::take(&mut self.starved) {
            self.wake(id);
        }
    }

    fn first_deadline(&mut self) -> Option<Instant> {
        if core::mem::take(&mut self.ages_anew) {
            self.ages_at = self.first_age();
        }
        let first = earlier(self.timers.first(), self.frames.deadline());
        earlier(first, self.ages_at)
    }

    /// When the first thing has aged of those that seldom come and go. Who adds one says so by `ages_anew`.
    #[inline(never)]
    pub(crate) fn first_age(&self) -> Option<Instant> {
        let first = earlier(self.addressing_at, self.half_open.deadline());
        let first = earlier(first, self.time_waits.deadline());
        let first = earlier(first, self.spares.deadline());
        earlier(first, self.reassembly.deadline())
    }

    /// Time in which the machine stood still (a paused guest, say) is not time in which peers or the driver were silent.
    fn notice_standstill(&mut self) {
        let late = self.due.map_or(Duration::ZERO, |due| self.now.since(due));
        if late >= STANDSTILL {
            self.stood_still(late);
        }
    }

    #[inline(never)]
    fn stood_still(&mut self, late: Duration) {
        log::warn!("the machine stood still for {} s", late.as_secs());
        self.frames.stood_still(late);
        for id in self.flows.ids() {
            if let Some(Entry {
                flow: Flow::Tcp(tcp),
                ..
            }) = self.flows.get_mut(id)
            {
                tcp.stood_still(late, self.now);
            }
        }
    }

    pub(crate) fn with_context<R>(
        &mut self,
        f: impl FnOnce(&mut Addressing, &mut Context<'_>) -> R,
    ) -> R {
        let mut context = Context {
            engine: &mut self.engine,
            frames: &mut self.frames,
            neighbors: &self.neighbors,
            now: self.now,
            may_send: true,
        };
        f(&mut self.addressing, &mut context)
    }

    /// The control set or the addresses have something to do.
    pub(crate) fn note_address_work(&mut self) {
        self.address_work = true;
    }

    #[inline(never)]
    fn run_timers(&mut self) -> bool {
        let has_come = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= self.now);
        self.address_work |= has_come(self.addressing_at);
        self.ages_anew = true;
        if has_come(self.half_open.deadline()) {
            self.age_half_open();
        }
        self.time_waits.age(self.now);
        self.spares.age(self.now);
        self.reassembly.age(self.now);
        for _ in 0..PASS_TIMERS {
            let Some(id) = self.timers.due(self.now) else {
                return false;
            };
            self.wake(id);
        }
        true
    }

    /// Takes a bounded number of requests of each client that wants something, another one first each time.
    fn serve_sessions(&mut self) -> bool {
        let mut left = false;
        for turn in 0..self.sessions.begin() {
            let Some((id, session)) = self.sessions.with_turn(turn) else {
                continue;
            };
            session.events(&mut |target| {
                if let Target::Flow(flow) = target {
                    wake(&mut self.flows, &mut self.ready, flow);
                }
            });
            if session.has_requests() {
                left |= self.serve_requests(id);
            }
        }
        left
    }

    #[inline(never)]
    fn serve_requests(&mut self, id: SessionId) -> bool {
        // Of the answers, and of the places on the ring that are free again.
        self.sessions.tell(id);
        for _ in 0..PASS_REQUESTS {
            let Some(session) = self.sessions.get_mut(id) else {
                return false;
            };
            match session.request() {
                Ok(None) => return false,
                Ok(Some(request)) => self.handle(id, request),
                Err(error) => {
                    self.violation(id, &error);
                    return false;
                }
            }
        }
        true
    }

    fn publish(&mut self) {
        self.frames.flush();
        while let Some((id, error)) = self.sessions.flush() {
            self.violation(id, &error);
        }
    }

    /// Says to driver and clients that the stack is about to sleep. False if there is work: then it must not.
    pub fn prepare_sleep(&mut self) -> bool {
        self.ready.is_empty() && self.frames.prepare_sleep() && self.sessions.prepare_sleep()
    }

    /// Says whose doorbells were heard: bit `n` is that of each session whose [`Id::bell`] is `n`, and [`DRIVER_BELL`] the driver's. Who has
    /// not rung is not looked at.
    pub fn heard(&mut self, bells: u64) {
        if bells & DRIVER_BELL != 0 {
            self.frames.heard();
        }
        self.sessions.heard(bells);
    }

    #[inline(never)]
    fn age_half_open(&mut self) {
        const RESENT: usize = 32;
        for key in self.half_open.age(self.now, RESENT) {
            self.answer_syn(&key);
        }
    }
}
