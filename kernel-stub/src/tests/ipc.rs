//! Calls, replies, messages with capabilities, and what happens when one side dies.

use crate::object::ThreadState;
use crate::store::Ref;
use crate::testing::{Bench, Child, SCRATCH};
use kernel_abi::{Error, FOREVER, Rights, Syscall};

const ALL: u64 = Rights::all().bits() as u64;

/// A server with an endpoint, and a client that may call it with badge 9.
struct Pair {
    bench: Bench,
    server: Child,
    client: Child,
    /// Slot in the server.
    receive: u64,
    /// Slot in the client.
    call: u64,
}

impl Pair {
    fn new() -> Pair {
        let mut bench = Bench::new();
        let init = bench.init;
        let server = bench.spawn(init, 128);
        let client = bench.spawn(init, 128);
        let endpoint = bench.get(init, Syscall::EndpointCreate, &[2]);
        let receive = bench.grant(init, endpoint, server.slot);
        let rights = (Rights::CALL | Rights::GRANT).bits() as u64;
        let grant = [client.slot, endpoint, 0, rights, 9];
        let call = bench.get(init, Syscall::ProcessGrant, &grant);
        // The server alone receives.
        let keep = Rights::CALL.bits() as u64;
        let kept = bench.get(init, Syscall::CapDerive, &[endpoint, keep, 0]);
        assert_ne!(kept, endpoint);
        bench.get(init, Syscall::CapDelete, &[endpoint]);
        bench.check();
        Pair {
            bench,
            server,
            client,
            receive,
            call,
        }
    }

    fn client_calls(&mut self, data: &[u8], caps: &[u64]) {
        let me = self.client.thread;
        self.bench.put_message(me, SCRATCH, data, caps);
        self.bench
            .wait(me, Syscall::EndpointCall, &[self.call, SCRATCH, FOREVER]);
    }

    fn server_receives(&mut self) -> [u64; 3] {
        let me = self.server.thread;
        let receive = [self.receive, SCRATCH, 0];
        self.bench
            .call(me, Syscall::EndpointRecv, &receive)
            .unwrap()
    }
}

#[test]
fn a_call_is_answered_whoever_comes_first() {
    for server_first in [true, false] {
        let mut pair = Pair::new();
        let (server, client) = (pair.server.thread, pair.client.thread);
        let receive = [pair.receive, SCRATCH, FOREVER];
        let [badge, token, _] = if server_first {
            pair.bench.wait(server, Syscall::EndpointRecv, &receive);
            pair.client_calls(b"question", &[]);
            pair.bench.result(server).unwrap().unwrap()
        } else {
            pair.client_calls(b"question", &[]);
            pair.server_receives()
        };
        assert_eq!(badge, 9);
        assert_eq!(pair.bench.message(server, SCRATCH).bytes(), b"question");
        pair.bench.check();
        pair.bench.put_message(server, SCRATCH, b"answer", &[]);
        let reply = [pair.receive, token, SCRATCH];
        pair.bench.get(server, Syscall::EndpointReply, &reply);
        assert_eq!(pair.bench.result(client), Some(Ok([0; 3])));
        assert_eq!(pair.bench.message(client, SCRATCH).bytes(), b"answer");
        let again = pair.bench.call(server, Syscall::EndpointReply, &reply);
        assert_eq!(again, Err(Error::Gone));
        pair.bench.check();
    }
}

#[test]
fn capabilities_travel_both_ways_and_need_the_right() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server.thread, pair.client.thread);
    let memory = pair.bench.get(client, Syscall::MemoryCreate, &[2, 1, 0]);
    let read = (Rights::READ | Rights::GRANT).bits() as u64;
    let shown = pair
        .bench
        .get(client, Syscall::CapDerive, &[memory, read, 0]);
    pair.client_calls(b"map this", &[shown]);
    let [_, token, _] = pair.server_receives();
    let message = pair.bench.message(server, SCRATCH);
    assert_eq!(message.cap_count, 1);
    let got = message.caps[0].0 as u64;
    let info = pair.bench.get(server, Syscall::CapInfo, &[got]);
    assert_eq!(info & 0xffff_ffff, 2 | read << 8);
    // Back: a badged endpoint; without GRANT it is refused, and the caller goes on waiting.
    let session = pair
        .bench
        .get(server, Syscall::CapDerive, &[pair.receive, ALL, 77]);
    let tight = pair
        .bench
        .get(server, Syscall::CapDerive, &[session, 1 << 5, 0]);
    for (cap, expected) in [(tight, Err(Error::NoRights)), (session, Ok([0; 3]))] {
        pair.bench.put_message(server, SCRATCH, b"ok", &[cap]);
        let reply = [pair.receive, token, SCRATCH];
        let answer = pair.bench.call(server, Syscall::EndpointReply, &reply);
        assert_eq!(answer, expected);
        pair.bench.check();
    }
    let got = pair.bench.message(client, SCRATCH).caps[0].0 as u64;
    let [_, badge, _] = pair.bench.call(client, Syscall::CapInfo, &[got]).unwrap();
    assert_eq!(badge, 77);
    pair.bench.check();
}

#[test]
fn half_a_message_is_never_delivered() {
    let mut pair = Pair::new();
    let client = pair.client.thread;
    let memory = pair.bench.get(client, Syscall::MemoryCreate, &[2, 1, 0]);
    let caps = |pair: &mut Pair| {
        let server = pair.bench.process(pair.server.thread);
        pair.bench.kernel.store.get(server).unwrap().caps
    };
    let before = caps(&mut pair);
    pair.client_calls(b"two", &[memory, 0]);
    let server = pair.server.thread;
    let receive = [pair.receive, SCRATCH, 0];
    let answer = pair.bench.call(server, Syscall::EndpointRecv, &receive);
    assert_eq!(answer, Err(Error::TimedOut));
    assert_eq!(pair.bench.result(client), Some(Err(Error::BadSlot)));
    assert_eq!(caps(&mut pair), before);
    pair.bench.check();
}

#[test]
fn a_receiver_without_room_costs_the_caller_not_the_server() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server.thread, pair.client.thread);
    while pair
        .bench
        .call(server, Syscall::CapDerive, &[1, ALL, 0])
        .is_ok()
    {}
    let memory = pair.bench.get(client, Syscall::MemoryCreate, &[2, 1, 0]);
    let receive = [pair.receive, SCRATCH, FOREVER];
    pair.bench.wait(server, Syscall::EndpointRecv, &receive);
    pair.bench.put_message(client, SCRATCH, b"", &[memory]);
    let call = [pair.call, SCRATCH, FOREVER];
    let refused = pair.bench.call(client, Syscall::EndpointCall, &call);
    assert_eq!(refused, Err(Error::TableFull));
    pair.client_calls(b"plain", &[]);
    assert!(pair.bench.result(server).unwrap().is_ok());
    pair.bench.check();
}

#[test]
fn bad_messages_are_errors_of_the_sender() {
    let mut pair = Pair::new();
    let client = pair.client.thread;
    for (len, count) in [(233u32, 0u32), (u32::MAX, 0), (0, 5), (0, u32::MAX)] {
        pair.bench.write(client, SCRATCH, &len.to_le_bytes());
        pair.bench.write(client, SCRATCH + 4, &count.to_le_bytes());
        let call = [pair.call, SCRATCH, FOREVER];
        let answer = pair.bench.call(client, Syscall::EndpointCall, &call);
        assert_eq!(answer, Err(Error::BadArgument));
    }
    let end = SCRATCH + 4096;
    for address in [
        0,
        8,
        end - 8,
        end,
        1 << 47,
        u64::MAX - 8,
        0xffff_8000_0000_0000,
    ] {
        let answer = pair.bench.call(
            client,
            Syscall::EndpointCall,
            &[pair.call, address, FOREVER],
        );
        assert_eq!(answer, Err(Error::BadAddress), "{address:#x}");
    }
    pair.bench.check();
}

#[test]
fn deadlines_end_waits_and_make_tokens_stale() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server.thread, pair.client.thread);
    pair.bench.put_message(client, SCRATCH, b"soon", &[]);
    let past = pair
        .bench
        .call(client, Syscall::EndpointCall, &[pair.call, SCRATCH, 1]);
    assert_eq!(past, Err(Error::TimedOut));
    let deadline = pair.bench.kernel.platform.clock + 1_000_000;
    pair.bench.wait(
        client,
        Syscall::EndpointCall,
        &[pair.call, SCRATCH, deadline],
    );
    let [_, token, _] = pair.server_receives();
    pair.bench.kernel.platform.clock = deadline;
    pair.bench.kernel.timer_expired();
    assert_eq!(pair.bench.result(client), Some(Err(Error::TimedOut)));
    let late = pair.bench.call(
        server,
        Syscall::EndpointReply,
        &[pair.receive, token, SCRATCH],
    );
    assert_eq!(late, Err(Error::Gone));
    // The next call has another token, though it is the same thread.
    pair.client_calls(b"again", &[]);
    let [_, other, _] = pair.server_receives();
    assert_ne!(token, other);
    let stale = pair.bench.call(
        server,
        Syscall::EndpointReply,
        &[pair.receive, token, SCRATCH],
    );
    assert_eq!(stale, Err(Error::Gone));
    pair.bench.check();
}

#[test]
fn callers_learn_that_the_server_died() {
    let mut pair = Pair::new();
    let init = pair.bench.init;
    let client = pair.client.thread;
    pair.client_calls(b"taken", &[]);
    pair.server_receives();
    pair.bench
        .get(init, Syscall::ProcessKill, &[pair.server.slot, 0]);
    assert_eq!(pair.bench.result(client), Some(Err(Error::Gone)));
    let dead = pair.bench.call(
        client,
        Syscall::EndpointCall,
        &[pair.call, SCRATCH, FOREVER],
    );
    assert_eq!(dead, Err(Error::Gone));
    pair.bench.check();
}

#[test]
fn callers_in_the_queue_learn_that_nobody_will_receive() {
    let mut pair = Pair::new();
    let client = pair.client.thread;
    pair.client_calls(b"queued", &[]);
    pair.bench
        .get(pair.server.thread, Syscall::CapDelete, &[pair.receive]);
    assert_eq!(pair.bench.result(client), Some(Err(Error::Gone)));
    pair.bench.check();
}

#[test]
fn revoking_the_right_to_receive_wakes_the_receiver() {
    let mut bench = Bench::new();
    let init = bench.init;
    let server = bench.spawn(init, 64);
    let endpoint = bench.get(init, Syscall::EndpointCreate, &[2]);
    let receive = bench.grant(init, endpoint, server.slot);
    bench.wait(
        server.thread,
        Syscall::EndpointRecv,
        &[receive, SCRATCH, FOREVER],
    );
    bench.get(init, Syscall::CapRevoke, &[endpoint]);
    assert_eq!(bench.result(server.thread), Some(Err(Error::Gone)));
    bench.check();
}

#[test]
fn a_bound_notification_tells_of_calls() {
    let mut pair = Pair::new();
    let server = pair.server.thread;
    let bell = pair.bench.get(server, Syscall::NotificationCreate, &[2]);
    pair.client_calls(b"before", &[]);
    for _ in 0..2 {
        pair.bench
            .get(server, Syscall::EndpointBind, &[pair.receive, bell, 2]);
        let bits = pair
            .bench
            .get(server, Syscall::NotificationWait, &[bell, 3, 0]);
        assert_eq!(bits, 2);
    }
    pair.bench
        .get(server, Syscall::EndpointBind, &[pair.receive, 0, 0]);
    let bits = pair
        .bench
        .get(server, Syscall::NotificationWait, &[bell, 3, 0]);
    assert_eq!(bits, 0);
    pair.bench.check();
}

#[test]
fn killing_works_in_every_state_of_waiting() {
    let states: [fn(&mut Pair) -> Ref<crate::object::Tcb>; 5] = [
        |pair| {
            pair.client_calls(b"queued", &[]);
            pair.client.thread
        },
        |pair| {
            pair.client_calls(b"served", &[]);
            pair.server_receives();
            pair.client.thread
        },
        |pair| {
            let client = pair.client.thread;
            let bell = pair.bench.get(client, Syscall::NotificationCreate, &[2]);
            let soon = pair.bench.kernel.platform.clock + 1_000_000;
            pair.bench
                .wait(client, Syscall::NotificationWait, &[bell, 1, soon]);
            client
        },
        |pair| {
            let client = pair.client.thread;
            let endpoint = pair.bench.get(client, Syscall::EndpointCreate, &[2]);
            let receive = [endpoint, SCRATCH, 1 << 40];
            pair.bench.wait(client, Syscall::EndpointRecv, &receive);
            client
        },
        |pair| pair.client.thread,
    ];
    for enter in states {
        let mut pair = Pair::new();
        let init = pair.bench.init;
        let free = pair.bench.free_frames();
        let victim = enter(&mut pair);
        pair.bench
            .get(init, Syscall::ProcessKill, &[pair.client.slot, 3]);
        assert_eq!(pair.bench.state(victim), ThreadState::Dead);
        pair.bench.check();
        pair.bench
            .get(init, Syscall::CapDelete, &[pair.client.slot]);
        assert!(pair.bench.free_frames() > free);
        pair.bench.check();
        // Nobody waits for the dead.
        let receive = [pair.receive, SCRATCH, 0];
        let none = pair
            .bench
            .call(pair.server.thread, Syscall::EndpointRecv, &receive);
        assert_eq!(none, Err(Error::TimedOut));
    }
}
