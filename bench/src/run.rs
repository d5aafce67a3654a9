//! A run: all figures of all guests on all networks, interleaved, in time and in instructions.

use crate::{
    Outcome,
    counters::Counters,
    counts::{self, Functions, Line, Programs, Snapshot},
    figure::{Figure, Kind, Metric},
    guest::{Guest, Net},
    machine::{Machine, Setup},
    measure,
    options::Options,
    order::Order,
    profile,
    results::{Results, Row},
};
use std::{path::Path, time::Duration};

/// Rounds of counting: counts hardly differ.
const MOST_COUNTED: usize = 3;
/// What the figure before has left behind is done by then.
const PAUSE: Duration = Duration::from_millis(300);

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
    let mut functions = Order::default();
    let mut counters = Counters::default();
    for &net in &options.nets {
        let mut round = Round {
            options,
            tools,
            net,
            number: 0,
            results,
            functions: &mut functions,
            counters: &mut counters,
            failed: 0,
        };
        for number in 1..=if options.time { options.rounds } else { 0 } {
            round.number = number;
            round.time()?;
        }
        for number in 1..=if options.count {
            options.rounds.min(MOST_COUNTED)
        } else {
            0
        } {
            round.number = number;
            round.count()?;
        }
        failed += round.failed;
    }
    if let Some(file) = &options.order {
        std::fs::write(file, functions.script())?;
    }
    if let Some(folder) = &options.raw_profiles {
        counters.write(folder)?;
    }
    Ok(failed)
}

/// A round on one network.
struct Round<'a> {
    options: &'a Options,
    tools: Tools<'a>,
    net: Net,
    number: usize,
    results: &'a mut Results,
    functions: &'a mut Order,
    counters: &'a mut Counters,
    failed: usize,
}

impl Round<'_> {
    /// In time: all guests run, and each figure is taken from one after the other, in turns.
    fn time(&mut self) -> Outcome {
        let mut machines = Vec::new();
        for guest in &self.options.guests {
            machines.push((guest, self.start(guest, None)?));
        }
        if self.number.is_multiple_of(2) {
            machines.reverse();
        }
        for figure in self.order() {
            for (guest, machine) in &mut machines {
                let timed = match measure::time(figure, machine, self.net, self.options.effort) {
                    Ok(timed) => timed,
                    Err(failure) => {
                        self.fail(guest, figure, &failure.0);
                        continue;
                    }
                };
                let metrics = figure
                    .metric(Kind::Time)
                    .into_iter()
                    .chain(figure.slowest());
                for (metric, value) in metrics.zip(timed.clock) {
                    self.add(guest, &metric, value);
                }
                for (metric, value) in figure
                    .metric(Kind::Processor)
                    .into_iter()
                    .zip(timed.processor)
                {
                    self.add(guest, &metric, value);
                }
            }
        }
        Ok(())
    }

    /// In instructions, guest after guest: other machines do not change what is counted.
    fn count(&mut self) -> Outcome {
        for guest in &self.options.guests {
            let programs = profile::programs(guest, self.tools.programs)?;
            if self.options.raw_profiles.is_some() {
                for (name, path) in profile::files(guest, self.tools.programs)? {
                    self.counters.open(&name, &path)?;
                }
            }
            let mut machine = self.start(guest, Some(self.tools.plugin))?;
            for figure in self.order() {
                let Some(metric) = figure.metric(Kind::Instructions) else {
                    continue;
                };
                match self.counted(figure, &mut machine, &programs) {
                    Ok((lines, functions, work)) => {
                        self.functions.add(figure, functions, work);
                        let total = counts::work(&lines) as f64;
                        self.add(guest, &metric, total / work / metric.scale);
                        self.results.divide(
                            self.net,
                            &metric,
                            &guest.name,
                            profile::shares(&lines),
                        );
                        if self.options.profile {
                            println!("{}", profile::table(&lines, work));
                        }
                    }
                    Err(failure) => self.fail(guest, figure, &failure.0),
                }
            }
        }
        Ok(())
    }

    /// The instructions of a figure, the functions that ran, and the work that was done with them.
    fn counted(
        &mut self,
        figure: Figure,
        machine: &mut Machine,
        programs: &Programs,
    ) -> Outcome<(Vec<Line>, Functions, f64)> {
        if figure == Figure::Boot {
            let after = machine.boot_counts.take().unwrap_or_default();
            let lines = programs.attribute(&Snapshot::new(), &after);
            self.counters.add(programs, &Snapshot::new(), &after);
            return Ok((lines, Functions::new(), 1.0));
        }
        match figure {
            Figure::Idle => measure::settle(machine),
            _ => std::thread::sleep(PAUSE),
        }
        let before = machine.snapshot()?.unwrap_or_default();
        let work = measure::work(figure, machine, self.options.effort)?;
        let after = machine.snapshot()?.unwrap_or_default();
        let lines = programs.attribute(&before, &after);
        self.counters.add(programs, &before, &after);
        Ok((lines, programs.functions(&before, &after), work))
    }

    /// The figures in the order in which they are measured: first what a machine is before it has done anything.
    fn order(&self) -> Vec<Figure> {
        let figures = self.options.figures.iter().copied();
        let mut figures: Vec<Figure> = figures.filter(|figure| figure.is_on(self.net)).collect();
        figures.sort_by_key(|figure| match figure {
            Figure::Boot => 0,
            Figure::Memory => 1,
            Figure::Idle => 2,
            _ => 3,
        });
        figures
    }

    fn start(&self, guest: &Guest, plugin: Option<&Path>) -> Outcome<Machine> {
        Machine::start(Setup {
            guest,
            net: self.net,
            plugin,
            folder: self.tools.folder,
        })
    }

    fn add(&mut self, guest: &Guest, metric: &Metric, value: f64) {
        let kind = match metric.kind {
            Kind::Time => "",
            Kind::Processor => " (processor)",
            Kind::Instructions => " (instructions)",
        };
        println!(
            "{:<9} {}  {:<10} {:<42} {value:>11.3} {}",
            self.net.name(),
            self.number,
            guest.name,
            format!("{}{kind}", metric.title),
            metric.unit
        );
        self.results
            .add(Row::sample(self.net, metric, &guest.name, value));
    }

    fn fail(&mut self, guest: &Guest, figure: Figure, why: &str) {
        self.failed += 1;
        eprintln!(
            "{}: {}: {}: FAILED: {why}",
            self.net.name(),
            guest.name,
            figure.name()
        );
    }
}
