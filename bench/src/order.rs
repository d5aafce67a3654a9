//! Which functions of the programs belong together: what `image/order.ld` is made from. Pure but for reading the ELF files.
//!
//! A switch of address spaces costs something for each page that is touched until the next, so that code which runs in one
//! go has to lie in few pages. `--order` writes down what ran while the figures were counted.

use crate::{counts::Functions, figure::Figure};
use std::{collections::HashMap, fmt::Write};

/// A function that ran less often than this for a unit of work does not belong to a figure.
const SELDOM: f64 = 0.1;
/// The compiler makes tables of jumps for functions that are larger.
const SMALL: u64 = 400;
/// Only a part of such a function runs, as a rule: those that run as a whole are put together before.
const LARGE: u64 = 3000;

/// What ran for which figures.
#[derive(Default)]
pub struct Order {
    /// By program and pattern.
    found: HashMap<(String, String), Found>,
}

struct Found {
    /// One bit for each figure.
    figures: u32,
    address: u64,
    size: u64,
}

impl Order {
    /// Adds what ran for a figure.
    pub fn add(&mut self, figure: Figure, functions: Functions, work: f64) {
        let Some(bit) = Figure::ALL.iter().position(|other| *other == figure) else {
            return;
        };
        for function in functions {
            if function.runs as f64 / work < SELDOM || function.program == "kernel" {
                continue;
            }
            let found = self
                .found
                .entry((function.program, pattern(&function.symbol)))
                .or_insert(Found {
                    figures: 0,
                    address: function.address,
                    size: function.size,
                });
            found.figures |= 1 << bit;
        }
    }

    /// The linker script.
    pub fn script(&self) -> String {
        let mut all: Vec<_> = self.found.iter().collect();
        // What most figures have in common comes first, then one set of figures after the other.
        all.sort_by_key(|((program, pattern), found)| {
            let few = Figure::ALL.len() as u32 - found.figures.count_ones();
            let large = found.size > LARGE;
            (
                program,
                few,
                found.figures,
                large,
                found.address,
                pattern.as_str(),
            )
        });
        let mut text = String::from(
            "/* The functions of the data path, so that they lie in few pages: what ran while the figures of ./bench.sh were counted.\n\
             \x20  Written by ./bench.sh --count --order. A pattern that nothing matches any more does no harm but to speed. */\n\n\
             SECTIONS {\n",
        );
        for (output, input, rest) in [
            (".rodata.path", ".rodata", "        *(.rodata.cst*)\n"),
            (".text.path", ".text", ""),
        ] {
            let _ = writeln!(text, "    {output} : {{");
            let (mut last, mut written) = ("", Vec::new());
            for ((program, pattern), found) in &all {
                // A function of a library that several programs run is put where the first has it. Small ones have no tables.
                if written.contains(&pattern) || input == ".rodata" && found.size < SMALL {
                    continue;
                }
                written.push(pattern);
                if last != program {
                    let _ = writeln!(text, "        /* {program} */");
                    last = program;
                }
                let _ = writeln!(text, "        *({input}.{pattern})");
            }
            text += rest;
            text += "    }\n";
        }
        // Each part keeps its place in the order of segments.
        text.replace(
            "    .text.path",
            "}\nINSERT BEFORE .rodata;\n\nSECTIONS {\n    .text.path",
        ) + "}\nINSERT BEFORE .text;\n"
    }
}

/// A pattern for the linker that matches the symbol after the next change, too: without what is made from the compiler's version
/// and the contents of the crate.
fn pattern(symbol: &str) -> String {
    const HASH: usize = "17h0123456789abcdefE".len();
    // The old scheme of mangling ends in a hash, the new one has one for each crate: `Cs`, base 62, `_`.
    if let Some(start) = symbol
        .rfind("17h")
        .filter(|start| symbol.len() >= start + HASH)
    {
        return format!("{}17h*", &symbol[..start]);
    }
    let mut parts = symbol.split("Cs");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "Cs";
        match part.split_once('_') {
            Some((hash, rest)) if hash.len() >= 8 && hash.chars().all(char::is_alphanumeric) => {
                text += "*_";
                text += rest;
            }
            _ => text += part,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Function;

    fn function(program: &str, symbol: &str, address: u64, size: u64, runs: u64) -> Function {
        Function {
            program: program.into(),
            symbol: symbol.into(),
            address,
            size,
            runs,
        }
    }

    #[test]
    fn patterns_have_no_hashes() {
        for (symbol, expected) in [
            ("memcpy", "memcpy"),
            (
                "_ZN8netstack5stack5Stack4poll17h381f87b2ff37788dE",
                "_ZN8netstack5stack5Stack4poll17h*",
            ),
            (
                "_RNvNtNtCsg3SjgaGcPXb_4core9panicking5panic",
                "_RNvNtNtCs*_4core9panicking5panic",
            ),
            ("_ZN3fooCs5shortE", "_ZN3fooCs5shortE"),
        ] {
            assert_eq!(pattern(symbol), expected);
        }
    }

    #[test]
    fn what_most_figures_run_comes_first_and_nothing_comes_twice() {
        let mut order = Order::default();
        let rare = function("p", "rare", 0, 10, 1);
        let seldom = function("p", "only_rate", 1, 10, 100);
        let often = function("p", "both", 2, 10, 100);
        let shared = function("q", "both", 3, 10, 100);
        let kernel = function("kernel", "run", 4, 10, 100);
        order.add(
            Figure::UdpRate,
            vec![seldom, often, rare, shared, kernel],
            100.0,
        );
        let often = function("p", "both", 2, 10, 100);
        let large = function("p", "large", 1, LARGE + 1, 100);
        order.add(Figure::UdpRoundTrip, vec![large, often], 100.0);
        let script = order.script();
        let inputs: Vec<&str> = script
            .lines()
            .filter_map(|line| line.trim().strip_prefix("*(.text."))
            .collect();
        assert_eq!(inputs, ["both)", "large)", "only_rate)"]);
        assert_eq!(
            script.matches("*(.rodata.").count(),
            2,
            "large, and what all share"
        );
        assert_eq!(script.matches('{').count(), script.matches('}').count());
    }
}
