//! Attacks everything that it can reach, in random campaigns, and says what it did. See `run-qemu.sh --hostile`.
//!
//! Arguments: `seed` (else the campaigns differ from boot to boot), `seconds` (else it never ends), `only` (the name of
//! one campaign), `orders` (a TCP port: it then attacks nobody until somebody connects there, sends a number of seconds and closes).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the hostile program runs in the image only: see run-qemu.sh --hostile");
}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod image {
    use alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    };
    use core::time::Duration;
    use hostile::campaign::Attack;
    use libnet_client::{Config, Net, TcpListener};
    use rt::{Env, Notification};

    rt::entry!(main);

    /// Its own priority, as the manifest gives it.
    const PRIORITY: u8 = 6;
    /// How long it is silent after an attack, in nanoseconds: the kernel listens again to who has filled its part of the log when there is room
    /// for a kilobyte, which takes 16 s.
    const SILENCE: u64 = 20 * rt::time::SECOND;
    /// Longest order.
    const MAX_ORDER: usize = 16;

    fn main(env: Env) -> u32 {
        match run(&env) {
            Ok(()) => 0,
            Err(error) => {
                log::error!("hostile: {error}");
                1
            }
        }
    }

    fn seed(env: &Env) -> Result<u64, String> {
        if let Some(text) = env.arg("seed") {
            return text.parse().map_err(|_| format!("bad seed {text}"));
        }
        let mut seed = [0; 8];
        rt::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
        Ok(u64::from_le_bytes(seed))
    }

    fn run(env: &Env) -> Result<(), String> {
        let seed = seed(env)?;
        log::info!("hostile: seed {seed}");
        if let Some(port) = env.arg("orders") {
            let port = port.parse().map_err(|_| format!("bad port {port}"))?;
            return obey(env, port, seed);
        }
        let seconds = env.arg("seconds").map(str::parse).transpose();
        let seconds: Option<u64> = seconds.map_err(|_| String::from("bad number of seconds"))?;
        attack(env, seed, seconds);
        Ok(())
    }

    fn attack(env: &Env, seed: u64, seconds: Option<u64>) -> String {
        let tally =
            Attack::new(env, seed, PRIORITY).run(seconds.map(Duration::from_secs), env.arg("only"));
        pause(env);
        log::info!("hostile: {tally}");
        tally.to_string()
    }

    /// Says nothing for a while: what comes next must not be left out.
    fn pause(env: &Env) {
        if let Ok(nobody) = Notification::create(&env.budget()) {
            nobody.wait(1, rt::time::now().saturating_add(SILENCE));
        }
    }

    /// Attacks when it is told to, for as long as it is told.
    fn obey(env: &Env, port: u16, seed: u64) -> Result<(), String> {
        for number in 0.. {
            let seconds = order(env, port)?;
            attack(env, seed.wrapping_add(number), Some(seconds));
        }
        Ok(())
    }

    /// Waits for an order. The session is over when it returns: the attack has all of the quota.
    fn order(env: &Env, port: u16) -> Result<u64, String> {
        let system = rt::net::open(env, "net").map_err(|error| error.to_string())?;
        let config = Config {
            arena: 64 << 10,
            receive_buffer: 1024,
            transmit_buffer: 1024,
            ..Config::default()
        };
        let net = Net::new(system, config);
        let listener =
            TcpListener::bind(&net, ("0.0.0.0", port)).map_err(|error| error.to_string())?;
        loop {
            let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
            let mut text = Vec::with_capacity(MAX_ORDER);
            let mut bytes = [0; MAX_ORDER];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                text.extend_from_slice(bytes.get(..count).unwrap_or_default());
                if text.len() > MAX_ORDER {
                    break;
                }
            }
            let order = core::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(seconds) = order {
                return Ok(seconds);
            }
        }
    }
}
