//! Writes the seeds of every target that has some: `seeds FOLDER` makes `FOLDER/TARGET/NUMBER`.
#![forbid(unsafe_code)]

use fuzz::SEEDS;
use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let root = env::args_os().nth(1).map(PathBuf::from);
    let root = root.ok_or_else(|| io::Error::other("usage: seeds FOLDER"))?;
    for (name, seeds) in SEEDS {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds().into_iter().enumerate() {
            fs::write(folder.join(number.to_string()), seed)?;
        }
    }
    Ok(())
}
