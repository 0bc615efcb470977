//! The model endpoint, asked about documents of which everything else is unsure. What it answers becomes part of their judgements; what it does not
//! answer is asked again later. Nothing else waits for it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::Change;
use super::endpoint::{Answered, Candidate, Choice, Endpoint, Question};
use super::state::State;
use crate::classify::Label;
use crate::classify::threshold::LEAST;
use crate::config;
use crate::db::Pool;
use crate::db::classify::answers::WEBHOOK;
use crate::db::classify::corrections::Open;
use crate::db::classify::judgements::{EndpointState, Judgement, Verdict};
use crate::db::classify::offers::{Offer, Offered};
use crate::db::classify::project;
use crate::db::classify::queue::{Private, Queued};
use crate::db::items::Poison;
use crate::engine::Item;
use crate::engine::digest::Digest;
use crate::error::{Class, Failure};

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// Projects that are offered.
const OFFERED: usize = 20;
/// Characters of a text that are kept for a question; the endpoint sends fewer.
const MOST_TEXT: usize = 4_000;
/// Answers that could not be used, after which a document is put aside; between them an hour and a day.
pub const MOST_ASKS: i32 = 3;
const AGAIN: [Duration; 2] = [Duration::from_secs(3600), Duration::from_secs(86_400)];
/// A page asks for so long; what is left over is asked about in the next run, because this one may be told to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so many failures of the network or the server a run asks no more.
const MOST_TRANSIENT: u32 = 2;

/// Asks, for one run.
pub struct Asks {
    endpoint: Option<Endpoint>,
    /// Whether programs may decide what stays undecided.
    programs: bool,
    settings: config::Classify,
    state: Mutex<EndpointProgress>,
}

#[derive(Default)]
struct EndpointProgress {
    /// Nothing more is asked: why, and for how long.
    off: Option<(Failure, Duration)>,
    transient: u32,
    /// What came of the questions, by what it was.
    told: BTreeMap<&'static str, u64>,
}

/// A document to ask about, with all that the question needs.
pub struct Pending {
    /// Its place in the page.
    place: usize,
    offer: Offer,
    refused: Vec<Label>,
    asks: i32,
}

impl Asks {
    /// `endpoint`: absent where the settings name none, and in dry runs.
    pub fn new(endpoint: Option<Endpoint>, settings: &config::Settings) -> Self {
        let programs = settings.webhook.lets_programs_decide();
        Self { endpoint, programs, settings: settings.classify.clone(), state: Mutex::default() }
    }

    /// Documents that the endpoint is not to see.
    pub fn private(&self) -> Private<'_> {
        Private { labels: &self.settings.never_labels, folders: &self.settings.never_folders }
    }

    /// The question about a document, if it is one for the endpoint. `anew`: also if it has answered before.
    pub fn pending(&self, state: &State, queued: &Queued, judgement: &Judgement, place: usize, anew: bool) -> Option<Pending> {
        let is_open = is_open(state, queued, judgement.verdict, "endpoint") && (anew || judgement.asked == EndpointState::No);
        if self.endpoint.is_none() || !is_open {
            return None;
        }
        let offer = self.question(state, queued, &judgement.candidates)?;
        Some(Pending { place, offer, refused: queued.refused.clone(), asks: queued.asks })
    }

    /// What programs are told of a document, if it stays undecided.
    pub fn offer(&self, state: &State, queued: &Queued, verdict: Verdict, ranked: &[(Label, f32)]) -> Option<Box<Offer>> {
        if self.programs && is_open(state, queued, verdict, WEBHOOK) && !queued.was_told {
            self.question(state, queued, ranked).map(Box::new)
        } else {
            None
        }
    }

    /// `None`: nobody outside is to see it, or there is no project to choose.
    fn question(&self, state: &State, queued: &Queued, ranked: &[(Label, f32)]) -> Option<Offer> {
        if queued.is_private || self.is_private_sender(queued) {
            return None;
        }
        let ranked = ranked.iter().filter_map(|(label, confidence)| Some((state.project(project(*label)?)?, Some(*confidence))));
        let mut projects: Vec<_> = ranked.chain(state.projects.iter().map(|one| (one, None))).collect();
        let mut seen = HashSet::new();
        projects.retain(|(one, _)| !queued.refused.contains(&Label::Project(one.id)) && seen.insert(one.id));
        projects.truncate(OFFERED);
        let offered = |(one, confidence): (&Open, Option<f32>)| Offered {
            id: one.id,
            name: one.name.clone(),
            description: one.description.clone(),
            confidence,
        };
        (!projects.is_empty()).then(|| Offer {
            title: queued.title.clone(),
            author: queued.author.clone(),
            text: queued.text.chars().take(MOST_TEXT).collect(),
            projects: projects.into_iter().map(offered).collect(),
            may_be_none: !queued.refused.contains(&Label::NoneOfThem),
        })
    }

    fn is_private_sender(&self, queued: &Queued) -> bool {
        let Some(sender) = &queued.traits.sender else { return false };
        let domain = sender.rsplit_once('@').map(|(_, domain)| domain);
        self.settings
            .never_senders
            .iter()
            .any(|never| never.eq_ignore_ascii_case(sender) || domain.is_some_and(|domain| never.eq_ignore_ascii_case(domain)))
    }

    /// Asks, and writes what comes of it into the judgements. Answers what is to be put aside.
    ///
    /// # Errors
    /// The database failed.
    pub async fn fill(
        &self,
        pool: &Pool,
        pending: Vec<Pending>,
        items: &mut [Item<Change>],
        digest: &Digest,
    ) -> Result<Vec<Poison>, Failure> {
        let Some(endpoint) = &self.endpoint else { return Ok(Vec::new()) };
        let began = Instant::now();
        let questions = pending.into_iter().map(async |one| match began.elapsed() < PATIENCE {
            true => (self.ask_one(endpoint, pool, &one, digest).await, one),
            false => (Ok(None), one),
        });
        // All of them first: how long those wait that were not asked about shows at the end.
        let answers: Vec<_> = futures_util::stream::iter(questions).buffer_unordered(AT_ONCE).collect().await;
        let mut aside = Vec::new();
        for (answer, one) in answers {
            let Some(Change::Judged(judgement) | Change::Asked(judgement)) =
                items.get_mut(one.place).map(|item| &mut item.change)
            else {
                continue;
            };
            match answer? {
                Some(answered) => self.answered(&one, answered, judgement),
                None => judgement.asked = EndpointState::Later { wait: self.wait(), asks: one.asks },
            }
            if let EndpointState::Later { asks: MOST_ASKS.., .. } = judgement.asked {
                judgement.asked = EndpointState::GivenUp { asks: MOST_ASKS };
                aside.push(unanswerable(judgement));
            }
        }
        Ok(aside)
    }

    /// `None`: the endpoint is not asked now.
    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        pool: &Pool,
        one: &Pending,
        digest: &Digest,
    ) -> Result<Option<Result<Answered, Failure>>, Failure> {
        if self.state().off.is_some() {
            return Ok(None);
        }
        let Offer { title, author, text, projects, .. } = &one.offer;
        let candidates: Vec<Candidate> = projects
            .iter()
            .map(|one| Candidate { id: one.id, name: &one.name, description: one.description.as_deref() })
            .collect();
        let question = Question { title, author, text, candidates: &candidates };
        let failure = match endpoint.request(pool, &question).await {
            Ok(answered) => return Ok(Some(Ok(answered))),
            Err(failure) => failure,
        };
        let wait = |default: u64| failure.retry_after.unwrap_or(Duration::from_secs(default));
        let off = match failure.class {
            Class::BadAnswer | Class::Permanent => return Ok(Some(Err(failure))),
            Class::RateLimited => wait(60),
            Class::Transient => wait(600),
            Class::DailyQuota | Class::AuthRevoked | Class::Settings => wait(3600),
            _ => return Err(failure),
        };
        let mut state = self.state();
        state.transient += u32::from(failure.class == Class::Transient);
        if failure.class != Class::Transient || state.transient >= MOST_TRANSIENT {
            if state.off.is_none() {
                digest.add("the model endpoint is not asked for a while", Some(failure.class), "all users", &failure.message);
            }
            state.off.get_or_insert((failure, off));
        }
        Ok(None)
    }

    fn answered(&self, one: &Pending, answer: Result<Answered, Failure>, judgement: &mut Judgement) {
        let answered = match answer {
            Ok(answered) => answered,
            Err(failure) => {
                self.count("unusable");
                let asks = one.asks + 1;
                let wait = usize::try_from(one.asks).ok().and_then(|place| AGAIN.get(place)).copied().unwrap_or_default();
                judgement.asked = EndpointState::Later { wait, asks };
                judgement.reason =
                    format!("{}; the endpoint gave no answer that can be used: {}", judgement.reason, failure.message);
                return;
            }
        };
        judgement.asked = EndpointState::Answered;
        let label = match answered.choice {
            Choice::Project(id) => Some(Label::Project(id)),
            Choice::NoneOfThem => Some(Label::NoneOfThem),
            Choice::Unsure => None,
        };
        match label.filter(|label| answered.confidence >= LEAST && !one.refused.contains(label)) {
            Some(label) => {
                self.count("decided");
                judgement.verdict = Verdict::Decided { label, by: "endpoint", confidence: answered.confidence };
                judgement.reason =
                    format!("the endpoint chose it with confidence {:.2}; {}", answered.confidence, judgement.reason);
            }
            None => {
                self.count("unsure");
                // It has seen the text: what it said of another one holds no longer.
                judgement.verdict = Verdict::Unsure;
                judgement.reason.push_str("; the endpoint was unsure as well");
            }
        }
    }

    /// How long what was not asked about waits.
    fn wait(&self) -> Duration {
        let mut state = self.state();
        *state.told.entry("waiting").or_default() += 1;
        state.off.as_ref().map_or(Duration::ZERO, |(_, wait)| *wait)
    }

    fn count(&self, what: &'static str) {
        *self.state().told.entry(what).or_default() += 1;
    }

    fn state(&self) -> MutexGuard<'_, EndpointProgress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of the questions, for the run's row.
    pub fn details(&self) -> Option<Value> {
        let state = self.state();
        let why = state.off.as_ref().map(|(failure, _)| failure.message.as_str());
        (!state.told.is_empty()).then(|| json!({ "endpoint": { "documents": state.told, "not_asked_because": why } }))
    }

    /// What somebody must do something about; a budget that is used up is what they wanted.
    pub fn trouble(&self) -> Option<Failure> {
        let state = self.state();
        let (failure, _) = state.off.as_ref()?;
        (!matches!(failure.class, Class::RateLimited | Class::DailyQuota)).then(|| failure.clone())
    }
}

/// Whether a document is for the endpoint, or for programs, to decide: what `by` said of an earlier text holds until it has seen this one. A closed project
/// keeps what it has.
fn is_open(state: &State, queued: &Queued, verdict: Verdict, by: &str) -> bool {
    let has_open_label = |label: &Label| project(*label).is_none_or(|id| state.project(id).is_some());
    let is_its_own = || matches!(&queued.decision, Some((label, who)) if who == by && has_open_label(label));
    verdict == Verdict::Unsure || (verdict == Verdict::Kept && is_its_own())
}

/// A document that the endpoint could not answer so often.
fn unanswerable(judgement: &Judgement) -> Poison {
    let id = judgement.document;
    Poison {
        item_id: id.to_string(),
        raw: json!({ "document": id }).to_string(),
        error: judgement.reason.clone(),
        unfetched: None,
    }
}
