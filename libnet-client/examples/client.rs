//! A client, by blocking calls: asks an echo service by connection and by datagram.
//!
//! `cargo run -p libnet-client --example client` runs it on the host, against the scripted stack of the tests.

use core::time::Duration;
use libnet_client::{Config, ErrorKind, Net, Result, Shutdown, TcpStream, UdpSocket};

/// By connection.
fn ask(net: &Net, host: &str) -> Result<String> {
    let stream = TcpStream::connect(net, (host, 7))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"hello, network\n")?;
    // The peer reads the end of the stream, and can still answer.
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// By datagram, which may be lost: asks three times.
fn ask_by_datagram(net: &Net, host: &str) -> Result<usize> {
    let socket = UdpSocket::bind(net, "0.0.0.0:0")?;
    socket.connect((host, 7))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for _ in 0..3 {
        socket.send(b"hello")?;
        match socket.recv(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            answer => return answer,
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn run(net: &Net) -> Result<()> {
    print!("{}", ask(net, "echo.example")?);
    println!(
        "{} bytes by datagram",
        ask_by_datagram(net, "echo.example")?
    );
    Ok(())
}

fn main() {
    // In the image: Net::new(rt::net::open(&env, "net")?, Config::default())
    let stack = libnet_client::testing::FakeStack::new();
    stack.add_name("echo.example", &[[10, 0, 0, 7].into()]);
    let net = Net::new(stack, Config::default());
    if let Err(error) = run(&net) {
        eprintln!("echo.example: {error}");
    }
}
