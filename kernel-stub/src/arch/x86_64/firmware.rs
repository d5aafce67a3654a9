//! Reading what the firmware left in physical memory. Nothing it says is trusted: each read is checked
//! against what is there, each table against its own length and checksum.

/// Physical memory as the firmware filled it, at addresses that the firmware named.
pub(crate) trait FirmwareMemory {
    /// Copies `into.len()` bytes from `address`; `None` if that cannot be read.
    fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()>;

    /// A little-endian number of `N` (at most 8) bytes.
    fn number<const N: usize>(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, bytes.get_mut(..N)?)?;
        Some(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::FirmwareMemory;
    use std::collections::BTreeMap;

    /// Memory made of a few blocks; everything between them cannot be read.
    #[derive(Default, Clone)]
    pub(crate) struct Blocks(pub(crate) BTreeMap<u64, Vec<u8>>);

    impl FirmwareMemory for Blocks {
        fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()> {
            let (start, block) = self.0.range(..=address).next_back()?;
            let from = usize::try_from(address - start).ok()?;
            into.copy_from_slice(block.get(from..from.checked_add(into.len())?)?);
            Some(())
        }
    }
}
