//! Drivers that lead their network cards to memory that was not given to them, or not to be written, with an IOMMU and without.

use super::{Case, eventually, static_address};
use std::{cell::Cell, os::unix::net::UnixDatagram, path::PathBuf, time::Duration};
use system_tests::{
    Failure, Outcome, ensure,
    machine::{Boot, Machine, PROMPT},
};

pub(crate) const CASES: &[Case] = &[
    ("dma::an_iommu_stops_rogue_drivers", an_iommu_stops_them),
    (
        "dma::without_an_iommu_rogue_drivers_succeed",
        without_an_iommu_they_succeed,
    ),
];

/// Part of the frame that the reading driver has its card send (`clients/probe/src/rogue.rs`).
const SECRET: &[u8] = b"this memory was not given to the device";

/// The other ends of the cables of the second card, and of the third and fourth.
struct Wires {
    folder: PathBuf,
    reader: UnixDatagram,
    writers: [UnixDatagram; 2],
    /// Frames sent so far.
    sent: Cell<usize>,
}

impl Wires {
    fn new(name: &str) -> Outcome<Wires> {
        let folder = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let bind = |end: &str| -> Outcome<UnixDatagram> {
            let socket = UnixDatagram::bind(folder.join(end))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Wires {
            reader: bind("n1-peer")?,
            writers: [bind("n2-peer")?, bind("n3-peer")?],
            sent: Cell::new(0),
            folder,
        })
    }

    fn netdev(&self, id: &str) -> String {
        let folder = self.folder.display();
        format!(
            "dgram,id={id},local.type=unix,local.path={folder}/{id},remote.type=unix,remote.path={folder}/{id}-peer"
        )
    }

    /// Whether the secret has come out of the second card.
    fn has_leaked(&self) -> bool {
        let mut frame = [0; 2048];
        while let Ok(len) = self.reader.recv(&mut frame) {
            if frame[..len]
                .windows(SECRET.len())
                .any(|part| part == SECRET)
            {
                return true;
            }
        }
        false
    }

    /// Sends a frame that the third card receives, the next time one that the fourth does: QEMU's unit keeps a record of one refused
    /// access at a time.
    fn send(&self) {
        let mut frame = [0x55; 64];
        frame[..6].fill(0xff);
        let turn = self.sent.replace(self.sent.get() + 1) % 2;
        let end = ["n2", "n3"][turn];
        // Until the machine has opened its end, there is nobody to take it.
        let _ = self.writers[turn].send_to(&frame, self.folder.join(end));
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A machine with four cards: an honest driver for the first, rogues for the others.
fn machine(wires: &Wires, no_iommu: bool) -> Outcome<Machine> {
    let mut boot = Boot::user(&[])
        .archive("tests.cpio")
        .append(&static_address());
    let others = ["n1", "n2", "n3"].map(|id| wires.netdev(id));
    boot.cards.extend(others);
    boot.no_iommu = no_iommu;
    let mut machine = boot.start()?;
    machine.expect(PROMPT, Duration::from_secs(60))?;
    Ok(machine)
}

/// Feeds the third and fourth card until the log has all of `wanted`; the log.
fn log_with(machine: &mut Machine, wires: &Wires, wanted: &[&str]) -> Outcome<String> {
    eventually(Duration::from_secs(60), || {
        wires.send();
        let log = machine.shell("log -n 400")?;
        for text in wanted {
            ensure!(log.contains(text), "no {text:?} in the log:\n{log}");
        }
        Ok(log)
    })
}

fn an_iommu_stops_them() -> Outcome {
    let wires = Wires::new("iommu")?;
    let mut machine = machine(&wires, false)?;
    let log = log_with(
        &mut machine,
        &wires,
        &[
            "device 00:04.0 tried to read memory at",
            "device 00:05.0 tried to write memory at",
            "device 00:06.0 tried to write memory at",
            "rogue-read: its device strayed; it is killed",
            "rogue-write: its device strayed; it is killed",
            "rogue-overwrite: its device strayed; it is killed",
        ],
    )?;
    ensure!(!log.contains("foreign memory"), "it got through: {log}");
    ensure!(!wires.has_leaked(), "the secret is out");
    // The honest driver of the first card was never in doubt.
    let ps = machine.shell("ps")?;
    let driver = ps.lines().find(|line| line.contains("virtio-net"));
    let is_first = driver.is_some_and(|line| line.contains(" 0  running"));
    ensure!(is_first, "{ps}");
    machine.send("poweroff\r")?;
    let (status, output) = machine.end(Duration::from_secs(20))?;
    ensure!(status == 0, "status {status}: {output}");
    Ok(())
}

/// What the test above looks for does happen where nothing stops it.
fn without_an_iommu_they_succeed() -> Outcome {
    let wires = Wires::new("no-iommu")?;
    let mut machine = machine(&wires, true)?;
    log_with(
        &mut machine,
        &wires,
        &[
            "PASS rogue-driver: read: the device has taken foreign memory",
            "PASS rogue-driver: write: the device has overwritten foreign memory",
            "PASS rogue-driver: overwrite: the device has overwritten foreign memory",
        ],
    )?;
    eventually(Duration::from_secs(5), || match wires.has_leaked() {
        true => Ok(()),
        false => Err(Failure("the secret did not come out".into())),
    })
}
