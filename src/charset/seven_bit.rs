//! Seven-bit Korean and Chinese text: between shifts, pairs of bytes represent what EUC encodes with the high bit set.

use encoding_rs::{EUC_KR, Encoding, GBK};

/// The kind of shift sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SevenBit {
    /// RFC 1557, ISO-2022-KR.
    Korean,
    /// RFC 1922, ISO-2022-CN; only its set GB 2312 is supported.
    Chinese,
    /// RFC 1843, HZ-GB-2312.
    Hz,
}

const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;
const ESCAPE: u8 = 0x1b;

impl SevenBit {
    /// The encoding of the text after its high bits are restored.
    pub fn encoding(self) -> &'static Encoding {
        match self {
            Self::Korean => EUC_KR,
            Self::Chinese | Self::Hz => GBK,
        }
    }
}

/// The charset announced by an escape sequence in the text.
pub fn announced(bytes: &[u8]) -> Option<SevenBit> {
    let has = |sequence: &[u8]| bytes.windows(sequence.len()).any(|window| window == sequence);
    if !bytes.contains(&ESCAPE) {
        return None;
    }
    has(b"\x1b$)C").then_some(SevenBit::Korean).or_else(|| has(b"\x1b$)A").then_some(SevenBit::Chinese))
}

/// Restores the high bits of shifted pairs. Characters of unsupported sets become invalid bytes.
pub fn widened(bytes: &[u8], kind: SevenBit) -> Vec<u8> {
    let mut wide = Vec::with_capacity(bytes.len());
    let (mut is_shifted, mut is_known) = (false, true);
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (kind, byte, after) {
            (SevenBit::Hz, b'~', [b'{', after @ ..]) => (is_shifted, rest) = (true, after),
            (SevenBit::Hz, b'~', [b'}', after @ ..]) => (is_shifted, rest) = (false, after),
            (SevenBit::Hz, b'~', [b'~', after @ ..]) if !is_shifted => {
                wide.push(b'~');
                rest = after;
            }
            (SevenBit::Hz, b'~', [b'\n', after @ ..]) => rest = after,
            (SevenBit::Korean | SevenBit::Chinese, SHIFT_OUT, _) => is_shifted = true,
            (SevenBit::Korean | SevenBit::Chinese, SHIFT_IN, _) => is_shifted = false,
            (SevenBit::Korean | SevenBit::Chinese, ESCAPE, [b'$', b')' | b'*', set, after @ ..]) => {
                is_known = matches!(set, b'A' | b'C' | b'E');
                rest = after;
            }
            // Each line starts unshifted.
            (_, b'\n', _) => {
                is_shifted = false;
                wide.push(byte);
            }
            (_, 0x21..=0x7e, [second @ 0x21..=0x7e, after @ ..]) if is_shifted => {
                if is_known {
                    wide.extend([byte | 0x80, second | 0x80])
                } else {
                    wide.push(0xff)
                }
                rest = after;
            }
            _ => wide.push(byte),
        }
    }
    wide
}
