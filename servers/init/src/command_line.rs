//! The kernel command line: `log=LEVEL`, and `NAME.KEY=VALUE` for arguments of process NAME. Values are percent-decoded,
//! since the line is split at spaces.

use alloc::{string::String, vec::Vec};

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandLine {
    /// Log lines up to this level are made and shown: 1 error .. 5 trace.
    pub log_level: Option<u8>,
    /// Arguments: process, key, value; a later one counts.
    pub args: Vec<(String, String, String)>,
    /// Words that mean nothing.
    pub unknown: Vec<String>,
}

impl CommandLine {
    /// Reads a command line. Anything can stand there.
    pub fn parse(text: &str) -> CommandLine {
        let mut line = CommandLine::default();
        for word in text.split_ascii_whitespace() {
            if !line.word(word) {
                line.unknown.push(word.into());
            }
        }
        line
    }

    /// Takes one word; `false` if it means nothing.
    fn word(&mut self, word: &str) -> bool {
        let Some((key, value)) = word.split_once('=') else {
            // `quiet` is the kernel's.
            return word == "quiet";
        };
        let Some(value) = percent_decoded(value) else {
            return false;
        };
        if key == "log" {
            let level = ["error", "warn", "info", "debug", "trace"]
                .iter()
                .position(|name| *name == value);
            self.log_level = level.map(|level| level as u8 + 1).or(self.log_level);
            return level.is_some();
        }
        match key.split_once('.') {
            Some((process, key)) if !process.is_empty() && !key.is_empty() => {
                self.args.push((process.into(), key.into(), value));
                true
            }
            _ => false,
        }
    }

    /// The arguments of `process`: those of the manifest, replaced or added to by the command line's.
    pub fn args_of(&self, process: &str, manifest: &[(String, String)]) -> Vec<(String, String)> {
        let mut args = manifest.to_vec();
        for (_, key, value) in self.args.iter().filter(|(name, ..)| name == process) {
            match args.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => old.clone_from(value),
                None => args.push((key.clone(), value.clone())),
            }
        }
        args
    }
}

/// Replaces %XX by the byte; `None` if that is no UTF-8 or a `%` is not followed by two digits.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, behind @ ..] = rest else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_arguments() {
        let line = CommandLine::parse(
            "  log=debug shell.exec=ps%3B%20ip netstack.ip=dhcp netstack.ip=10.0.0.1/8 ",
        );
        assert_eq!(line.log_level, Some(4));
        assert_eq!(line.unknown, Vec::<String>::new());
        let manifest = [("ip".into(), "dhcp".into()), ("x".into(), "1".into())];
        assert_eq!(
            line.args_of("netstack", &manifest),
            [("ip".into(), "10.0.0.1/8".into()), ("x".into(), "1".into())]
        );
        assert_eq!(
            line.args_of("shell", &[]),
            [("exec".into(), "ps; ip".into())]
        );
        assert_eq!(line.args_of("httpd", &[]), []);
    }

    #[test]
    fn values_may_hold_equals_signs_and_dots() {
        let line = CommandLine::parse("netstack.ip=10.0.0.1/24,gw=10.0.0.2");
        assert_eq!(line.args[0].2, "10.0.0.1/24,gw=10.0.0.2");
    }

    #[test]
    fn nonsense_is_collected_not_obeyed() {
        let text = "loud log=loud .x=1 y.=2 z=3 a.b=%4 a.b=%zz a.b=%ff é.ö";
        let line = CommandLine::parse(text);
        assert_eq!(line.log_level, None);
        assert_eq!(line.args, []);
        assert_eq!(line.unknown.len(), 9);
        assert_eq!(CommandLine::parse("quiet"), CommandLine::default());
    }
}
