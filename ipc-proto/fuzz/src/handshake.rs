//! Set-up calls to the real stack, as `netstack`'s main program makes them: sessions opened with any greeting, in any memory,
//! policies derived and revoked, drivers attached.
//!
//! A model says what each call may give. Whatever was derived permits no more than what it was derived from; a revoked
//! badge opens nothing; the stack's tables fit together after every call.

mod policies;

use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, SOCKET_CHANNEL},
    codec::{self, Message},
    frame::{Offloads, Pool, ToDriver, ToStack},
    hello::{Hello, Protocol},
    policy::Policy,
    setup::{DevReply, DevRequest, MAX_INLINE, NetReply, NetRequest, Refusal},
    shm::Shm,
    socket::{MAX_SOCKETS, Reply, Request},
};
use netstack::{
    Addressing, Config, FramePool, Instant, SessionId, Stack,
    testing::{Bell, send_pool},
};
use policies::{assert_within, narrowed};
use std::{collections::BTreeMap, time::Duration};

const MAX_CALLS: usize = 48;
const MAX_SESSIONS: usize = 24;
/// Sessions of a badge of the manifest and all that is derived from it; the stack's own limit.
const ACCOUNT_SESSIONS: usize = 16;
const SESSION: usize = Channel::<Reply, Request>::bytes(SOCKET_CHANNEL);
const FRAMES: usize = Channel::<ToDriver, ToStack>::bytes(FRAME_CHANNEL);

/// The stack, and what it should know.
struct World {
    stack: Stack,
    now: Instant,
    policies: BTreeMap<u64, (Policy, Option<u64>)>,
    sessions: Vec<(SessionId, u64)>,
    /// Badges that were good once.
    gone: Vec<u64>,
    attachments: u32,
}

/// A policy of the manifest, then calls.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let config = Config {
        // The buffer of a DHCP client is never freed: it is made once in the life of a process.
        ipv4: Addressing::None,
        max_sessions: MAX_SESSIONS,
        ..Config::default()
    };
    let mut world = World {
        stack: Stack::new(config, [7; 32], Instant::ZERO),
        now: Instant::ZERO,
        policies: BTreeMap::new(),
        sessions: Vec::new(),
        gone: Vec::new(),
        attachments: 0,
    };
    for badge in [1, 2] {
        let policy = match generate::byte(&mut input) % 2 {
            0 => Policy::everything(),
            _ => generate::value(&mut input).unwrap_or_else(Policy::nothing),
        };
        world.stack.set_policy(badge, policy.clone());
        world.policies.insert(badge, (policy, None));
    }
    for _ in 0..MAX_CALLS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.stack.check_invariants();
    }
    for (session, _) in core::mem::take(&mut world.sessions) {
        world.stack.close_session(session);
    }
    world.stack.detach();
    world.stack.poll(world.now);
    world.stack.check_invariants();
}

impl World {
    fn step(&mut self, input: &mut Unstructured<'_>) {
        match generate::byte(input) % 16 {
            0..=9 => {
                let badge = self.badge(input);
                let request = self.request(input, badge);
                self.client_call(input, badge, &request);
            }
            10 => {
                let noise = generate::bytes(input, MAX_INLINE);
                let badge = self.badge(input);
                self.client_call(input, badge, noise);
            }
            11 => {
                let request = greeting(input, Hello::FRAME).map(|hello| DevRequest::Attach {
                    hello,
                    mac: [generate::byte(input), 1, 2, 3, 4, 5],
                    mtu: generate::number(input, 2) as u16,
                    link_up: generate::byte(input) & 1 != 0,
                    offloads: offloads(generate::byte(input)),
                });
                let request = request.map_or(Vec::new(), |request| encoded(&request));
                self.driver_call(input, &request);
            }
            12 => {
                let noise = generate::bytes(input, MAX_INLINE);
                self.driver_call(input, noise);
            }
            13 => {
                let index = usize::from(generate::byte(input));
                if !self.sessions.is_empty() {
                    let (session, _) = self.sessions.remove(index % self.sessions.len());
                    self.stack.close_session(session);
                }
            }
            14 => {
                let later = Duration::from_millis(generate::number(input, 4));
                self.now = self.now.after(later);
                self.stack.poll(self.now);
                if self.stack.prepare_sleep() {
                    self.stack.heard(u64::MAX);
                }
            }
            _ => self.stack.detach(),
        }
        assert_eq!(self.stack.take_ended(), [], "ended without a reason");
    }

    /// A badge: known, known once, or never.
    fn badge(&self, input: &mut Unstructured<'_>) -> u64 {
        let number = usize::from(generate::byte(input));
        match number % 8 {
            0 => generate::number(input, 8),
            1 if !self.gone.is_empty() => self.gone[number / 8 % self.gone.len()],
            _ => *self
                .policies
                .keys()
                .nth(number / 8 % self.policies.len())
                .unwrap(),
        }
    }

    fn request(&self, input: &mut Unstructured<'_>, badge: u64) -> Vec<u8> {
        let request = match generate::byte(input) % 8 {
            0..=3 => greeting(input, Hello::SOCKET).map(|hello| NetRequest::Open {
                hello,
                len: length(input, SESSION) as u32,
            }),
            4..=6 => {
                let own = self.policies.get(&badge).map(|(policy, _)| policy);
                narrowed(input, own.unwrap_or(&Policy::everything()))
                    .map(|policy| NetRequest::Derive { policy })
            }
            _ => Some(NetRequest::RevokeDerived),
        };
        request.map_or(Vec::new(), |request| encoded(&request))
    }

    /// As `client_call` of the server does it.
    fn client_call(&mut self, input: &mut Unstructured<'_>, badge: u64, bytes: &[u8]) {
        let reply = match codec::decode::<NetRequest>(bytes) {
            Ok(NetRequest::Open { hello, len }) => self.open(input, badge, &hello, len as usize),
            Ok(NetRequest::Derive { policy }) => self.derive(input, badge, &policy),
            Ok(NetRequest::RevokeDerived) => self.revoke(badge),
            Err(_) => NetReply::Refused(Refusal::BadRequest),
        };
        assert_eq!(codec::decode(&encoded(&reply)), Ok(reply));
    }

    fn open(
        &mut self,
        input: &mut Unstructured<'_>,
        badge: u64,
        hello: &Hello,
        len: usize,
    ) -> NetReply {
        let memory = Shm::heap(length(input, SESSION));
        let Some(window) = memory.part(0, len) else {
            return NetReply::Refused(Refusal::BadRequest);
        };
        let root = self.root(badge);
        let account = self.sessions.iter().filter(|(_, b)| self.root(*b) == root);
        let full = account.count() >= ACCOUNT_SESSIONS;
        let expected = match self.policies.get(&badge) {
            _ if *hello != Hello::SOCKET => Err(Refusal::Mismatch(Hello::SOCKET)),
            None => Err(Refusal::Denied),
            Some(_) if self.sessions.len() >= MAX_SESSIONS => Err(Refusal::Exhausted),
            Some(_) if len < SESSION => Err(Refusal::BadRequest),
            Some(_) if full => Err(Refusal::Exhausted),
            Some((policy, _)) => Ok(policy.max_sockets.min(MAX_SOCKETS)),
        };
        let opened = self
            .stack
            .open(badge, hello, window, Box::new(Bell::default()));
        assert_eq!(opened.map(|(_, sockets)| sockets), expected);
        match opened {
            Ok((session, max_sockets)) => {
                self.sessions.push((session, badge));
                NetReply::Opened { max_sockets }
            }
            Err(refusal) => NetReply::Refused(refusal),
        }
    }

    fn derive(&mut self, input: &mut Unstructured<'_>, badge: u64, policy: &Policy) -> NetReply {
        let derived = match self.stack.derive(badge, policy) {
            Ok(derived) => derived,
            Err(refusal) => {
                let wider = self.policies.get(&badge);
                let denied = !wider.is_some_and(|(wider, _)| policy.within(wider));
                assert_eq!(denied, refusal == Refusal::Denied);
                // There are never as many as the stack would have.
                assert!(denied, "{refusal:?}");
                return NetReply::Refused(refusal);
            }
        };
        let (wider, _) = self.policies.get(&badge).expect("a badge that is not good");
        assert_within(input, policy, wider);
        // Never one that means something else, or did.
        assert!(!self.policies.contains_key(&derived) && !self.gone.contains(&derived));
        self.policies.insert(derived, (policy.clone(), Some(badge)));
        NetReply::Derived
    }

    fn revoke(&mut self, badge: u64) -> NetReply {
        self.stack.revoke_derived(badge);
        let gone: Vec<u64> = self.policies.keys().copied().collect();
        let gone: Vec<u64> = gone
            .into_iter()
            .filter(|other| *other != badge && self.ancestors(*other).contains(&badge))
            .collect();
        let (mut ended, kept): (Vec<_>, Vec<_>) = self
            .sessions
            .iter()
            .partition(|(_, badge)| gone.contains(badge));
        self.sessions = kept;
        let mut told = self.stack.take_ended();
        told.sort_by_key(|id| id.index());
        ended.sort_by_key(|(id, _)| id.index());
        assert!(told.iter().eq(ended.iter().map(|(id, _)| id)));
        self.policies.retain(|badge, _| !gone.contains(badge));
        self.gone.extend(gone);
        NetReply::Done
    }

    /// What a badge was derived from, itself included.
    fn ancestors(&self, badge: u64) -> Vec<u64> {
        std::iter::successors(Some(badge), |badge| self.policies.get(badge)?.1).collect()
    }

    fn root(&self, badge: u64) -> Option<u64> {
        self.ancestors(badge).last().copied()
    }

    /// As `driver_call` of the server does it, but in memory that may be too small.
    fn driver_call(&mut self, input: &mut Unstructured<'_>, bytes: &[u8]) {
        let Ok(request) = codec::decode::<DevRequest>(bytes) else {
            return;
        };
        let channel = length(input, FRAMES);
        let few = u16::from(generate::byte(input));
        let [receive, send] = match generate::byte(input) % 8 {
            0 => [few, 1],
            1 => [1, few],
            2 => [0, few],
            3 => [few, 0],
            _ => [few, few],
        }
        .map(|small| Pool { small, large: 0 });
        // One may have less memory than it says.
        let short = usize::from(generate::byte(input) == 0);
        let (to_send, _) = send_pool(send);
        let reply = self.stack.attach(
            &request,
            Shm::heap(channel),
            FramePool {
                memory: Shm::heap(receive.bytes().saturating_sub(short)),
                layout: receive,
            },
            to_send,
            Box::new(Bell::default()),
            self.now,
        );
        let DevRequest::Attach {
            hello,
            mac,
            mtu,
            offloads,
            ..
        } = request;
        let expected = if hello != Hello::FRAME {
            DevReply::Refused(Refusal::Mismatch(Hello::FRAME))
        } else if mtu < 576 || mac[0] & 1 != 0 {
            DevReply::Refused(Refusal::BadRequest)
        } else if channel < FRAMES || receive.small == 0 || send.small == 0 || short > 0 {
            DevReply::Refused(Refusal::Exhausted)
        } else {
            self.attachments += 1;
            DevReply::Attached {
                generation: self.attachments,
                receive,
                send,
                offloads: Offloads {
                    transmit_segments: false,
                    receive_segments: false,
                    ..offloads
                },
            }
        };
        assert_eq!(reply, expected);
        assert_eq!(self.stack.attachments(), self.attachments);
        assert_eq!(codec::decode(&encoded(&reply)), Ok(reply));
    }
}

fn offloads(bits: u8) -> Offloads {
    Offloads {
        transmit_checksum: bits & 1 != 0,
        receive_checksum: bits & 2 != 0,
        transmit_segments: bits & 4 != 0,
        receive_segments: bits & 8 != 0,
    }
}

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; MAX_INLINE];
    let len = codec::encode(message, &mut bytes).expect("fits inline");
    bytes.truncate(len);
    bytes
}

/// What a side says of itself: the truth, nearly the truth, or anything.
fn greeting(input: &mut Unstructured<'_>, truth: Hello) -> Option<Hello> {
    let mut hello = truth;
    match generate::byte(input) % 8 {
        0 => return generate::value(input),
        1 => hello.version = hello.version.wrapping_add(generate::byte(input).into()),
        2 => hello.schema[usize::from(generate::byte(input) & 7)] ^= generate::byte(input),
        3 => hello.protocol = generate::choose(input, &[Protocol::Frame, Protocol::System]),
        _ => {}
    }
    Some(hello)
}

/// Around what is needed, or anything.
fn length(input: &mut Unstructured<'_>, needed: usize) -> usize {
    match generate::byte(input) % 8 {
        0 => 0,
        1 => needed - 1,
        2 => needed - 64,
        3 => needed + 1,
        4 => generate::number(input, 2) as usize,
        _ => needed,
    }
}
