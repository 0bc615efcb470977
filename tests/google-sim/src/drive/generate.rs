//! Generates a realistic mix of files from a seed: folders, Google Docs, text, tables, pictures, some of them shared.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use data_encoding::BASE64URL_NOPAD;
use md5::{Digest as _, Md5};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::edit::top;
use super::file::{DOCUMENT, FOLDER, File, Home, PRESENTATION, SPREADSHEET};
use super::permission::{Grant, Grantee, Role};
use super::store::Store;

/// Type, extension, percentage, and the minimum and maximum size.
const MIX: [(&str, &str, u32, (u64, u64)); 10] = [
    (FOLDER, "", 8, (0, 1)),
    (DOCUMENT, "", 25, (300, 8_000)),
    (SPREADSHEET, "", 12, (300, 6_000)),
    (PRESENTATION, "", 6, (200, 3_000)),
    ("text/plain", ".txt", 10, (100, 4_000)),
    ("text/markdown", ".md", 8, (100, 6_000)),
    ("text/csv", ".csv", 6, (100, 6_000)),
    ("application/pdf", ".pdf", 14, (2_000, 30_000)),
    ("image/png", ".png", 6, (2_000, 30_000)),
    ("image/jpeg", ".jpg", 5, (2_000, 30_000)),
];
const NAMES: [&str; 12] = [
    "Budget",
    "Q3 Plan",
    "Notizen für Süd",
    "Roadmap",
    "会議メモ",
    "Invoice",
    "Draft",
    "Team photo",
    "Café list",
    "Spec",
    "Report",
    "Backlog 🚀",
];

/// What to generate: POST it to `/admin/drive/generate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Only for these users; absent: for all.
    pub users: Option<Vec<String>>,
    /// Files per user, including folders.
    pub files: u32,
    #[serde(default)]
    pub shared_drives: u32,
    #[serde(default)]
    pub files_per_drive: u32,
    /// Absent: every user is a member of every drive.
    pub members_per_drive: Option<usize>,
    #[serde(default)]
    pub seed: u64,
}

#[derive(Default, Serialize)]
pub struct Made {
    pub users: usize,
    pub files: u64,
    /// The number of files shared with other users.
    pub shared: u64,
    /// Ids of the shared drives.
    pub drives: Vec<String>,
}

/// Generates exactly this many files: the same for the same seed and users.
pub fn generate(store: &mut Store, users: &[String], order: &Order, now: DateTime<Utc>) -> Made {
    let mut made = Made { users: users.len(), ..Made::default() };
    let people: Vec<Arc<str>> = users.iter().map(|user| store.known(user)).collect();
    for user in &people {
        fill(store, &Home::User(Arc::clone(user)), order.files, &people, (&mut chance(order.seed, user), now), &mut made);
    }
    for number in 0..order.shared_drives as usize {
        let mut chance = chance(order.seed, &format!("drive {number}"));
        let id = format!("0A{}", BASE64URL_NOPAD.encode(&chance.random::<[u8; 12]>()));
        let size = order.members_per_drive.unwrap_or(users.len()).min(users.len());
        let members: Vec<String> = users.iter().cycle().skip(number * size).take(size).cloned().collect();
        store.put_drive(&id, &format!("Team {}", number + 1), &members, now);
        fill(store, &Home::Drive(store.known(&id)), order.files_per_drive, &[], (&mut chance, now), &mut made);
        made.drives.push(id);
    }
    made
}

/// Each home has its own generator, so that an additional user changes nothing for the others.
fn chance(seed: u64, name: &str) -> StdRng {
    let digest = Md5::digest(name);
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    StdRng::seed_from_u64(seed ^ number)
}

fn fill(
    store: &mut Store,
    home: &Home,
    count: u32,
    people: &[Arc<str>],
    (chance, now): (&mut StdRng, DateTime<Utc>),
    made: &mut Made,
) {
    let mut folders: Vec<Arc<str>> = Vec::new();
    for _ in 0..count {
        let folder = if chance.random_bool(0.7) { folders.choose(chance).cloned() } else { None };
        let (id, mut file) = file(store, home, folder, now, chance);
        if file.is_folder() {
            folders.push(Arc::clone(&id));
        } else if chance.random_bool(0.06) {
            let others = people.choose_multiple(chance, 2).filter(|other| !matches!(home, Home::User(owner) if owner == *other));
            let roles = [Role::Writer, Role::Reader];
            file.shared.extend(others.zip(roles).map(|(other, role)| Grant::direct(Grantee::User(Arc::clone(other)), role)));
        }
        made.files += 1;
        made.shared += u64::from(!file.shared.is_empty());
        let at = file.modified;
        store.put(&id, file, at);
    }
}

/// A random file in this folder, or at the top.
pub fn file(store: &Store, home: &Home, folder: Option<Arc<str>>, now: DateTime<Utc>, chance: &mut StdRng) -> (Arc<str>, File) {
    let id = new_id(store, chance);
    let mut draw = chance.random_range(0..100);
    let kind = MIX.iter().find(|(_, _, share, _)| {
        let is_drawn = draw < *share;
        if !is_drawn {
            draw -= share;
        }
        is_drawn
    });
    let (mime, extension, _, (least, most)) = kind.copied().unwrap_or(MIX[0]);
    let name = format!("{} {}{extension}", NAMES.choose(chance).unwrap_or(&"File"), chance.random_range(1..10_000));
    let content = match mime {
        FOLDER => Content::None,
        _ => Content::Seed { seed: chance.random(), size: chance.random_range(least..most) },
    };
    let created = now - Duration::minutes(chance.random_range(60..60 * 24 * 400));
    let mut file = File::new(name, Cow::Borrowed(mime), home.clone(), folder.unwrap_or_else(|| top(home)), content, created);
    file.modified = created + (now - created) / chance.random_range(1..20);
    (id.into(), file)
}

/// A new ID: the same seed may have generated files before.
fn new_id(store: &Store, chance: &mut StdRng) -> String {
    loop {
        let id = format!("1{}", BASE64URL_NOPAD.encode(&chance.random::<[u8; 24]>()));
        if store.file(&id).is_none() {
            return id;
        }
    }
}
