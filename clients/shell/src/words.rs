//! Splits a line into commands and words, with the quoting that people know from a POSIX shell.
//!
//! `;` separates commands, white space words; `'...'` keeps everything, `"..."` everything but `\"` and `\\`, `\x` is
//! `x`; a word that begins with `#` starts a comment. No variables, no globs, no pipes.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// Why a line has no meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyntaxError {
    /// A quote was opened and not closed.
    Unterminated(char),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyntaxError::Unterminated(quote) => {
                write!(f, "syntax error: unterminated quote {quote}")
            }
        }
    }
}

impl core::error::Error for SyntaxError {}

/// The commands of a line, each a list of at least one word.
///
/// # Errors
/// [`SyntaxError`]; then nothing of the line should run.
pub fn split(line: &str) -> Result<Vec<Vec<String>>, SyntaxError> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    // `Some` inside a word, which may be empty: ''.
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        None => return Err(SyntaxError::Unterminated('\'')),
                        Some('\'') => break,
                        Some(c) => word.push(c),
                    }
                }
            }
            '"' => quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => word
                .get_or_insert_default()
                .push(characters.next().unwrap_or('\\')),
            '#' if word.is_none() => break,
            ';' => {
                words.extend(word.take());
                if !words.is_empty() {
                    commands.push(core::mem::take(&mut words));
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        commands.push(words);
    }
    Ok(commands)
}

/// The inside of double quotes.
fn quoted(characters: &mut core::str::Chars<'_>, word: &mut String) -> Result<(), SyntaxError> {
    loop {
        match characters.next() {
            None => return Err(SyntaxError::Unterminated('"')),
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                None => return Err(SyntaxError::Unterminated('"')),
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
            },
            Some(c) => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_semicolons() {
        for (line, expected) in [
            ("", &[] as &[&[&str]]),
            ("  ;; ; ", &[]),
            ("ps", &[&["ps"]]),
            ("ping  -c 3\thost ", &[&["ping", "-c", "3", "host"]]),
            ("ip; ps;netstat", &[&["ip"], &["ps"], &["netstat"]]),
            ("echo 'a;b  c' d", &[&["echo", "a;b  c", "d"]]),
            (r#"echo "a \" \\ \n;" x"#, &[&["echo", r#"a " \ \n;"#, "x"]]),
            (r"echo a\ b \; \\", &[&["echo", "a b", ";", r"\"]]),
            ("echo '' \"\"", &[&["echo", "", ""]]),
            ("echo a'b'\"c\"d", &[&["echo", "abcd"]]),
            ("echo a # b; c", &[&["echo", "a"]]),
            ("echo a#b", &[&["echo", "a#b"]]),
            ("# nothing", &[]),
            ("echo \\", &[&["echo", "\\"]]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn open_quotes_are_errors() {
        for (line, quote) in [("echo 'a", '\''), ("echo \"a", '"'), ("a; echo \"\\", '"')] {
            let error = split(line).unwrap_err();
            assert_eq!(error, SyntaxError::Unterminated(quote), "{line:?}");
        }
        assert_eq!(
            alloc::format!("{}", SyntaxError::Unterminated('"')),
            "syntax error: unterminated quote \""
        );
    }
}
