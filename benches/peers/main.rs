//! An idle pass beside what people write instead: prints a table and writes `target/bench-peers.json`.
//!
//! - 2,000 calendars without changes: syncctl, Google's official client for one user after the other, and asyncio with 32 requests at once, in turn,
//!   with the same simulator and the same PostgreSQL server
//! - the CPU time of syncctl per stream with 2,000 and with 100,000 streams
//! - 1, 2 and 4 processes of syncctl that share 100,000 streams
//!
//! Every ratio is measured in this one run; each figure is the median of its rounds. `PEERS_SCALE` (1) multiplies the larger number of streams.

#[path = "../main_job/bare.rs"]
#[allow(dead_code)]
mod bare;
mod growth;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod passes;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;

use serde_json::json;

use it::support;

fn main() {
    // It cannot be installed already: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let passes = passes::measure();
    let growth = growth::measure();
    let rows = [
        ("official client, calendars/s", passes.official, "–"),
        ("asyncio, 32 at once, calendars/s", passes.asyncio, "–"),
        ("syncctl, calendars/s", passes.ours, "–"),
        ("bare loop of GETs, calls/s", passes.ceiling, "–"),
        ("syncctl over the official client", passes.vs_official, ">= 100"),
        ("syncctl over asyncio", passes.vs_asyncio, ">= 6"),
        ("CPU per stream, 2,000 streams, µs", growth.few_us, "–"),
        ("CPU per stream, all streams, µs", growth.many_us, "–"),
        ("growth of CPU time per stream", growth.many_us / growth.few_us, "<= 1.1"),
        ("1 process, streams/s", growth.per_second[0], "–"),
        ("2 processes, share of its throughput", growth.per_second[1] / growth.per_second[0], "–"),
        ("4 processes, share of its throughput", growth.per_second[2] / growth.per_second[0], "–"),
    ];
    println!("\n{:<40}{:>12}  aim", "figure (median)", "measured");
    for (name, value, aim) in rows {
        println!("{name:<40}{value:>12.3}  {aim}");
    }
    let figures = json!({
        "official_calendars_per_s": passes.official,
        "asyncio_calendars_per_s": passes.asyncio,
        "syncctl_calendars_per_s": passes.ours,
        "simulator_ceiling": passes.ceiling,
        "vs_sequential": passes.vs_official,
        "vs_asyncio": passes.vs_asyncio,
        "streams": growth.streams,
        "cpu_us_per_stream_2000": growth.few_us,
        "cpu_us_per_stream": growth.many_us,
        "growth": growth.many_us / growth.few_us,
        "streams_per_s_1_2_4_processes": growth.per_second,
    });
    shared::figures::write("bench-peers.json", &figures);
}
