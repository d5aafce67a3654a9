//! Init's start and its event loop. Each pass does bounded work: every process once, then a few requests.

extern crate alloc;

use alloc::{string::String, vec};
use core::fmt;
use init::{
    archive::{self, ArchiveError},
    command_line::CommandLine,
    gate::{Arrival, Gate},
    kernel::Kernel,
    machine::{DEVICE_STRAYED, PROCESS_ENDED, System, mebibytes},
    supervisor::Supervisor,
    system::Answer,
};
use ipc_proto::system::{Reply, Request, SystemError};
use manifest::{MANIFEST_FILE, Manifest, ReadError, Record};
use rt::{
    Endpoint, Env, Error, FOREVER, Machine, Message, MissingCap, Notification, Token, message, time,
};

/// Bit of the notification: a call has arrived on the endpoint `system`.
const CALLED: u64 = 2;
/// Requests answered in a pass, so that nobody's questions keep init from its processes.
const REQUESTS: usize = 32;
/// Exit status of the machine when init can't do its work.
const STATUS_FAILED: u8 = 70;
/// Longest kernel command line that is read, in bytes.
const COMMAND_LINE: usize = 4096;

/// Why init can't start anything.
enum Failure {
    Cap(MissingCap),
    Kernel(&'static str, Error),
    Archive(ArchiveError),
    NoManifest,
    Manifest(ReadError),
    Memory,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Cap(missing) => missing.fmt(f),
            Failure::Kernel(what, error) => write!(f, "{what}: {error}"),
            Failure::Archive(error) => write!(f, "the boot archive is {error}"),
            Failure::NoManifest => write!(f, "the boot archive has no `{MANIFEST_FILE}`"),
            Failure::Manifest(error) => write!(f, "the manifest of the boot archive is {error}"),
            Failure::Memory => f.write_str("the memory suffices for none of the processes"),
        }
    }
}

/// The system, ready to run.
struct Ready {
    supervisor: Supervisor<'static, System>,
    endpoint: Endpoint,
    events: Notification,
}

/// Runs the system. If it can't, the machine ends, since nobody else could start anything.
pub(crate) fn main(env: Env) -> u32 {
    match prepare(&env) {
        Ok(ready) => run(&env, ready),
        Err(failure) => {
            log::error!("{failure}; nothing can be started");
            if let Ok(machine) = env.machine() {
                machine.power_off(STATUS_FAILED);
            }
            STATUS_FAILED.into()
        }
    }
}

fn prepare(env: &Env) -> Result<Ready, Failure> {
    let events = Notification::create(&env.budget())
        .map_err(|error| Failure::Kernel("notification", error))?;
    let system = System::new(env, events).map_err(Failure::Cap)?;
    let command_line = CommandLine::parse(&command_line(&env.machine().map_err(Failure::Cap)?));
    if let Some(level) = command_line.log_level {
        rt::logger::set_level(level);
        system
            .echo(level)
            .map_err(|error| Failure::Kernel("log level", error))?;
    }
    let archive =
        rt::boot::archive().map_err(|error| Failure::Kernel("the boot archive", error))?;
    // All of it now: better no start than half a system.
    archive::verify(archive).map_err(Failure::Archive)?;
    let manifest = archive::find(archive, MANIFEST_FILE)
        .map_err(Failure::Archive)?
        .ok_or(Failure::NoManifest)?;
    let manifest = Manifest::from_bytes(manifest).map_err(Failure::Manifest)?;
    let frames = system.machine_info().map_or(0, |info| info.frames);
    log::info!(
        "Causeway {}: {} processes, {} MiB",
        env!("CARGO_PKG_VERSION"),
        manifest.processes.len(),
        mebibytes(frames)
    );
    let supervisor = Supervisor::new(system, manifest, archive, command_line)
        .map_err(|error| Failure::Kernel("endpoint", error))?;
    if !supervisor.memory_suffices() {
        return Err(Failure::Memory);
    }
    let endpoint = supervisor
        .system_endpoint()
        .map(|cap| Endpoint::borrowed(cap.slot()))
        .ok_or(Failure::Kernel("endpoint", Error::BadSlot))?;
    let events = Notification::borrowed(supervisor.kernel().events().slot());
    endpoint
        .bind(&events, CALLED)
        .map_err(|error| Failure::Kernel("endpoint", error))?;
    Ok(Ready {
        supervisor,
        endpoint,
        events,
    })
}

/// The event loop.
fn run(env: &Env, ready: Ready) -> ! {
    let Ready {
        mut supervisor,
        endpoint,
        events,
    } = ready;
    let mut gate = Gate::new(supervisor.processes());
    loop {
        let mut due = supervisor.run(time::now());
        let now = time::now();
        let mut answer = |badge, (token, request): (Token, Option<Request>)| {
            match supervisor.answer(badge, request) {
                // A caller that no longer waits has lost its answer, nobody else anything.
                Answer::Reply(reply) => {
                    let _ = endpoint.reply(token, &message::pack(&reply, &[]));
                }
                Answer::PowerOff(status) => power_off(env, status),
            }
        };
        while let Some((badge, call)) = gate.ready(now) {
            answer(badge, call);
        }
        let mut left = REQUESTS;
        let all_taken = loop {
            if left == 0 || gate.opens() > now {
                break false;
            }
            left = left.saturating_sub(1);
            let Some((badge, call)) = receive(&endpoint) else {
                break true;
            };
            match gate.arrive(badge, call, now) {
                Arrival::Answer(call) => answer(badge, call),
                Arrival::Waits => {}
                Arrival::Displaces((token, _)) => {
                    let busy = Reply::Failed(SystemError::Busy);
                    let _ = endpoint.reply(token, &message::pack(&busy, &[]));
                }
            }
        };
        due = [due, gate.next()].into_iter().flatten().min();
        let deadline = due.unwrap_or(FOREVER);
        if all_taken {
            events.wait(PROCESS_ENDED | DEVICE_STRAYED | CALLED, deadline);
        } else {
            // Calls are left, which nobody will tell of again: they are looked for as soon as they may be taken.
            events.wait(PROCESS_ENDED | DEVICE_STRAYED, deadline.min(gate.opens()));
        }
    }
}

/// The next call on the endpoint `system`: its badge, how to reply, and the request if it is one.
fn receive(endpoint: &Endpoint) -> Option<(u64, (Token, Option<Request>))> {
    let mut message = Message::new();
    let (badge, token) = endpoint.recv(&mut message, 0).ok()?;
    // Capabilities that came along are of no use here, and go.
    drop(message::received(&message));
    Some((badge, (token, message::unpack(&message).ok())))
}

fn power_off(env: &Env, status: u8) {
    log::info!("power off, status {status}");
    if let Ok(machine) = env.machine() {
        let error = machine.power_off(status);
        log::error!("the machine can't be switched off: {error}");
    }
}

/// The kernel command line; empty if it can't be had.
fn command_line(machine: &Machine) -> String {
    let mut buffer = vec![0; COMMAND_LINE];
    let len = machine.command_line(&mut buffer).unwrap_or(0);
    if len > buffer.len() {
        log::warn!("only the first {COMMAND_LINE} bytes of the kernel command line are read");
    }
    buffer.truncate(len);
    String::from_utf8_lossy(&buffer).into_owned()
}
