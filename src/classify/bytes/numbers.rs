//! Encodes and decodes numbers, and computes the checksum.

use anyhow::{Context as _, bail, ensure};

/// Larger than any weight, and small enough that sums stay finite.
const MAX_NUMBER: f32 = 1e9;

/// The bytes written so far.
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn count(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn number(&mut self, value: f32) {
        self.0.extend(value.to_le_bytes());
    }
}

/// The bytes not read yet.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().context("the model is truncated")?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn count(&mut self) -> anyhow::Result<u32> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).context("a count of the model is too large");
            }
        }
        bail!("a count of the model is too long")
    }

    pub fn number(&mut self) -> anyhow::Result<f32> {
        let value = f32::from_le_bytes(self.take()?);
        ensure!(value.abs() <= MAX_NUMBER, "the model holds {value}");
        Ok(value)
    }

    /// Reads a sum of squares. It must be positive: steps are divided by its root.
    pub fn squares(&mut self) -> anyhow::Result<f32> {
        let value = self.number()?;
        ensure!(value > 0.0, "the model holds {value} as a sum of squares");
        Ok(value)
    }
}

/// FNV-1a: detects accidental corruption, not tampering.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
