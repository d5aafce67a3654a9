//! The body of an answer: where it ends, and chunks taken apart (RFC 9112 sections 6.3 and 7.1).

use crate::commands::Failure;

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Longest line of chunk sizes, extensions and trailers.
const MAX_LINE: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// That many bytes of the body follow.
    Length(u64),
    UntilClose,
    /// In the digits of a chunk's size, so far.
    Size {
        size: u64,
        digits: usize,
    },
    /// Behind the digits: an extension, up to the line feed.
    Extension(u64),
    /// In the data of a chunk.
    Chunk(u64),
    /// At the line end behind a chunk.
    ChunkEnd,
    /// In the trailer; how long the line is that it is in.
    Trailer(usize),
    Complete,
}

/// A body being read.
#[derive(Debug)]
pub(super) struct Body {
    state: State,
    /// Bytes of sizes, extensions and trailers seen since the last data: bounded.
    overhead: usize,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Body {
        let state = match framing {
            Framing::Length(0) => State::Complete,
            Framing::Length(len) => State::Length(len),
            Framing::UntilClose => State::UntilClose,
            Framing::Chunked => State::Size { size: 0, digits: 0 },
        };
        Body { state, overhead: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The server ended the connection.
    ///
    /// # Errors
    /// Before the body was complete.
    pub(super) fn end(&self) -> Result<(), Failure> {
        match self.state {
            State::UntilClose | State::Complete => Ok(()),
            _ => Err(failure!("connection closed prematurely")),
        }
    }

    /// Takes what was received; what is body goes to `take`. Bytes behind the body are ignored.
    ///
    /// # Errors
    /// Malformed chunks.
    pub(super) fn feed(
        &mut self,
        mut data: &[u8],
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        while let Some((&byte, rest)) = data.split_first() {
            match self.state {
                State::Complete => return Ok(()),
                State::UntilClose => {
                    take(data);
                    return Ok(());
                }
                State::Length(left) | State::Chunk(left) => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                    let (body, behind) = data.split_at_checked(len).unwrap_or((data, &[]));
                    take(body);
                    data = behind;
                    self.overhead = 0;
                    let left = left.saturating_sub(len as u64);
                    self.state = match (self.state, left) {
                        (State::Length(_), 0) => State::Complete,
                        (State::Length(_), left) => State::Length(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                    continue;
                }
                _ => self.state = self.line(byte)?,
            }
            self.overhead = self.overhead.saturating_add(1);
            if self.overhead > MAX_LINE {
                return Err(failure!("bad chunked encoding: line too long"));
            }
            data = rest;
        }
        Ok(())
    }

    /// One byte outside the data.
    fn line(&self, byte: u8) -> Result<State, Failure> {
        let bad = || failure!("bad chunked encoding");
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or_else(bad)?;
                let size = size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit.into()));
                State::Size {
                    size: size.ok_or_else(bad)?,
                    digits: digits.saturating_add(1),
                }
            }
            (State::Size { digits: 0, .. }, _) => return Err(bad()),
            (State::Size { size, .. } | State::Extension(size), b'\n') => match size {
                0 => State::Trailer(0),
                size => State::Chunk(size),
            },
            (State::Size { size, .. } | State::Extension(size), _) => State::Extension(size),
            (State::ChunkEnd, b'\r') => State::ChunkEnd,
            (State::ChunkEnd, b'\n') => State::Size { size: 0, digits: 0 },
            (State::Trailer(0), b'\n') => State::Complete,
            (State::Trailer(_), b'\n') => State::Trailer(0),
            (State::Trailer(len), b'\r') => State::Trailer(len),
            (State::Trailer(len), _) => State::Trailer(len.saturating_add(1)),
            _ => return Err(bad()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, bool), Failure> {
        let mut body = Body::new(framing);
        let mut out = Vec::new();
        for part in parts {
            body.feed(part, &mut |data| out.extend_from_slice(data))?;
        }
        Ok((out, body.is_complete()))
    }

    #[test]
    fn lengths_and_closes() {
        assert_eq!(
            read(Framing::Length(3), &[b"ab", b"cd"]),
            Ok((b"abc".to_vec(), true))
        );
        assert_eq!(
            read(Framing::Length(3), &[b"ab"]),
            Ok((b"ab".to_vec(), false))
        );
        assert_eq!(read(Framing::Length(0), &[b"ab"]), Ok((vec![], true)));
        assert_eq!(
            read(Framing::UntilClose, &[b"ab", b"c"]),
            Ok((b"abc".to_vec(), false))
        );
        assert!(Body::new(Framing::UntilClose).end().is_ok());
        assert!(Body::new(Framing::Length(1)).end().is_err());
        assert!(Body::new(Framing::Chunked).end().is_err());
    }

    #[test]
    fn chunks_however_they_are_cut() {
        let message = b"4;x=y\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for cut in 0..message.len() {
            let (a, b) = message.split_at(cut);
            assert_eq!(
                read(Framing::Chunked, &[a, b]),
                Ok((b"Wiki0123456789".to_vec(), true)),
                "{cut}"
            );
        }
    }

    #[test]
    fn bad_chunks_are_errors() {
        for wrong in [
            &b"\r\n"[..],
            b"x\r\n",
            b"11111111111111111\r\n",
            b"1\r\naX",
            b"-1\r\n",
        ] {
            assert!(read(Framing::Chunked, &[wrong]).is_err(), "{wrong:?}");
        }
        assert!(read(Framing::Chunked, &[b"1;", &[b'x'; 10_000]]).is_err());
        assert!(read(Framing::Chunked, &[b"0\r\n", &[b'x'; 10_000]]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(Framing::Chunked, &[&data]);
        }
    }
}
