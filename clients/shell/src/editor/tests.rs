//! Key sequences and the lines that they make; and a small terminal that shows what the user would see.

use super::*;
use alloc::vec;
use proptest::prelude::*;

fn editor() -> Editor {
    Editor::new("> ", vec!["ps", "ping", "poweroff", "help"])
}

/// Types `keys` and Enter; what was entered.
fn enter(editor: &mut Editor, keys: &str) -> String {
    let mut show = String::new();
    for byte in keys.bytes() {
        assert_eq!(editor.key(byte, &mut show), Event::None, "{keys:?}");
    }
    match editor.key(b'\r', &mut show) {
        Event::Line(line) => line,
        other => panic!("{other:?}"),
    }
}

/// What a terminal of one endless line shows after `output`, and where its cursor is.
fn screen(output: &str) -> (String, usize) {
    let mut line: Vec<char> = Vec::new();
    let mut at = 0;
    let mut characters = output.chars();
    while let Some(c) = characters.next() {
        match c {
            '\r' => at = 0,
            '\n' => {
                line.clear();
                at = 0;
            }
            '\x07' => {}
            '\x1b' => {
                assert_eq!(characters.next(), Some('['));
                let mut number = 0;
                let end = loop {
                    match characters.next().unwrap() {
                        digit if digit.is_ascii_digit() => {
                            number = number * 10 + digit as usize - '0' as usize;
                        }
                        end => break end,
                    }
                };
                match end {
                    'D' => at -= number,
                    'C' => at += number,
                    'K' => line.truncate(at),
                    'H' => at = 0,
                    'J' => line.clear(),
                    other => panic!("ESC [ {other}"),
                }
            }
            c => {
                if at < line.len() {
                    line[at] = c;
                } else {
                    line.push(c);
                }
                at += 1;
            }
        }
    }
    (line.into_iter().collect(), at)
}

#[test]
fn plain_lines_come_out_as_typed() {
    let mut editor = editor();
    assert_eq!(enter(&mut editor, "ping host"), "ping host");
    assert_eq!(enter(&mut editor, ""), "");
    assert_eq!(enter(&mut editor, "grüße ☕"), "grüße ☕");
}

#[test]
fn keys_edit_the_line() {
    for (keys, line) in [
        ("ac\x1b[Db", "abc"),
        ("bc\x01a", "abc"),
        ("bc\x1b[Ha", "abc"),
        ("bc\x1b[1~a", "abc"),
        ("bc\x1bOHa", "abc"),
        ("ab\x01\x05c", "abc"),
        ("ab\x01\x1b[Fc", "abc"),
        ("ab\x01\x1b[4~c", "abc"),
        ("abx\x7fc", "abc"),
        ("abx\x08c", "abc"),
        ("xabc\x01\x04", "abc"),
        ("xabc\x01\x1b[3~", "abc"),
        ("abcxyz\x1b[D\x1b[D\x1b[D\x0b", "abc"),
        ("xyzabc\x1b[D\x1b[D\x1b[D\x15", "abc"),
        ("abc xyz  \x17\x7f", "abc"),
        ("xyz\x17abc", "abc"),
        ("\x7f\x08\x17\x15\x0b\x1b[D\x1b[C\x1b[3~abc", "abc"),
        ("a\x1b[1;5Cb\x00c", "abc"),
        ("a\u{e9}\x7fbc", "abc"),
        ("a\x1b\x1bbc", "abc"),
    ] {
        let mut editor = editor();
        assert_eq!(enter(&mut editor, keys), line, "{keys:?}");
    }
}

#[test]
fn carriage_return_and_line_feed_are_one_line() {
    let mut editor = editor();
    let mut show = String::new();
    let events: Vec<Event> = "a\r\nb\nc\r"
        .bytes()
        .map(|byte| editor.key(byte, &mut show))
        .filter(|event| *event != Event::None)
        .collect();
    let line = |text: &str| Event::Line(text.to_string());
    assert_eq!(events, [line("a"), line("b"), line("c")]);
}

#[test]
fn history_goes_back_and_forth_and_keeps_the_draft() {
    let mut editor = editor();
    enter(&mut editor, "one");
    enter(&mut editor, "two");
    enter(&mut editor, "two");
    enter(&mut editor, "  ");
    assert_eq!(enter(&mut editor, "\x1b[A\x1b[A"), "one");
    assert_eq!(enter(&mut editor, "\x1b[A\x1b[A!"), "two!");
    assert_eq!(enter(&mut editor, "draft\x1b[A\x10\x0e\x1b[B"), "draft");
    assert_eq!(enter(&mut editor, &"\x1b[A".repeat(500)), "one");
    assert_eq!(enter(&mut editor, "x\x1b[B\x1b[B"), "x");
}

#[test]
fn history_is_bounded() {
    let mut editor = editor();
    for n in 0..3 * MAX_HISTORY {
        enter(&mut editor, &alloc::format!("line {n}"));
    }
    assert_eq!(editor.history.len(), MAX_HISTORY);
    assert_eq!(enter(&mut editor, "\x1b[A"), "line 299");
}

#[test]
fn interrupt_drops_the_line_and_end_of_input_needs_an_empty_one() {
    let mut editor = editor();
    let mut show = String::new();
    for byte in *b"abc" {
        editor.key(byte, &mut show);
    }
    assert_eq!(editor.key(0x04, &mut show), Event::None);
    assert_eq!(editor.key(0x03, &mut show), Event::Interrupt);
    assert!(show.ends_with("^C\r\n"));
    assert_eq!(editor.key(0x04, &mut show), Event::EndOfInput);
    assert_eq!(enter(&mut editor, "d"), "d");
}

#[test]
fn tab_completes_commands() {
    let mut editor = editor();
    assert_eq!(enter(&mut editor, "he\t"), "help ");
    assert_eq!(enter(&mut editor, "pi\thost"), "ping host");
    assert_eq!(enter(&mut editor, "zz\t"), "zz");
    assert_eq!(enter(&mut editor, "echo he\t"), "echo he");
    let mut show = String::new();
    editor.key(b'p', &mut show);
    show.clear();
    editor.key(b'\t', &mut show);
    assert!(show.contains("ps  ping  poweroff"), "{show:?}");
    assert_eq!(screen(&show), ("> p".to_string(), 3));
}

#[test]
fn overlong_lines_ring_the_bell() {
    let mut editor = editor();
    let line = enter(&mut editor, &"x".repeat(MAX_LINE + 100));
    assert_eq!(line.len(), MAX_LINE);
}

proptest! {
    /// Whatever is typed, the terminal shows the line with the cursor where the editor has it.
    #[test]
    fn screen_and_line_agree(keys in proptest::collection::vec(prop_oneof![
        "[a-z ]{1,3}", "[é☕]", Just("\x1b[D".to_string()), Just("\x1b[C".to_string()), Just("\x01".to_string()),
        Just("\x05".to_string()), Just("\x7f".to_string()), Just("\x04".to_string()), Just("\x0b".to_string()),
        Just("\x15".to_string()), Just("\x17".to_string()), Just("\r".to_string()), Just("\x1b[A".to_string()),
        Just("\x1b[B".to_string()), Just("\t".to_string()), Just("\x03".to_string()), Just("\x0c".to_string()),
    ], 0..60)) {
        let mut editor = editor();
        let mut show = String::new();
        editor.start(&mut show);
        for byte in keys.concat().bytes() {
            if matches!(editor.key(byte, &mut show), Event::Line(_) | Event::Interrupt) {
                editor.start(&mut show);
            }
        }
        let expected: String = editor.prompt.chars().chain(editor.line.iter().copied()).collect();
        prop_assert_eq!(screen(&show), (expected, 2 + editor.cursor));
    }

    /// Any bytes at all: no panic, and the line stays bounded.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut editor = editor();
        for byte in bytes {
            let mut show = String::new();
            editor.key(byte, &mut show);
            prop_assert!(editor.line.len() <= MAX_LINE && editor.cursor <= editor.line.len());
        }
    }
}
