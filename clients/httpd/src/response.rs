//! Answers: status codes, and the head in front of a body.

use crate::data::Data;
use alloc::{rc::Rc, vec::Vec};

/// The head of an answer up to the length of its body.
macro_rules! front {
    ($status:literal, $content_type:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\nServer: Causeway\r\nContent-Type: ",
            $content_type,
            "\r\nContent-Length: "
        )
    };
}
pub(crate) use front;

/// The status codes, with code and reason of each.
macro_rules! statuses {
    ($($name:ident: $line:literal,)*) => {
        /// The status codes that this server uses (RFC 9110 section 15, RFC 6585).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) enum Status {
            $($name,)*
        }

        impl Status {
            /// Code and reason on a line: the body of an answer that has no other.
            pub(crate) const fn line(self) -> &'static str {
                match self {
                    $(Status::$name => concat!($line, "\n"),)*
                }
            }

            /// The front of an answer with that body.
            const fn front(self) -> &'static str {
                match self {
                    $(Status::$name => front!($line, "text/plain; charset=utf-8"),)*
                }
            }
        }
    };
}

statuses! {
    Ok: "200 OK",
    BadRequest: "400 Bad Request",
    NotFound: "404 Not Found",
    MethodNotAllowed: "405 Method Not Allowed",
    RequestTimeout: "408 Request Timeout",
    ContentTooLarge: "413 Content Too Large",
    HeadTooLarge: "431 Request Header Fields Too Large",
    NotImplemented: "501 Not Implemented",
    VersionNotSupported: "505 HTTP Version Not Supported",
}

/// What stands behind the head of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// Text of the program.
    Static(&'static str),
    /// Text made for this moment, shared by the answers that want it.
    Text(Rc<str>),
    /// Test data.
    Data(Data),
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        match self {
            Body::Static(text) => text.len(),
            Body::Text(text) => text.len(),
            Body::Data(data) => data.len(),
        }
    }

    /// The bytes from `position` on, as many as lie together.
    pub(crate) fn block(&self, position: usize) -> &[u8] {
        match self {
            Body::Static(text) => text.as_bytes().get(position..).unwrap_or_default(),
            Body::Text(text) => text.as_bytes().get(position..).unwrap_or_default(),
            Body::Data(data) => {
                let mut data = *data;
                data.advance(position);
                data.block()
            }
        }
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Status line and first fields, as `front` makes them.
    pub(crate) front: &'static str,
    /// More header fields, each with its line end.
    pub(crate) fields: &'static str,
    pub(crate) body: Body,
}

impl Response {
    /// The answer to a request that can't be served: the status in words.
    pub(crate) fn error(status: Status) -> Response {
        let fields = if status == Status::MethodNotAllowed {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        Response {
            status,
            front: status.front(),
            fields,
            body: Body::Static(status.line()),
        }
    }

    /// Appends the head. There is no `Date`: RFC 9110 section 6.6.1 forbids it to a server without a clock of the day.
    pub(crate) fn write_head(&self, keep_alive: bool, out: &mut Vec<u8>) {
        out.reserve(512);
        let connection = if keep_alive {
            "\r\nConnection: keep-alive\r\nX-Content-Type-Options: nosniff\r\n"
        } else {
            "\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n"
        };
        let mut digits = [0; 20];
        for part in [
            self.front.as_bytes(),
            decimal(self.body.len(), &mut digits),
            connection.as_bytes(),
            self.fields.as_bytes(),
            b"\r\n",
        ] {
            out.extend_from_slice(part);
        }
    }
}

/// A number in decimal, at the end of `digits`: enough for any.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start = at;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_golden_bytes() {
        let mut out = b"before".to_vec();
        Response::error(Status::MethodNotAllowed).write_head(true, &mut out);
        let expected = "beforeHTTP/1.1 405 Method Not Allowed\r\nServer: Causeway\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\nConnection: keep-alive\r\n\
             X-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n\r\n";
        assert_eq!(str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 1_048_576, usize::MAX - 1, usize::MAX] {
            let mut digits = [0; 20];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
