//! Test program of the image. Its argument `mode` says what to try: a fault (`fault-*`), reaching the network
//! without a capability (`no-network`), breaking the policy of its session (`forbidden`), starting and killing
//! processes (`churn`), leading a device astray (`rogue-driver`), random system calls (`syscalls`), or looking into
//! registers for what others left (`registers`). It logs `PASS` or `FAIL` and why; the system tests read the log.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("probe runs in the image of the system tests only");
}

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod faults;
#[cfg(target_os = "none")]
mod network;
#[cfg(target_os = "none")]
mod rogue;

#[cfg(target_os = "none")]
mod image {
    use crate::{faults, network, rogue};
    use alloc::string::String;
    use hostile::{churn, registers, scribble, wild};

    rt::entry!(main);

    pub(crate) use hostile::Finding;

    fn main(env: rt::Env) -> u32 {
        let mode = env.arg("mode").unwrap_or("none");
        let finding = match mode.strip_prefix("fault-") {
            Some(kind) => Err(faults::commit(kind)),
            None => match mode {
                "no-network" => network::without_capability(&env),
                "forbidden" => network::against_policy(&env),
                "revoke" => scribble::attack_own_session(&env),
                "rogue-driver" => rogue::lead_astray(&env),
                "churn" => churn::start_and_kill(&env),
                "syscalls" => wild::call_at_random(&env),
                "registers" => registers::keep_apart(&env),
                _ => Err(String::from("no such mode")),
            },
        };
        match finding {
            Ok(text) => {
                log::info!("PASS {mode}: {text}");
                0
            }
            Err(text) => {
                log::error!("FAIL {mode}: {text}");
                1
            }
        }
    }
}
