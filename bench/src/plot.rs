//! The plot: how many times as good as Linux the system is, figure by figure, on a logarithmic scale.

use crate::{
    figure::{Figure, Kind},
    guest::Net,
    results::Results,
};
use std::fmt::Write;

/// Ends of the scale, as powers of two.
const LEAST: f64 = -4.0;
const MOST: f64 = 6.0;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 9.0;
const KINDS: [(Kind, &str, &str); 3] = [
    (Kind::Time, "by the clock", "#2a6f97"),
    (Kind::Processor, "processor time", "#61a5c2"),
    (Kind::Instructions, "guest instructions", "#e09f3e"),
];

/// The plot of one guest beside another, as SVG.
pub fn plot(results: &Results, guest: &str, yardstick: &str) -> String {
    let mut body = String::new();
    let mut y = 58.0;
    for net in Net::ALL {
        let begin = y;
        let mut panel = String::new();
        for figure in Figure::ALL {
            let bars: Vec<(f64, &str)> = KINDS
                .iter()
                .filter_map(|(kind, _, colour)| {
                    Some((
                        advantage(results, net, figure, *kind, guest, yardstick)?,
                        *colour,
                    ))
                })
                .collect();
            if bars.is_empty() {
                continue;
            }
            let middle = y + BAR * bars.len() as f64 / 2.0 + 4.0;
            // Writing to a string cannot fail.
            let _ = writeln!(
                panel,
                r#"<text x="{}" y="{middle:.0}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                figure.name()
            );
            for (factor, colour) in bars {
                bar(&mut panel, y, factor, colour);
                y += BAR;
            }
            y += 6.0;
        }
        if !panel.is_empty() {
            let _ = writeln!(
                body,
                r#"<text x="8" y="{:.0}" font-weight="bold">{}</text>"#,
                begin - 6.0,
                net.title()
            );
            body += &panel;
            y += 26.0;
        }
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{height:.0}\" viewBox=\"0 0 {w} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         {}{}{body}</svg>\n",
        legend(guest, yardstick),
        grid(height),
        w = LEFT + WIDTH + 60.0,
    )
}

/// How many times as good: more is better.
fn advantage(
    results: &Results,
    net: Net,
    figure: Figure,
    kind: Kind,
    guest: &str,
    yardstick: &str,
) -> Option<f64> {
    let row = results
        .rows
        .iter()
        .find(|row| row.net == net.name() && row.kind == kind && row.metric == figure.name())?;
    let ratio = row.ratio(guest, yardstick)?;
    let factor = if row.more_is_better {
        ratio
    } else {
        1.0 / ratio
    };
    (factor.is_finite() && factor > 0.0).then_some(factor)
}

fn x(factor: f64) -> f64 {
    LEFT + WIDTH * (factor.log2().clamp(LEAST, MOST) - LEAST) / (MOST - LEAST)
}

fn bar(text: &mut String, y: f64, factor: f64, colour: &str) {
    let (from, to) = (x(1.0).min(x(factor)), x(1.0).max(x(factor)));
    let _ = writeln!(
        text,
        r#"<rect x="{from:.1}" y="{y:.0}" width="{:.1}" height="{}" fill="{colour}"/><text x="{:.1}" y="{:.0}" font-size="8">{factor:.2}</text>"#,
        to - from,
        BAR - 1.0,
        to + 3.0,
        y + BAR - 2.0,
    );
}

fn legend(guest: &str, yardstick: &str) -> String {
    let mut text = format!(
        "<text x=\"8\" y=\"16\">{guest}: times as good as {yardstick} (right of 1 is better)</text>\n"
    );
    let mut x = LEFT + 180.0;
    for (_, title, colour) in KINDS {
        let _ = writeln!(
            text,
            r#"<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/><text x="{}" y="17">{title}</text>"#,
            x + 14.0
        );
        x += 130.0;
    }
    text
}

fn grid(height: f64) -> String {
    let mut text = String::new();
    for power in LEAST as i32..=MOST as i32 {
        let at = x(2_f64.powi(power));
        let colour = if power == 0 { "#444" } else { "#ddd" };
        let label = if power < 0 {
            format!("1/{}", 1 << -power)
        } else {
            (1 << power).to_string()
        };
        let _ = writeln!(
            text,
            r#"<line x1="{at:.1}" y1="36" x2="{at:.1}" y2="{:.0}" stroke="{colour}"/><text x="{at:.1}" y="32" text-anchor="middle">{label}</text>"#,
            height - 8.0
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    #[test]
    fn what_is_better_goes_to_the_right_whatever_the_unit() {
        let mut results = Results::default();
        for (figure, kind, ours, theirs) in [
            (Figure::TcpIn, Kind::Time, 200.0, 100.0),
            (Figure::Boot, Kind::Time, 0.5, 1.0),
            (Figure::Boot, Kind::Instructions, 3.0, 0.0),
        ] {
            let metric = figure.metric(kind).unwrap();
            results.add(Row::sample(Net::Tap, &metric, "causeway", ours));
            results.add(Row::sample(Net::Tap, &metric, "linux", theirs));
        }
        let svg = plot(&results, "causeway", "linux");
        assert_eq!(svg.matches(">2.00<").count(), 2, "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
