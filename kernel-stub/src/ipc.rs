//! Endpoints: call, receive, reply, and the capabilities that travel in messages. Touches endpoints,
//! threads that wait at them, and capability tables of the two sides.
//!
//! A message is copied into the caller's thread when it calls, so it can't change afterwards. The caller's
//! capabilities are looked up when the call is taken. All or nothing: if something can't be delivered,
//! capabilities that were already passed on are taken back.
#![forbid(unsafe_code)]

use crate::cap::{self, Grant};
use crate::kernel::{Kernel, Outcome};
use crate::object::{Chain, Endpoint, Letter, Process, Tcb, ThreadList, ThreadState};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::Ref;
use crate::user::Access;
use kernel_abi::{Error, MESSAGE_CAPS, Message, Rights, Slot};

/// Whose fault it is that a message can't be delivered.
enum Undelivered {
    Sender(Error),
    Receiver(Error),
}

impl<P: Platform> Kernel<P> {
    /// Calls an endpoint and waits for the reply.
    pub(crate) fn call(
        &mut self,
        thread: Ref<Tcb>,
        endpoint: Ref<Endpoint>,
        badge: u64,
        buffer: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let root = self.sched.root();
        // The reply overwrites it.
        let letter = self.letter_from_user(root, buffer, Access::Write)?;
        if self.store.get(endpoint)?.receive_caps == 0 {
            return Err(Error::Gone);
        }
        let now = self.before(deadline).ok_or(Error::TimedOut)?;
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let tcb = self.store.get_mut(thread)?;
        tcb.letter.copy_from(&letter);
        tcb.badge = badge;
        tcb.sequence = sequence;
        tcb.buffer = buffer;
        while let Some(receiver) = self.store.get(endpoint)?.receivers.head {
            let ThreadState::Receiving(_, buffer) = self.store.get(receiver)?.state else {
                return Err(Error::Gone);
            };
            let server = self.store.get(receiver)?.process;
            match self.deliver(thread, server, buffer) {
                Ok(()) => {
                    self.wake(receiver, Ok([badge, token(thread, sequence), 0]), true);
                    self.enlist_served(thread, endpoint, server)?;
                    self.block(thread, ThreadState::Served(endpoint, server), deadline, now)?;
                    return Ok(Outcome::Blocked);
                }
                Err(Undelivered::Sender(error)) => return Err(error),
                Err(Undelivered::Receiver(error)) => self.wake(receiver, Err(error), false),
            }
        }
        let mut list = self.store.get(endpoint)?.callers;
        list.push_back(&mut self.store, Chain::Queue, thread)?;
        let entry = self.store.get_mut(endpoint)?;
        entry.callers = list;
        let bound = entry.bound;
        self.block(thread, ThreadState::Calling(endpoint), deadline, now)?;
        if let Some(watch) = bound {
            self.signal_watch(watch);
        }
        Ok(Outcome::Blocked)
    }

    /// Takes the call that waits longest, or waits for one.
    pub(crate) fn receive(
        &mut self,
        thread: Ref<Tcb>,
        endpoint: Ref<Endpoint>,
        buffer: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let root = self.sched.root();
        self.check_user(root, buffer, size_of::<Message>(), Access::Write)?;
        let process = self.store.get(thread)?.process;
        while let Some(caller) = self.store.get(endpoint)?.callers.head {
            match self.deliver(caller, process, buffer) {
                Ok(()) => {
                    // The caller's deadline stays armed: it goes on waiting, for the reply now.
                    self.leave_queue(caller)?;
                    self.enlist_served(caller, endpoint, process)?;
                    let tcb = self.store.get_mut(caller)?;
                    tcb.state = ThreadState::Served(endpoint, process);
                    let values = [tcb.badge, token(caller, tcb.sequence), 0];
                    return Ok(Outcome::Done(values));
                }
                Err(Undelivered::Sender(error)) => self.wake(caller, Err(error), false),
                Err(Undelivered::Receiver(error)) => return Err(error),
            }
        }
        let now = self.before(deadline).ok_or(Error::TimedOut)?;
        let mut list = self.store.get(endpoint)?.receivers;
        list.push_back(&mut self.store, Chain::Queue, thread)?;
        self.store.get_mut(endpoint)?.receivers = list;
        self.block(
            thread,
            ThreadState::Receiving(endpoint, buffer),
            deadline,
            now,
        )?;
        Ok(Outcome::Blocked)
    }

    /// Answers a call that was taken.
    pub(crate) fn reply(
        &mut self,
        thread: Ref<Tcb>,
        endpoint: Ref<Endpoint>,
        token: u64,
        buffer: u64,
    ) -> Result<(), Error> {
        let mut letter = self.letter_from_user(self.sched.root(), buffer, Access::Read)?;
        let server = self.store.get(thread)?.process;
        let caller = self.store.live::<Tcb>(token as u32).ok_or(Error::Gone)?;
        let tcb = self.store.get(caller)?;
        let (client, address) = (tcb.process, tcb.buffer);
        let waits = matches!(tcb.state, ThreadState::Served(at, _) if at == endpoint)
            && tcb.sequence == (token >> 32) as u32;
        if !waits {
            return Err(Error::Gone);
        }
        match self.pass(server, client, address, &mut letter) {
            Ok(()) => self.wake(caller, Ok([0; 3]), false),
            // The caller took its own buffer away: its loss, and the call is over.
            Err(Undelivered::Receiver(Error::BadAddress)) => {
                self.wake(caller, Err(Error::BadAddress), false);
            }
            // The server may answer again, without the capabilities.
            Err(Undelivered::Sender(error) | Undelivered::Receiver(error)) => return Err(error),
        }
        Ok(())
    }

    /// Passes a waiting caller's message to a process that receives at `buffer`. A table that can't
    /// take the capabilities counts as the sender's fault, so that nobody can keep a server from serving others.
    fn deliver(
        &mut self,
        caller: Ref<Tcb>,
        server: Ref<Process>,
        buffer: u64,
    ) -> Result<(), Undelivered> {
        let tcb = self.store.get(caller).map_err(Undelivered::Sender)?;
        let (client, mut letter) = (tcb.process, tcb.letter.clone());
        match self.pass(client, server, buffer, &mut letter) {
            Err(Undelivered::Receiver(Error::TableFull)) => {
                Err(Undelivered::Sender(Error::TableFull))
            }
            other => other,
        }
    }

    /// Derives the capabilities of a message into `to`, and writes it to `buffer` there.
    fn pass(
        &mut self,
        from: Ref<Process>,
        to: Ref<Process>,
        buffer: u64,
        letter: &mut Letter,
    ) -> Result<(), Undelivered> {
        let mut there = [Slot::NULL; MESSAGE_CAPS];
        let count = letter.cap_count();
        for (slot, place) in letter.caps().into_iter().zip(&mut there).take(count) {
            match self.pass_cap(from, to, slot) {
                Ok(slot) => *place = slot,
                Err(error) => {
                    self.take_back(to, &there);
                    return Err(error);
                }
            }
        }
        letter.set_caps(there);
        let root = self.root_of(to).map_err(Undelivered::Receiver)?;
        self.copy_to_user(root, buffer, letter.bytes())
            .map_err(|_| {
                self.take_back(to, &there);
                Undelivered::Receiver(Error::BadAddress)
            })
    }

    fn pass_cap(
        &mut self,
        from: Ref<Process>,
        to: Ref<Process>,
        slot: Slot,
    ) -> Result<Slot, Undelivered> {
        let found = cap::find(&self.store, from, slot.0 as u64).map_err(Undelivered::Sender)?;
        if !found.rights.contains(Rights::GRANT) {
            return Err(Undelivered::Sender(Error::NoRights));
        }
        let grant = Grant::derived(&found, found.rights, 0).map_err(Undelivered::Sender)?;
        // Whatever is short over there (slots, frames for them), it can't take it.
        self.insert(to, 0, grant)
            .map_err(|_| Undelivered::Receiver(Error::TableFull))
    }

    fn take_back(&mut self, to: Ref<Process>, caps: &[Slot]) {
        for slot in caps.iter().filter(|slot| **slot != Slot::NULL) {
            if let Ok(found) = cap::find(&self.store, to, slot.0 as u64) {
                self.delete(found.at);
            }
        }
    }

    fn root_of(&self, process: Ref<Process>) -> Result<Frame, Error> {
        Ok(self.store.get(process)?.root)
    }

    /// Enters a caller into the lists of those that wait for a reply.
    fn enlist_served(
        &mut self,
        caller: Ref<Tcb>,
        endpoint: Ref<Endpoint>,
        server: Ref<Process>,
    ) -> Result<(), Error> {
        let mut list = self.store.get(endpoint)?.served;
        list.push_back(&mut self.store, Chain::Queue, caller)?;
        self.store.get_mut(endpoint)?.served = list;
        let mut list = self.store.get(server)?.serving;
        list.push_back(&mut self.store, Chain::Service, caller)?;
        self.store.get_mut(server)?.serving = list;
        Ok(())
    }

    /// A process lost a capability to receive: its waiting threads learn of it (they may have another).
    /// After the last such capability, nobody will ever take a call or answer one.
    pub(crate) fn receiver_gone(&mut self, endpoint: Ref<Endpoint>, owner: u32) {
        let Ok(entry) = self.store.get_mut(endpoint) else {
            return;
        };
        entry.receive_caps -= 1;
        let mut next = entry.receivers.head;
        if entry.receive_caps == 0 {
            self.dismiss(endpoint);
            return;
        }
        while let Some(thread) = next {
            next = ThreadList::next(&self.store, Chain::Queue, thread);
            if self
                .store
                .get(thread)
                .is_ok_and(|tcb| tcb.process.frame() == owner)
            {
                self.wake(thread, Err(Error::Gone), false);
            }
        }
    }

    /// Sends away everybody who waits at an endpoint.
    fn dismiss(&mut self, endpoint: Ref<Endpoint>) {
        while let Some(thread) = self.store.get(endpoint).ok().and_then(|entry| {
            let lists = [entry.callers, entry.served, entry.receivers];
            lists.into_iter().find_map(|list| list.head)
        }) {
            self.wake(thread, Err(Error::Gone), false);
        }
    }

    /// The last capability is gone.
    pub(crate) fn destroy_endpoint(&mut self, frame: Frame) {
        if let Some(endpoint) = self.store.live(frame.0) {
            self.dismiss(endpoint);
        }
        self.store.free(frame);
    }
}

/// What names a call in the reply: the caller's thread, and which of its calls.
fn token(caller: Ref<Tcb>, sequence: u32) -> u64 {
    (sequence as u64) << 32 | caller.frame() as u64
}
