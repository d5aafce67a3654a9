//! The command line.

use crate::{
    Failure, Outcome,
    figure::Figure,
    guest::{Guest, Net},
    measure::Effort,
};
use std::{path::PathBuf, time::Duration};

/// What `--help` prints. bench.sh passes its arguments on, so this is about both.
pub const USAGE: &str = "\
usage: ./bench.sh [OPTION]...

Measures Causeway and a Linux guest side by side on the same QEMU: first in time, then in guest instructions.
Builds and installs what it needs, and takes half an hour without options. Each guest has a network namespace of
its own; nothing leaves this machine.

  --quick              a second for each figure, one round: for trying changes
  --only FIGURES       tcp-out, tcp-in, udp-rtt, udp-rate, connect, http-keep, http-close, boot, idle, memory;
                       several with commas (default: all)
  --net NETWORKS       tap (offloads offered), tap-plain (none), slirp; several with commas (default: all)
  --guest GUESTS       causeway, linux, iommu (Causeway behind an IOMMU), single (driver, stack and programs in one
                       process: what isolation costs); several with commas
                       (default: causeway,linux; with --report all four)
  --image [NAME=]DIR   another Causeway: a folder with kernel, boot.cpio and programs/, as --save writes it; instead of
                       building one. May be repeated: all are measured side by side
  --single ARCHIVE     another boot archive for the guest `single`, instead of building it
  --save DIR           copy what was built to DIR, for a later --image, and measure nothing
  --count              guest instructions only
  --time               time only
  --micro              instead: what calls and doorbells of processes cost in instructions; what rings and messages cost
                       on the host, beside other rings; and what 10,000 open connections cost one that is used
  --profile            with --count: print programs and functions for each figure
  --order FILE         with --count: write which functions of the programs belong together, see image/order.ld
  --raw-profiles DIR   with --count, of programs that count their paths: write how often each was taken; for
                       scripts/profile.sh, which writes image/profile.profdata and image/order.ld anew
  --rounds N           how often everything is measured (default 5, with --quick 1)
  --json FILE          write the results to FILE
  --report             rewrite the measured part of docs/performance.md, its plot and its JSON
  --from FILE          measure nothing, take the results of an earlier --json FILE
  --help               this text
";

/// The guests of a report.
const REPORTED: [&str; 4] = ["causeway", "iommu", "single", "linux"];

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which figures.
    pub figures: Vec<Figure>,
    /// On which networks.
    pub nets: Vec<Net>,
    /// Which guests.
    pub guests: Vec<Guest>,
    /// Whether time is measured.
    pub time: bool,
    /// Whether instructions are counted.
    pub count: bool,
    /// Whether the small figures are measured, and only those.
    pub micro: bool,
    /// Whether profiles are printed.
    pub profile: bool,
    /// Where the order of functions goes.
    pub order: Option<PathBuf>,
    /// Where raw profiles for the compiler go.
    pub raw_profiles: Option<PathBuf>,
    /// How often.
    pub rounds: usize,
    /// How long, how much.
    pub effort: Effort,
    /// Where the results go, besides the terminal.
    pub json: Option<PathBuf>,
    /// Whether docs/performance.md is rewritten.
    pub report: bool,
    /// Results that were measured before.
    pub from: Option<PathBuf>,
}

/// Where things were built.
#[derive(Clone, Debug)]
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// Kernel and archives.
    pub build: PathBuf,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// If it can't be understood.
    pub fn parse(arguments: impl IntoIterator<Item = String>, places: &Places) -> Outcome<Options> {
        let mut options = Options {
            figures: Figure::ALL.to_vec(),
            nets: Net::ALL.to_vec(),
            guests: Vec::new(),
            time: true,
            count: true,
            micro: false,
            profile: false,
            order: None,
            raw_profiles: None,
            rounds: 0,
            effort: Effort {
                time: Duration::from_secs(3),
                factor: 2,
            },
            json: None,
            report: false,
            from: None,
        };
        let (mut quick, mut names, mut images, mut single) = (false, None, Vec::new(), None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| Failure(format!("{argument} needs a value (see --help)")))
            };
            match argument.as_str() {
                "--quick" => quick = true,
                "--only" => options.figures = list(&value()?, Figure::parse)?,
                "--net" => options.nets = list(&value()?, Net::parse)?,
                "--guest" => names = Some(list(&value()?, |name| Ok(name.to_owned()))?),
                "--image" => images.push(value()?),
                "--single" => single = Some(PathBuf::from(value()?)),
                "--count" => options.time = false,
                "--time" => options.count = false,
                "--micro" => options.micro = true,
                "--profile" => options.profile = true,
                "--order" => options.order = Some(value()?.into()),
                "--raw-profiles" => options.raw_profiles = Some(value()?.into()),
                "--rounds" => {
                    options.rounds = value()?
                        .parse()
                        .map_err(|_| Failure("--rounds needs a number".into()))?;
                }
                "--json" => options.json = Some(value()?.into()),
                "--report" => options.report = true,
                "--from" => options.from = Some(value()?.into()),
                _ => return Err(Failure(format!("unknown option '{argument}' (see --help)"))),
            }
        }
        if quick {
            options.effort = Effort {
                time: Duration::from_secs(1),
                factor: 1,
            };
        }
        if options.rounds == 0 {
            options.rounds = if quick { 1 } else { 5 };
        }
        if options.from.is_some() {
            return Ok(options);
        }
        if options.report && names.is_none() {
            names = Some(REPORTED.map(str::to_owned).to_vec());
        }
        options.guests = guests(names, &images, single, places)?;
        Ok(options)
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    text.split(',').map(parse).collect()
}

fn guests(
    names: Option<Vec<String>>,
    images: &[String],
    single: Option<PathBuf>,
    places: &Places,
) -> Outcome<Vec<Guest>> {
    let names = names.unwrap_or_else(|| {
        let mut names = vec!["causeway".into(), "linux".into()];
        if single.is_some() {
            names.push("single".into());
        }
        names
    });
    let mut guests = Vec::new();
    for name in &names {
        match name.as_str() {
            "causeway" if images.is_empty() => {
                guests.push(Guest::causeway(name, &places.build, "boot.cpio"))
            }
            "causeway" => {
                for image in images {
                    let (name, folder) = match image.split_once('=') {
                        Some((name, folder)) => (name, PathBuf::from(folder)),
                        None => {
                            let folder = PathBuf::from(image);
                            (
                                image
                                    .trim_end_matches('/')
                                    .rsplit('/')
                                    .next()
                                    .unwrap_or(image),
                                folder,
                            )
                        }
                    };
                    guests.push(Guest::causeway(name, &folder, "boot.cpio"));
                }
            }
            "iommu" => guests.push(Guest {
                iommu: true,
                ..Guest::causeway(name, &places.build, "boot.cpio")
            }),
            "single" => {
                let built = Guest::causeway(name, &places.build, "single.cpio");
                guests.push(match &single {
                    Some(archive) => Guest {
                        archive: archive.clone(),
                        ..built
                    },
                    None => built,
                });
            }
            "linux" => guests.push(Guest::linux(&places.build.join("linux"))),
            _ => {
                return Err(Failure(format!(
                    "no guest '{name}': causeway, linux, iommu or single"
                )));
            }
        }
    }
    for guest in &guests {
        for file in [&guest.kernel, &guest.archive] {
            if !file.exists() {
                return Err(Failure(format!("{} is missing", file.display())));
            }
        }
    }
    Ok(guests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Options> {
        let nowhere = Places {
            root: "/nowhere".into(),
            build: "/nowhere".into(),
        };
        Options::parse(line.split_whitespace().map(str::to_owned), &nowhere)
    }

    fn error(line: &str) -> String {
        parse(line)
            .err()
            .map(|failure| failure.0)
            .unwrap_or_default()
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error("--fast").contains("unknown option '--fast'"));
        assert!(error("--only").contains("--only needs a value"));
        assert!(error("--only tcp").contains("no figure 'tcp'"));
        assert!(error("--net wifi").contains("no network 'wifi'"));
        assert!(error("--guest bsd").contains("no guest 'bsd'"));
        assert!(error("--guest single").contains("/nowhere/kernel is missing"));
        assert!(error("--rounds many").contains("needs a number"));
        assert!(error("--guest causeway").contains("/nowhere/kernel is missing"));
    }

    #[test]
    fn figures_and_networks_are_lists_and_quick_is_one_round() {
        let options = parse("--quick --only tcp-in,boot --net slirp --from x.json").unwrap();
        assert_eq!(options.figures, [Figure::TcpIn, Figure::Boot]);
        assert_eq!(options.nets, [Net::Slirp]);
        assert_eq!(options.rounds, 1);
        assert_eq!(parse("--from x --rounds 7 --quick").unwrap().rounds, 7);
        assert_eq!(parse("--from x").unwrap().rounds, 5);
    }

    #[test]
    fn the_help_names_every_figure() {
        for figure in Figure::ALL {
            assert!(USAGE.contains(figure.name()), "{}", figure.name());
        }
    }
}
