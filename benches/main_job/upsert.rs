//! The baseline of a first sync: the same rows upserted from memory.

use std::time::{Duration, Instant};

use crate::support::World;

/// The same rows into tables of the same form, from memory, 2,000 a statement, each in a transaction: no HTTP, no JSON, no foreign keys.
/// Returns the times for the events, the meetings, and the instances.
pub fn bare_upsert(world: &World) -> (Duration, Duration, Duration) {
    let mut client = world.database.connect();
    let text = [
        "event_id",
        "status",
        "event_type",
        "summary",
        "time_zone",
        "organizer",
        "recurring_event_id",
        "ical_uid",
        "etag",
        "raw",
    ];
    let events = Bare {
        table: "calendar_events",
        fixed: "stream_id, user_id, calendar_id",
        text: &text,
        json: Some("raw"),
        times: &["start_at", "end_at", "original_start_at", "updated"],
        dates: &["start_date", "end_date", "original_start_date"],
    };
    let meetings = Bare {
        table: "meetings",
        fixed: "stream_id, user_id",
        text: &["event_id", "title", "link", "link_kind", "detected_by", "event_status"],
        json: None,
        times: &["start_at", "end_at"],
        dates: &[],
    };
    (events.upsert(&mut client), meetings.upsert(&mut client), instances(&mut client))
}

/// The same for the instances, whose times are ranges.
fn instances(client: &mut postgres::Client) -> Duration {
    client
        .batch_execute("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE calendar_instances INCLUDING ALL); CHECKPOINT")
        .expect("a table");
    let rows = client
        .query(
            "SELECT instance_id, event_id, series_id, response, title, lower(during), upper(during), start_date, end_date, busy FROM calendar_instances",
            &[],
        )
        .expect("rows");
    let text = |page: &[postgres::Row], column: usize| -> Array {
        Box::new(page.iter().map(|row| row.get(column)).collect::<Vec<Option<String>>>())
    };
    let pages: Vec<Vec<Array>> = rows
        .chunks(2_000)
        .map(|page| {
            let mut arrays: Vec<Array> = (0..5).map(|column| text(page, column)).collect();
            for column in 5..7 {
                arrays.push(Box::new(page.iter().map(|row| row.get(column)).collect::<Vec<chrono::DateTime<chrono::Utc>>>()));
            }
            for column in 7..9 {
                arrays.push(Box::new(page.iter().map(|row| row.get(column)).collect::<Vec<Option<chrono::NaiveDate>>>()));
            }
            arrays.push(Box::new(page.iter().map(|row| row.get(9)).collect::<Vec<bool>>()));
            arrays
        })
        .collect();
    drop(rows);
    let statement = client
        .prepare(
            "INSERT INTO bare AS b (user_id, stream_id, instance_id, event_id, series_id, response, title, during, all_day, start_date, end_date, busy)
             SELECT f.*, t.id, t.event, t.series, t.response, t.title, tstzrange(t.starts, t.ends), t.first IS NOT NULL, t.first, t.last, t.busy
             FROM (SELECT user_id, stream_id FROM calendar_instances LIMIT 1) f, unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
               $6::timestamptz[], $7::timestamptz[], $8::date[], $9::date[], $10::bool[])
               AS t (id, event, series, response, title, starts, ends, first, last, busy)
             ON CONFLICT (user_id, stream_id, instance_id) DO UPDATE SET title = excluded.title WHERE b.title IS DISTINCT FROM excluded.title",
        )
        .expect("a statement");
    let started = Instant::now();
    for page in &pages {
        let parameters: Vec<&(dyn postgres::types::ToSql + Sync)> = page.iter().map(AsRef::as_ref).collect();
        client.execute(&statement, &parameters).expect("an upsert");
    }
    started.elapsed()
}

/// A table and the columns that are written as arrays, by type.
struct Bare<'a> {
    table: &'a str,
    /// The same in every row.
    fixed: &'a str,
    text: &'a [&'a str],
    /// The one of `text` that is jsonb.
    json: Option<&'a str>,
    times: &'a [&'a str],
    dates: &'a [&'a str],
}

type Array = Box<dyn postgres::types::ToSql + Sync>;

impl Bare<'_> {
    fn upsert(&self, client: &mut postgres::Client) -> Duration {
        let Self { table, fixed, text, json, times, dates } = self;
        client
            .batch_execute(&format!("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE {table} INCLUDING ALL); CHECKPOINT"))
            .expect("a table");
        let columns: Vec<&str> = text.iter().chain(*times).chain(*dates).copied().collect();
        let read: Vec<String> =
            columns.iter().map(|name| if Some(*name) == *json { format!("{name}::text") } else { (*name).into() }).collect();
        let rows = client.query(&format!("SELECT {} FROM {table}", read.join(", ")), &[]).expect("rows");
        let pages: Vec<Vec<Array>> = rows.chunks(2_000).map(|page| self.arrays(page)).collect();
        drop(rows);
        let casts = text.iter().map(|_| "text").chain(times.iter().map(|_| "timestamptz")).chain(dates.iter().map(|_| "date"));
        let arrays: Vec<String> = casts.enumerate().map(|(index, kind)| format!("${}::{kind}[]", index + 1)).collect();
        let values: Vec<String> = columns
            .iter()
            .map(|name| if Some(*name) == *json { format!("t.{name}::jsonb") } else { format!("t.{name}") })
            .collect();
        let statement = client
            .prepare(&format!(
                "INSERT INTO bare AS b ({fixed}, {names}) SELECT f.*, {values} FROM (SELECT {fixed} FROM {table} LIMIT 1) f, unnest({arrays})
                   AS t ({names})
                 ON CONFLICT (stream_id, event_id) DO UPDATE SET {first} = excluded.{first} WHERE b.{first} IS DISTINCT FROM excluded.{first}",
                names = columns.join(", "),
                values = values.join(", "),
                arrays = arrays.join(", "),
                first = columns[1],
            ))
            .expect("a statement");
        let started = Instant::now();
        for page in &pages {
            let parameters: Vec<&(dyn postgres::types::ToSql + Sync)> = page.iter().map(AsRef::as_ref).collect();
            client.execute(&statement, &parameters).expect("an upsert");
        }
        started.elapsed()
    }

    /// A page of rows, column by column.
    fn arrays(&self, page: &[postgres::Row]) -> Vec<Array> {
        let (texts, times) = (self.text.len(), self.times.len());
        (0..texts + times + self.dates.len())
            .map(|index| -> Array {
                if index < texts {
                    Box::new(page.iter().map(|row| row.get(index)).collect::<Vec<Option<String>>>())
                } else if index < texts + times {
                    Box::new(page.iter().map(|row| row.get(index)).collect::<Vec<Option<chrono::DateTime<chrono::Utc>>>>())
                } else {
                    Box::new(page.iter().map(|row| row.get(index)).collect::<Vec<Option<chrono::NaiveDate>>>())
                }
            })
            .collect()
    }
}
