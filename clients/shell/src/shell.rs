//! The shell itself: start-up, prompt, running lines, the wait for the network, `exec`.

use crate::{
    commands::{self, Failure},
    editor::{Editor, Event},
    input::Input,
    platform::Platform,
    race::{Either, race},
    words,
};
use alloc::string::String;
use core::{cell::Cell, fmt, net::IpAddr, time::Duration};
use ipc_proto::{
    socket::{AddressSource, Family, InterfaceInfo, NetError},
    system,
};

/// How long commands wait for an address after boot.
const NETWORK_PATIENCE: Duration = Duration::from_secs(10);
/// How long they look after they waited in vain.
const NETWORK_GLANCE: Duration = Duration::from_millis(200);
/// When they say so.
const NETWORK_NOTICE: Duration = Duration::from_secs(1);
/// How often they look.
const NETWORK_POLL: Duration = Duration::from_millis(50);
/// How long the start waits to show the address before the prompt.
const START_PATIENCE: Duration = Duration::from_secs(4);
/// How long a name is looked up.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Status of a command ended by its user: 128 and the number of SIGINT, as other shells have it.
const INTERRUPTED: u8 = 130;
/// Status of a command that does not exist.
const NOT_FOUND: u8 = 127;
/// Status of a line that has no meaning.
const SYNTAX: u8 = 2;

/// How the shell was started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Commands to run instead of asking for them; then the machine is switched off.
    pub exec: Option<String>,
    /// Where the status page can be seen from the host.
    pub url: Option<String>,
}

/// The shell.
pub struct Shell<P> {
    pub(crate) platform: P,
    pub(crate) input: Input,
    /// Someone types: lines end as terminals want it, and commands can be interrupted.
    pub(crate) interactive: bool,
    /// The network had no address when it was last waited for.
    gave_up: Cell<bool>,
}

impl<P: Platform> Shell<P> {
    /// Makes a shell; `interactive` is false for `exec`.
    pub fn new(platform: P, interactive: bool) -> Shell<P> {
        Shell {
            platform,
            input: Input::default(),
            interactive,
            gave_up: Cell::new(false),
        }
    }

    /// Runs until the end of input; for `exec` until its commands are done and the machine is told to stop.
    pub async fn run(&self, start: &Start) -> u8 {
        if let Some(exec) = &start.exec {
            let status = self.run_line(exec).await;
            let status = status.min(commands::MAX_STATUS);
            return match commands::power_off(self, status) {
                Ok(()) => status,
                Err(failure) => self.report("poweroff", &failure),
            };
        }
        self.greet(start).await;
        self.converse().await;
        0
    }

    /// Banner, address and status page, as far as they are known soon.
    async fn greet(&self, start: &Start) {
        say!(
            self,
            "\nCauseway {}. Type help for the commands.",
            env!("CARGO_PKG_VERSION")
        );
        match race(
            self.input.interrupt(&self.platform),
            self.wait_for_address(START_PATIENCE, None),
        )
        .await
        {
            Either::Second(Some(interface)) => {
                if let Some(line) = address_line(&interface) {
                    say!(self, "{line}");
                }
            }
            _ => say!(self, "eth0: no address yet"),
        }
        if let Some(url) = &start.url {
            say!(self, "Status page: {url}");
        }
    }

    /// Prompt, line, run; until the end of input, which a console never has.
    async fn converse(&self) {
        let mut editor = Editor::new("causeway> ", commands::names());
        let mut show = String::new();
        editor.start(&mut show);
        loop {
            self.platform.write(show.as_bytes());
            show.clear();
            let byte = self.input.byte(&self.platform).await;
            match editor.key(byte, &mut show) {
                Event::None => continue,
                Event::Line(line) => {
                    self.platform.write(show.as_bytes());
                    show.clear();
                    self.run_line(&line).await;
                }
                Event::Interrupt => {}
                Event::EndOfInput => {
                    show.push_str(
                        "\r\nThe console has no end; poweroff switches the machine off.\r\n",
                    );
                }
            }
            editor.start(&mut show);
        }
    }

    /// Runs the commands of a line; the status of the last one that failed, or zero.
    pub async fn run_line(&self, line: &str) -> u8 {
        let commands = match words::split(line) {
            Ok(commands) => commands,
            Err(error) => {
                say!(self, "sh: {error}");
                return SYNTAX;
            }
        };
        let mut result = 0;
        for command in &commands {
            let status = self.run_command(command).await;
            if status != 0 {
                result = status;
            }
            if status == INTERRUPTED {
                break;
            }
        }
        result
    }

    async fn run_command(&self, words: &[String]) -> u8 {
        let Some((name, arguments)) = words.split_first() else {
            return 0;
        };
        let Some(command) = commands::find(name) else {
            say!(self, "sh: {name}: not found");
            return NOT_FOUND;
        };
        let run = commands::run(self, command, arguments);
        let result = if self.interactive && !command.takes_interrupt {
            match race(self.input.interrupt(&self.platform), run).await {
                Either::First(()) => Err(Failure::Interrupted),
                Either::Second(result) => result,
            }
        } else {
            run.await
        };
        self.input.set_consumed(false);
        match result {
            Ok(()) => 0,
            Err(failure) => self.report(name, &failure),
        }
    }

    /// Prints why a command failed; its status.
    fn report(&self, command: &str, failure: &Failure) -> u8 {
        match failure {
            Failure::Interrupted => {
                say!(self, "^C");
                INTERRUPTED
            }
            Failure::Silent(status) => *status,
            Failure::Message(message) => {
                say!(self, "{command}: {message}");
                1
            }
            Failure::Usage(usage) => {
                say!(self, "usage: {usage}");
                SYNTAX
            }
        }
    }

    /// Writes text to the console; `\n` ends lines.
    pub(crate) fn print(&self, text: fmt::Arguments<'_>) {
        let text = alloc::fmt::format(text);
        if self.interactive {
            self.platform.write(text.replace('\n', "\r\n").as_bytes());
        } else {
            self.platform.write(text.as_bytes());
        }
    }

    /// Writes bytes that came from elsewhere to the console; only line feeds are changed, to what terminals want.
    pub(crate) fn print_bytes(&self, mut data: &[u8]) {
        if !self.interactive {
            self.platform.write(data);
            return;
        }
        let mut text = alloc::vec::Vec::with_capacity(data.len());
        while let Some((&byte, rest)) = data.split_first() {
            if byte == b'\n' && text.last() != Some(&b'\r') {
                text.push(b'\r');
            }
            text.push(byte);
            data = rest;
        }
        self.platform.write(&text);
    }

    /// Milliseconds from `earlier` (as [`Platform::now`] counts) to now.
    pub(crate) fn millis_since(&self, earlier: u64) -> u64 {
        self.platform.now().saturating_sub(earlier) / 1_000_000
    }

    /// Waits until the interface has an address that reaches further than the link; `None` if it takes too long.
    async fn wait_for_address(
        &self,
        patience: Duration,
        notice: Option<Duration>,
    ) -> Option<InterfaceInfo> {
        let began = self.platform.now();
        let mut notice = notice;
        loop {
            let waited = Duration::from_millis(self.millis_since(began));
            let left = patience
                .checked_sub(waited)
                .filter(|left| !left.is_zero())?;
            if notice.is_some_and(|notice| waited >= notice) {
                notice = None;
                say!(self, "waiting for the network...");
            }
            let until_notice =
                notice.map_or(left, |notice| notice.saturating_sub(waited).min(left));
            // A stack that is not there does not answer: the question must not outlast the patience.
            let look = async {
                if let Ok(interface) = self.platform.interface().await
                    && has_address(&interface)
                {
                    return Some(interface);
                }
                self.platform.sleep(NETWORK_POLL).await;
                None
            };
            if let Either::First(Some(interface)) =
                race(look, self.platform.sleep(until_notice)).await
            {
                return Some(interface);
            }
        }
    }

    /// Gives the network time to come up, after boot or after the stack was restarted. If it did not, the command that asked says
    /// what is wrong, and the next one does not wait as long again.
    pub(crate) async fn network(&self) {
        let patience = if self.gave_up.get() {
            NETWORK_GLANCE
        } else {
            NETWORK_PATIENCE
        };
        let found = self.wait_for_address(patience, Some(NETWORK_NOTICE)).await;
        self.gave_up.set(found.is_none());
    }

    /// Turns a name or a literal address into addresses, at least one.
    pub(crate) async fn resolve(
        &self,
        host: &str,
        family: Family,
    ) -> Result<alloc::vec::Vec<IpAddr>, NetError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(alloc::vec![address]);
        }
        let addresses = self.platform.resolve(host, family, RESOLVE_TIMEOUT).await?;
        if addresses.is_empty() {
            return Err(NetError::NameNotFound);
        }
        Ok(addresses)
    }

    /// Asks init.
    pub(crate) fn ask(&self, request: &system::Request) -> Result<system::Reply, Failure> {
        let reply = self
            .platform
            .system(request)
            .map_err(|error| failure!("{error}"))?;
        Ok(reply)
    }
}

fn has_address(interface: &InterfaceInfo) -> bool {
    interface.source != AddressSource::None
        && interface
            .addresses
            .iter()
            .any(|(address, _)| address.is_ipv4())
}

/// `eth0: 10.0.2.15/24 via 10.0.2.2 (dhcp)`
fn address_line(interface: &InterfaceInfo) -> Option<String> {
    let (address, prefix) = interface
        .addresses
        .iter()
        .find(|(address, _)| address.is_ipv4())?;
    let mut line = alloc::format!("eth0: {address}/{prefix}");
    if let Some(router) = interface.routers.iter().find(|router| router.is_ipv4()) {
        line.push_str(&alloc::format!(" via {router}"));
    }
    line.push_str(match interface.source {
        AddressSource::None => "",
        AddressSource::Dhcp => " (dhcp)",
        AddressSource::Static => " (static)",
    });
    Some(line)
}

#[cfg(test)]
mod tests;
