//! Writes an answer to a connection, and tells whenever some of it was taken.

use alloc::string::String;
use embedded_io_async::Write;

/// Writes all of `data`; calls `moved` whenever some of it was taken.
pub(super) async fn write_all<S: Write>(
    stream: &mut S,
    mut data: &[u8],
    moved: &impl Fn(),
) -> Result<(), S::Error> {
    while !data.is_empty() {
        let len = stream.write(data).await?;
        moved();
        data = data.get(len..).unwrap_or_default();
    }
    Ok(())
}

/// Head and body in one piece if they are small.
pub(super) async fn write_two<S: Write>(
    stream: &mut S,
    head: String,
    body: &str,
    moved: &impl Fn(),
) -> Result<(), S::Error> {
    if body.len() <= 4096 {
        let mut both = head;
        both.push_str(body);
        return write_all(stream, both.as_bytes(), moved).await;
    }
    write_all(stream, head.as_bytes(), moved).await?;
    write_all(stream, body.as_bytes(), moved).await
}
