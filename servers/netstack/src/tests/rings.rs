//! What the stack tells of its rings.

use super::*;
use ipc_proto::rings::RingInfo;

fn rings(net: &mut Network, client: &mut Client) -> Vec<RingInfo> {
    let (mut rings, mut position) = (Vec::new(), 0);
    loop {
        match ask(net, client, |id| Request::Ring { id, position }) {
            Reply::Ring {
                next,
                ring: Some(ring),
                ..
            } => {
                assert!(next > position);
                position = next;
                rings.push(ring);
            }
            Reply::Ring { ring: None, .. } => return rings,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rings_of_driver_and_sessions_are_told() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(3);
    let gone = net.hosts[0].client(4);
    let mut b = net.hosts[0].client(5);
    // Requests that the stack has not yet seen.
    for _ in 0..4 {
        let id = b.id();
        b.send(&Request::Counters { id });
    }
    net.hosts[0].stack.close_session(gone.session);
    let [driver, first, second] = rings(&mut net, &mut a)[..] else {
        panic!("not three");
    };
    assert_eq!((driver.peer, driver.slots), (RingInfo::DRIVER, 1024));
    // Its buffers, many in one, and frames both ways: duplicate address detection at least.
    assert!(driver.tx_messages > u64::from(crate::RECEIVE_BUFFERS / 64));
    assert!(driver.rx_messages > 0 && driver.tx_full == 0);
    assert_eq!((first.peer, second.peer), (3, 5));
    assert_eq!((first.rx_messages, first.tx_messages), (2, 1), "{first:?}");
    assert_eq!((second.rx_messages, second.tx_messages), (4, 4));
    assert_eq!((second.rx_queued, second.tx_queued), (0, 4), "{second:?}");
    b.receive();
    let told = rings(&mut net, &mut a);
    assert_eq!((told[2].rx_queued, told[2].tx_queued), (0, 0));
    // Without a driver, the sessions come first.
    net.hosts[0].stack.detach();
    let told = rings(&mut net, &mut a);
    assert_eq!(
        told.iter().map(|ring| ring.peer).collect::<Vec<_>>(),
        [3, 5]
    );
}

#[test]
fn doorbells_are_counted_on_both_sides() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(3);
    assert!(a.channel.prepare_sleep());
    net.hosts[0].stack.poll(crate::Instant::from_nanos(0));
    assert!(net.hosts[0].stack.prepare_sleep());
    let id = a.id();
    a.channel.send(&Request::Counters { id }).unwrap();
    assert!(a.channel.flush(), "the stack sleeps");
    net.hosts[0].stack.heard(u64::MAX);
    wait(&mut net, &mut a, id);
    assert_eq!(a.bell.rings(), 1);
    a.channel.awake();
    let [_, told] = rings(&mut net, &mut a)[..] else {
        panic!("not two");
    };
    assert_eq!((told.rx_doorbells, told.tx_doorbells), (1, 1), "{told:?}");
}

#[test]
fn who_rings_is_heard_and_who_shares_the_doorbell_too() {
    let mut net = pair(1);
    // As many as there are doorbells, and one that shares the first one's.
    let mut clients: Vec<Client> = (0..57).map(|at| net.hosts[0].client(at)).collect();
    let first = clients[0].session.bell();
    assert_eq!(clients[56].session.bell(), first);
    net.hosts[0].stack.poll(net.now);
    assert!(net.hosts[0].stack.prepare_sleep());
    let mut ids = Vec::new();
    for client in &mut clients {
        let id = client.id();
        client.channel.send(&Request::Counters { id }).unwrap();
        assert!(client.channel.flush(), "the stack sleeps");
        ids.push(id);
    }
    let mut answered = |net: &mut Network, bells: u64| -> Vec<usize> {
        net.hosts[0].stack.heard(bells);
        while !net.hosts[0].stack.prepare_sleep() {
            net.hosts[0].stack.poll(net.now);
        }
        let pairs = clients.iter_mut().zip(&ids).enumerate();
        pairs
            .filter_map(|(at, (client, id))| client.answer(*id).map(|_| at))
            .collect()
    };
    // A pass for whatever other reason does not look at them.
    assert_eq!(answered(&mut net, 0), []);
    assert_eq!(answered(&mut net, 1 << first), [0, 56]);
    assert_eq!(answered(&mut net, 1 << first), []);
    assert_eq!(answered(&mut net, u64::MAX), (1..56).collect::<Vec<_>>());
    net.hosts[0].stack.check_invariants();
}
