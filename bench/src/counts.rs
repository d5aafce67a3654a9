//! Guest instructions by process and function: reads the plugin `bench/plugin` and the ELF files of the image.

use addr2line::Loader;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};
use std::{
    collections::HashMap,
    io::{self, Read},
    os::unix::net::UnixStream,
    path::Path,
};

/// Stands for the program where a driver has looked for the next frame instead of sleeping: it would not have run then, and lets
/// everybody go first who has something to do.
pub const WAITING: &str = "waiting";
/// Part of the symbol of the function that does.
const WAITS: &str = "virtio_net6server4look";

/// How often each translated block ran: by address and code, runs and instructions.
pub type Snapshot = HashMap<(u64, Vec<u8>), (u64, u32)>;

/// Asks the plugin that listens at this socket.
///
/// # Errors
/// If it is not there, or hangs up before the end.
pub fn snapshot(socket: &Path) -> io::Result<Snapshot> {
    let mut bytes = Vec::new();
    UnixStream::connect(socket)?.read_to_end(&mut bytes)?;
    decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "half an answer"))
}

fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let mut rest = bytes;
    let count = u64::from_le_bytes(take(&mut rest)?);
    let mut blocks = Snapshot::new();
    for _ in 0..count {
        let address = u64::from_le_bytes(take(&mut rest)?);
        let runs = u64::from_le_bytes(take(&mut rest)?);
        let instructions = u32::from_le_bytes(take(&mut rest)?);
        let length = u32::from_le_bytes(take(&mut rest)?);
        let (code, after) = rest.split_at_checked(length as usize)?;
        rest = after;
        blocks.insert((address, code.to_vec()), (runs, instructions));
    }
    rest.is_empty().then_some(blocks)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

/// A program or kernel whose blocks can be told from the others'.
struct Program {
    name: String,
    /// Address and bytes of each segment.
    segments: Vec<(u64, Vec<u8>)>,
    symbols: Loader,
    /// Address, size and symbol of each function, in order.
    functions: Vec<(u64, u64, String)>,
}

impl Program {
    fn holds(&self, address: u64, code: &[u8]) -> bool {
        self.segments.iter().any(|(start, bytes)| {
            address
                .checked_sub(*start)
                .and_then(|offset| usize::try_from(offset).ok())
                .and_then(|offset| bytes.get(offset..)?.get(..code.len()))
                == Some(code)
        })
    }

    /// Which function an address belongs to.
    fn function_at(&self, address: u64) -> Option<usize> {
        let functions = &self.functions;
        let behind = functions.partition_point(|(start, ..)| *start <= address);
        behind.checked_sub(1)
    }

    /// The symbol of the function at an address, as the linker knows it.
    fn symbol(&self, address: u64) -> Option<&str> {
        let (.., symbol) = self.functions.get(self.function_at(address)?)?;
        Some(symbol)
    }
}

/// A function as the linker knows it, and how many blocks of it ran.
#[derive(Clone, Debug)]
pub struct Function {
    /// The program.
    pub program: String,
    /// Its name in the symbol table.
    pub symbol: String,
    /// Where it is.
    pub address: u64,
    /// In bytes.
    pub size: u64,
    /// Blocks that ran.
    pub runs: u64,
}

/// Functions that ran.
pub type Functions = Vec<Function>;

/// The programs that blocks are looked for in.
#[derive(Default)]
pub struct Programs(Vec<Program>);

/// Instructions of one function of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The program; `user` or `kernel` where it is none of those that are known.
    pub program: String,
    /// The function, inlined ones by themselves; `?` where there is no name.
    pub function: String,
    /// Instructions.
    pub instructions: u64,
}

impl Programs {
    /// Adds an ELF file under this name.
    ///
    /// # Errors
    /// If it can't be read or is none.
    pub fn add(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let bytes = std::fs::read(path)?;
        let bad = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {error}", path.display()),
            )
        };
        let file = object::File::parse(bytes.as_slice()).map_err(|error| bad(&error))?;
        let mut segments = Vec::new();
        for segment in file.segments() {
            let data = segment.data().map_err(|error| bad(&error))?;
            segments.push((segment.address(), data.to_vec()));
        }
        let mut functions: Vec<(u64, u64, String)> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                Some((symbol.address(), symbol.size(), symbol.name().ok()?.into()))
            })
            .collect();
        functions.sort();
        let symbols = Loader::new(path).map_err(|error| bad(&error))?;
        self.0.push(Program {
            name: name.into(),
            segments,
            symbols,
            functions,
        });
        Ok(())
    }

    /// The blocks that ran between two snapshots, as far as their programs are known: program, address, code, and how often.
    pub fn blocks<'a>(
        &'a self,
        before: &'a Snapshot,
        after: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a str, u64, &'a [u8], u64)> {
        self.ran(before, after)
            .map(|(program, address, code, runs)| (program.name.as_str(), address, code, runs))
    }

    fn ran<'a>(
        &'a self,
        before: &'a Snapshot,
        after: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a Program, u64, &'a [u8], u64)> {
        after.iter().filter_map(|(block, (runs, _))| {
            let (address, code) = block;
            let ran = runs - before.get(block).map_or(0, |(runs, _)| *runs).min(*runs);
            let mut programs = self.0.iter();
            let program = programs.find(|program| ran > 0 && program.holds(*address, code))?;
            Some((program, *address, code.as_slice(), ran))
        })
    }

    /// The functions that ran between two snapshots, as far as they are known.
    pub fn functions(&self, before: &Snapshot, after: &Snapshot) -> Functions {
        let mut found: HashMap<(&str, usize), (&Program, u64)> = HashMap::new();
        for (program, address, _, ran) in self.ran(before, after) {
            if let Some(function) = program.function_at(address) {
                let entry = found
                    .entry((program.name.as_str(), function))
                    .or_insert((program, 0));
                entry.1 += ran;
            }
        }
        let named = |((_, function), (program, runs)): ((&str, usize), (&Program, u64))| {
            let (address, size, symbol) = program.functions.get(function)?.clone();
            Some(Function {
                program: program.name.clone(),
                symbol,
                address,
                size,
                runs,
            })
        };
        found.into_iter().filter_map(named).collect()
    }

    /// What ran between two snapshots, by program and function, the most first.
    pub fn attribute(&self, before: &Snapshot, after: &Snapshot) -> Vec<Line> {
        let mut lines: HashMap<(String, String), u64> = HashMap::new();
        for ((address, code), (runs, instructions)) in after {
            let earlier = before
                .get(&(*address, code.clone()))
                .map_or(0, |(runs, _)| *runs);
            let ran = (runs - earlier.min(*runs)) * u64::from(*instructions);
            if ran == 0 {
                continue;
            }
            let key = match self.0.iter().find(|program| program.holds(*address, code)) {
                Some(program) => {
                    let symbol = program.symbol(*address);
                    let waits = symbol.is_some_and(|symbol| symbol.contains(WAITS));
                    let name = if waits { WAITING } else { &program.name };
                    (name.into(), function(&program.symbols, *address))
                }
                None if *address >> 63 == 1 => ("kernel".into(), "?".into()),
                None => ("user".into(), "?".into()),
            };
            *lines.entry(key).or_default() += ran;
        }
        let mut lines: Vec<Line> = lines
            .into_iter()
            .map(|((program, function), instructions)| Line {
                program,
                function,
                instructions,
            })
            .collect();
        lines.sort_by(|a, b| {
            b.instructions
                .cmp(&a.instructions)
                .then_with(|| (&a.program, &a.function).cmp(&(&b.program, &b.function)))
        });
        lines
    }
}

/// The innermost function at an address, and the one that it was inlined into.
fn function(symbols: &Loader, address: u64) -> String {
    let mut names = Vec::new();
    if let Ok(mut frames) = symbols.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            if let Some(name) = frame
                .function
                .as_ref()
                .and_then(|name| Some(name.demangle().ok()?.into_owned()))
            {
                names.push(name);
            }
        }
    }
    match (names.first(), names.last()) {
        (Some(inner), Some(outer)) if names.len() > 1 => format!("{inner} < {outer}"),
        (Some(only), _) => only.clone(),
        _ => symbols
            .find_symbol(address)
            .map_or_else(|| "?".into(), str::to_owned),
    }
}

/// All instructions but those of waiting.
pub fn work(lines: &[Line]) -> u64 {
    let works = lines.iter().filter(|line| line.program != WAITING);
    works.map(|line| line.instructions).sum()
}

/// Instructions by program, the most first.
pub fn by_program(lines: &[Line]) -> Vec<(String, u64)> {
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for line in lines {
        *sums.entry(&line.program).or_default() += line.instructions;
    }
    let mut sums: Vec<(String, u64)> = sums
        .into_iter()
        .map(|(name, sum)| (name.to_owned(), sum))
        .collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(blocks: &[(u64, u64, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = (blocks.len() as u64).to_le_bytes().to_vec();
        for (address, runs, instructions, code) in blocks {
            bytes.extend(address.to_le_bytes());
            bytes.extend(runs.to_le_bytes());
            bytes.extend(instructions.to_le_bytes());
            bytes.extend((code.len() as u32).to_le_bytes());
            bytes.extend(*code);
        }
        bytes
    }

    #[test]
    fn what_the_plugin_sends_is_read_and_half_of_it_is_not() {
        let bytes = encoded(&[(0x1000, 3, 2, b"ab"), (0x2000, 1, 1, b"")]);
        let blocks = decode(&bytes).unwrap();
        assert_eq!(blocks[&(0x1000, b"ab".to_vec())], (3, 2));
        assert_eq!(blocks[&(0x2000, vec![])], (1, 1));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn waiting_is_no_work() {
        let line = |program: &str, instructions| Line {
            program: program.into(),
            function: String::new(),
            instructions,
        };
        assert_eq!(work(&[line("a", 3), line(WAITING, 100), line("b", 4)]), 7);
    }

    #[test]
    fn only_what_ran_in_between_counts_and_unknown_code_is_told_by_its_half() {
        let before = decode(&encoded(&[(0x1000, 3, 2, b"a")])).unwrap();
        let after = decode(&encoded(&[
            (0x1000, 5, 2, b"a"),
            (0x1000, 1, 7, b"b"),
            (u64::MAX - 5, 1, 1, b"c"),
        ]))
        .unwrap();
        let lines = Programs::default().attribute(&before, &after);
        assert_eq!(
            by_program(&lines),
            [("user".into(), 11), ("kernel".into(), 1)]
        );
    }
}
