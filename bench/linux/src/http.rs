//! HTTP/1.1, as far as the measurements go: `GET /1k`, kept or closed. The answers are made once.

/// The two answers to a good request, byte for byte those of Causeway's `httpd`, and one to any other.
pub(crate) struct Answers {
    keep: Vec<u8>,
    close: Vec<u8>,
    wrong: Vec<u8>,
}

/// What a request is answered with.
pub(crate) struct Answer<'a> {
    pub(crate) bytes: &'a [u8],
    /// Length of the request.
    pub(crate) len: usize,
    /// Whether the connection stays.
    pub(crate) keep: bool,
}

impl Answers {
    pub(crate) fn new() -> Answers {
        let page: Vec<u8> = (0..1024_usize).map(|index| (index % 251) as u8).collect();
        let answer = |connection: &str| {
            let mut bytes = format!(
                "HTTP/1.1 200 OK\r\nServer: Causeway\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
                 Connection: {connection}\r\nX-Content-Type-Options: nosniff\r\n\r\n",
                page.len()
            )
            .into_bytes();
            bytes.extend(&page);
            bytes
        };
        Answers {
            keep: answer("keep-alive"),
            close: answer("close"),
            wrong: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec(),
        }
    }

    /// The answer to the request at the start of these bytes, if all of it is there.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Option<Answer<'_>> {
        let len = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = bytes.get(..len)?;
        if !head.starts_with(b"GET /1k HTTP/1.1\r\n") {
            return Some(Answer {
                bytes: &self.wrong,
                len,
                keep: false,
            });
        }
        let close = head
            .split(|byte| *byte == b'\n')
            .any(|line| line.trim_ascii().eq_ignore_ascii_case(b"connection: close"));
        let bytes = if close { &self.close } else { &self.keep };
        Some(Answer {
            bytes,
            len,
            keep: !close,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_when_they_are_whole() {
        let answers = Answers::new();
        assert!(answers.answer(b"GET /1k HTTP/1.1\r\nHost: x\r\n").is_none());
        let answer = answers
            .answer(b"GET /1k HTTP/1.1\r\nHost: x\r\n\r\nGET")
            .unwrap();
        assert!(answer.keep && answer.len == 29 && answer.bytes.starts_with(b"HTTP/1.1 200 "));
        let answer = answers
            .answer(b"GET /1k HTTP/1.1\r\nConnection: Close\r\n\r\n")
            .unwrap();
        assert!(!answer.keep && answer.bytes.ends_with(&[18, 19]));
        assert!(!answers.answer(b"GET /2k HTTP/1.1\r\n\r\n").unwrap().keep);
    }
}
