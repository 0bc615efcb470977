//! The content of a file: given text, a file on disk, or text generated from a seed on demand.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

const WORDS: [&str; 24] = [
    "the",
    "plan",
    "for",
    "quarter",
    "budget",
    "and",
    "team",
    "müssen",
    "review",
    "draft",
    "with",
    "客户",
    "notes",
    "from",
    "café",
    "meeting",
    "to",
    "ship",
    "a",
    "release",
    "Zürich",
    "of",
    "open",
    "questions",
];

#[derive(Clone)]
pub enum Content {
    /// Folders.
    None,
    Given(Arc<str>),
    Seed {
        seed: u64,
        size: u64,
    },
    Disk {
        path: Arc<Path>,
        size: u64,
    },
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Given(text) => text.len() as u64,
            Self::Seed { size, .. } | Self::Disk { size, .. } => *size,
        }
    }

    /// The bytes, generated in the format of this type if they come from a seed.
    pub fn bytes(&self, mime: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Given(text) => Ok(text.as_bytes().to_vec()),
            Self::Disk { path, .. } => std::fs::read(path),
            Self::Seed { seed, size } => Ok(made(*seed, usize::try_from(*size).unwrap_or(usize::MAX), mime)),
        }
    }
}

fn made(seed: u64, size: usize, mime: &str) -> Vec<u8> {
    let mut chance = StdRng::seed_from_u64(seed);
    let magic: &[u8] = match mime {
        "application/pdf" => b"%PDF-1.7\n",
        "image/png" => b"\x89PNG\r\n\x1a\n",
        "image/jpeg" => b"\xff\xd8\xff\xe0",
        _ => return text(&mut chance, size, mime).into_bytes(),
    };
    let mut bytes = vec![0; size.max(magic.len())];
    chance.fill_bytes(&mut bytes);
    bytes[..magic.len()].copy_from_slice(magic);
    bytes.truncate(size);
    bytes
}

/// Text of exactly this many bytes.
fn text(chance: &mut StdRng, size: usize, mime: &str) -> String {
    let mut text = String::with_capacity(size + 64);
    let mut count = 0;
    while text.len() < size {
        count += 1;
        if mime == "text/markdown" && count % 120 == 1 {
            text.push_str("\n## ");
        }
        text.push_str(WORDS[chance.random_range(0..WORDS.len())]);
        text.push_str(match mime {
            "text/csv" if count % 6 == 0 => "\r\n",
            "text/csv" => ",",
            _ if count % 12 == 0 => ".\n",
            _ => " ",
        });
    }
    text.truncate(text.floor_char_boundary(size));
    while text.len() < size {
        text.push(' ');
    }
    text
}
