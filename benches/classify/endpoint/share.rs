//! How much of a mailbox the endpoint is asked about, and the size of a call. Mails arrive a few hundred at a time; before the next ones,
//! their user has assigned each of them.

use serde_json::json;
use syncctl::classify::score::Score;

use super::mailbox::Mailbox;
use crate::corpus::Document;
use crate::support::World;
use crate::table::Table;

/// Mails sorted before the endpoint is used.
const PAST: usize = 2_150;
/// Mails between two runs.
const ROUND: usize = 200;
const RIGHT: f64 = 0.95;
/// Token limit of a call.
const MAX_TOKENS: u64 = 1_500;

pub fn measure(mail: &[Document], table: &mut Table) {
    let mut world = World::empty();
    let mut mailbox = Mailbox::new(&world, "ann@example.com", mail);
    mailbox.arrive(&world, 0..PAST);
    mailbox.say(&world, 0..PAST);
    world.syncctl(&["classify", "cron"]).expect(0);
    world.name_endpoint(Mailbox::truth(mail));
    world.tell_model(json!({ "right": RIGHT }));
    let (mut judged, mut score, mut by_endpoint) = (0, Score::default(), (0, 0));
    for begin in (PAST..mail.len()).step_by(ROUND) {
        let places = begin..(begin + ROUND).min(mail.len());
        mailbox.arrive(&world, places.clone());
        world.syncctl(&["classify", "cron"]).expect(0);
        for (truth, decided) in mailbox.decisions(&world, places.clone()) {
            judged += 1;
            if let Some((label, by)) = &decided
                && by == "endpoint"
            {
                by_endpoint = (by_endpoint.0 + 1, by_endpoint.1 + usize::from(*label == truth));
            }
            score.add(truth, decided.map(|(label, _)| (label, "")));
        }
        mailbox.say(&world, places);
    }
    measure_calls(&world, judged, table);
    let about = format!("of {} that it decided on; the simulator is right with probability {RIGHT}", by_endpoint.0);
    table.add("endpoint_right", by_endpoint.1 as f64 / by_endpoint.0 as f64, None, &about);
    table.add("endpoint_mail_precision", score.precision(), None, "any method");
    table.add("endpoint_mail_coverage", score.coverage(), None, "");
}

fn measure_calls(world: &World, judged: usize, table: &mut Table) {
    let ledger = world.model_ledger();
    let calls = ledger["calls"].as_array().expect("calls");
    let tokens: Vec<u64> = calls
        .iter()
        .map(|call| ["prompt_tokens", "completion_tokens"].iter().filter_map(|part| call[part].as_u64()).sum())
        .collect();
    let about = format!("{} calls for {judged} mails", calls.len());
    table.add("endpoint_call_share", calls.len() as f64 / judged as f64, Some("<= 0.40"), &about);
    let beyond = tokens.iter().filter(|tokens| **tokens > MAX_TOKENS).count();
    let about = format!("prompt and answer of one call; {beyond} of {} took more than that", calls.len());
    table.add("endpoint_tokens_most", tokens.iter().copied().max().unwrap_or(0) as f64, Some("<= 1500"), &about);
    table.add("endpoint_tokens_mean", tokens.iter().sum::<u64>() as f64 / tokens.len() as f64, None, "");
}
