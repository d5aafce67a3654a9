//! Answers: status codes, and the head in front of a body.

use crate::data::Data;
use alloc::{rc::Rc, string::String};
use core::fmt::Write;

/// The status codes that this server uses (RFC 9110 section 15, RFC 6585).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    HeadTooLarge,
    NotImplemented,
    VersionNotSupported,
}

impl Status {
    pub(crate) const fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::RequestTimeout => 408,
            Status::ContentTooLarge => 413,
            Status::HeadTooLarge => 431,
            Status::NotImplemented => 501,
            Status::VersionNotSupported => 505,
        }
    }

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::BadRequest => "Bad Request",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::ContentTooLarge => "Content Too Large",
            Status::HeadTooLarge => "Request Header Fields Too Large",
            Status::NotImplemented => "Not Implemented",
            Status::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
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
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    /// More header fields, each with its line end.
    pub(crate) fields: &'static str,
    pub(crate) body: Body,
}

/// Plain text, as the content type says it.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    /// The answer to a request that can't be served: the status in words.
    pub(crate) fn error(status: Status) -> Response {
        let fields = if status == Status::MethodNotAllowed {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let text = alloc::format!("{} {}\n", status.code(), status.reason());
        Response {
            status,
            content_type: TEXT,
            fields,
            body: Body::Text(text.into()),
        }
    }

    /// The head. There is no `Date`: RFC 9110 section 6.6.1 forbids it to a server without a clock of the day.
    pub(crate) fn head(&self, keep_alive: bool) -> String {
        let mut head = String::with_capacity(512);
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let _ = write!(
            head,
            "HTTP/1.1 {} {}\r\nServer: Causeway\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
             X-Content-Type-Options: nosniff\r\n{}\r\n",
            self.status.code(),
            self.status.reason(),
            self.content_type,
            self.body.len(),
            self.fields,
        );
        head
    }
}
