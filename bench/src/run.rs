//! A run: all figures of all guests on all networks, interleaved, in time and in instructions.

use crate::{
    Outcome,
    counts::Programs,
    figure::Figure,
    guest::Net,
    machine::{Machine, Setup},
    options::Options,
    profile,
    results::{Results, Row},
};
use std::path::Path;

/// Where a run finds what it needs and leaves its logs.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The plugin that counts.
    pub plugin: &'a Path,
    /// The programs of the image, as they were built.
    pub programs: &'a Path,
    /// For logs and sockets.
    pub folder: &'a Path,
}

/// Measures everything that the options ask for. Returns how many measurements failed; the others are in the results.
///
/// # Errors
/// If a guest does not start, or the plugin does not answer.
pub fn run(options: &Options, tools: Tools<'_>, results: &mut Results) -> Outcome<usize> {
    let mut failed = 0;
    for &net in &options.nets {
        for round in 1..=options.rounds {
            if options.time {
                failed += time(options, tools, net, round, results)?;
            }
        }
        for round in 1..=options.rounds.min(3) {
            if options.count {
                failed += count(options, tools, net, round, results)?;
            }
        }
    }
    Ok(failed)
}

/// The figures in the order in which they are measured: first what a machine is before it has done anything.
fn order(options: &Options, net: Net) -> Vec<Figure> {
    let mut figures: Vec<Figure> = options
        .figures
        .iter()
        .copied()
        .filter(|figure| figure.is_on(net))
        .collect();
    figures.sort_by_key(|figure| match figure {
        Figure::Boot => 0,
        Figure::Memory => 1,
        Figure::Idle => 2,
        _ => 3,
    });
    figures
}

/// One round in time: all guests run, and each figure is taken from one after the other.
fn time(
    options: &Options,
    tools: Tools<'_>,
    net: Net,
    round: usize,
    results: &mut Results,
) -> Outcome<usize> {
    let mut failed = 0;
    let mut machines = Vec::new();
    for guest in &options.guests {
        let setup = Setup {
            guest,
            net,
            plugin: None,
            folder: tools.folder,
        };
        machines.push((guest, Machine::start(setup)?));
    }
    for figure in order(options, net) {
        for (guest, machine) in &mut machines {
            match figure.time(machine, net, options.effort) {
                Ok(values) => {
                    for (metric, value) in figure.metrics().iter().zip(values) {
                        say(
                            net,
                            round,
                            options,
                            &guest.name,
                            metric.title,
                            value,
                            metric.unit,
                        );
                        results.add(Row::sample(net, false, metric, &guest.name, value));
                    }
                }
                Err(failure) => {
                    failed += 1;
                    eprintln!(
                        "{}: {}: {}: FAILED: {}",
                        net.name(),
                        guest.name,
                        figure.name(),
                        failure.0
                    );
                }
            }
        }
    }
    Ok(failed)
}

/// One round in instructions, guest after guest: other machines do not change what is counted.
fn count(
    options: &Options,
    tools: Tools<'_>,
    net: Net,
    round: usize,
    results: &mut Results,
) -> Outcome<usize> {
    let mut failed = 0;
    for guest in &options.guests {
        let setup = Setup {
            guest,
            net,
            plugin: Some(tools.plugin),
            folder: tools.folder,
        };
        let programs = profile::programs(guest, tools.programs)?;
        let mut machine = Machine::start(setup)?;
        for figure in order(options, net) {
            let Some((metric, unit)) = figure.instructions() else {
                continue;
            };
            match counted(figure, &mut machine, options, &programs) {
                Ok((lines, work)) => {
                    let total: u64 = lines.iter().map(|line| line.instructions).sum();
                    let value = total as f64 / work / unit;
                    say(
                        net,
                        round,
                        options,
                        &guest.name,
                        metric.title,
                        value,
                        metric.unit,
                    );
                    if options.profile {
                        println!("{}", profile::table(&lines, work));
                    }
                    let mut row = Row::sample(net, true, &metric, &guest.name, value);
                    let shares = profile::shares(&lines).into_iter().collect();
                    row.programs.insert(guest.name.clone(), shares);
                    results.add(row);
                }
                Err(failure) => {
                    failed += 1;
                    eprintln!(
                        "{}: {}: {}: FAILED: {}",
                        net.name(),
                        guest.name,
                        figure.name(),
                        failure.0
                    );
                }
            }
        }
    }
    Ok(failed)
}

/// The instructions of a figure, and the work that was done with them.
fn counted(
    figure: Figure,
    machine: &mut Machine,
    options: &Options,
    programs: &Programs,
) -> Outcome<(Vec<crate::counts::Line>, f64)> {
    if figure == Figure::Boot {
        let after = machine.boot_counts.take().unwrap_or_default();
        return Ok((programs.attribute(&Default::default(), &after), 1.0));
    }
    // What the figure before has left behind.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = machine.snapshot()?.unwrap_or_default();
    let work = figure.work(machine, options.effort)?;
    let after = machine.snapshot()?.unwrap_or_default();
    Ok((programs.attribute(&before, &after), work))
}

fn say(
    net: Net,
    round: usize,
    options: &Options,
    guest: &str,
    title: &str,
    value: f64,
    unit: &str,
) {
    let rounds = options.rounds;
    println!(
        "{:<9} {round}/{rounds}  {guest:<10} {title:<28} {value:>12.3} {unit}",
        net.name()
    );
}
