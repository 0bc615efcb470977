//! Mailboxes from a seed: each message is stored as a number, its text is generated on demand.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::Duration;
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::labels::{IMPORTANT, INBOX, Labels, PROMOTIONS, SENT, SPAM, STARRED, TRASH, UNREAD, UPDATES, labels};
use super::letter::{self, Kind, Plan, Recipe};
use super::mailbox::{Mailbox, Text};
use crate::admin::{Wrong, user};
use crate::state::{User, World, lock};

/// What to generate: POST it to `/admin/mail/generate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Absent: all.
    pub users: Option<Vec<String>>,
    /// For each user.
    pub messages: u32,
    #[serde(default)]
    pub seed: u64,
    /// How many days back from now they spread.
    #[serde(default = "month")]
    pub days: u32,
}

fn month() -> u32 {
    30
}

#[derive(Serialize)]
pub struct Made {
    pub users: usize,
    pub messages: u64,
}

pub fn generate(world: &World, order: &Order) -> Result<Made, Wrong> {
    let users = chosen(world, order.users.as_deref())?;
    let (now, span) = (world.now().timestamp_millis(), Duration::days(order.days.into()).num_milliseconds());
    let people = people(world);
    for user in &users {
        let recipe = recipe(&people, user, order.seed);
        let mut mailbox = lock(&user.mailbox);
        let mut thread = None;
        for number in 0..order.messages {
            let (plan, mut chance) = letter::plan(&recipe, number);
            // Each in its own time slice, so that the order of arrival is that of the dates.
            let place = (f64::from(number) + chance.random::<f64>()) / f64::from(order.messages);
            let at = now - (span as f64 * (1.0 - place)) as i64;
            let id = add(&mut mailbox, &recipe, number, &plan, at, thread);
            thread = mailbox.get(id).map(|message| message.thread);
        }
    }
    Ok(Made { users: users.len(), messages: users.len() as u64 * u64::from(order.messages) })
}

/// The users with these addresses; an empty list: all.
pub fn chosen(world: &World, named: Option<&[String]>) -> Result<Vec<Arc<User>>, Wrong> {
    match named {
        Some(emails) => emails.iter().map(|email| user(world, email)).collect(),
        None => Ok(world.all_users()),
    }
}

/// The names in virtual addresses.
pub fn people(world: &World) -> Arc<[String]> {
    let local = |email: &str| email.split('@').next().unwrap_or_default().to_owned();
    world.all_users().iter().map(|user| local(&user.email)).collect()
}

/// Each user's mail is different, and independent of the other users.
pub fn recipe(people: &Arc<[String]>, user: &User, seed: u64) -> Arc<Recipe> {
    let mut hasher = DefaultHasher::new();
    (seed, &user.email).hash(&mut hasher);
    Arc::new(Recipe { seed: hasher.finish(), owner: user.email.clone(), people: Arc::clone(people) })
}

/// Adds a planned message; an answer goes into the thread of the previous message.
pub fn add(mailbox: &mut Mailbox, recipe: &Arc<Recipe>, number: u32, plan: &Plan, at: i64, before: Option<u64>) -> u64 {
    let text = Text::Made(Arc::clone(recipe), number);
    mailbox.add(text, at, places(plan), before.filter(|_| plan.reply))
}

fn places(plan: &Plan) -> Labels {
    let mut places: Vec<u16> = match plan.kind {
        Kind::Inbox => vec![INBOX, IMPORTANT],
        Kind::Archived => Vec::new(),
        Kind::Sent => vec![SENT],
        Kind::Promotion => vec![INBOX, PROMOTIONS],
        Kind::Update => vec![INBOX, UPDATES],
        Kind::Spam => vec![SPAM],
        Kind::Trash => vec![TRASH],
    };
    places.extend(plan.unread.then_some(UNREAD));
    places.extend(plan.starred.then_some(STARRED));
    labels(places)
}
