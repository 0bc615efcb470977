//! Realistic changes of files and shared drives, from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::edit::{inherit, move_to, set_trashed, share_with, transfer, unshare};
use super::file::{File, Home};
use super::generate;
use super::permission::{Grant, Grantee, Role};
use super::store::Store;

/// What to change: POST it to `/admin/drive/churn`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub changes: u32,
    #[serde(default)]
    pub seed: u64,
    /// Only by these users; absent: by all.
    pub users: Option<Vec<String>>,
    /// Weights by kind; absent: a default mix.
    pub kinds: Option<BTreeMap<Kind, u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Create,
    Edit,
    /// Changes neither name nor content; the version rises.
    Metadata,
    Rename,
    Move,
    Trash,
    Untrash,
    Delete,
    Share,
    /// With a link, a domain, a group, or an address that is no user here.
    ShareOutside,
    Unshare,
    /// To another owner.
    Transfer,
    Star,
    Describe,
}

const USUAL: [(Kind, u32); 14] = [
    (Kind::Create, 5),
    (Kind::Edit, 8),
    (Kind::Metadata, 3),
    (Kind::Rename, 3),
    (Kind::Move, 2),
    (Kind::Trash, 2),
    (Kind::Untrash, 1),
    (Kind::Delete, 1),
    (Kind::Share, 2),
    (Kind::ShareOutside, 2),
    (Kind::Unshare, 2),
    (Kind::Transfer, 1),
    (Kind::Star, 1),
    (Kind::Describe, 1),
];

/// Keeps a change within milliseconds even if hardly any of 100,000s of files is suitable.
const MAX_LOOKED_AT: usize = 20_000;

#[derive(Default, Serialize)]
pub struct Changed {
    pub counts: BTreeMap<Kind, u32>,
}

/// A user, and the files that they own or that are in their shared drives, including deleted ones.
struct Person {
    email: Arc<str>,
    files: Vec<Arc<str>>,
}

/// Makes the changes. A change without a target (no file in the trash, no user to share with) creates a file instead.
pub fn churn(store: &mut Store, users: &[String], order: &Order, now: DateTime<Utc>) -> Changed {
    let mut chance = StdRng::seed_from_u64(order.seed);
    let mut people: Vec<Person> = users.iter().map(|user| person(store, user)).collect();
    let emails: Vec<Arc<str>> = people.iter().map(|person| Arc::clone(&person.email)).collect();
    let kinds: Vec<(Kind, u32)> = order.kinds.as_ref().map_or_else(|| USUAL.into(), |kinds| kinds.clone().into_iter().collect());
    let mut changed = Changed::default();
    for _ in 0..order.changes {
        // Without weights or users there is nothing to do.
        let Ok((kind, _)) = kinds.choose_weighted(&mut chance, |(_, weight)| *weight) else { break };
        if people.is_empty() {
            break;
        }
        let number = chance.random_range(0..people.len());
        let person = &mut people[number];
        let done = match change(store, person, *kind, &emails, now, &mut chance) {
            Some(()) => *kind,
            None => {
                create(store, person, now, &mut chance);
                Kind::Create
            }
        };
        *changed.counts.entry(done).or_default() += 1;
    }
    changed
}

fn person(store: &Store, email: &str) -> Person {
    let acts_on = |file: &File| match &file.home {
        Home::User(owner) => **owner == *email,
        Home::Drive(drive) => store.is_member(email, drive),
    };
    let mut files: Vec<Arc<str>> = store.files().filter(|(_, file)| acts_on(file)).map(|(id, _)| Arc::clone(id)).collect();
    // The store is unordered, but the same seed must give the same result.
    files.sort_unstable();
    Person { email: store.known(email), files }
}

/// `None`: no suitable file.
fn change(
    store: &mut Store,
    person: &Person,
    kind: Kind,
    everybody: &[Arc<str>],
    now: DateTime<Utc>,
    chance: &mut StdRng,
) -> Option<()> {
    if kind == Kind::Create {
        return None;
    }
    let suits = |file: &File| match kind {
        Kind::Create => false,
        Kind::Edit => !file.is_folder(),
        Kind::Metadata | Kind::Rename | Kind::Move | Kind::ShareOutside | Kind::Star | Kind::Describe => true,
        Kind::Trash => !store.trashed(file),
        Kind::Untrash => file.explicitly_trashed,
        // A folder goes into the trash before it is deleted with its contents.
        Kind::Delete => !file.is_folder() || file.explicitly_trashed,
        Kind::Share => everybody.iter().any(|user| !store.sees(user, file)),
        Kind::Unshare => file.shared.iter().any(|grant| grant.direct.is_some()),
        Kind::Transfer => matches!(&file.home, Home::User(owner) if everybody.iter().any(|user| user != owner)),
    };
    let id = pick(store, person, suits, chance)?;
    let mut file = store.file(&id)?.clone();
    match kind {
        Kind::Create => return None,
        Kind::Trash | Kind::Untrash => set_trashed(store, &id, kind == Kind::Trash, now),
        Kind::Delete => store.delete(&id, now),
        Kind::Share => {
            let strangers: Vec<_> = everybody.iter().filter(|user| !store.sees(user, &file)).cloned().collect();
            let role = [Role::Reader, Role::Commenter, Role::Writer][(file.version % 3) as usize];
            share_with(store, &id, Grant::direct(Grantee::User(strangers.choose(chance)?.clone()), role), now);
        }
        Kind::ShareOutside => share_with(store, &id, outside(chance), now),
        Kind::Unshare => {
            let direct: Vec<&Grant> = file.shared.iter().filter(|grant| grant.direct.is_some()).collect();
            unshare(store, &id, &direct.choose(chance)?.to, now);
        }
        Kind::Transfer => {
            let others: Vec<_> =
                everybody.iter().filter(|user| !matches!(&file.home, Home::User(owner) if owner == *user)).collect();
            transfer(store, &id, others.choose(chance)?, now).ok()?;
        }
        Kind::Star => {
            match file.starred_by.iter().position(|user| *user == person.email) {
                Some(place) => drop(file.starred_by.remove(place)),
                None => file.starred_by.push(Arc::clone(&person.email)),
            }
            store.put(&id, file, now);
        }
        Kind::Describe => {
            file.description = Some(format!("Described {} times", chance.random_range(1..100)));
            store.put(&id, file, now);
        }
        Kind::Edit => {
            let size = (file.content().size() + chance.random_range(1..500)).min(1 << 20);
            file.edit(Content::Seed { seed: chance.random(), size }, now);
            file.use_by(&person.email);
            store.put(&id, file, now);
        }
        Kind::Metadata => store.put(&id, file, now),
        Kind::Rename => {
            let number = chance.random_range(2..100);
            file.name = match file.name.rsplit_once('.') {
                Some((stem, extension)) => format!("{stem} v{number}.{extension}"),
                None => format!("{} v{number}", file.name),
            };
            // Some clients change it with the name, Drive's UI does not.
            if number % 2 == 0 {
                file.modified = now;
            }
            store.put(&id, file, now);
        }
        Kind::Move => {
            let folder = pick(store, person, |other| other.is_folder() && same(&other.home, &file.home), chance);
            move_to(store, &id, folder, now).ok()?;
        }
    }
    Some(())
}

/// A permission for someone who is no user here.
fn outside(chance: &mut StdRng) -> Grant {
    let number = chance.random_range(0..5);
    let to = match number {
        0 | 1 => Grantee::Anyone,
        2 => Grantee::Domain("partner.example".into()),
        3 => Grantee::Group("team@example.com".into()),
        _ => Grantee::User(format!("guest{}@partner.example", chance.random_range(0..3)).into()),
    };
    Grant { discoverable: number == 1, ..Grant::direct(to, if chance.random_bool(0.5) { Role::Reader } else { Role::Writer }) }
}

fn create(store: &mut Store, person: &mut Person, now: DateTime<Utc>, chance: &mut StdRng) {
    let drives: Vec<Arc<str>> = store.drives_of(&person.email).map(|(id, _)| Arc::clone(id)).collect();
    let drive = drives.choose(chance).filter(|_| chance.random_bool(0.25));
    let home = drive.map_or_else(|| Home::User(Arc::clone(&person.email)), |drive| Home::Drive(Arc::clone(drive)));
    let folder = pick(store, person, |other| other.is_folder() && same(&other.home, &home), chance);
    let (id, mut file) = generate::file(store, &home, folder, now, chance);
    (file.created, file.modified) = (now, now);
    file.use_by(&person.email);
    inherit(store, &mut file);
    store.put(&id, file, now);
    person.files.push(id);
}

/// The first suitable file from a random one on; gives up after a limit.
fn pick(store: &Store, person: &Person, suits: impl Fn(&File) -> bool, chance: &mut StdRng) -> Option<Arc<str>> {
    let count = person.files.len();
    let first = chance.random_range(0..count.max(1));
    let mut round = person.files.iter().cycle().skip(first).take(count.min(MAX_LOOKED_AT));
    round.find(|id| store.file(id).is_some_and(&suits)).cloned()
}

fn same(one: &Home, other: &Home) -> bool {
    match (one, other) {
        (Home::User(one), Home::User(other)) | (Home::Drive(one), Home::Drive(other)) => one == other,
        _ => false,
    }
}
