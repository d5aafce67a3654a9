//! A name server for the simulated zone, on the real stack's UDP.

use super::{Env, ask};
use libnet_client::UdpSocket;

/// Answers questions about names for ever.
pub async fn serve(env: Env) {
    loop {
        let since = env.book.now();
        match UdpSocket::bind_async(&env.net, "0.0.0.0:53").await {
            Ok(socket) => {
                let mut buffer = [0; 600];
                while let Ok((len, peer)) = socket.recv_from_async(&mut buffer).await {
                    if let Some(answer) = answer(&buffer[..len]) {
                        let _ = socket.send_to_async(&answer, peer).await;
                    }
                }
            }
            Err(error) => env.judge("bind", error, None, since),
        }
        env.pause(200).await;
    }
}

/// The answer to a question (RFC 1035 section 4): one record for `n` and a number, none for other names.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?;
    let len = usize::from(*name.first()?);
    let label = core::str::from_utf8(name.get(1..=len)?).ok()?;
    let end = name.iter().position(|byte| *byte == 0)? + 5;
    let number = label
        .strip_prefix('n')
        .and_then(|number| number.parse::<u64>().ok());
    let is_a = name.get(end - 4..end - 2)? == [0, 1];
    let records = u16::from(number.is_some() && is_a);
    let code = if number.is_some() { 0x80 } else { 0x83 };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x85, code, 0, 1]);
    answer.extend(records.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(name.get(..end)?);
    if let (Some(number), true) = (number, is_a) {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ask::address_of(number).octets());
    }
    Some(answer)
}
