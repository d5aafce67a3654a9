//! Calls and doorbells between two processes, many of them: `bench/src/micro.rs` counts the instructions meanwhile.
//!
//! The argument `role` says which of the two a process is. The client logs `begin WHAT COUNT` and `end WHAT`, with pauses in which
//! the harness asks for the counts.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("micro runs in the image only: see bench.sh");
}

#[cfg(target_os = "none")]
mod image {
    use rt::{Endpoint, Env, Error, Message, Notification, time};

    rt::entry!(main);

    const FOREVER: u64 = u64::MAX;
    /// How often each thing is done.
    const COUNT: u64 = 20_000;
    /// Pause before and after each: the line gets to the console, and the harness asks.
    const PAUSE: u64 = 500 * time::MILLISECOND;
    /// The other programs have started by then, and are silent.
    const START: u64 = 4 * time::SECOND;
    /// In a call: answer at once.
    const NOTHING: u8 = 0;
    /// In a call: exchange doorbells, then ring back as often as is rung.
    const RING: u8 = 1;

    fn main(env: Env) -> u32 {
        let outcome = match env.arg("role") {
            Some("server") => serve(&env),
            _ => measure(&env),
        };
        match outcome {
            Ok(()) => 0,
            Err(error) => {
                log::error!("{error}");
                1
            }
        }
    }

    /// A message of one byte.
    fn message(kind: u8) -> Message {
        let mut message = Message::new();
        message.len = 1;
        if let Some(first) = message.data.first_mut() {
            *first = kind;
        }
        message
    }

    /// A message that carries a doorbell.
    fn with_doorbell(kind: u8, own: &Notification) -> Result<Message, Error> {
        let mut message = message(kind);
        message.cap_count = 1;
        if let Some(first) = message.caps.first_mut() {
            *first = own.doorbell(1)?.into_raw();
        }
        Ok(message)
    }

    /// The doorbell that came with a message.
    fn doorbell(message: &Message) -> Result<Notification, Error> {
        let slot = message.slots().first().ok_or(Error::BadSlot)?;
        Ok(Notification::from_raw(*slot))
    }

    fn serve(env: &Env) -> Result<(), Error> {
        let endpoint = env.endpoint("micro").map_err(|_| Error::BadSlot)?;
        let own = Notification::create(&env.budget())?;
        let mut call = Message::new();
        loop {
            let (_, token) = endpoint.recv(&mut call, FOREVER)?;
            if call.bytes() != [RING] {
                endpoint.reply(token, &message(NOTHING))?;
                continue;
            }
            let peer = doorbell(&call)?;
            endpoint.reply(token, &with_doorbell(RING, &own)?)?;
            for _ in 0..COUNT {
                own.wait(1, FOREVER);
                peer.signal(1)?;
            }
        }
    }

    fn measure(env: &Env) -> Result<(), Error> {
        let server = env.endpoint("micro").map_err(|_| Error::BadSlot)?;
        let own = Notification::create(&env.budget())?;
        sleep(&own, START);
        phase(&own, "poll", || own.wait(2, 0))?;
        phase(&own, "signal", || own.signal(1))?;
        own.wait(1, 0);
        phase(&own, "call", || call(&server))?;
        let mut exchange = with_doorbell(RING, &own)?;
        server.call(&mut exchange, FOREVER)?;
        let peer = doorbell(&exchange)?;
        phase(&own, "ring", || {
            let rung = peer.signal(1);
            own.wait(1, FOREVER);
            rung
        })
    }

    fn call(server: &Endpoint) -> Result<(), Error> {
        server.call(&mut message(NOTHING), FOREVER)
    }

    /// Does something many times, and says so before and after.
    fn phase<T>(own: &Notification, what: &str, mut work: impl FnMut() -> T) -> Result<(), Error> {
        log::info!("begin {what} {COUNT}");
        sleep(own, PAUSE);
        for _ in 0..COUNT {
            work();
        }
        log::info!("end {what}");
        sleep(own, PAUSE);
        Ok(())
    }

    /// Nobody signals bit 63.
    fn sleep(own: &Notification, time: u64) {
        own.wait(1 << 63, time::now().saturating_add(time));
    }
}
