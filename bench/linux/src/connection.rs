//! One TCP connection and its service.

use crate::http::Answers;
use rustix::{
    event::epoll::EventFlags,
    io::{Errno, read, write},
};
use std::os::fd::OwnedFd;

/// Bytes moved at once.
pub(crate) const CHUNK: usize = 64 << 10;
/// Characters of chargen: 95 lines of 74.
const PERIOD: usize = 95 * 74;
/// Longest request of HTTP.
const MOST_REQUEST: usize = 8 << 10;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    Echo,
    Discard,
    Chargen,
    Http,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) buffer: Vec<u8>,
    characters: Vec<u8>,
    answers: Answers,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        let character = |index: usize| match (index % PERIOD / 74, index % 74) {
            (_, 72) => b'\r',
            (_, 73) => b'\n',
            (line, column) => b' ' + ((line + column) % 95) as u8,
        };
        Shared {
            buffer: vec![0; CHUNK],
            characters: (0..PERIOD + CHUNK).map(character).collect(),
            answers: Answers::new(),
        }
    }
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) service: Service,
    /// What the kernel was asked to tell.
    pub(crate) interest: EventFlags,
    /// Bytes that could not be sent yet.
    unsent: Vec<u8>,
    /// Bytes of a request that is not whole yet.
    request: Vec<u8>,
    /// Position in the characters.
    position: usize,
    /// Nothing more is read; the connection ends when all is sent.
    ending: bool,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Wait(EventFlags),
    Close,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, service: Service) -> Connection {
        let interest = match service {
            Service::Chargen => EventFlags::OUT,
            _ => EventFlags::IN,
        };
        Connection {
            socket,
            service,
            interest,
            unsent: Vec::new(),
            request: Vec::new(),
            position: 0,
            ending: false,
        }
    }

    /// Does what can be done now.
    pub(crate) fn progress(&mut self, shared: &mut Shared) -> Next {
        let done = match self.service {
            Service::Discard => self.discard(&mut shared.buffer),
            Service::Chargen => self.generate(&shared.characters),
            Service::Echo => self.echo(&mut shared.buffer),
            Service::Http => self.http(shared),
        };
        match done {
            Err(Errno::AGAIN) if self.service == Service::Chargen || !self.unsent.is_empty() => {
                Next::Wait(EventFlags::OUT)
            }
            Err(Errno::AGAIN) => Next::Wait(EventFlags::IN),
            Ok(()) | Err(_) => Next::Close,
        }
    }

    fn discard(&mut self, buffer: &mut [u8]) -> Result<(), Errno> {
        loop {
            match read(&self.socket, &mut *buffer)? {
                0 => return Ok(()),
                // There is no more; asking would be a call for nothing.
                len if len < buffer.len() => return Err(Errno::AGAIN),
                _ => {}
            }
        }
    }

    fn generate(&mut self, characters: &[u8]) -> Result<(), Errno> {
        loop {
            let chunk = characters.get(self.position..self.position + CHUNK);
            let len = write(&self.socket, chunk.unwrap_or_default())?;
            self.position = (self.position + len) % PERIOD;
            if len < CHUNK {
                return Err(Errno::AGAIN);
            }
        }
    }

    fn echo(&mut self, buffer: &mut [u8]) -> Result<(), Errno> {
        loop {
            self.flush()?;
            let len = read(&self.socket, &mut *buffer)?;
            if len == 0 {
                return Ok(());
            }
            self.send(buffer.get(..len).unwrap_or_default())?;
            if len < buffer.len() {
                return Err(Errno::AGAIN);
            }
        }
    }

    fn http(&mut self, shared: &mut Shared) -> Result<(), Errno> {
        self.flush()?;
        if self.ending {
            return Ok(());
        }
        let len = read(&self.socket, &mut shared.buffer)?;
        if len == 0 {
            return Ok(());
        }
        let read = shared.buffer.get(..len).unwrap_or_default();
        let mut earlier = std::mem::take(&mut self.request);
        let mut bytes = if earlier.is_empty() {
            read
        } else {
            earlier.extend(read);
            &earlier
        };
        while let Some(answer) = shared.answers.answer(bytes) {
            self.send(answer.bytes)?;
            if !answer.keep {
                self.ending = true;
                return if self.unsent.is_empty() {
                    Ok(())
                } else {
                    Err(Errno::AGAIN)
                };
            }
            bytes = bytes.get(answer.len..).unwrap_or_default();
        }
        if bytes.len() > MOST_REQUEST {
            return Ok(());
        }
        self.request = bytes.to_vec();
        Err(Errno::AGAIN)
    }

    /// Sends, and keeps what does not go.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let sent = if self.unsent.is_empty() {
            match write(&self.socket, bytes) {
                Err(Errno::AGAIN) => 0,
                other => other?,
            }
        } else {
            0
        };
        self.unsent.extend(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        while !self.unsent.is_empty() {
            let sent = write(&self.socket, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}
