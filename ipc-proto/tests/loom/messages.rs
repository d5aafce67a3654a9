//! Two honest ends of a channel: no message, event or wake-up is lost.

use super::*;
use ipc_proto::channel::SendError;
use loom::thread;

#[test]
fn no_message_is_lost_torn_or_reordered() {
    explore(|| {
        let (mut driver, mut stack, _) = pair();
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 3 {
                match stack.send(&message(sent)) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => thread::yield_now(),
                    Err(SendError::Peer(error)) => panic!("{error}"),
                }
                let _ = stack.flush();
            }
        });
        let mut received = 0;
        while received < 3 {
            match driver.receive().unwrap() {
                Some(got) => {
                    assert_eq!(got, message(received));
                    received += 1;
                }
                None => thread::yield_now(),
            }
            let _ = driver.flush();
        }
        sender.join().unwrap();
    });
}

/// The receiver sleeps whenever it may: a lost wake-up is a deadlock.
#[test]
fn no_wake_up_for_messages_is_lost() {
    explore_bounded(5, || {
        let (mut driver, mut stack, _) = pair();
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        let sender = thread::spawn(move || {
            for n in 0..2 {
                stack.send(&message(n)).unwrap();
                if stack.flush() {
                    bell.ring();
                }
            }
        });
        let mut received = 0;
        while received < 2 {
            while let Some(got) = driver.receive().unwrap() {
                assert_eq!(got, message(received));
                received += 1;
            }
            let _ = driver.flush();
            if received < 2 && driver.prepare_sleep() {
                doorbell.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// A receiver that sleeps through what can wait still hears of what cannot, and finds the rest with it.
#[test]
fn no_wake_up_of_a_patient_side_is_lost() {
    explore_bounded(4, || {
        let memory = Shm::heap(Client::bytes(LARGE));
        let mut client = Client::new(memory.clone(), Side::Client, LARGE).unwrap();
        let mut stack = Server::new(memory, Side::Stack, LARGE).unwrap();
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        let sender = thread::spawn(move || {
            for reply in [Reply::Closed { id: 0 }, Reply::Done { id: 1 }] {
                stack.send(&reply).unwrap();
                if stack.flush() {
                    bell.ring();
                }
            }
        });
        client.set_patient(true);
        let mut received = 0;
        while received < 2 {
            while let Some(got) = client.receive().unwrap() {
                let expected = [Reply::Closed { id: 0 }, Reply::Done { id: 1 }];
                assert_eq!(got, expected[received]);
                received += 1;
            }
            let _ = client.flush();
            if received < 2 && client.prepare_sleep() {
                doorbell.wait();
                client.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// Both sides sleep whenever they may: the sender waits for room, the receiver for messages.
#[test]
fn no_wake_up_for_room_is_lost() {
    explore_bounded(3, || {
        let (mut driver, mut stack, _) = pair();
        let (to_stack, to_driver) = (Doorbell::new(), Doorbell::new());
        let (ring_stack, ring_driver) = (to_stack.clone(), to_driver.clone());
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 4 {
                let full = match stack.send(&message(sent)) {
                    Ok(()) => {
                        sent += 1;
                        false
                    }
                    Err(SendError::Full) => true,
                    Err(SendError::Peer(error)) => panic!("{error}"),
                };
                if (full || sent == 4) && stack.flush() {
                    ring_driver.ring();
                }
                if full && stack.prepare_sleep() {
                    to_stack.wait();
                    stack.awake();
                }
            }
        });
        let mut received = 0;
        while received < 4 {
            while let Some(got) = driver.receive().unwrap() {
                assert_eq!(got, message(received));
                received += 1;
            }
            if driver.flush() {
                ring_stack.ring();
            }
            if received < 4 && driver.prepare_sleep() {
                to_driver.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// What was written to a FIFO before the event was raised is there when the event is taken, and the wake-up for an event is
/// not lost, also when its bit or its summary bit is being taken.
#[test]
fn no_event_is_lost() {
    explore_bounded(3, || {
        let (mut driver, mut stack, memory) = pair();
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        // Words that nothing else uses stand for the FIFO indices of sockets 3 and 4.
        let fifo = [memory.word(8).unwrap(), memory.word(12).unwrap()];
        let theirs = fifo.clone();
        let sender = thread::spawn(move || {
            for (socket, value) in [(0, 1), (1, 1), (0, 2)] {
                theirs[socket].store(value, Ordering::Relaxed);
                stack.raise(3 + socket as u16);
                if stack.flush() {
                    bell.ring();
                }
            }
        });
        let mut seen = [0; 2];
        while seen != [2, 1] {
            driver.take_events(&mut |index| {
                let socket = usize::from(index) - 3;
                seen[socket] = fifo[socket].load(Ordering::Relaxed);
                assert_ne!(seen[socket], 0, "event before its cause");
            });
            if seen != [2, 1] && driver.prepare_sleep() {
                doorbell.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// A side that takes no message without room for its answer sleeps for room, and is woken for it; its peer, which keeps
/// both rings full, gets every answer.
#[test]
fn no_wake_up_for_answers_is_lost() {
    explore_bounded(2, || {
        let one = Geometry { slots: 1, ..SMALL };
        let (mut driver, mut stack, _) = pair_at(u32::MAX, one);
        let (to_stack, to_driver) = (Doorbell::new(), Doorbell::new());
        let (ring_stack, ring_driver) = (to_stack.clone(), to_driver.clone());
        let server = thread::spawn(move || {
            let mut answered = 0;
            while answered < 3 {
                while stack.room().unwrap() > 0 {
                    let Some(_) = stack.receive().unwrap() else {
                        break;
                    };
                    stack.send(&message(answered)).unwrap();
                    answered += 1;
                }
                if stack.flush() {
                    ring_driver.ring();
                }
                if answered < 3 {
                    let sleeps = if stack.room().unwrap() == 0 {
                        stack.prepare_sleep_for_room()
                    } else {
                        stack.prepare_sleep()
                    };
                    if sleeps {
                        to_stack.wait();
                        stack.awake();
                    }
                }
            }
        });
        let (mut asked, mut received) = (0, 0);
        while received < 3 {
            while let Some(got) = driver.receive().unwrap() {
                assert_eq!(got, message(received));
                received += 1;
            }
            while asked < 3 {
                match driver.send(&ToStack::Link { up: true }) {
                    Ok(()) => asked += 1,
                    Err(SendError::Full) => break,
                    Err(SendError::Peer(error)) => panic!("{error}"),
                }
            }
            if driver.flush() {
                ring_stack.ring();
            }
            if received < 3 && driver.prepare_sleep() {
                to_driver.wait();
                driver.awake();
            }
        }
        server.join().unwrap();
    });
}
