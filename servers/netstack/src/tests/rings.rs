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
    // Its buffers, and frames both ways: duplicate address detection at least.
    assert!(driver.tx_messages > u64::from(crate::RECEIVE_BUFFERS));
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
    net.hosts[0].stack.awake();
    wait(&mut net, &mut a, id);
    assert_eq!(a.bell.rings(), 1);
    a.channel.awake();
    let [_, told] = rings(&mut net, &mut a)[..] else {
        panic!("not two");
    };
    assert_eq!((told.rx_doorbells, told.tx_doorbells), (1, 1), "{told:?}");
}
