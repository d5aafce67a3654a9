//! Errors of socket calls, with the kinds of `std::io` and the texts of the C library.
//!
//! No call panics on anything that the stack or the network does: it returns an [`Error`].

use crate::system::OpenError;
use core::fmt;
use ipc_proto::{setup::Refusal, socket::NetError};

/// What a call on a socket returns.
pub type Result<T> = core::result::Result<T, Error>;

/// What kind of error it is. The names are those of `std::io::ErrorKind`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name does not exist, or has no address of the family asked for.
    NotFound,
    /// The policy of the session does not permit this. Retrying cannot help.
    PermissionDenied,
    /// Nobody listens there.
    ConnectionRefused,
    /// The peer reset the connection, or the network stack was restarted.
    ConnectionReset,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The socket is not connected.
    NotConnected,
    /// The port is taken.
    AddrInUse,
    /// The local address is not one of this host.
    AddrNotAvailable,
    /// No route, or the destination was reported as unreachable.
    NetworkUnreachable,
    /// No link, no address yet, or no network stack.
    NetworkDown,
    /// Writing after the sending direction was ended.
    BrokenPipe,
    /// A non-blocking call would have to wait.
    WouldBlock,
    /// An argument is out of range, or the call makes no sense for this socket.
    InvalidInput,
    /// Nobody answered in time, or a read or write timeout passed.
    TimedOut,
    /// A write was cut short for ever.
    WriteZero,
    /// The limit of sockets or buffers of the session, or of the stack, is reached. Closing something helps.
    QuotaExceeded,
    /// The stack speaks another protocol. Retrying cannot help.
    Unsupported,
    /// The stream ended before the buffer was full.
    UnexpectedEof,
    /// No room in this session's buffer memory. Closing something helps.
    OutOfMemory,
    /// The request was taken back.
    Interrupted,
    /// The datagram is larger than the socket or the network carries (`std` has no name for it).
    MessageTooLong,
    /// No name server is known, or it failed. Retrying may help (`std` has no name for it).
    NameServerFailed,
}

impl ErrorKind {
    /// The C library's words.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Name or service not known",
            ErrorKind::PermissionDenied => "Permission denied",
            ErrorKind::ConnectionRefused => "Connection refused",
            ErrorKind::ConnectionReset => "Connection reset by peer",
            ErrorKind::ConnectionAborted => "Software caused connection abort",
            ErrorKind::NotConnected => "Transport endpoint is not connected",
            ErrorKind::AddrInUse => "Address already in use",
            ErrorKind::AddrNotAvailable => "Cannot assign requested address",
            ErrorKind::NetworkUnreachable => "Network is unreachable",
            ErrorKind::NetworkDown => "Network is down",
            ErrorKind::BrokenPipe => "Broken pipe",
            ErrorKind::WouldBlock => "Resource temporarily unavailable",
            ErrorKind::InvalidInput => "Invalid argument",
            ErrorKind::TimedOut => "Connection timed out",
            ErrorKind::WriteZero => "failed to write whole buffer",
            ErrorKind::QuotaExceeded => "Too many open sockets or buffers",
            ErrorKind::Unsupported => "Protocol not supported",
            ErrorKind::UnexpectedEof => "failed to fill whole buffer",
            ErrorKind::OutOfMemory => "No buffer space available",
            ErrorKind::Interrupted => "Operation canceled",
            ErrorKind::MessageTooLong => "Message too long",
            ErrorKind::NameServerFailed => "Temporary failure in name resolution",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    kind: ErrorKind,
    /// Why there is no session, if that is the cause.
    session: Option<OpenError>,
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error {
            kind,
            session: None,
        }
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Error {
        Error::from(match error {
            NetError::Denied => ErrorKind::PermissionDenied,
            NetError::Exhausted => ErrorKind::QuotaExceeded,
            NetError::BadHandle | NetError::NotConnected => ErrorKind::NotConnected,
            NetError::BadState | NetError::BadArgument => ErrorKind::InvalidInput,
            NetError::AddressInUse => ErrorKind::AddrInUse,
            NetError::AddressNotAvailable => ErrorKind::AddrNotAvailable,
            NetError::ConnectionRefused => ErrorKind::ConnectionRefused,
            NetError::ConnectionReset => ErrorKind::ConnectionReset,
            NetError::ConnectionAborted => ErrorKind::ConnectionAborted,
            NetError::TimedOut => ErrorKind::TimedOut,
            NetError::Unreachable => ErrorKind::NetworkUnreachable,
            NetError::NetworkDown => ErrorKind::NetworkDown,
            NetError::NameNotFound => ErrorKind::NotFound,
            NetError::NameServerFailed => ErrorKind::NameServerFailed,
            NetError::Cancelled => ErrorKind::Interrupted,
            NetError::MessageTooLong => ErrorKind::MessageTooLong,
        })
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        let kind = match error {
            OpenError::Refused(Refusal::Mismatch(_)) => ErrorKind::Unsupported,
            OpenError::Refused(Refusal::BadRequest) => ErrorKind::InvalidInput,
            OpenError::Refused(Refusal::Denied) => ErrorKind::PermissionDenied,
            OpenError::Refused(Refusal::Exhausted) => ErrorKind::QuotaExceeded,
            OpenError::Unavailable => ErrorKind::NetworkDown,
            OpenError::NoMemory => ErrorKind::OutOfMemory,
        };
        Error {
            kind,
            session: Some(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.session {
            Some(cause) => write!(f, "{}: {cause}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind as Kind;
        match self.kind {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::PermissionDenied => Kind::PermissionDenied,
            ErrorKind::ConnectionRefused => Kind::ConnectionRefused,
            ErrorKind::ConnectionReset => Kind::ConnectionReset,
            ErrorKind::ConnectionAborted => Kind::ConnectionAborted,
            ErrorKind::NotConnected => Kind::NotConnected,
            ErrorKind::AddrInUse => Kind::AddrInUse,
            ErrorKind::AddrNotAvailable => Kind::AddrNotAvailable,
            ErrorKind::BrokenPipe => Kind::BrokenPipe,
            ErrorKind::InvalidInput => Kind::InvalidInput,
            ErrorKind::TimedOut => Kind::TimedOut,
            ErrorKind::WriteZero => Kind::WriteZero,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::OutOfMemory | ErrorKind::QuotaExceeded => Kind::OutOfMemory,
            ErrorKind::Interrupted => Kind::Interrupted,
            _ => Kind::Other,
        }
    }
}
