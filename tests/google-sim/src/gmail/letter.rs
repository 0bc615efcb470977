//! Mail from a seed, generated on demand: the shapes, charsets and defects of a working mailbox.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::{shapes, words};

/// Shared by all messages of one order.
pub struct Recipe {
    pub seed: u64,
    pub owner: String,
    /// Local parts of the simulator's users, for virtual addresses.
    pub people: Arc<[String]>,
}

/// The metadata of a message that is needed without generating it.
pub struct Plan {
    pub kind: Kind,
    pub unread: bool,
    pub starred: bool,
    /// Whether it answers the previous message.
    pub reply: bool,
    /// A header that names a virtual address, and the address.
    pub for_bot: Option<(&'static str, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Inbox,
    Archived,
    Sent,
    Promotion,
    Update,
    Spam,
    Trash,
}

const HEADERS_FOR_BOT: [&str; 5] = ["To", "Cc", "Bcc", "Delivered-To", "X-Original-To"];

/// Plans a message, and returns the random generator for writing it.
pub fn plan(recipe: &Recipe, number: u32) -> (Plan, SmallRng) {
    let mut chance = SmallRng::seed_from_u64(recipe.seed ^ u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let kind = match chance.random_range(0..100) {
        0..45 => Kind::Inbox,
        45..62 => Kind::Archived,
        62..77 => Kind::Sent,
        77..87 => Kind::Promotion,
        87..96 => Kind::Update,
        96..98 => Kind::Spam,
        _ => Kind::Trash,
    };
    let for_bot = chance.random_bool(0.05).then(|| {
        let known = recipe.people.choose(&mut chance).filter(|_| chance.random_bool(0.9)).map_or("nobody", String::as_str);
        let domain = recipe.owner.rsplit_once('@').map_or("example.com", |(_, domain)| domain);
        let header = HEADERS_FOR_BOT.choose(&mut chance).copied().unwrap_or("To");
        (header, format!("ai+{known}@{domain}"))
    });
    let plan = Plan {
        kind,
        unread: kind != Kind::Sent && chance.random_bool(0.3),
        starred: chance.random_bool(0.03),
        reply: number > 0 && chance.random_bool(0.25),
        for_bot,
    };
    (plan, chance)
}

/// Writes a message of this date.
pub fn write(recipe: &Recipe, number: u32, at: i64) -> Vec<u8> {
    let (plan, mut chance) = plan(recipe, number);
    let mut first = number;
    while first > 0 && self::plan(recipe, first).0.reply {
        first -= 1;
    }
    let subject =
        words::SUBJECTS.choose(&mut SmallRng::seed_from_u64(recipe.seed ^ u64::from(first))).copied().unwrap_or("Hello");
    let mut head = String::new();
    let (from, to) = match plan.kind {
        Kind::Sent => (format!("Me <{}>", recipe.owner), words::correspondent(&mut chance)),
        _ => (words::correspondent(&mut chance), recipe.owner.clone()),
    };
    received(&mut head, &recipe.owner, at, &mut chance);
    let (header, bot) = plan.for_bot.as_ref().map_or(("", ""), |(header, bot)| (*header, bot.as_str()));
    if header == "Delivered-To" || header == "X-Original-To" {
        let _ = write!(head, "{header}: {bot}\r\n");
    } else {
        let _ = write!(head, "Delivered-To: {}\r\n", recipe.owner);
    }
    let _ = write!(head, "From: {from}\r\n");
    let to = if header == "To" { format!("{to},\r\n\t{bot}") } else { to };
    let _ = write!(head, "To: {to}\r\n");
    if header == "Cc" || header == "Bcc" {
        let _ = write!(head, "{header}: \"AI helper\" <{bot}>\r\n");
    }
    let subject = if plan.reply { format!("Re: {subject}") } else { subject.to_owned() };
    let _ = write!(head, "Subject: {}\r\n", words::encoded(&subject, &mut chance));
    let blunder = chance.random_range(0..100);
    if blunder != 0 {
        let _ = write!(head, "Date: {}\r\n", date(at, &mut chance));
    }
    if blunder == 1 {
        head.push_str("X-Mailer-Without-Colon homemade 0.1\r\n");
    }
    let _ = write!(head, "Message-ID: <{}>\r\n", message_id(recipe, number));
    if plan.reply {
        let (before, first) = (message_id(recipe, number - 1), message_id(recipe, first));
        let _ = write!(head, "In-Reply-To: <{before}>\r\nReferences: <{first}>\r\n <{before}>\r\n");
    }
    if plan.kind == Kind::Promotion {
        head.push_str("List-Unsubscribe: <https://news.example.net/unsubscribe?u=1>,\r\n <mailto:leave@news.example.net>\r\nPrecedence: bulk\r\n");
    }
    head.push_str("MIME-Version: 1.0\r\n");
    let mut text = head.into_bytes();
    shapes::body(&mut text, blunder == 2, DateTime::from_timestamp_millis(at).unwrap_or_default(), &recipe.owner, &mut chance);
    text
}

fn message_id(recipe: &Recipe, number: u32) -> String {
    format!("{number}.{:016x}@mail.partner.example", recipe.seed)
}

/// The time in the author's zone, with or without its name.
fn date(at: i64, chance: &mut SmallRng) -> String {
    let zone = FixedOffset::east_opt(*[0, 3_600, 7_200, 19_800, -28_800].choose(chance).unwrap_or(&0));
    let at = DateTime::from_timestamp_millis(at).unwrap_or_default();
    let text = zone.map_or_else(|| at.to_rfc2822(), |zone| at.with_timezone(&zone).to_rfc2822());
    if chance.random_bool(0.1) { format!("{text} (local)") } else { text }
}

fn received(head: &mut String, owner: &str, at: i64, chance: &mut SmallRng) {
    let at = DateTime::from_timestamp_millis(at).unwrap_or_default();
    for hop in 0..chance.random_range(1..4) {
        let _ = write!(
            head,
            "Received: from mx{hop}.partner.example (mx{hop}.partner.example. [192.0.2.{}])\r\n        by mx.google.com with ESMTPS id {:012x}\r\n        for <{owner}>; {}\r\n",
            chance.random_range(1..255),
            chance.random::<u32>(),
            at.to_rfc2822()
        );
    }
}
