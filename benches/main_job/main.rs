//! The main job relative to the machine's limits: prints a table and writes `target/bench.json`.
//!
//! - an idle pass over 2,000 calendars, as a share of a bare HTTP loop's throughput with the same simulator
//! - a first sync of 100,000 events in one calendar, as a share of a bare UNNEST upsert of the same rows: the events, and the meetings
//!   among them
//! - start-up with nothing due, calls and statements of an idle stream, peak memory
//! - an idle pass over 2,000 My Drives, and a first sync of 10,000 messages, as shares of a bare HTTP loop's throughput
//! - recomputing the price of a poll over 1,000,000 streams
//! - 20,000 signed events delivered, as a share of a bare loop of POSTs
//!
//! Every ratio is measured in this one run; each figure is the median of its rounds.

mod bare;
mod deliver;
mod first;
mod idle;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod mail;
mod reprice;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod upsert;

use serde_json::json;

use it::support;

fn main() {
    // It cannot be installed already: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let idle = idle::calendars();
    let first = first::first_sync();
    let drives = idle::drives();
    let calls_of_files = idle::calls_of_ten_thousand_files();
    let mail = mail::pull();
    let deliveries = deliver::deliveries();
    let rss_of_mail = mail::memory_of_a_million();
    let repriced = reprice::a_million();
    let figures = json!({
        "idle_share": idle.share,
        "idle_share_without_batches": idle.share_alone,
        "idle_streams_per_second": idle.per_second,
        "bare_calls_per_second": idle.bare_per_second,
        "idle_calls_per_stream": idle.calls_per_stream,
        "idle_sql_per_stream": idle.sql_per_stream,
        "startup_idle_ms": idle.startup_ms,
        "first_sync_share": first.share,
        "first_sync_share_of_events_alone": first.share_of_events,
        "first_sync_events_per_second": first.per_second,
        "bare_upsert_events_per_second": first.bare_per_second,
        "rss_mib_100k_events": first.rss_mib,
        "drive_idle_share": drives.share,
        "drive_idle_share_without_batches": drives.share_alone,
        "drive_calls_10k_files": calls_of_files,
        "mail_share": mail.share,
        "mail_messages_per_second": mail.per_second,
        "rss_mib_1m_ids": rss_of_mail,
        "deliveries_per_s": deliveries.per_second,
        "deliveries_share": deliveries.share,
        "reprice_1m_seconds": repriced.seconds,
        "rss_mib_reprice_1m": repriced.rss_mib,
    });
    let rows = [
        ("idle pass, streams/s", idle.per_second, "–"),
        ("bare HTTP loop, calls/s", idle.bare_per_second, "–"),
        ("idle pass as a share of it", idle.share, ">= 0.5"),
        ("... with each call alone", idle.share_alone, "–"),
        ("API calls an idle stream", idle.calls_per_stream, "1"),
        ("SQL statements an idle stream", idle.sql_per_stream, "<= 0.05"),
        ("start-up with nothing due, ms", idle.startup_ms, "<= 30"),
        ("first sync, events/s", first.per_second, "–"),
        ("bare UNNEST upsert, events/s", first.bare_per_second, "–"),
        ("first sync as a share of it", first.share, ">= 0.6"),
        ("... of one without the meetings", first.share_of_events, "–"),
        ("peak RSS with 100,000 events, MiB", first.rss_mib, "< 64"),
        ("Drive: idle pass, feeds/s", drives.per_second, "–"),
        ("Drive: bare HTTP loop, calls/s", drives.bare_per_second, "–"),
        ("Drive: idle pass as a share of it", drives.share, "–"),
        ("Drive: ... with each call alone", drives.share_alone, "–"),
        ("Drive: calls for 10,000 idle files", calls_of_files, "<= 100"),
        ("Gmail: first sync, messages/s", mail.per_second, "–"),
        ("Gmail: bare HTTP loop, messages/s", mail.bare_per_second, "–"),
        ("Gmail: first sync as a share of it", mail.share, "–"),
        ("Gmail: peak RSS of 1,000,000, MiB", rss_of_mail, "<= 64"),
        ("deliveries, events/s", deliveries.per_second, "–"),
        ("bare loop of POSTs, events/s", deliveries.bare_per_second, "–"),
        ("deliveries as a share of it", deliveries.share, "–"),
        ("price over 1,000,000 streams, s", repriced.seconds, "< 10"),
        ("... peak RSS, MiB", repriced.rss_mib, "<= 64"),
    ];
    println!("\n{:<36}{:>12}  aim", "figure (median)", "measured");
    for (name, value, aim) in rows {
        println!("{name:<36}{value:>12.3}  {aim}");
    }
    shared::figures::write("bench.json", &figures);
}
