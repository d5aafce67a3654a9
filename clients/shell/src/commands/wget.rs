//! wget: fetches one page over HTTP/1.1 (RFC 9112) and prints it, or its size and hash.

mod body;
mod url;

use super::{Failure, options::Options};
use crate::{
    platform::{Platform, Stream, strerror},
    race::{Either, race},
    shell::Shell,
};
use alloc::{format, string::String, vec::Vec};
use body::{Body, Framing};
use core::{net::SocketAddr, time::Duration};
use ipc_proto::socket::{Family, NetError};
use sha2::{Digest, Sha256};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may say nothing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most redirections followed.
const MAX_REDIRECTS: usize = 5;
/// Longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of an answer.
const MAX_FIELDS: usize = 64;

/// Where the body goes.
enum Sink {
    Console,
    Hash { sha: Sha256, len: u64 },
}

/// What an answer led to.
enum Answer {
    Done,
    Redirect(String),
}

pub(super) async fn wget<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let options = Options::parse(arguments, &["--hash", "-q"], &["-O"])?;
    let [url] = options.operands.as_slice() else {
        return Err(usage);
    };
    if !matches!(options.value("-O"), None | Some("-")) {
        return Err(failure!("there are no files: -O - prints to the console"));
    }
    let mut url = Url::parse(url)?;
    shell.network().await;
    for _ in 0..=MAX_REDIRECTS {
        let mut sink = match options.has("--hash") {
            true => Sink::Hash {
                sha: Sha256::new(),
                len: 0,
            },
            false => Sink::Console,
        };
        match fetch(shell, &url, &mut sink).await? {
            Answer::Redirect(location) => url = url.join(&location)?,
            Answer::Done => {
                if let Sink::Hash { sha, len } = sink {
                    let hash = sha.finalize();
                    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                    say!(shell, "{len} bytes, sha256 {hex}");
                }
                return Ok(());
            }
        }
    }
    Err(failure!("too many redirections"))
}

async fn fetch<P: Platform>(
    shell: &Shell<P>,
    url: &Url,
    sink: &mut Sink,
) -> Result<Answer, Failure> {
    let stream = connect(shell, url).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: causeway-wget\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path,
        url.authority()
    );
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let len = in_time(shell, stream.write(rest)).await?;
        rest = rest.get(len..).unwrap_or_default();
    }
    let mut buffer = alloc::vec![0; MAX_HEAD];
    let mut received: Vec<u8> = Vec::new();
    loop {
        match head(&received)? {
            None if received.len() >= MAX_HEAD => {
                return Err(failure!("header of the answer is too long"));
            }
            None => {
                let len = in_time(shell, stream.read(&mut buffer)).await?;
                if len == 0 {
                    return Err(failure!("error getting response"));
                }
                received.extend_from_slice(buffer.get(..len).unwrap_or_default());
            }
            // Another head follows (RFC 9110 section 15.2).
            Some(head) if head.status / 100 == 1 => {
                received.drain(..head.len.min(received.len()));
            }
            Some(Head {
                redirect: Some(location),
                ..
            }) => return Ok(Answer::Redirect(location)),
            Some(head) if head.status / 100 != 2 => {
                let Head { status, reason, .. } = head;
                return Err(failure!(
                    "server returned error: HTTP/1.1 {status} {reason}"
                ));
            }
            Some(head) => {
                received.drain(..head.len.min(received.len()));
                return body(shell, &stream, head.framing, &received, buffer, sink).await;
            }
        }
    }
}

/// What counts in the head of an answer.
struct Head {
    len: usize,
    status: u16,
    reason: String,
    framing: Framing,
    redirect: Option<String>,
}

/// Reads the head of an answer; `None` if it has not all come.
fn head(received: &[u8]) -> Result<Option<Head>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let len = match response.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(failure!("bad header: {error}")),
    };
    let status = response.code.unwrap_or(0);
    let field = |name: &str| {
        let field = response
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(field.value).ok().map(str::trim)
    };
    let redirect = match status {
        301 | 302 | 303 | 307 | 308 => field("location").map(String::from),
        _ => None,
    };
    let framing = match (field("transfer-encoding"), field("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        (Some(coding), _) => return Err(failure!("unknown transfer encoding: {coding}")),
        (None, Some(len)) => Framing::Length(
            len.parse()
                .map_err(|_| failure!("bad content length: {len}"))?,
        ),
        (None, None) => Framing::UntilClose,
    };
    let framing = if status == 204 {
        Framing::Length(0)
    } else {
        framing
    };
    let reason = String::from(response.reason.unwrap_or_default());
    Ok(Some(Head {
        len,
        status,
        reason,
        framing,
        redirect,
    }))
}

async fn body<P: Platform>(
    shell: &Shell<P>,
    stream: &P::Stream,
    framing: Framing,
    first: &[u8],
    mut buffer: Vec<u8>,
    sink: &mut Sink,
) -> Result<Answer, Failure> {
    let mut body = Body::new(framing);
    let mut take = |data: &[u8]| match sink {
        Sink::Console => shell.print_bytes(data),
        Sink::Hash { sha, len } => {
            sha.update(data);
            *len = len.saturating_add(data.len() as u64);
        }
    };
    body.feed(first, &mut take)?;
    while !body.is_complete() {
        let len = in_time(shell, stream.read(&mut buffer)).await?;
        if len == 0 {
            body.end()?;
            break;
        }
        body.feed(buffer.get(..len).unwrap_or_default(), &mut take)?;
        crate::race::yield_now().await;
    }
    Ok(Answer::Done)
}

async fn connect<P: Platform>(shell: &Shell<P>, url: &Url) -> Result<P::Stream, Failure> {
    let addresses = match shell.resolve(&url.host, Family::Any).await {
        Ok(addresses) => addresses,
        Err(NetError::NameNotFound) => return Err(failure!("bad address '{}'", url.host)),
        Err(error) => return Err(failure!("{}: {}", url.host, strerror(error))),
    };
    let mut last = failure!("bad address '{}'", url.host);
    for address in addresses {
        match shell
            .platform
            .connect(SocketAddr::new(address, url.port), CONNECT_TIMEOUT)
            .await
        {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                last = failure!(
                    "can't connect to remote host ({address}): {}",
                    strerror(error)
                )
            }
        }
    }
    Err(last)
}

/// Waits for an operation on the connection, but not for ever.
async fn in_time<P: Platform, T>(
    shell: &Shell<P>,
    operation: impl Future<Output = Result<T, NetError>>,
) -> Result<T, Failure> {
    match race(operation, shell.platform.sleep(SILENCE_TIMEOUT)).await {
        Either::First(result) => result.map_err(|error| failure!("{}", strerror(error))),
        Either::Second(()) => Err(failure!("download timed out")),
    }
}
