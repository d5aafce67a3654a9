//! The `embedded-io-async` traits, for crates that are written against them.

use crate::{
    error::{Error, Result},
    tcp::TcpStream,
};
use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};

/// The receiving direction of a [`TcpStream`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The sending direction of a [`TcpStream`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

impl TcpStream {
    /// Both directions, to be used at the same time.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    fn stream(&self) -> &TcpStream {
        self
    }
}

impl ReadHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl WriteHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }
}

macro_rules! error_type {
    ($($type:ty),*) => {$(
        impl ErrorType for $type {
            type Error = Error;
        }
    )*};
}
error_type!(TcpStream, &TcpStream, ReadHalf<'_>, WriteHalf<'_>);

macro_rules! read {
    ($($type:ty),*) => {$(
        impl Read for $type {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
                self.stream().read_async(buffer).await
            }
        }

        impl ReadReady for $type {
            fn read_ready(&mut self) -> Result<bool> {
                self.stream().is_readable()
            }
        }
    )*};
}
read!(TcpStream, &TcpStream, ReadHalf<'_>);

macro_rules! write {
    ($($type:ty),*) => {$(
        impl Write for $type {
            async fn write(&mut self, bytes: &[u8]) -> Result<usize> {
                self.stream().write_async(bytes).await
            }

            /// Does nothing: written bytes are on their way already.
            async fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }

        impl WriteReady for $type {
            fn write_ready(&mut self) -> Result<bool> {
                self.stream().is_writable()
            }
        }
    )*};
}
write!(TcpStream, &TcpStream, WriteHalf<'_>);
