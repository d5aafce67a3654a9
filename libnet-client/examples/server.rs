//! A server, by tasks: answers each line with the line in capitals, on many connections at once.
//!
//! `cargo run -p libnet-client --example server` runs it on the host, against the scripted stack of the tests.

use core::{net::Ipv6Addr, time::Duration};
use libnet_client::{Config, Net, Result, TcpListener, TcpStream};

const PORT: u16 = 1234;
/// A client that says nothing for so long loses its place.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts connections for ever; each is a task.
async fn serve(net: Net, listener: TcpListener) -> Result<()> {
    loop {
        // Waits also while all buffers are in use: more connections stay in the backlog.
        let (stream, peer) = listener.accept_async().await?;
        let timer = net.clone();
        net.spawn(async move {
            // An error ends this connection, and nothing else.
            if let Err(error) = shout(&timer, &stream).await {
                println!("{peer}: {error}");
            }
        });
    }
}

async fn shout(net: &Net, stream: &TcpStream) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let len = net
            .timeout(PATIENCE, stream.read_async(&mut buffer))
            .await??;
        let Some(bytes @ [_, ..]) = buffer.get_mut(..len) else {
            return Ok(());
        };
        bytes.make_ascii_uppercase();
        stream.write_all_async(bytes).await?;
    }
}

/// A few clients, to see it work.
async fn clients(net: Net) -> Result<()> {
    for number in 1..=3 {
        let stream = TcpStream::connect_async(&net, ("10.0.0.1", PORT)).await?;
        stream
            .write_all_async(format!("client {number}\n").as_bytes())
            .await?;
        let mut answer = [0; 9];
        stream.read_exact_async(&mut answer).await?;
        print!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

fn run(net: &Net) -> Result<()> {
    let listener = TcpListener::bind(net, (Ipv6Addr::UNSPECIFIED, PORT))?;
    println!("listening on {}", listener.local_addr()?);
    net.spawn(serve(net.clone(), listener));
    net.block_on(clients(net.clone()))
}

fn main() {
    // In the image: Net::new(rt::net::open(&env, "net")?, Config::default())
    let stack = libnet_client::testing::FakeStack::new();
    let net = Net::new(stack, Config::default()).with_buffers(4 << 10, 4 << 10);
    if let Err(error) = run(&net) {
        eprintln!("{error}");
    }
}
