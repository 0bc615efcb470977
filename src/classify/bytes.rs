//! Serialises a learner to bytes for a table column, and back. Bytes of another version, truncated or corrupted bytes are an error.
//!
//! Numbers are little-endian; a count is a LEB128 number of at most 32 bits. Layout: `SCLF`, format version and features version (16 bits
//! each), documents, classes, rows with at least one document, tallies, past predictions, and a 64-bit FNV-1a checksum of everything before it.

mod model;
mod numbers;

use anyhow::{Context as _, bail, ensure};

use super::decide::Tallies;
use super::features::{FEATURES_VERSION, Text, features};
use super::learner::Learner;
use super::threshold::{LATEST, Past, Record, Tally};
use numbers::{Reader, Writer, checksum};

/// Increment when the byte layout changes.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"SCLF";

impl Learner {
    /// Serialises the learner: about 9 bytes per weight, at most 7 MiB.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.0.extend(FORMAT_VERSION.to_le_bytes());
        out.0.extend(FEATURES_VERSION.to_le_bytes());
        model::write(&self.model, &mut out);
        for tally in [self.tallies.kin, self.tallies.sender] {
            out.count(tally.right);
            out.count(tally.total);
        }
        out.count(self.past.records().len() as u32);
        for record in self.past.records() {
            out.number(record.confidence);
            out.0.push(u8::from(record.is_right));
        }
        let sum = checksum(&out.0);
        out.0.extend(sum.to_le_bytes());
        out.0
    }

    /// Reads what `to_bytes` wrote.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are of another version, truncated or corrupted. The caller must then relearn all assignments.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut input = Reader(bytes);
        ensure!(input.take()? == MAGIC, "not a model: wrong magic bytes");
        let (format, features) = (u16::from_le_bytes(input.take()?), u16::from_le_bytes(input.take()?));
        ensure!(
            (format, features) == (FORMAT_VERSION, FEATURES_VERSION),
            "the model has version {format}.{features}, this program needs {FORMAT_VERSION}.{FEATURES_VERSION}"
        );
        let (content, sum) = bytes.split_last_chunk().context("the model is truncated")?;
        ensure!(checksum(content) == u64::from_le_bytes(*sum), "the model is corrupted: wrong checksum");
        // The checks below must also hold for crafted bytes with a valid checksum.
        input.0 = &content[content.len() - (input.0.len() - sum.len())..];
        let model = model::read(&mut input)?;
        let tallies = Tallies { kin: read_tally(&mut input)?, sender: read_tally(&mut input)? };
        let past = read_past(&mut input)?;
        ensure!(input.0.is_empty(), "the model has trailing bytes");
        Ok(Self::of(model, past, tallies))
    }
}

/// Loads arbitrary bytes, also with a valid checksum appended, for `fuzz`. A learner that loads must rank, and survive a save and a reload.
pub fn read_any(bytes: &[u8]) {
    let content = [bytes, &checksum(bytes).to_le_bytes()].concat();
    // Valid input already ends with a checksum.
    let own = bytes.split_last_chunk::<8>().map(|(content, _)| [content, &checksum(content).to_le_bytes()].concat());
    for bytes in [Some(bytes.to_vec()), Some(content), own].into_iter().flatten() {
        let Ok(learner) = Learner::from_bytes(&bytes) else { continue };
        let ranked = learner.model.rank(&features(&Text { body: "steel roses", ..Text::default() }), |_| true);
        assert!(ranked.iter().all(|one| (0.0..=1.0).contains(&one.confidence)), "{ranked:?}");
        let (threshold, saved) = (learner.threshold(), learner.to_bytes());
        drop(learner);
        let reloaded = Learner::from_bytes(&saved).map(|reloaded| reloaded.threshold());
        assert_eq!(reloaded.ok(), Some(threshold), "the learner changed when it was saved");
    }
}

fn read_tally(input: &mut Reader) -> anyhow::Result<Tally> {
    let tally = Tally { right: input.count()?, total: input.count()? };
    ensure!(
        tally.right <= tally.total && tally.total as usize <= LATEST,
        "the model counts {} correct of {}",
        tally.right,
        tally.total
    );
    Ok(tally)
}

fn read_past(input: &mut Reader) -> anyhow::Result<Past> {
    let count = input.count()? as usize;
    ensure!(count <= LATEST, "the model has {count} predictions");
    let mut past = Past::default();
    for _ in 0..count {
        let confidence = input.number()?;
        ensure!((0.0..=1.0).contains(&confidence), "a prediction of the model has a confidence of {confidence}");
        let is_right = match input.take()? {
            [0] => false,
            [1] => true,
            [other] => bail!("a prediction of the model has the outcome {other}"),
        };
        past.push(Record { confidence, is_right });
    }
    Ok(past)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::decide::Neighbours;
    use super::super::features::BUCKETS;
    use super::super::learner::tests::{WORDS, label, of, taught};
    use super::super::linear::Model;
    use super::*;

    #[test]
    fn a_reloaded_model_continues_to_learn_identically() {
        let mut saved = taught(150);
        let mut loaded = Learner::from_bytes(&saved.to_bytes()).expect("its own bytes");
        for learner in [&mut saved, &mut loaded] {
            for number in 0..50 {
                learner
                    .learn(&of(&format!("{} {number}", WORDS[number % 3])), &Neighbours::default(), label(number))
                    .expect("a free label");
            }
        }
        assert_eq!((&loaded.model, &loaded.past, loaded.tallies), (&saved.model, &saved.past, saved.tallies));
        assert_eq!(loaded.to_bytes(), saved.to_bytes());
        assert!(loaded.threshold().is_some() && loaded.threshold() == saved.threshold());
        assert_eq!(Learner::from_bytes(&Learner::default().to_bytes()).expect("nothing learnt").model, Model::default());
    }

    #[test]
    fn bytes_of_another_version_are_named_as_such() {
        let error = |at: usize| {
            let mut bytes = taught(3).to_bytes();
            bytes[at] += 1;
            Learner::from_bytes(&bytes).expect_err("another version").to_string()
        };
        assert_eq!(error(0), "not a model: wrong magic bytes");
        assert_eq!(error(4), "the model has version 2.1, this program needs 1.1");
        assert_eq!(error(6), "the model has version 1.2, this program needs 1.1");
    }

    #[test]
    fn truncated_or_changed_bytes_are_an_error() {
        let bytes = taught(3).to_bytes();
        for at in 0..bytes.len() {
            assert!(Learner::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(Learner::from_bytes(&changed).is_err(), "changed at {at}");
        }
        assert!(Learner::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    /// A learner's bytes without their checksum.
    static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let bytes = taught(40).to_bytes();
        bytes[..bytes.len() - 8].to_vec()
    });

    /// Appends the valid checksum.
    fn summed(mut content: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&content);
        content.extend(sum.to_le_bytes());
        content
    }

    /// A learner of one project, two documents and two predictions, written by hand.
    #[derive(Clone)]
    struct Written {
        kind: u8,
        bias: f32,
        rows: Vec<(u32, u32)>,
        weights: Vec<(u32, f32, f32)>,
        tally: (u32, u32),
        record: (f32, u8),
        rest: Vec<u8>,
    }

    const WRITTEN: fn() -> Written = || Written {
        kind: 1,
        bias: -3.0,
        rows: vec![(7, 2), (BUCKETS as u32 - 9, 1)],
        weights: vec![(0, 1.0, 0.5), (1, -1.0, 0.5)],
        tally: (3, 4),
        record: (0.5, 1),
        rest: vec![],
    };

    fn loads(written: Written) -> Result<(), String> {
        let mut out = Writer([MAGIC.as_slice(), &FORMAT_VERSION.to_le_bytes(), &FEATURES_VERSION.to_le_bytes()].concat());
        out.count(2);
        out.count(2);
        out.0.extend([&[written.kind], [7; 16].as_slice()].concat());
        for (ending, bias) in [([].as_slice(), written.bias), (&[0], -3.0)] {
            out.0.extend(ending);
            out.number(bias);
            out.number(1.0);
            out.count(1);
        }
        out.count(written.rows.len() as u32);
        for (gap, documents) in written.rows {
            out.count(gap);
            out.count(documents);
            out.count(written.weights.len() as u32);
            for (class, value, squares) in &written.weights {
                out.count(*class);
                out.number(*value);
                out.number(*squares);
            }
        }
        for number in [written.tally.0, written.tally.1, 0, 0, 1] {
            out.count(number);
        }
        out.number(written.record.0);
        out.0.push(written.record.1);
        out.0.extend(written.rest);
        Learner::from_bytes(&summed(out.0)).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn invalid_bytes_with_a_valid_checksum_are_an_error() {
        assert_eq!(loads(WRITTEN()), Ok(()));
        let error = |written| loads(written).expect_err("an invalid model");
        let is = |written, expected| assert_eq!(error(written), expected);
        is(Written { kind: 2, ..WRITTEN() }, "the model has a label of kind 2");
        is(Written { bias: f32::NAN, ..WRITTEN() }, "the model holds NaN");
        is(Written { bias: 2e9, ..WRITTEN() }, "the model holds 2000000000");
        is(Written { rows: vec![(7, 1), (BUCKETS as u32 - 8, 1)], ..WRITTEN() }, "the model has more than 262144 buckets");
        is(Written { rows: vec![(7, 3)], ..WRITTEN() }, "a bucket of the model has 3 documents of 2");
        is(Written { weights: vec![(1, 1.0, 1.0), (0, 1.0, 1.0)], ..WRITTEN() }, "a weight of the model has an invalid label");
        is(Written { weights: vec![(2, 1.0, 1.0)], ..WRITTEN() }, "a weight of the model has an invalid label");
        is(Written { weights: vec![(0, 1.0, 0.0)], ..WRITTEN() }, "the model holds 0 as a sum of squares");
        is(Written { tally: (2, 1), ..WRITTEN() }, "the model counts 2 correct of 1");
        is(Written { tally: (2, 1_001), ..WRITTEN() }, "the model counts 2 correct of 1001");
        is(Written { record: (1.5, 1), ..WRITTEN() }, "a prediction of the model has a confidence of 1.5");
        is(Written { record: (0.5, 2), ..WRITTEN() }, "a prediction of the model has the outcome 2");
        is(Written { rest: vec![0], ..WRITTEN() }, "the model has trailing bytes");
    }

    proptest! {
        #[test]
        fn any_bytes_load_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Learner::from_bytes(&bytes).is_err());
            let header = [MAGIC.as_slice(), &FORMAT_VERSION.to_le_bytes(), &FEATURES_VERSION.to_le_bytes()].concat();
            let _ = Learner::from_bytes(&summed([header, bytes].concat()));
        }

        #[test]
        fn damage_with_a_valid_checksum_loads_a_sound_model_or_fails(at in 8_usize..2_000, byte in any::<u8>()) {
            let mut content = SOUND.clone();
            let at = 8 + at % (content.len() - 8);
            content[at] = byte;
            if let Ok(learner) = Learner::from_bytes(&summed(content)) {
                let ranked = learner.model.rank(&of(WORDS[0]), |_| true);
                prop_assert!(ranked.iter().all(|one| (0.0..=1.0).contains(&one.confidence)), "{:?}", ranked);
            }
        }
    }
}
