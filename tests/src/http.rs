//! Just enough of an HTTP client for the tests: one connection, several requests, bodies by Content-Length.

use crate::{Failure, Outcome, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection that is kept alive.
pub struct Client(BufReader<TcpStream>);

/// What came back.
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines, in lower case.
    pub headers: Vec<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn connect(server: SocketAddr) -> Outcome<Client> {
        let stream = TcpStream::connect_timeout(&server, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// Those of the socket, and of a response that is not HTTP/1.1 with a Content-Length.
    pub fn request(&mut self, method: &str, path: &str) -> Outcome<Response> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: guest\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| Failure(format!("not a status line: {line:?}")))?;
        let mut headers = Vec::new();
        let mut length = None;
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "end in the headers");
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok();
            }
            headers.push(header);
        }
        let length = length.ok_or_else(|| Failure("no Content-Length".into()))?;
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.0.read_exact(&mut body)?;
        Ok(Response {
            status,
            headers,
            body,
        })
    }

    /// `GET` of a path that must answer 200.
    ///
    /// # Errors
    /// Those of [`Client::request`], and any other status.
    pub fn get(&mut self, path: &str) -> Outcome<Vec<u8>> {
        let response = self.request("GET", path)?;
        ensure!(response.status == 200, "{path}: status {}", response.status);
        Ok(response.body)
    }
}
