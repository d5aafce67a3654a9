//! Answers: status codes, and the head in front of a body.

use crate::data::Data;
use alloc::rc::Rc;

/// The head of an answer, for a status and a type; with a length, that of its body.
macro_rules! head {
    ($status:expr, $line:literal, $content_type:literal, $fields:literal $(, $length:literal)?) => {{
        static HEAD: $crate::response::Head = $crate::response::Head {
            status: $status,
            keep_alive: head!(@ $line, $content_type, "keep-alive", $fields $(, $length)?),
            close: head!(@ $line, $content_type, "close", $fields $(, $length)?),
        };
        &HEAD
    }};
    (@ $line:literal, $content_type:literal, $connection:literal, $fields:literal, $length:literal) => {
        [
            concat!(head!(@front $line, $content_type), $length, head!(@rest $connection, $fields)),
            "",
        ]
    };
    (@ $line:literal, $content_type:literal, $connection:literal, $fields:literal) => {
        [head!(@front $line, $content_type), head!(@rest $connection, $fields)]
    };
    (@front $line:literal, $content_type:literal) => {
        concat!(
            "HTTP/1.1 ",
            $line,
            "\r\nServer: Causeway\r\nContent-Type: ",
            $content_type,
            "\r\nContent-Length: "
        )
    };
    (@rest $connection:literal, $fields:literal) => {
        concat!(
            "\r\nConnection: ",
            $connection,
            "\r\nX-Content-Type-Options: nosniff\r\n",
            $fields,
            "\r\n"
        )
    };
}
pub(crate) use head;

/// The status codes, with code, reason and more header fields of each.
macro_rules! statuses {
    ($($name:ident: $line:literal, $fields:literal;)*) => {
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

            /// The head of an answer with that body.
            fn head(self) -> &'static Head {
                match self {
                    $(Status::$name => head!(Status::$name, $line, "text/plain; charset=utf-8", $fields),)*
                }
            }
        }
    };
}

statuses! {
    Ok: "200 OK", "";
    BadRequest: "400 Bad Request", "";
    NotFound: "404 Not Found", "";
    MethodNotAllowed: "405 Method Not Allowed", "Allow: GET, HEAD\r\n";
    RequestTimeout: "408 Request Timeout", "";
    ContentTooLarge: "413 Content Too Large", "";
    HeadTooLarge: "431 Request Header Fields Too Large", "";
    NotImplemented: "501 Not Implemented", "";
    VersionNotSupported: "505 HTTP Version Not Supported", "";
}

/// The head of an answer: made by `head`, in two pieces around the length of the body, or in one with it. There is no `Date`: RFC 9110
/// section 6.6.1 forbids it to a server without a clock of the day.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) status: Status,
    /// If the connection is kept.
    pub(crate) keep_alive: [&'static str; 2],
    /// If it ends.
    pub(crate) close: [&'static str; 2],
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
    pub(crate) head: &'static Head,
    pub(crate) body: Body,
}

impl Response {
    /// The answer to a request that can't be served: the status in words.
    pub(crate) fn error(status: Status) -> Response {
        Response {
            head: status.head(),
            body: Body::Static(status.line()),
        }
    }

    /// The head, in pieces; `digits` is room for one.
    pub(crate) fn head<'a>(&self, keep_alive: bool, digits: &'a mut [u8; 20]) -> [&'a [u8]; 3] {
        let [front, rest] = if keep_alive {
            self.head.keep_alive
        } else {
            self.head.close
        };
        let length = match rest {
            "" => &[],
            _ => decimal(self.body.len(), digits),
        };
        [front.as_bytes(), length, rest.as_bytes()]
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
        let mut digits = [0; 20];
        let answer = Response::error(Status::MethodNotAllowed);
        let expected = "HTTP/1.1 405 Method Not Allowed\r\nServer: Causeway\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\nConnection: keep-alive\r\n\
             X-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n\r\n";
        let head = answer.head(true, &mut digits).concat();
        assert_eq!(str::from_utf8(&head), Ok(expected));
        let closing = expected.replace("keep-alive", "close");
        let head = answer.head(false, &mut digits).concat();
        assert_eq!(str::from_utf8(&head), Ok(closing.as_str()));
    }

    #[test]
    fn a_head_in_one_piece_is_the_same() {
        let answer = |head| Response {
            head,
            body: Body::Static("1234567890"),
        };
        let two = answer(head!(Status::Ok, "200 OK", "text/plain", "A: b\r\n"));
        let one = answer(head!(Status::Ok, "200 OK", "text/plain", "A: b\r\n", 10));
        for keep_alive in [false, true] {
            let (mut first, mut second) = ([0; 20], [0; 20]);
            let [front, length, rest] = one.head(keep_alive, &mut first);
            assert!(length.is_empty() && rest.is_empty());
            assert_eq!(front, two.head(keep_alive, &mut second).concat());
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 1_048_576, usize::MAX - 1, usize::MAX] {
            let mut digits = [0; 20];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
