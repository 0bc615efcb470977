//! Turns a text into sparse features: the counts of its words and of its pairs of adjacent words, and its sender, each hashed into one of
//! 2^18 buckets. The same text gives the same features on every machine. Pure.

use unicode_segmentation::UnicodeSegmentation as _;

/// Increment when the features of a text change: a model trained on one version cannot rank another.
pub const FEATURES_VERSION: u16 = 1;

/// Buckets are numbers below 2^18.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 18;
const BUCKET_MASK: u32 = (1 << BUCKET_BITS) - 1;

/// Maximum number of bytes read of each part. The beginning of a document shows what it is about.
const MAX_TITLE: usize = 1024;
const MAX_SENDER: usize = 320;
const MAX_BODY: usize = 32 * 1024;
/// Maximum number of words read of a document, title and body together.
const MAX_WORDS: usize = 4096;
/// Characters of a word that count. Longer strings are not words of a language.
const MAX_CHARACTERS: usize = 40;

/// A pair occurs less often than its words and means less by itself.
const PAIR_WEIGHT: f32 = 0.5;
/// The length of the sender's part of the vector, relative to that of all words, which is 1.
const SENDER_WEIGHT: f32 = 0.5;

/// An entry packs the bucket (18 bits), the kind (2 bits) and the count (12 bits).
const KIND_MASK: u32 = 3 << BUCKET_BITS;
const WORD: u32 = 1 << BUCKET_BITS;
const PAIR: u32 = 2 << BUCKET_BITS;
const SENDER: u32 = 0;
const COUNT_SHIFT: u32 = BUCKET_BITS + 2;
const MAX_COUNT: u32 = (1 << (32 - COUNT_SHIFT)) - 1;

/// A document as a person sees it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a> {
    pub title: &'a str,
    /// Such as `Ada <ada@example.com>`, or an address alone; empty if unknown.
    pub sender: &'a str,
    /// Plain text.
    pub body: &'a str,
}

/// The features of a document: at most 3 for each of its first 4,096 words and 2 for its sender, 4 bytes each.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Sorted by bucket, each bucket once.
    entries: Box<[u32]>,
    /// Factors that normalise the lengths of the words' part and the sender's part of the vector.
    word_scale: f32,
    sender_scale: f32,
}

impl Features {
    /// Returns the buckets in ascending order with their values. The sum of the squared values is 1, or 0 if the text has no features.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.entries.iter().map(|entry| {
            let value = if entry & KIND_MASK == SENDER { self.sender_scale } else { weighed(*entry) * self.word_scale };
            ((entry & BUCKET_MASK) as usize, value)
        })
    }

    /// The number of buckets.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the text has no features.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Computes the features of a text.
pub fn features(text: &Text) -> Features {
    let mut parts = Vec::new();
    walk(text, &mut |bucket, part| {
        parts.push(match part {
            Part::Word(_) | Part::TitleWord(_) => bucket | WORD,
            Part::Pair(_, _) => bucket | PAIR,
            Part::Sender(_) => bucket | SENDER,
        });
    });
    // If parts of several kinds share a bucket, it gets the first kind: the sender, else the word.
    parts.sort_unstable_by_key(|entry| (entry & BUCKET_MASK, entry & KIND_MASK));
    let same = |a: &u32, b: &u32| a & BUCKET_MASK == b & BUCKET_MASK;
    let entries: Vec<u32> = parts.chunk_by(same).map(|run| run[0] | (run.len() as u32).min(MAX_COUNT) << COUNT_SHIFT).collect();
    let (senders, words): (Vec<u32>, Vec<u32>) = entries.iter().partition(|entry| **entry & KIND_MASK == SENDER);
    let word_length = words.iter().map(|entry| weighed(*entry) * weighed(*entry)).sum::<f32>().sqrt();
    let sender_length = (senders.len() as f32).sqrt();
    let share = |present: bool, weight: f32| if present { weight } else { 0.0 };
    let (word_share, sender_share) = (share(!words.is_empty(), 1.0), share(!senders.is_empty(), SENDER_WEIGHT));
    let total = word_share.hypot(sender_share);
    let scale = |share: f32, length: f32| if length > 0.0 { share / total / length } else { 0.0 };
    Features {
        entries: entries.into(),
        word_scale: scale(word_share, word_length),
        sender_scale: scale(sender_share, sender_length),
    }
}

/// The value of a word or a pair before scaling. Repetitions count logarithmically.
fn weighed(entry: u32) -> f32 {
    let count = entry >> COUNT_SHIFT;
    let damped = if count == 1 { 1.0 } else { 1.0 + (count as f32).ln() };
    if entry & KIND_MASK == PAIR { damped * PAIR_WEIGHT } else { damped }
}

/// The part of a text that is hashed into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    Word(&'a str),
    /// A word of the title, in addition to `Word`: it weighs more than a word of the body.
    TitleWord(&'a str),
    /// Two adjacent words.
    Pair(&'a str, &'a str),
    /// The sender's address, or its domain with the `@`.
    Sender(&'a str),
}

/// Calls `name` with the bucket and part of each word, pair and sender, in the order of the text.
pub fn walk<'a>(text: &Text<'a>, name: &mut impl FnMut(u32, Part<'a>)) {
    let address = address(cut(text.sender, MAX_SENDER));
    if !address.is_empty() {
        name(bucket(hash(SENDER_SEED, address)), Part::Sender(address));
        if let Some(at) = address.rfind('@') {
            name(bucket(hash(SENDER_SEED, &address[at..])), Part::Sender(&address[at..]));
        }
    }
    let mut remaining = MAX_WORDS;
    for (is_title, part) in [(true, cut(text.title, MAX_TITLE)), (false, cut(text.body, MAX_BODY))] {
        let mut before: Option<(u64, &str)> = None;
        for word in part.unicode_words().take(remaining) {
            remaining -= 1;
            let own = hash(WORD_SEED, word);
            name(bucket(own), Part::Word(word));
            if is_title {
                name(bucket(own ^ TITLE_SEED), Part::TitleWord(word));
            }
            if let Some((hashed, previous)) = before {
                name(bucket(hashed.wrapping_mul(PRIME).rotate_left(17) ^ own), Part::Pair(previous, word));
            }
            before = Some((own, word));
        }
    }
}

/// The text in the last angle brackets, or all of it.
fn address(sender: &str) -> &str {
    let inner = sender.rsplit_once('<').map(|(_, rest)| rest.split('>').next().unwrap_or(rest));
    inner.unwrap_or(sender).trim()
}

/// The first `max` bytes of a text, cut at a character boundary.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

const WORD_SEED: u64 = 0xcbf2_9ce4_8422_2325;
const TITLE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const SENDER_SEED: u64 = 0xd6e8_feb8_6659_fd93;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a of the first characters, in lower case.
fn hash(seed: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    if text.is_ascii() {
        return text.bytes().take(MAX_CHARACTERS).fold(seed, |hash, byte| step(hash, byte.to_ascii_lowercase()));
    }
    let mut buffer = [0; 4];
    let characters = text.chars().take(MAX_CHARACTERS).flat_map(char::to_lowercase);
    characters.fold(seed, |hash, character| character.encode_utf8(&mut buffer).bytes().fold(hash, step))
}

/// The top bits after mixing with the finaliser of MurmurHash3.
fn bucket(hash: u64) -> u32 {
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((hash ^ hash >> 33) >> (64 - BUCKET_BITS)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(body: &str) -> Features {
        features(&Text { body, ..Text::default() })
    }

    fn length(features: &Features) -> f32 {
        features.iter().map(|(_, value)| value * value).sum()
    }

    /// Buckets are stored: if a value changes here, increment `FEATURES_VERSION`.
    #[test]
    fn a_text_has_the_same_features_on_every_machine() {
        let text = Text { title: "Brücke", sender: "Ada <ADA@example.com>", body: "der Plan der Brücke" };
        // Three decimals: logarithms may differ in the last bit.
        let actual: Vec<(usize, i32)> =
            features(&text).iter().map(|(bucket, value)| (bucket, (value * 1_000.0).round() as i32)).collect();
        let expected = [
            (61344, 307),
            (86687, 154),
            (119575, 316),
            (121403, 307),
            (171496, 154),
            (198327, 154),
            (199119, 316),
            (233721, 520),
            (253671, 520),
        ];
        assert_eq!((FEATURES_VERSION, actual), (1, expected.to_vec()));
    }

    #[test]
    fn features_ignore_case_and_separators_but_not_order() {
        assert_eq!(of("The BRIDGE,\0 plan!"), of("the bridge plan"));
        assert_eq!(of("ПЛАН моста"), of("план Моста"));
        assert_ne!(of("bridge the plan"), of("the bridge plan"));
    }

    #[test]
    fn title_words_weigh_more_and_senders_are_known_by_address() {
        let titled = features(&Text { title: "bridge", ..Text::default() });
        assert_eq!((titled.len(), of("bridge").len()), (2, 1));
        let sent = |sender| features(&Text { sender, body: "a plan", ..Text::default() });
        assert_eq!(sent("Ada <ada@example.com>"), sent("\"A. L.\" <Ada@Example.com>"));
        assert_eq!(sent("ada@example.com"), sent("<ada@example.com>"));
        assert_ne!(sent("ada@example.com"), sent("bob@example.com"));
    }

    #[test]
    fn frequent_words_weigh_more_but_less_than_proportionally() {
        let of_bridge = |text: &str| {
            let (own, all) = (of("bridge"), of(text));
            let (bucket, _) = own.iter().next().expect("one word");
            all.iter().find(|(other, _)| *other == bucket).expect("the word").1 / all.word_scale
        };
        let (once, often) = (of_bridge("bridge plan"), of_bridge(&"bridge plan ".repeat(10)));
        assert!(often > 3.0 * once && often < 4.0 * once, "{once} {often}");
    }

    #[test]
    fn scripts_without_spaces_have_words_too() {
        assert!(of("橋の計画を見る").len() > 5);
        assert!(of("خطة الجسر").len() == 3);
    }

    #[test]
    fn a_text_of_any_size_is_read_up_to_a_bound() {
        let word = "bridge ".repeat(1_000_000);
        assert_eq!(of(&word).len(), 2);
        assert_eq!(of(&word), of(&word[..MAX_BODY]));
        let one = "é".repeat(50_000_000);
        assert_eq!(of(&one).len(), 1);
        let many: String = (0..100_000).map(|number| format!("{number:x} ")).collect();
        assert!(of(&many).len() <= 2 * MAX_WORDS);
        for empty in ["", "\0\0\0", " \u{202e} ", "…!?"] {
            assert!(of(empty).is_empty() && length(&of(empty)) == 0.0, "{empty:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_features(title in ".{0,40}", sender in "\\PC{0,30}|[a-z]{1,5}@[a-z<>]{1,5}", body in "(?s).{0,300}") {
            let features = features(&Text { title: &title, sender: &sender, body: &body });
            let length = length(&features);
            prop_assert!(features.is_empty() && length == 0.0 || (length - 1.0).abs() < 1e-3, "{}", length);
            let buckets: Vec<usize> = features.iter().map(|(bucket, _)| bucket).collect();
            prop_assert!(buckets.is_sorted_by(|a, b| a < b) && buckets.iter().all(|bucket| *bucket < BUCKETS));
        }
    }
}
