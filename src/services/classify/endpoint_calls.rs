//! Asks the model endpoint about documents that nothing else could decide. Answers become part of their judgements; unanswered questions are asked
//! again later. Nothing else waits for the endpoint.

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

/// Maximum number of concurrent questions.
const AT_ONCE: usize = 4;
/// Maximum number of projects offered.
const OFFERED: usize = 20;
/// Maximum number of characters kept of a text for a question; the endpoint is sent fewer.
const MAX_TEXT: usize = 4_000;
/// Number of unusable answers after which a document is quarantined; it waits an hour after the first and a day after the second.
pub const MAX_ASKS: i32 = 3;
const RETRY_WAITS: [Duration; 2] = [Duration::from_secs(3600), Duration::from_secs(86_400)];
/// Time limit for the questions of a page. The rest is left to the next run, because this one may have to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Number of network or server failures after which a run stops asking.
const MAX_TRANSIENT: u32 = 2;

/// The questions of one run.
pub struct Asks {
    endpoint: Option<Endpoint>,
    /// Whether programs may decide on undecided documents.
    programs: bool,
    settings: config::Classify,
    state: Mutex<EndpointProgress>,
}

#[derive(Default)]
struct EndpointProgress {
    /// Why nothing more is asked, and for how long.
    off: Option<(Failure, Duration)>,
    transient: u32,
    /// Number of documents by outcome.
    outcomes: BTreeMap<&'static str, u64>,
}

/// A question about one document.
pub struct Pending {
    /// The document's index in the page.
    index: usize,
    offer: Offer,
    refused: Vec<Label>,
    asks: i32,
}

impl Asks {
    /// `endpoint` is `None` if the settings name none, and in dry runs.
    pub fn new(endpoint: Option<Endpoint>, settings: &config::Settings) -> Self {
        let programs = settings.webhook.lets_programs_decide();
        Self { endpoint, programs, settings: settings.classify.clone(), state: Mutex::default() }
    }

    /// Documents that must not be sent to the endpoint.
    pub fn private(&self) -> Private<'_> {
        Private { labels: &self.settings.never_labels, folders: &self.settings.never_folders }
    }

    /// Returns the question about a document, if the endpoint may decide on it. `repeat`: even if it has answered before.
    pub fn pending(&self, state: &State, queued: &Queued, judgement: &Judgement, index: usize, repeat: bool) -> Option<Pending> {
        let is_open = is_open(state, queued, judgement.verdict, "endpoint") && (repeat || judgement.asked == EndpointState::No);
        if self.endpoint.is_none() || !is_open {
            return None;
        }
        let offer = self.question(state, queued, &judgement.candidates)?;
        Some(Pending { index, offer, refused: queued.refused.clone(), asks: queued.asks })
    }

    /// Returns the offer sent to programs if a document stays undecided.
    pub fn offer(&self, state: &State, queued: &Queued, verdict: Verdict, ranked: &[(Label, f32)]) -> Option<Box<Offer>> {
        if self.programs && is_open(state, queued, verdict, WEBHOOK) && !queued.was_told {
            self.question(state, queued, ranked).map(Box::new)
        } else {
            None
        }
    }

    /// Returns `None` if the document must not leave syncctl, or there is no project to choose from.
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
            text: queued.text.chars().take(MAX_TEXT).collect(),
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

    /// Asks the pending questions and writes the answers into the judgements. Returns the documents to quarantine.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn fill(
        &self,
        pool: &Pool,
        pending: Vec<Pending>,
        items: &mut [Item<Change>],
        digest: &Digest,
    ) -> Result<Vec<Poison>, Failure> {
        let Some(endpoint) = &self.endpoint else { return Ok(Vec::new()) };
        let began = Instant::now();
        let questions = pending.into_iter().map(async |one| {
            if began.elapsed() < PATIENCE { (self.ask_one(endpoint, pool, &one, digest).await, one) } else { (Ok(None), one) }
        });
        // Collect all answers first: how long the unasked documents wait is known only at the end.
        let answers: Vec<_> = futures_util::stream::iter(questions).buffer_unordered(AT_ONCE).collect().await;
        let mut quarantined = Vec::new();
        for (answer, one) in answers {
            let Some(Change::Judged(judgement) | Change::Asked(judgement)) =
                items.get_mut(one.index).map(|item| &mut item.change)
            else {
                continue;
            };
            match answer? {
                Some(answered) => self.answered(&one, answered, judgement),
                None => judgement.asked = EndpointState::Later { wait: self.wait(), asks: one.asks },
            }
            if let EndpointState::Later { asks: MAX_ASKS.., .. } = judgement.asked {
                judgement.asked = EndpointState::GivenUp { asks: MAX_ASKS };
                quarantined.push(unanswerable(judgement));
            }
        }
        Ok(quarantined)
    }

    /// Returns `None` if the endpoint is not asked now.
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
        if failure.class != Class::Transient || state.transient >= MAX_TRANSIENT {
            if state.off.is_none() {
                digest.add("the model endpoint is not called for a while", Some(failure.class), "all users", &failure.message);
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
                let wait = usize::try_from(one.asks).ok().and_then(|index| RETRY_WAITS.get(index)).copied().unwrap_or_default();
                judgement.asked = EndpointState::Later { wait, asks };
                judgement.reason = format!("{}; the endpoint gave no usable answer: {}", judgement.reason, failure.message);
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
                // It has seen the current text: its answer on an earlier one no longer holds.
                judgement.verdict = Verdict::Unsure;
                judgement.reason.push_str("; the endpoint was unsure as well");
            }
        }
    }

    /// Counts a document that was not asked about, and returns how long it waits.
    fn wait(&self) -> Duration {
        let mut state = self.state();
        *state.outcomes.entry("waiting").or_default() += 1;
        state.off.as_ref().map_or(Duration::ZERO, |(_, wait)| *wait)
    }

    fn count(&self, what: &'static str) {
        *self.state().outcomes.entry(what).or_default() += 1;
    }

    fn state(&self) -> MutexGuard<'_, EndpointProgress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcomes of the questions, for the run's row.
    pub fn details(&self) -> Option<Value> {
        let state = self.state();
        let why = state.off.as_ref().map(|(failure, _)| failure.message.as_str());
        (!state.outcomes.is_empty()).then(|| json!({ "endpoint": { "documents": state.outcomes, "not_asked_because": why } }))
    }

    /// The failure that needs an operator's attention. A used-up budget does not: it is intended.
    pub fn trouble(&self) -> Option<Failure> {
        let state = self.state();
        let (failure, _) = state.off.as_ref()?;
        (!matches!(failure.class, Class::RateLimited | Class::DailyQuota)).then(|| failure.clone())
    }
}

/// Whether `by`, the endpoint or programs, may decide on a document: it is undecided, or `by` decided on an earlier text and has not seen this
/// one. A closed project keeps its documents.
fn is_open(state: &State, queued: &Queued, verdict: Verdict, by: &str) -> bool {
    let has_open_label = |label: &Label| project(*label).is_none_or(|id| state.project(id).is_some());
    let is_its_own = || matches!(&queued.decision, Some((label, who)) if who == by && has_open_label(label));
    verdict == Verdict::Unsure || (verdict == Verdict::Kept && is_its_own())
}

/// The quarantine entry of a document with too many unusable answers.
fn unanswerable(judgement: &Judgement) -> Poison {
    let id = judgement.document;
    Poison {
        item_id: id.to_string(),
        raw: json!({ "document": id }).to_string(),
        error: judgement.reason.clone(),
        unfetched: None,
    }
}
