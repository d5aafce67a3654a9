//! The head of a request: what of it counts, and what is refused (RFC 9112, RFC 9110).
//!
//! The parsing itself is `httparse`'s. Refused are heads that two servers could read differently (request
//! smuggling): more than one length, a length that is no number, a transfer coding.

use crate::response::Status;
use core::mem::MaybeUninit;

/// Most header fields of a request.
const MAX_FIELDS: usize = 64;
/// Longest body that is read and thrown away, so that the connection can be kept.
pub(crate) const MAX_BODY: u32 = 64 * 1024;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request<'a> {
    /// GET and HEAD are answered; anything else is told so.
    pub(crate) method: Method,
    /// The path without query.
    pub(crate) path: &'a str,
    /// Whether more requests may follow on the connection.
    pub(crate) keep_alive: bool,
    /// Bytes of the body behind the head, at most [`MAX_BODY`].
    pub(crate) body: u32,
}

/// Methods as far as they matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Method {
    #[default]
    Get,
    Head,
    Other,
}

/// Reads the head at the start of `received`: the request and the length of its head, `None` if more has to come.
///
/// # Errors
/// The status to refuse with. The connection can't be kept then: where the next request starts is unknown.
pub(crate) fn parse(received: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    if received.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(received, &mut fields) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported),
        Err(_) => return Err(Status::BadRequest),
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Status::BadRequest);
    };
    let mut fields = Fields::default();
    for field in request.headers.iter() {
        fields.note(field.name, field.value)?;
    }
    // RFC 9112 section 3.2: one Host field, required by HTTP/1.1.
    if fields.hosts > 1 || (version == 1 && fields.hosts == 0) {
        return Err(Status::BadRequest);
    }
    let body = match u32::try_from(fields.length.unwrap_or(0)) {
        Ok(body) if body <= MAX_BODY => body,
        _ => return Err(Status::ContentTooLarge),
    };
    let keep_alive = !fields.close && (version == 1 || fields.keep_alive);
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    Ok(Some((
        Request {
            method,
            path: path(target),
            keep_alive,
            body,
        },
        len,
    )))
}

/// The path of a request target in origin form or absolute form (RFC 9112 section 3.2).
fn path(target: &str) -> &str {
    // Nearly always in origin form: then there is nothing to look for.
    let absolute = match target.starts_with('/') {
        true => None,
        false => target.split_once("://"),
    };
    let target = match absolute {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    let query = target.bytes().position(|byte| byte == b'?');
    query.and_then(|at| target.get(..at)).unwrap_or(target)
}

/// What the header fields say.
#[derive(Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
        if name.eq_ignore_ascii_case("host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Status::NotImplemented);
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = length(value).ok_or(Status::BadRequest)?;
            // RFC 9110 section 8.6: a repeated length is harmless only if all are the same.
            if self
                .length
                .replace(length)
                .is_some_and(|earlier| earlier != length)
            {
                return Err(Status::BadRequest);
            }
        } else if name.eq_ignore_ascii_case("connection") {
            for option in value.split(|byte| *byte == b',') {
                let option = option.trim_ascii();
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }
}

/// A length: digits only (`parse` alone would take a sign).
fn length(value: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(value.trim_ascii()).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(head: &str) -> Result<Option<(Request<'_>, usize)>, Status> {
        parse(head.as_bytes())
    }

    #[test]
    fn ordinary_requests() {
        let head = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
        let (found, len) = request(head).unwrap().unwrap();
        let expected = Request {
            method: Method::Get,
            path: "/a",
            keep_alive: true,
            body: 0,
        };
        assert_eq!((found, len), (expected, head.len()));
        for cut in 0..head.len() {
            assert_eq!(request(&head[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn keep_alive_follows_version_and_connection() {
        for (head, keep) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
                false,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(request(head).unwrap().unwrap().0.keep_alive, keep, "{head}");
        }
    }

    #[test]
    fn targets() {
        for (target, expected) in [
            ("/", "/"),
            ("/1k?", "/1k"),
            ("http://host:80/metrics?x", "/metrics"),
            ("http://host", "/"),
            ("*", "*"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(request(&head).unwrap().unwrap().0.path, expected);
        }
    }

    #[test]
    fn ambiguous_and_oversized_heads_are_refused() {
        let many = "X: y\r\n".repeat(MAX_FIELDS + 1);
        for (fields, status) in [
            ("", Status::BadRequest),
            ("Host: a\r\nHost: b\r\n", Status::BadRequest),
            (
                "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
                Status::BadRequest,
            ),
            ("Host: a\r\nContent-Length: +1\r\n", Status::BadRequest),
            ("Host: a\r\nContent-Length: -1\r\n", Status::BadRequest),
            ("Host: a\r\nContent-Length: 1,1\r\n", Status::BadRequest),
            ("Host: a\r\nContent-Length: \r\n", Status::BadRequest),
            (
                "Host: a\r\nContent-Length: 99999999999999999999999\r\n",
                Status::BadRequest,
            ),
            (
                "Host: a\r\nContent-Length: 18446744073709551615\r\n",
                Status::ContentTooLarge,
            ),
            (
                "Host: a\r\nContent-Length: 65537\r\n",
                Status::ContentTooLarge,
            ),
            (
                "Host: a\r\nTransfer-Encoding: chunked\r\n",
                Status::NotImplemented,
            ),
            ("Host : a\r\n", Status::BadRequest),
            ("nonsense\r\n", Status::BadRequest),
            (&many, Status::HeadTooLarge),
        ] {
            assert_eq!(
                request(&format!("GET / HTTP/1.1\r\n{fields}\r\n")),
                Err(status),
                "{fields}"
            );
        }
        assert_eq!(
            request("GET / HTTP/2.0\r\n\r\n"),
            Err(Status::VersionNotSupported)
        );
        assert_eq!(
            request("\x16\x03\x01 hello\r\n\r\n"),
            Err(Status::BadRequest)
        );
        let twice = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(request(twice).unwrap().unwrap().0.body, 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        /// What is complete stays complete and the same, whatever follows.
        #[test]
        fn pipelined_requests_are_cut_at_their_end(tail in proptest::collection::vec(any::<u8>(), 0..50)) {
            let head = b"HEAD /1k HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n";
            let expected = Request { method: Method::Head, path: "/1k", keep_alive: true, body: 7 };
            let received = [&head[..], &tail].concat();
            prop_assert_eq!(parse(&received), Ok(Some((expected, head.len()))));
        }
    }
}
