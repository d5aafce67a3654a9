//! What is opened ten thousand times and left behind, and who is asked for by many at once.

use super::*;
use ipc_proto::{policy::Policy, socket::Family};

#[test]
fn ten_thousand_sessions_that_die_with_all_they_have_leave_nothing() {
    let mut net = Network::new(1);
    net.add(Config {
        name_servers: [[10, 0, 0, 9].into()].into(),
        ..config(1)
    });
    net.run(SECOND);
    net.hosts[0].stack.set_policy(1, Policy::everything());
    for cycle in 0..10_000u32 {
        let mut client = Client::open_sized(&mut net.hosts[0].stack, 1, 1 << 15).unwrap();
        let (buffers, _) = client.buffers(12);
        let requests: [fn(u32, ipc_proto::socket::Buffers) -> Request; 5] = [
            |id, _| Request::TcpListen {
                id,
                local: address(1, 0),
                backlog: 5,
            },
            |id, buffers| Request::TcpConnect {
                id,
                remote: address(77, 9),
                local_port: 0,
                buffers,
            },
            |id, buffers| Request::UdpBind {
                id,
                local: address(1, 0),
                buffers,
            },
            |id, _| Request::Resolve {
                id,
                name: "a.test".try_into().unwrap(),
                family: Family::Any,
                timeout_ms: 60_000,
            },
            |id, _| Request::Ping {
                id,
                remote: [10, 0, 0, 77].into(),
                sequence: 0,
                len: 8,
                timeout_ms: 60_000,
            },
        ];
        for request in requests {
            let id = client.id();
            client.send(&request(id, buffers));
        }
        let stack = &mut net.hosts[0].stack;
        stack.poll(net.now);
        assert_eq!(stack.flows.len() - stack.orphans.len(), 5 - 1, "{cycle}");
        stack.close_session(client.session);
        net.hosts[0].nic.as_mut().unwrap().take();
        net.now = net.now.after(Duration::from_millis(1));
    }
    net.run(SECOND * 70);
    let stack = &net.hosts[0].stack;
    stack.check_invariants();
    assert_eq!((stack.flows.len(), stack.memory_used), (0, 0));
    assert_eq!((stack.sessions.len(), stack.listeners.len()), (0, 0));
    assert!(stack.accounts.is_empty() && stack.udp_ports.is_empty() && stack.tcp_ports.is_empty());
    assert!(stack.echoes.is_empty() && stack.orphans.is_empty() && stack.starved.is_empty());
}

#[test]
fn a_neighbor_that_many_wait_for_is_asked_for_once_a_second() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    for _ in 0..20 {
        start(&mut net, &mut a, address(77, 9)).unwrap();
    }
    net.run(SECOND);
    net.log = Some(Vec::new());
    net.run(SECOND * 20);
    let log = net.log.take().unwrap();
    let asked = log.iter().filter(|(_, bytes)| bytes[12..14] == [8, 6]);
    let asked = asked.count();
    assert!((10..=41).contains(&asked), "{asked}");
}
