//! Sessions against a fake kernel with a fake stack behind the endpoint.

extern crate std;

use super::*;
use crate::{
    SLOT_BUDGET, Slot,
    syscall::{Kernel, Outcome},
    testing,
};
use alloc::{rc::Rc, vec::Vec};
use core::cell::RefCell;
use kernel_abi::{Message, Syscall};
use manifest::{NamedCap, StartInfo};

const NET: u32 = 9;

/// What the fake stack does with a call.
#[derive(Clone, Copy, PartialEq)]
enum Stack {
    Opens,
    OpensWithoutBell,
    Refuses,
    Garbage,
    Missing,
}

struct State {
    stack: Stack,
    next: u64,
    alive: Vec<u32>,
    given: Option<u32>,
    stack_holds_bell: bool,
    pending: u64,
    out_of_memory: bool,
}

impl State {
    /// Derives what allows nothing, refuses the rest; garbage and silence as for sessions.
    fn without_session(&mut self, request: &NetRequest, m: &mut Message) -> Outcome {
        let nothing = NetRequest::Derive {
            policy: Policy::nothing(),
        };
        let refused = NetReply::Refused(Refusal::Denied);
        *m = match (self.stack, request) {
            (Stack::Missing, _) => return Err(Error::Gone),
            (Stack::Garbage, _) => message::pack(&NetReply::Opened { max_sockets: 1 }, &[]),
            (_, NetRequest::RevokeDerived) => message::pack(&NetReply::Done, &[]),
            (_, request) if *request == nothing => {
                self.next += 1;
                self.alive.push(self.next as u32);
                message::pack(&NetReply::Derived, &[Slot(self.next as u32)])
            }
            _ => message::pack(&refused, &[]),
        };
        Ok([0; 3])
    }
}

#[derive(Clone)]
struct Fake(Rc<RefCell<State>>);

impl Kernel for Fake {
    fn values(&mut self, call: Syscall, args: [u64; 6]) -> Outcome {
        let mut state = self.0.borrow_mut();
        let new = |state: &mut State| {
            state.next += 1;
            state.alive.push(state.next as u32);
            Ok([state.next, 0, 0])
        };
        match call {
            Syscall::MemoryCreate if state.out_of_memory => Err(Error::NoBudget),
            Syscall::MemoryCreate => {
                assert_eq!(args[0], u64::from(SLOT_BUDGET.0));
                new(&mut state)
            }
            Syscall::NotificationCreate | Syscall::CapDerive => new(&mut state),
            Syscall::MemoryInfo => Ok([2, 8192, 0]),
            Syscall::CapDelete => {
                let before = state.alive.len();
                state.alive.retain(|slot| u64::from(*slot) != args[0]);
                assert_eq!(
                    state.alive.len() + 1,
                    before,
                    "slot {} deleted twice",
                    args[0]
                );
                Ok([0; 3])
            }
            Syscall::CapInfo => {
                let has_children = state.stack_holds_bell && state.given == Some(args[0] as u32);
                Ok([6 | u64::from(has_children) << 32, 0, 0])
            }
            Syscall::NotificationWait => Ok([core::mem::take(&mut state.pending), 0, 0]),
            _ => Ok([0; 3]),
        }
    }

    fn message(&mut self, call: Syscall, _: [u64; 6], _: usize, m: &mut Message) -> Outcome {
        assert_eq!(call, Syscall::EndpointCall);
        let mut state = self.0.borrow_mut();
        let request: NetRequest = message::unpack(m).unwrap();
        let open = NetRequest::Open {
            hello: Hello::SOCKET,
            len: 8000,
        };
        if request != open {
            return state.without_session(&request, m);
        }
        let caps: Vec<u32> = m.slots().iter().map(|slot| slot.0).collect();
        assert_eq!(caps.len(), 2);
        assert!(caps.iter().all(|slot| state.alive.contains(slot)));
        let opened = NetReply::Opened { max_sockets: 5 };
        state.next += 1;
        let bell = state.next as u32;
        match state.stack {
            Stack::Opens => {
                state.alive.push(bell);
                state.given = Some(caps[1]);
                state.stack_holds_bell = true;
                *m = message::pack(&opened, &[Slot(bell)]);
            }
            Stack::OpensWithoutBell => *m = message::pack(&opened, &[]),
            Stack::Refuses => *m = message::pack(&NetReply::Refused(Refusal::Denied), &[]),
            Stack::Garbage => {
                state.alive.push(bell);
                *m = message::pack(&opened, &[Slot(bell)]);
                m.data[0] = 0xff;
            }
            Stack::Missing => return Err(Error::TimedOut),
        }
        Ok([0; 3])
    }

    fn send(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &[u8]) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn receive(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &mut [u8]) -> Outcome {
        Err(Error::BadSyscall)
    }
    fn words(&mut self, _: Syscall, _: [u64; 6], _: usize, _: &mut [u64]) -> Outcome {
        Err(Error::BadSyscall)
    }
}

fn start(stack: Stack) -> (Fake, KernelSystem) {
    let fake = Fake(Rc::new(RefCell::new(State {
        stack,
        next: 100,
        alive: Vec::new(),
        given: None,
        stack_holds_bell: false,
        pending: 0,
        out_of_memory: false,
    })));
    testing::install(fake.clone());
    let net = NamedCap {
        name: "net".into(),
        slot: NET,
    };
    let env = Env::new(StartInfo {
        caps: [net].into(),
        ..StartInfo::default()
    });
    assert!(matches!(open(&env, "other"), Err(NetError::Missing(_))));
    (fake, open(&env, "net").unwrap())
}

#[test]
fn a_session_opens_and_leaves_nothing_behind() {
    let (fake, mut system) = start(Stack::Opens);
    let opened = system.open(8000).unwrap();
    assert_eq!((opened.memory.len(), opened.max_sockets), (8000, 5));
    // Memory, our doorbell, the stack's, the notification; the narrowed memory went with the call.
    assert_eq!(fake.0.borrow().alive.len(), 4);
    system.open(8000).unwrap();
    assert_eq!(fake.0.borrow().alive.len(), 4);
    drop(system);
    assert_eq!(fake.0.borrow().alive, []);
}

#[test]
fn each_failure_is_typed_and_leaks_nothing() {
    let cases = [
        (Stack::Refuses, OpenError::Refused(Refusal::Denied)),
        (
            Stack::OpensWithoutBell,
            OpenError::Refused(Refusal::BadRequest),
        ),
        (Stack::Garbage, OpenError::Refused(Refusal::BadRequest)),
        (Stack::Missing, OpenError::Unavailable),
    ];
    for (stack, error) in cases {
        let (fake, mut system) = start(stack);
        assert_eq!(system.open(8000).err(), Some(error));
        assert_eq!(fake.0.borrow().alive.len(), 1, "only the notification");
        system.ring();
        assert_eq!(system.wait(0), Wake::default());
    }
    let (fake, mut system) = start(Stack::Opens);
    fake.0.borrow_mut().out_of_memory = true;
    assert_eq!(system.open(8000).err(), Some(OpenError::NoMemory));
}

#[test]
fn events_are_told_apart_and_a_stale_death_is_not_believed() {
    let (fake, mut system) = start(Stack::Opens);
    system.open(8000).unwrap();
    let mut wait = |bits| {
        fake.0.borrow_mut().pending = bits;
        system.wait(0)
    };
    assert!(wait(DOORBELL).doorbell);
    assert!(wait(FREE_BITS).other);
    assert_eq!(wait(GONE), Wake::default(), "the stack holds our doorbell");
    fake.0.borrow_mut().stack_holds_bell = false;
    let held = fake.0.borrow().alive.len();
    assert!(wait(GONE).stack_gone);
    // Nothing of a dead stack is kept, though no other session is opened.
    assert_eq!(fake.0.borrow().alive.len(), held - 1);
    system.ring();
    fake.0.borrow_mut().pending = GONE;
    assert!(!system.wait(0).stack_gone, "told once");
    fake.0.borrow_mut().pending = 0;
    system.open(8000).unwrap();
    fake.0.borrow_mut().stack_holds_bell = false;
    fake.0.borrow_mut().pending = GONE;
    assert!(system.wait(0).stack_gone, "once for each session");
}

#[test]
fn derived_capabilities_are_owned_and_refusals_typed() {
    let (fake, system) = start(Stack::Opens);
    let net = Endpoint::borrowed(Slot(NET));
    let before = fake.0.borrow().alive.len();
    let narrower = derive(&net, &Policy::nothing()).unwrap();
    assert_eq!(fake.0.borrow().alive.len(), before + 1);
    let mut other = open_on(&Env::new(StartInfo::default()), narrower).unwrap();
    assert!(other.open(8000).is_ok());
    drop(other);
    assert_eq!(fake.0.borrow().alive.len(), before);
    let denied = OpenError::Refused(Refusal::Denied);
    assert_eq!(derive(&net, &Policy::everything()).err(), Some(denied));
    assert_eq!(revoke_derived(&net), Ok(()));
    for (stack, error) in [
        (Stack::Garbage, OpenError::Refused(Refusal::BadRequest)),
        (Stack::Missing, OpenError::Unavailable),
    ] {
        fake.0.borrow_mut().stack = stack;
        assert_eq!(derive(&net, &Policy::nothing()).err(), Some(error));
        assert_eq!(revoke_derived(&net), Err(error));
    }
    drop(system);
    assert_eq!(fake.0.borrow().alive, []);
}
