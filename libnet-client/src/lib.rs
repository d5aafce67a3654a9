//! Sockets for client programs: blocking and async, over a session with the network stack.
//!
//! The names, semantics and error kinds are those of `std::net`, as far as a program without `std` can have them. The difference: every
//! constructor takes a [`Net`], the program's session with the stack.
//!
//! A byte written here is copied once, into memory shared with the stack; there is no system call unless the stack sleeps. The stack is
//! not trusted: whatever it writes there, calls return errors, and nothing panics.
//!
//! `docs/writing-a-client.md` shows how to write a program; `examples/` has a client and a server of a page each.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod accept;
mod addr;
mod arena;
mod engine;
mod error;
mod future;
mod io;
mod listener;
mod net;
mod options;
mod owned;
mod query;
mod replies;
mod requests;
mod session;
mod sockets;
pub mod system;
mod tasks;
mod tcp;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod transfer;
mod udp;
mod wakers;

pub use addr::{Target, ToSocketAddrs};
pub use error::{Error, ErrorKind, Result};
pub use future::{Either, join, select};
pub use io::{ReadHalf, WriteHalf};
pub use ipc_proto::rings::RingInfo;
pub use ipc_proto::socket::{Counters, Family, InterfaceInfo, SocketInfo, SocketState};
pub use listener::TcpListener;
pub use net::{Config, Net, OnEvent};
pub use query::Pong;
pub use system::{OpenError, Opened, System, Wake};
pub use tasks::JoinHandle;
pub use tcp::{Shutdown, TcpStream};
pub use timer::{Sleep, Timer};
pub use udp::UdpSocket;
