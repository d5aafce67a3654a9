//! Console, log, clock, machine.

use crate::platform::Trap;
use crate::testing::{Bench, SCRATCH};
use kernel_abi::{Error, Rights, Syscall};

const CONSOLE: u64 = 3;

#[test]
fn console_output_and_input_pass_through() {
    let mut bench = Bench::new();
    let init = bench.init;
    bench.write(init, SCRATCH, &[b'x'; 700]);
    assert_eq!(
        bench.get(init, Syscall::ConsoleWrite, &[CONSOLE, SCRATCH, 700]),
        700
    );
    assert_eq!(bench.kernel.platform.output, [b'x'; 700]);
    // Stack above, nothing beyond it.
    let over = bench.call(init, Syscall::ConsoleWrite, &[CONSOLE, SCRATCH, 4097]);
    assert!(over.is_ok_and(|[len, ..]| len == 4096));
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::ConsoleBind, &[CONSOLE, bell, 2]);
    bench.kernel.platform.input.extend(b"ls\n");
    bench.trap(init, Trap::Console);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 2, 0]), 2);
    let bad = bench.call(init, Syscall::ConsoleRead, &[CONSOLE, 0x1000, 9]);
    assert_eq!(bad, Err(Error::BadAddress), "nothing was taken");
    assert_eq!(
        bench.get(init, Syscall::ConsoleRead, &[CONSOLE, SCRATCH, 2]),
        2
    );
    assert_eq!(
        bench.get(
            init,
            Syscall::ConsoleRead,
            &[CONSOLE, SCRATCH + 2, u64::MAX]
        ),
        1
    );
    assert_eq!(bench.read(init, SCRATCH, 3), b"ls\n");
    // More than the buffer holds is dropped, and the device is drained.
    bench.kernel.platform.input.extend([b'y'; 1000]);
    bench.trap(init, Trap::Console);
    assert!(bench.kernel.platform.input.is_empty());
    assert_eq!(
        bench.get(init, Syscall::ConsoleRead, &[CONSOLE, SCRATCH, 999]),
        256
    );
}

/// Who may log can't print what looks like the shell's, or what makes a terminal do things.
#[test]
fn the_right_to_log_is_none_to_the_console() {
    let mut bench = Bench::new();
    let init = bench.init;
    let write = u64::from(Rights::WRITE.bits());
    let logger = bench.get(init, Syscall::CapDerive, &[CONSOLE, write, 7]);
    bench.write(init, SCRATCH, b"\x1b[2Jcauseway> ");
    let raw = bench.call(init, Syscall::ConsoleWrite, &[logger, SCRATCH, 13]);
    assert_eq!(raw, Err(Error::NoRights));
    assert!(bench.kernel.platform.output.is_empty());
    log(&mut bench, logger, 3, b"a line");
}

fn log(bench: &mut Bench, console: u64, level: u64, text: &[u8]) {
    let init = bench.init;
    bench.write(init, SCRATCH, text);
    let line = [console, level, SCRATCH, text.len() as u64];
    bench.get(init, Syscall::LogWrite, &line);
}

#[test]
fn log_lines_are_stamped_sanitised_and_shown() {
    let mut bench = Bench::new();
    let init = bench.init;
    let mine = bench.get(init, Syscall::CapDerive, &[CONSOLE, 0x7ff, 31]);
    bench.kernel.platform.clock = 12_345_678_900;
    log(&mut bench, mine, 3, b"netstack: \x1b[2J lease");
    log(&mut bench, mine, 4, b"quiet");
    let shown = String::from_utf8(bench.kernel.platform.output.clone()).unwrap();
    assert_eq!(shown, "[  12.345679] netstack: ?[2J lease\n");
    let [len, next, _] = bench
        .call(init, Syscall::LogRead, &[CONSOLE, 0, SCRATCH, 600])
        .unwrap();
    assert_eq!((len, next), (32 + 20, 2));
    assert_eq!(bench.words(init, SCRATCH, 4), [1, 12_345_679_900, 31, 3]);
    assert_eq!(bench.read(init, SCRATCH + 32, 20), b"netstack: ?[2J lease");
    let [len, next, _] = bench
        .call(init, Syscall::LogRead, &[CONSOLE, next, SCRATCH, 34])
        .unwrap();
    assert_eq!((len, next), (34, 3));
    let end = bench.call(init, Syscall::LogRead, &[CONSOLE, next, SCRATCH, 600]);
    assert_eq!(end, Ok([0, 3, 0]));
    bench.get(init, Syscall::LogEcho, &[CONSOLE, 0]);
    log(&mut bench, mine, 1, b"silent");
    assert_eq!(bench.kernel.platform.output.len(), shown.len());
    for (level, len) in [(0, 1), (6, 1), (1, 513), (u64::MAX, 1)] {
        let line = [CONSOLE, level, SCRATCH, len];
        assert_eq!(
            bench.call(init, Syscall::LogWrite, &line),
            Err(Error::BadArgument)
        );
    }
    let echo = bench.call(init, Syscall::LogEcho, &[CONSOLE, 6]);
    assert_eq!(echo, Err(Error::BadArgument));
}

#[test]
fn old_log_lines_make_way_and_numbers_go_on() {
    let mut bench = Bench::new();
    let init = bench.init;
    bench.get(init, Syscall::LogEcho, &[CONSOLE, 0]);
    for number in 0..3000usize {
        let text = format!("{number:0width$}", width = 1 + number * 7 % 512);
        log(&mut bench, CONSOLE, 3, text.as_bytes());
    }
    let (mut next, mut seen, mut last) = (0, 0, 0);
    loop {
        let read = [CONSOLE, next, SCRATCH, 544];
        let [len, after, _] = bench.call(init, Syscall::LogRead, &read).unwrap();
        if len == 0 {
            break;
        }
        let sequence = bench.words(init, SCRATCH, 1)[0];
        assert!(last == 0 || sequence == last + 1);
        let text = bench.read(init, SCRATCH + 32, len as usize - 32);
        let number: usize = String::from_utf8(text).unwrap().parse().unwrap();
        let digits = number.to_string().len() as u64;
        assert_eq!(len - 32, (1 + number as u64 * 7 % 512).max(digits));
        assert_eq!(number as u64 + 1, sequence);
        (last, next, seen) = (sequence, after, seen + 1);
    }
    assert_eq!(last, 3000);
    assert!(seen > 150, "{seen}");
    // Back to an old one: what is the oldest now.
    let [_, after, _] = bench
        .call(init, Syscall::LogRead, &[CONSOLE, 1, SCRATCH, 544])
        .unwrap();
    assert_eq!(after, 3000 - seen + 2);
}

/// What the log holds, and the badges of its lines.
fn lines(bench: &mut Bench) -> Vec<(u64, String)> {
    let (init, mut next, mut lines) = (bench.init, 0, Vec::new());
    loop {
        let read = [CONSOLE, next, SCRATCH, 544];
        let [len, after, _] = bench.call(init, Syscall::LogRead, &read).unwrap();
        if len == 0 {
            return lines;
        }
        let badge = bench.words(init, SCRATCH, 3)[2];
        let text = bench.read(init, SCRATCH + 32, len as usize - 32);
        lines.push((badge, String::from_utf8(text).unwrap()));
        next = after;
    }
}

/// Who floods the log loses lines of his own, and so do those that he makes; nobody else does.
#[test]
fn a_flood_of_lines_leaves_those_of_others_in_the_log() {
    let mut bench = Bench::new();
    let init = bench.init;
    bench.get(init, Syscall::LogEcho, &[CONSOLE, 0]);
    log(&mut bench, CONSOLE, 3, b"before");
    let child = bench.spawn(init, 400);
    let logger = bench.get(init, Syscall::CapDerive, &[CONSOLE, 0x7ff, 7]);
    let there = bench.grant(init, logger, child.slot);
    let grandchild = bench.spawn(child.thread, 100);
    let inherited = bench.grant(child.thread, there, grandchild.slot);
    for number in 0..3000 {
        let (thread, cap) = match number % 2 {
            0 => (child.thread, there),
            _ => (grandchild.thread, inherited),
        };
        let text = format!("flood {number:0500}");
        bench.write(thread, SCRATCH, text.as_bytes());
        let line = [cap, 1, SCRATCH, text.len() as u64];
        // Whether it is left out is not told: there is nothing to be done about it.
        bench.get(thread, Syscall::LogWrite, &line);
    }
    log(&mut bench, CONSOLE, 3, b"behind");
    let flooded = lines(&mut bench);
    assert_eq!(flooded.first(), Some(&(0, "before".into())));
    assert_eq!(flooded.last(), Some(&(0, "behind".into())));
    let kept = flooded.iter().filter(|(badge, _)| *badge == 7).count();
    assert_eq!(kept, 16 * 1024 / 552, "a quarter of the log");
    let said = |text: &str| {
        flooded
            .iter()
            .filter(|(_, line)| line.contains(text))
            .count()
    };
    assert_eq!(said("too many lines of process 2 and what it made"), 1);
    // Another one, and the first process, may say what they like.
    let other = bench.spawn(init, 64);
    let there = bench.grant(init, logger, other.slot);
    bench.write(other.thread, SCRATCH, b"other");
    bench.get(other.thread, Syscall::LogWrite, &[there, 1, SCRATCH, 5]);
    assert_eq!(lines(&mut bench).last(), Some(&(7, "other".into())));
    // Later it may go on, and what was left out is told.
    bench.kernel.platform.clock += 3_600_000_000_000;
    bench.write(child.thread, SCRATCH, b"again");
    bench.get(child.thread, Syscall::LogWrite, &[inherited, 1, SCRATCH, 5]);
    let now = lines(&mut bench);
    assert_eq!(now.last(), Some(&(7, "again".into())));
    let told = format!(
        "kernel: {} lines of process 2 and what it made",
        3000 - kept
    );
    assert!(now[now.len() - 2].1.starts_with(&told), "{now:?}");
    bench.check();
}

/// A program that lets its children fault loses lines about them. What the first process made is spoken of each time.
#[test]
fn a_flood_of_faults_leaves_the_lines_of_others_in_the_log() {
    let mut bench = Bench::new();
    let init = bench.init;
    bench.get(init, Syscall::LogEcho, &[CONSOLE, 0]);
    log(&mut bench, CONSOLE, 3, b"before");
    let fault = Trap::Fault {
        vector: 14,
        error: 4,
        address: 0x1234,
        instruction: 0x40_0042,
    };
    let parent = bench.spawn(init, 400);
    for _ in 0..3000 {
        // One generation more changes nothing.
        let child = bench.spawn(parent.thread, 200);
        let grandchild = bench.spawn(child.thread, 60);
        bench.trap(grandchild.thread, fault);
        bench.trap(child.thread, fault);
        bench.get(parent.thread, Syscall::CapDelete, &[child.slot]);
    }
    let flooded = lines(&mut bench);
    assert_eq!(flooded.first(), Some(&(0, "before".into())));
    assert!((100..200).contains(&flooded.len()), "{}", flooded.len());
    let text = &flooded[flooded.len() - 1].1;
    assert_eq!(
        text,
        "kernel: too many faults of process 2 and what it made: left out"
    );
    for _ in 0..300 {
        let direct = bench.spawn(init, 64);
        bench.trap(direct.thread, fault);
        bench.get(init, Syscall::CapDelete, &[direct.slot]);
    }
    let count = lines(&mut bench).len() - flooded.len();
    assert_eq!(count, 300);
    bench.check();
}

#[test]
fn the_command_line_is_told_with_its_full_length() {
    let mut bench = Bench::new();
    let init = bench.init;
    let line = b"console=ttyS0 quiet";
    let len = bench.get(init, Syscall::MachineCommandLine, &[5, SCRATCH, 7]);
    assert_eq!(len as usize, line.len());
    assert_eq!(bench.read(init, SCRATCH, 8), b"console\0");
    bench.get(init, Syscall::MachineCommandLine, &[5, SCRATCH, u64::MAX]);
    assert_eq!(bench.read(init, SCRATCH, line.len()), line);
    let status = bench.call(init, Syscall::MachinePower, &[5, 101]);
    assert_eq!(status, Err(Error::BadArgument));
    let clock = bench.get(init, Syscall::ClockNow, &[4]);
    assert_eq!(clock, bench.kernel.platform.clock);
}

#[test]
fn the_counter_is_read_by_those_who_have_shown_a_clock_until_they_lose_it() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 64);
    let counts = |bench: &mut Bench, thread| {
        bench.get(thread, Syscall::ThreadYield, &[]);
        bench.kernel.platform.counts
    };
    let far = bench.grant(init, 4, child.slot);
    let far_too = bench.grant(init, 4, child.slot);
    assert!(!counts(&mut bench, child.thread), "it may, but did not ask");
    let scale = bench.call(child.thread, Syscall::ClockScale, &[far]);
    assert_eq!(scale, Ok([0, 1 << 32, 0]));
    assert!(counts(&mut bench, child.thread));
    assert!(!counts(&mut bench, init), "another process");
    assert!(counts(&mut bench, child.thread));
    bench.get(child.thread, Syscall::CapDelete, &[far]);
    assert!(!bench.kernel.platform.counts, "at once");
    let wrong = bench.call(child.thread, Syscall::ClockScale, &[far]);
    assert_eq!(wrong, Err(Error::BadSlot));
    bench.get(child.thread, Syscall::ClockScale, &[far_too]);
    assert!(counts(&mut bench, child.thread));
    bench.get(init, Syscall::CapRevoke, &[4]);
    assert!(!counts(&mut bench, child.thread));
    bench.check();
}

#[test]
#[should_panic(expected = "power off 7")]
fn power_off_reaches_the_platform() {
    let mut bench = Bench::new();
    let init = bench.init;
    bench.call(init, Syscall::MachinePower, &[5, 7]).unwrap();
}
