//! Inputs: valid ones of a corpus, broken in a few places. The result depends only on seed and number.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

/// Maximum length of an input in bytes.
const LONGEST: usize = 64 << 10;
/// Maximum number of times a piece is repeated, which determines the nesting depth.
const REPEATS: usize = 8_000;
/// Maximum number of changes of one input.
const CHANGES: usize = 8;
/// Bytes and numbers that tend to break parsers.
const BYTES: &[u8] = b"\0\x01\t\r\n \"'\\{}[]<>()=:;,.@/%+-0\x7f\x80\xbf\xc0\xe2\xf0\xff";
const NUMBERS: [&str; 10] =
    ["0", "-1", "255", "65536", "2147483648", "4294967296", "9223372036854775807", "-9223372036854775808", "1e999", "0.0000001"];

/// The input with this number.
pub fn make(corpus: &[Vec<u8>], words: &[&str], seed: u64, number: u64) -> Vec<u8> {
    let mut chance = SmallRng::seed_from_u64(seed.rotate_left(32) ^ number);
    let mut input = corpus.choose(&mut chance).cloned().unwrap_or_default();
    // Some stay unchanged, most are changed in one place or two.
    let changes = chance.random_range(0..=CHANGES).min(chance.random_range(0..=CHANGES));
    for _ in 0..changes {
        change(&mut input, corpus, words, &mut chance);
        input.truncate(LONGEST);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str], chance: &mut SmallRng) {
    let at = chance.random_range(0..=input.len());
    let end = (at + chance.random_range(1..=40)).min(input.len());
    let insert = |input: &mut Vec<u8>, at: usize, piece: &[u8]| drop(input.splice(at..at, piece.iter().copied()));
    match chance.random_range(0..10) {
        // A bit, a byte, a few bytes.
        0 if at < input.len() => input[at] ^= 1 << chance.random_range(0..8),
        1 if at < input.len() => input[at] = *BYTES.choose(chance).unwrap_or(&0),
        2 => drop(input.drain(at..end)),
        3 => {
            let mut noise = vec![0; chance.random_range(1..=16)];
            chance.fill_bytes(&mut noise);
            insert(input, at, &noise);
        }
        // A word that is meaningful to this target.
        4 => insert(input, at, words.choose(chance).unwrap_or(&"").as_bytes()),
        5 => drop(input.splice(at..end, words.choose(chance).unwrap_or(&"").bytes())),
        // A piece repeated many times, from the input or from those words.
        6 | 7 => {
            let own = input[at..end].to_vec();
            let piece = if chance.random() { own } else { words.choose(chance).unwrap_or(&"").as_bytes().to_vec() };
            insert(input, at, &piece.repeat(chance.random_range(1..=REPEATS)));
        }
        // A different number.
        8 => {
            let digits = input[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset);
            if let Some(from) = digits {
                let length = input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                drop(input.splice(from..from + length, NUMBERS.choose(chance).unwrap_or(&"0").bytes()));
            }
        }
        // The tail of another input.
        _ => {
            let other = corpus.choose(chance).map_or(&[][..], Vec::as_slice);
            input.truncate(at);
            input.extend_from_slice(&other[chance.random_range(0..=other.len())..]);
        }
    }
}
