//! Results as tables in Markdown, and the generated part of docs/performance.md.

use crate::{
    Failure, Outcome,
    figure::{Figure, Goal, Kind, goal},
    guest::Net,
    results::{Micro, Results, Row},
    stats::Samples,
};
use std::fmt::Write;

/// What stands between these is rewritten; all else of the page is written by hand.
const BEGIN: &str = "<!-- measured: begin (written by ./bench.sh --report) -->";
const END: &str = "<!-- measured: end -->";

/// The guest that others are compared with.
const YARDSTICK: &str = "linux";
/// The guest that is meant, and the same libraries in one address space.
const OWN: &str = "causeway";
const WITHOUT_ISOLATION: &str = "single";
/// What is to be left of the throughput of the latter.
const ISOLATED: f64 = 0.8;
/// Figures that say nothing of that.
const WITHOUT_WORK: [&str; 4] = ["boot", "idle", "memory", "udp-rtt-p99"];

/// Replaces the generated part of a page.
///
/// # Errors
/// If the page has no such part.
pub fn replace(page: &str, part: &str) -> Outcome<String> {
    let split = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        split.ok_or_else(|| Failure(format!("the page has no part between {BEGIN} and {END}")))?;
    Ok(format!("{before}{BEGIN}\n\n{part}\n{END}{after}"))
}

/// All tables of a run.
pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    for net in Net::ALL {
        let rows = rows(results, net);
        if rows.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "### {}\n", net.title());
        for (kind, title) in [
            (Kind::Time, "By the clock"),
            (
                Kind::Processor,
                "Time of the host's processors that QEMU takes",
            ),
            (Kind::Instructions, "Guest instructions"),
        ] {
            let rows: Vec<&Row> = rows
                .iter()
                .copied()
                .filter(|row| row.kind == kind)
                .collect();
            if !rows.is_empty() {
                text += &table(title, &rows);
            }
        }
        text += &programs(&rows);
    }
    text += &isolation(results);
    text += &micros(&results.micros);
    text
}

/// What is left by the clock of what one process for everything does.
fn isolation(results: &Results) -> String {
    let mut text = String::new();
    for net in Net::ALL {
        for row in rows(results, net) {
            let Some(ratio) = row.ratio(OWN, WITHOUT_ISOLATION) else {
                continue;
            };
            // Those by which programs are asked for something.
            if row.kind != Kind::Time || WITHOUT_WORK.contains(&row.metric.as_str()) {
                continue;
            }
            if text.is_empty() {
                text += "### What isolation costs\n\n| By the clock | network | beside one process for everything | goal |\n|---|---|--:|--:|\n";
            }
            let goal = row.more_is_better.then_some(Goal::AtLeast(ISOLATED));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.title,
                net.title(),
                short(ratio),
                against(goal, None, Some(ratio))
            );
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Machine and versions.
pub fn about(results: &Results) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    for (what, value) in &results.about {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    text
}

/// The rows of a network, in the order of the figures.
fn rows(results: &Results, net: Net) -> Vec<&Row> {
    let place = |row: &Row| {
        let of = |figure: &Figure| row.metric.starts_with(figure.name());
        (Figure::ALL.iter().position(of), row.metric.clone())
    };
    let mut rows: Vec<&Row> = results
        .rows
        .iter()
        .filter(|row| row.net == net.name())
        .collect();
    rows.sort_by_key(|row| place(row));
    rows
}

/// The guests of some rows: Linux is the last.
fn guests<'a>(rows: &[&'a Row]) -> Vec<&'a str> {
    let mut guests: Vec<&str> = rows
        .iter()
        .flat_map(|row| row.guests.keys().map(String::as_str))
        .collect();
    guests.sort_by_key(|guest| (*guest == YARDSTICK, *guest));
    guests.dedup();
    guests
}

fn table(title: &str, rows: &[&Row]) -> String {
    let guests = guests(rows);
    let compared = guests.last() == Some(&YARDSTICK) && guests.len() > 1;
    let mut text = format!("| {title} | unit |");
    for guest in &guests {
        let _ = write!(text, " {guest} |");
    }
    text += if compared {
        " ratio | goal |\n"
    } else {
        " goal |\n"
    };
    text += "|---|---|";
    text += &"--:|".repeat(guests.len() + 1 + usize::from(compared));
    text.push('\n');
    for row in rows {
        let _ = write!(text, "| {} | {} |", row.title, row.unit);
        for guest in &guests {
            let _ = write!(
                text,
                " {} |",
                row.guests.get(*guest).map_or("–".into(), with_spread)
            );
        }
        let ratio = guests.first().and_then(|guest| row.ratio(guest, YARDSTICK));
        if compared {
            let _ = write!(text, " {} |", ratio.map_or("–".into(), short));
        }
        let value = guests
            .first()
            .and_then(|guest| row.guests.get(*guest)?.median());
        let _ = writeln!(
            text,
            " {} |",
            against(goal(&row.net, row.kind, &row.metric), value, ratio)
        );
    }
    text.push('\n');
    text
}

/// A goal, and whether it is met.
fn against(goal: Option<Goal>, value: Option<f64>, ratio: Option<f64>) -> String {
    let (text, met) = match goal {
        None => return String::new(),
        Some(Goal::AtLeast(least)) => (
            format!("≥ {}", short(least)),
            ratio.map(|ratio| ratio >= least),
        ),
        Some(Goal::AtMost(most)) => (
            format!("≤ {}", short(most)),
            ratio.map(|ratio| ratio <= most),
        ),
        Some(Goal::Value(most)) => (
            format!("≤ {}", short(most)),
            value.map(|value| value <= most),
        ),
    };
    match met {
        Some(true) => format!("{text}, met"),
        Some(false) => format!("{text}, missed"),
        None => text,
    }
}

/// Where the instructions go.
fn programs(rows: &[&Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for (guest, shares) in row.programs.iter().filter(|(guest, _)| *guest != YARDSTICK) {
            if text.is_empty() {
                text += "| Where the instructions go | guest | share |\n|---|---|---|\n";
            }
            let mut shares: Vec<(&str, f64)> = shares
                .iter()
                .map(|(program, share)| (program.as_str(), *share))
                .filter(|(_, share)| *share >= 0.5)
                .collect();
            shares.sort_by(|a, b| b.1.total_cmp(&a.1));
            let shares: Vec<String> = shares
                .iter()
                .map(|(program, share)| format!("{program} {share:.0} %"))
                .collect();
            let _ = writeln!(text, "| {} | {guest} | {} |", row.title, shares.join(", "));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Small figures, each by itself.
fn micros(micros: &[Micro]) -> String {
    let mut text = String::new();
    let mut group = "";
    for micro in micros {
        if micro.group != group {
            group = &micro.group;
            let blank = if text.is_empty() { "" } else { "\n" };
            let _ = write!(
                text,
                "{blank}### {group}\n\n| | unit | least | median |\n|---|---|--:|--:|\n"
            );
        }
        // On a busy host the least is nearest to what the work takes by itself.
        let least = micro
            .samples
            .range()
            .map_or("–".into(), |(least, _)| short(least));
        let median = micro.samples.median().map_or("–".into(), short);
        let _ = writeln!(
            text,
            "| {} | {} | {least} | {median} |",
            micro.title, micro.unit
        );
    }
    text
}

fn with_spread(samples: &Samples) -> String {
    let median = samples.median().map_or("–".into(), short);
    match samples.spread() {
        Some(spread) if samples.0.len() > 1 => format!("{median} ±{:.0} %", 100.0 * spread),
        _ => median,
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        let metric = Figure::TcpOut.metric(Kind::Time).unwrap();
        for value in [90.0, 100.0, 110.0] {
            results.add(Row::sample(Net::Tap, &metric, "causeway", value));
            results.add(Row::sample(Net::Tap, &metric, "linux", value / 2.0));
        }
        let counted = Figure::TcpOut.metric(Kind::Instructions).unwrap();
        results.add(Row::sample(Net::Tap, &counted, "causeway", 0.5));
        results.divide(
            Net::Tap,
            &counted,
            "causeway",
            vec![("kernel".into(), 25.0), ("netstack".into(), 75.0)],
        );
        results
    }

    #[test]
    fn a_table_compares_with_linux_and_with_the_goal() {
        let text = tables(&results());
        assert!(
            text.contains(
                "| TCP, guest to host | MB/s | 100 ±10 % | 50.0 ±10 % | 2.00 | ≥ 1.20, met |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| TCP, guest to host | M/MB | 0.500 | ≤ 0.430, missed |"),
            "{text}"
        );
        assert!(
            text.contains("| TCP, guest to host | causeway | netstack 75 %, kernel 25 % |"),
            "{text}"
        );
    }

    #[test]
    fn what_isolation_costs_is_told_where_it_was_measured() {
        let mut results = results();
        assert!(!tables(&results).contains("isolation"));
        let metric = Figure::TcpOut.metric(Kind::Time).unwrap();
        results.add(Row::sample(Net::Tap, &metric, "single", 120.0));
        let text = tables(&results);
        let line = "| TCP, guest to host | tap, offloads offered | 0.833 | ≥ 0.800, met |";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn only_the_generated_part_of_the_page_changes() {
        let page = format!("by hand\n{BEGIN}\nold\n{END}\nby hand, too\n");
        let new = replace(&page, "new").unwrap();
        assert_eq!(
            new,
            format!("by hand\n{BEGIN}\n\nnew\n{END}\nby hand, too\n")
        );
        assert!(replace("nothing", "new").is_err());
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.1234, 1.234, 12.34, 123.4, 1234.5].map(short),
            ["0.123", "1.23", "12.3", "123", "1234"]
        );
    }
}
