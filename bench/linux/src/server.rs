//! The loop: one epoll for the listeners, the UDP socket and all connections.

use crate::connection::{CHUNK, Connection, Next, Service, Shared};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, accept_with,
        bind, listen, recvfrom, sendto, socket_with, sockopt,
    },
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
};

const SERVICES: [(u16, Service); 4] = [
    (7, Service::Echo),
    (9, Service::Discard),
    (19, Service::Chargen),
    (80, Service::Http),
];
const BACKLOG: i32 = 512;
/// Events taken at once.
const EVENTS: usize = 64;
/// Data of the UDP socket's events; listeners have the numbers below, connections those above.
const DATAGRAMS: u64 = SERVICES.len() as u64;

/// Serves until an error.
///
/// # Errors
/// If a socket can't be had.
pub(crate) fn run() -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut listeners = Vec::new();
    for (number, (port, _)) in SERVICES.iter().enumerate() {
        let listener = socket(SocketType::STREAM, *port)?;
        listen(&listener, BACKLOG)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(number as u64),
            EventFlags::IN,
        )?;
        listeners.push(listener);
    }
    let datagrams = socket(SocketType::DGRAM, 7)?;
    epoll::add(
        &epoll,
        &datagrams,
        EventData::new_u64(DATAGRAMS),
        EventFlags::IN,
    )?;
    let mut shared = Shared::new();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let number = event.data.u64();
            if number == DATAGRAMS {
                echo_datagrams(&datagrams, &mut shared.buffer);
            } else if let Some(listener) = listeners.get(number as usize) {
                let service = SERVICES
                    .get(number as usize)
                    .map_or(Service::Discard, |(_, service)| *service);
                accept_all(&epoll, listener, service, &mut connections, &mut shared);
            } else {
                let index = (number - DATAGRAMS - 1) as usize;
                progress(&epoll, index, &mut connections, &mut shared);
            }
        }
    }
}

fn socket(kind: SocketType, port: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
    Ok(socket)
}

/// Sends back all datagrams that are there.
fn echo_datagrams(socket: &OwnedFd, buffer: &mut [u8]) {
    while let Ok((len, _, Some(from))) = recvfrom(socket, &mut *buffer, RecvFlags::empty()) {
        let bytes = buffer.get(..len).unwrap_or_default();
        let from: SocketAddrAny = from;
        // What does not go is lost, as datagrams are.
        let _ = sendto(socket, bytes, SendFlags::empty(), &from);
    }
}

/// Takes all connections that wait, and serves them at once: most have something to say.
fn accept_all(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    service: Service,
    connections: &mut Vec<Option<Connection>>,
    shared: &mut Shared,
) {
    while let Ok(socket) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let index = connections
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                connections.push(None);
                connections.len() - 1
            });
        let connection = Connection::new(socket, service);
        let data = EventData::new_u64(index as u64 + DATAGRAMS + 1);
        if epoll::add(epoll, &connection.socket, data, connection.interest).is_ok()
            && let Some(slot) = connections.get_mut(index)
        {
            *slot = Some(connection);
            progress(epoll, index, connections, shared);
        }
    }
}

/// Lets a connection do what it can, and asks for what it waits for then.
fn progress(
    epoll: &OwnedFd,
    index: usize,
    connections: &mut [Option<Connection>],
    shared: &mut Shared,
) {
    let Some(slot) = connections.get_mut(index) else {
        return;
    };
    let Some(connection) = slot else { return };
    let wanted = match connection.progress(shared) {
        // Closing takes it out of epoll.
        Next::Close => {
            *slot = None;
            return;
        }
        Next::Wait(wanted) => wanted,
    };
    if wanted != connection.interest {
        let data = EventData::new_u64(index as u64 + DATAGRAMS + 1);
        if epoll::modify(epoll, &connection.socket, data, wanted) == Err(Errno::NOENT) {
            *slot = None;
            return;
        }
        connection.interest = wanted;
    }
}

const _: () = assert!(CHUNK >= 65_536, "a datagram fits into the buffer");
