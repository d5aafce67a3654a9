//! The part of URLs (RFC 3986) that wget needs.

use crate::commands::Failure;
use alloc::{format, string::String};

/// An `http` URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Url {
    /// Name or address; an IPv6 address without its brackets.
    pub(super) host: String,
    /// 80 if nothing is said.
    pub(super) port: u16,
    /// Path and query, begins with `/`.
    pub(super) path: String,
}

impl Url {
    /// Reads a URL; without a scheme it is `http`.
    ///
    /// # Errors
    /// Another scheme, no host, a bad port, or characters that would break the request.
    pub(super) fn parse(text: &str) -> Result<Url, Failure> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(failure!("bad address '{text}'"));
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(failure!("not an http url: {text}")),
            None => text,
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let path = if path.starts_with('/') {
            String::from(path)
        } else {
            format!("/{path}")
        };
        let bad = || failure!("bad address '{authority}'");
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or_else(bad)?;
                (
                    host,
                    if rest.is_empty() {
                        None
                    } else {
                        Some(rest.strip_prefix(':').ok_or_else(bad)?)
                    },
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| failure!("bad port '{port}'"))?,
        };
        if host.is_empty() || host.contains('@') {
            return Err(bad());
        }
        Ok(Url {
            host: String::from(host),
            port,
            path,
        })
    }

    /// The URL that a `Location` field names.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub(super) fn join(&self, location: &str) -> Result<Url, Failure> {
        if location.contains("://") {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(rest);
        }
        let path = if location.starts_with('/') {
            String::from(location)
        } else {
            // Relative to the last slash of the path (RFC 3986 section 5.2.3).
            let path = self
                .path
                .split_once('?')
                .map_or(self.path.as_str(), |(path, _)| path);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        Url::parse(&format!("{}{path}", self.authority()))
    }

    /// Host and port as the `Host` field has them (RFC 9110 section 7.2).
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == 80 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.host, url.port, url.path)
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, host, port, path) in [
            ("http://10.0.2.2", "10.0.2.2", 80, "/"),
            ("HTTP://host:8080/a/b?c=d#e", "host", 8080, "/a/b?c=d"),
            ("host", "host", 80, "/"),
            ("host?q", "host", 80, "/?q"),
            ("http://[fec0::2]:81/x", "fec0::2", 81, "/x"),
            ("http://[fec0::2]/", "fec0::2", 80, "/"),
        ] {
            assert_eq!(parts(text), (host.into(), port, path.into()), "{text}");
        }
        for (wrong, message) in [
            ("https://host/", "not an http url: https://host/"),
            ("http://", "bad address ''"),
            ("http:///x", "bad address ''"),
            ("http://host:0/", "bad port '0'"),
            ("http://host:x/", "bad port 'x'"),
            ("http://[::1/", "bad address '[::1'"),
            ("http://a b/", "bad address 'http://a b/'"),
            ("http://a/\r\nX: y", "bad address 'http://a/\r\nX: y'"),
        ] {
            assert_eq!(Url::parse(wrong), Err(failure!("{message}")), "{wrong}");
        }
    }

    #[test]
    fn redirections() {
        let url = Url::parse("http://[::1]:8080/a/b?c").unwrap();
        let to = |location: &str| {
            let url = url.join(location).unwrap();
            format!("{}{}", url.authority(), url.path)
        };
        assert_eq!(to("/x"), "[::1]:8080/x");
        assert_eq!(to("x?y"), "[::1]:8080/a/x?y");
        assert_eq!(to("//other/x"), "other/x");
        assert_eq!(to("http://other:81/x"), "other:81/x");
        assert!(url.join("https://other/").is_err());
    }
}
