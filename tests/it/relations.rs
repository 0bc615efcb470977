//! `sql/relations.sql`: a function for each reference between the main tables, which follows it as a join does.

use std::collections::BTreeSet;
use std::process::Command;

use chrono::{Days, Utc};
use regex::Regex;
use serde_json::json;

use crate::support::World;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/relations.sql");
const TABLES: &str = include_str!("../../docs/tables.md");

/// References that comments describe in words: the labels of a message are an array, and only some events are about documents.
const IN_WORDS: [[&str; 4]; 2] =
    [["gmail_messages", "labels", "gmail_labels", "label_id"], ["outbox_events", "subject", "documents", "id"]];

/// Column of a table that refers to a column of another one.
type Reference = [String; 4];

/// A function of the file.
struct Relation {
    name: String,
    from: String,
    to: String,
    /// Each pair of columns that are equal, first that of the row which the function takes.
    pairs: Vec<(String, String)>,
    /// The condition, with `t` for a row of `to` and `$1` for one of `from`.
    condition: String,
    is_to_one: bool,
}

fn relations() -> Vec<Relation> {
    let text = std::fs::read_to_string(FILE).expect("sql/relations.sql");
    let function = Regex::new(concat!(
        r"CREATE OR REPLACE FUNCTION (\w+)\((\w+)\) RETURNS SETOF (\w+) LANGUAGE sql STABLE PARALLEL SAFE( ROWS 1)? BEGIN ATOMIC",
        r"\s+SELECT t FROM (\w+) t WHERE ([^;]+);\s+END;"
    ));
    let pair = Regex::new(r"t\.(\w+) = (?:ANY \()?\$1\.(\w+)").expect("a pattern");
    let relation = |found: regex::Captures<'_>| {
        assert_eq!(found[3], found[5], "the table of {}({})", &found[1], &found[2]);
        let pairs = pair.captures_iter(&found[6]).map(|pair| (pair[2].to_owned(), pair[1].to_owned())).collect();
        Relation {
            name: found[1].to_owned(),
            from: found[2].to_owned(),
            to: found[3].to_owned(),
            pairs,
            condition: found[6].to_owned(),
            is_to_one: found.get(4).is_some(),
        }
    };
    let relations: Vec<_> = function.expect("a pattern").captures_iter(&text).map(relation).collect();
    assert_eq!(relations.len(), text.matches("CREATE ").count(), "each function has the same form");
    relations
}

/// The references of the page of tables between these tables, and those in words.
fn references(tables: &BTreeSet<&str>) -> BTreeSet<Reference> {
    let column = Regex::new(r"(?m)^\| `(\w+)` \|.*\((\w+)\.(\w+)\)").expect("a pattern");
    let sections = TABLES.split("\n### `").skip(1).filter_map(|section| section.split_once('`'));
    let named = sections.filter(|(table, _)| tables.contains(table)).flat_map(|(table, text)| {
        let found = column.captures_iter(text).map(|found| [table, &found[1], &found[2], &found[3]].map(str::to_owned));
        found.collect::<Vec<_>>()
    });
    let named = named.filter(|[_, _, to, _]| tables.contains(to.as_str()));
    named.chain(IN_WORDS.map(|reference| reference.map(str::to_owned))).collect()
}

/// Whether a function follows a reference, in its direction or back.
fn follows(relation: &Relation, [from, column, to, target]: &Reference, is_back: bool) -> bool {
    let pair = if is_back { (target, column) } else { (column, target) };
    let tables = if is_back { (to, from) } else { (from, to) };
    tables == (&relation.from, &relation.to) && relation.pairs.iter().any(|(own, other)| pair == (own, other))
}

#[test]
fn each_reference_has_a_function_and_each_function_a_reference() {
    let relations = relations();
    let tables: BTreeSet<&str> = relations.iter().flat_map(|relation| [relation.from.as_str(), relation.to.as_str()]).collect();
    assert_eq!(tables.len(), 18, "{tables:?}");
    let references = references(&tables);
    assert!(references.len() > 30, "{references:#?}");
    for reference in &references {
        assert!(relations.iter().any(|relation| follows(relation, reference, false)), "no function follows {reference:?}");
    }
    for relation in &relations {
        let Relation { name, from, to, .. } = relation;
        let mut of =
            references.iter().filter(|reference| follows(relation, reference, false) || follows(relation, reference, true));
        assert!(of.next().is_some(), "{name}({from}) follows no reference");
        let is_within = from == to && ["series", "exceptions"].contains(&name.as_str());
        assert!(is_within || name == to, "{name}({from}) is not named after {to}");
    }
}

/// Runs the file as an administrator would.
fn run(world: &World, variables: &[&str]) -> (bool, String) {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", FILE, "-d", &world.database.url()]);
    let ran = psql.args(variables.iter().flat_map(|variable| ["-v", *variable])).output().expect("psql");
    (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[track_caller]
fn apply(world: &World, variables: &[&str]) {
    assert_eq!(run(world, variables), (true, String::new()));
}

/// Calendars, mail, files, bots, transcripts and projects of three users.
fn filled() -> World {
    let world = World::with_attendee(3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let link = world.meet_all(&[&users[0], &users[1]], "talk", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": {} }));
    let today = Utc::now().date_naive();
    let at = |days, hour| json!({ "dateTime": format!("{}T{hour:02}:00:00Z", today + Days::new(days)), "timeZone": "UTC" });
    let series = json!({ "id": "walk", "recurrence": ["RRULE:FREQ=DAILY;COUNT=9"], "start": at(2, 9), "end": at(2, 10) });
    let id = format!("walk_{}T090000Z", (today + Days::new(3)).format("%Y%m%d"));
    let (original, start, end) = (at(3, 9), at(3, 12), at(3, 13));
    let exception = json!({ "id": id, "recurringEventId": "walk", "originalStartTime": original, "start": start, "end": end });
    for event in [series, exception] {
        world.sim.admin("events", json!({ "user": users[0], "calendar": "primary", "event": event }));
    }
    world.sim.admin("mail/generate", json!({ "messages": 20, "seed": 7, "days": 5 }));
    world.sim.admin("drive/generate", json!({ "files": 20, "shared_drives": 1, "files_per_drive": 5, "seed": 7 }));
    world.schedule().expect(0);
    world.pass(180);
    for _ in 0..2 {
        world.poll_bots().expect(0);
        for service in ["gmail", "drive"] {
            world.syncctl(&[service, "cron", "--force"]).expect(0);
        }
    }
    for user in &users[..2] {
        world.syncctl(&["projects", "add", user, "Garden"]).expect(0);
        let document =
            world.text(&format!("SELECT d.id::text FROM documents d JOIN users u ON u.id = d.user_id WHERE u.email = '{user}'"));
        world.syncctl(&["projects", "assign", &document, "Garden"]).expect(0);
    }
    world
}

/// Asserts that each function finds what a join of its columns does.
#[track_caller]
fn assert_joins(world: &World) {
    for Relation { name, from, to, pairs, condition, is_to_one } in relations() {
        // Without what only leads to an index.
        let on: Vec<String> = pairs
            .iter()
            .map(|(own, other)| {
                let is_array = condition.contains(&format!("ANY ($1.{own})"));
                if is_array { format!("t.{other} = ANY (f.{own})") } else { format!("t.{other} = f.{own}") }
            })
            .collect();
        let rows = |source: String| -> (i64, Option<String>, i64) {
            let row = &world.query(&format!(
                "SELECT count(*), md5(string_agg(md5(f::text || t::text), '' ORDER BY f::text, t::text)), count(DISTINCT f::text) FROM {source}"
            ))[0];
            (row.get(0), row.get(1), row.get(2))
        };
        let followed = rows(format!("{from} f CROSS JOIN LATERAL {name}(f) t"));
        let joined = rows(format!("{from} f JOIN {to} t ON {}", on.join(" AND ")));
        assert!(joined.0 > 0, "no row of {from} leads to {to}");
        assert_eq!(followed, joined, "{name}({from})");
        assert!(!is_to_one || followed.0 == followed.2, "{name}({from}) leads to several rows");
    }
}

#[test]
fn functions_follow_references_as_joins_do_and_stay_right_through_upgrades_and_moves() {
    let mut world = filled();
    apply(&world, &[]);
    assert_joins(&world);
    apply(&world, &[]);
    world.execute("ALTER TABLE calendar_events ADD COLUMN later int DEFAULT 7; ALTER TABLE users DROP COLUMN created_at");
    assert_joins(&world);
    assert!(world.syncctl(&["db", "migrate"]).expect(0).stdout.contains("schema is current"));
    world.syncctl(&["db", "move-schema", "its own"]).expect(0);
    world.set("SYNCCTL_DB_SCHEMA", "its own");
    world.execute(&format!("ALTER DATABASE {} SET search_path = \"its own\"", world.database.name()));
    assert_joins(&world);
    let missing = run(&world, &[]);
    assert!(!missing.0 && missing.1.contains("there are no tables of syncctl in the schema syncctl"), "{missing:?}");
    let own = "pg_proc p WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql') AND p.prorettype IN
      (SELECT reltype FROM pg_class) AND p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'its own')";
    for _ in 0..2 {
        apply(&world, &["schema=its own"]);
        assert_eq!(world.rows(own), relations().len() as i64);
    }
    assert_joins(&world);
    apply(&world, &["schema=its own", "remove=true"]);
    assert_eq!(world.rows(own), 0);
}

#[test]
fn callers_need_the_rights_on_what_they_reach() {
    let world = World::with_users(1, 1);
    world.sync_all().expect(0);
    apply(&world, &[]);
    let role = format!("guest_of_{}", world.database.name());
    world.execute(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA syncctl TO {role}; GRANT SELECT ON calendar_events TO {role}"
    ));
    crate::roles::refused(&world, &role, "SELECT u FROM calendar_events e, users(e) u");
    world.execute(&format!("GRANT SELECT ON users TO {role}"));
    let mut client = postgres::Client::connect(&crate::roles::as_role(&world, &role), postgres::NoTls).expect("a connection");
    assert_eq!(client.query("SELECT u FROM calendar_events e, users(e) u", &[]).expect("rows").len(), 1);
    // The examples of the page.
    let example = include_str!("../../docs/questions.md").rsplit("```sql\n").next().and_then(|rest| rest.split("```").next());
    world.execute(example.expect("an example"));
}
