//! Options of commands: `-x` and `-x VALUE` anywhere among the arguments, `--` ends them.

use alloc::vec::Vec;
use core::{str::FromStr, time::Duration};

use super::Failure;

/// Arguments, taken apart.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    flags: Vec<&'a str>,
    values: Vec<(&'a str, &'a str)>,
    /// What is no option.
    pub(super) operands: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Takes arguments apart: `flags` stand alone, `valued` take the next argument with them.
    ///
    /// # Errors
    /// An unknown option, or a missing value.
    pub(super) fn parse(
        arguments: &[&'a str],
        flags: &[&str],
        valued: &[&str],
    ) -> Result<Self, Failure> {
        let mut options = Options::default();
        let mut arguments = arguments.iter().copied();
        while let Some(argument) = arguments.next() {
            if flags.contains(&argument) {
                options.flags.push(argument);
            } else if valued.contains(&argument) {
                let value = arguments.next().ok_or_else(|| {
                    failure!(
                        "option requires an argument -- '{}'",
                        argument.trim_start_matches('-')
                    )
                })?;
                options.values.push((argument, value));
            } else if argument == "--" {
                options.operands.extend(arguments.by_ref());
            } else if argument.len() > 1 && argument.starts_with('-') {
                return Err(failure!("unrecognized option '{argument}'"));
            } else {
                options.operands.push(argument);
            }
        }
        Ok(options)
    }

    /// Whether a flag was given.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// The value of an option; the last one counts.
    pub(super) fn value(&self, option: &str) -> Option<&'a str> {
        self.values
            .iter()
            .rev()
            .find(|(name, _)| *name == option)
            .map(|(_, value)| *value)
    }

    /// The value of an option as a number.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number<N: FromStr>(&self, option: &str) -> Result<Option<N>, Failure> {
        self.value(option)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| failure!("invalid number '{value}'"))
            })
            .transpose()
    }
}

/// A time in seconds with an optional fraction: `2`, `0.25`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let thousandths: u64 = alloc::format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let whole: u64 = whole.parse::<u32>().ok()?.into();
    Some(Duration::from_millis(
        whole.saturating_mul(1000).saturating_add(thousandths),
    ))
}

/// A port number, 1..=65535.
///
/// # Errors
/// It is none.
pub(super) fn port(text: &str) -> Result<u16, Failure> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(failure!("invalid port {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_anywhere() {
        let options = Options::parse(
            &["host", "-c", "3", "-u", "-", "--", "-x"],
            &["-u"],
            &["-c"],
        )
        .unwrap();
        assert_eq!(options.operands, ["host", "-", "-x"]);
        assert!(options.has("-u"));
        assert_eq!(options.number("-c"), Ok(Some(3u32)));
        assert_eq!(options.number::<u32>("-n"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        let message = |arguments: &[&str]| match Options::parse(arguments, &[], &["-c"]) {
            Err(Failure::Message(message)) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message(&["-c"]), "option requires an argument -- 'c'");
        assert_eq!(message(&["-x"]), "unrecognized option '-x'");
        let options = Options::parse(&["-c", "-1"], &[], &["-c"]).unwrap();
        assert_eq!(
            options.number::<u32>("-c"),
            Err(failure!("invalid number '-1'"))
        );
    }

    #[test]
    fn times() {
        assert_eq!(seconds("2"), Some(Duration::from_secs(2)));
        assert_eq!(seconds("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(seconds("1.23456"), Some(Duration::from_millis(1234)));
        for wrong in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "99999999999",
            "é.é",
            "1.é",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
