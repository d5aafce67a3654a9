//! Brings an interface up and gives it an address, by netlink (RFC 3549, rtnetlink(7)).

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, netlink, recv, sendto,
    socket_with,
};
use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, OwnedFd},
};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
/// Request, with an acknowledgement.
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const NLM_F_CREATE: u16 = 0x400;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const PREFIX: u8 = 24;

/// The index of an interface.
///
/// # Errors
/// If there is none of that name.
pub(crate) fn index(name: &str) -> io::Result<u32> {
    Ok(netdevice::name_to_index(netlink_socket()?, name)?)
}

/// Gives an interface this address in a network of 256, and takes it up.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn configure(index: u32, address: Ipv4Addr) -> io::Result<()> {
    let socket = netlink_socket()?;
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let mut body = vec![AF_INET, PREFIX, 0, 0];
    body.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(address.octets());
    }
    ask(&socket, RTM_NEWADDR, NLM_F_CREATE, &body)?;
    // struct ifinfomsg: family, padding, type, index, flags, which of them to change.
    let mut body = vec![0, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    ask(&socket, RTM_NEWLINK, 0, &body)
}

fn netlink_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0, the first of the family.
        None,
    )?)
}

/// Sends a request and waits for its acknowledgement.
fn ask(socket: impl AsFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // struct nlmsghdr: length, type, flags, sequence number, port.
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST_ACK | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 256];
    let (len, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let field = |at: usize| answer.get(..len)?.get(at..)?.first_chunk::<4>().copied();
    let is_error = answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes());
    match field(16).map(i32::from_ne_bytes) {
        Some(0) if is_error => Ok(()),
        Some(error) if is_error => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("netlink: not an acknowledgement")),
    }
}
