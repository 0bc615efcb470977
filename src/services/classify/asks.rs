//! The model endpoint, asked about documents of which everything else is unsure. What it answers becomes part of their judgements; what it does not
//! answer is asked again later. Nothing else waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Change;
use super::endpoint::{Answered, Candidate, Choice, Endpoint, Question};
use super::state::State;
use crate::classify::Label;
use crate::config;
use crate::db::Pool;
use crate::db::classify::judgements::{Asked, Judgement, Verdict};
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
/// A choice that the endpoint itself is less sure of is none.
const LEAST_CONFIDENCE: f32 = 0.5;
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
    settings: config::Classify,
    state: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
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
    title: String,
    author: String,
    text: String,
    /// Project, name and description, the likeliest first.
    offered: Vec<(Uuid, String, Option<String>)>,
    refused: Vec<Label>,
    asks: i32,
}

impl Asks {
    /// `endpoint`: absent where the settings name none, and in dry runs.
    pub fn new(endpoint: Option<Endpoint>, settings: &config::Classify) -> Self {
        Self { endpoint, settings: settings.clone(), state: Mutex::default() }
    }

    /// Documents that the endpoint is not to see.
    pub fn private(&self) -> Private<'_> {
        Private { labels: &self.settings.never_labels, folders: &self.settings.never_folders }
    }

    /// The question about a document, if it is one for the endpoint. `anew`: also if it has answered before.
    pub fn pending(&self, state: &State, queued: &Queued, judgement: &Judgement, place: usize, anew: bool) -> Option<Pending> {
        let is_open = judgement.verdict == Verdict::Unsure && (anew || judgement.asked == Asked::No);
        let may_see = !queued.is_private && !self.is_private_sender(queued);
        if self.endpoint.is_none() || !is_open || !may_see {
            return None;
        }
        let ranked = judgement.candidates.iter().filter_map(|(label, _)| state.project(project(*label)?));
        let mut offered: Vec<_> =
            ranked.chain(&state.projects).filter(|one| !queued.refused.contains(&Label::Project(one.id))).collect();
        let mut seen = std::collections::HashSet::new();
        offered.retain(|one| seen.insert(one.id));
        offered.truncate(OFFERED);
        (!offered.is_empty()).then(|| Pending {
            place,
            title: queued.title.clone(),
            author: queued.author.clone(),
            text: queued.text.chars().take(MOST_TEXT).collect(),
            offered: offered.into_iter().map(|one| (one.id, one.name.clone(), one.description.clone())).collect(),
            refused: queued.refused.clone(),
            asks: queued.asks,
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
            true => (self.ask(endpoint, pool, &one, digest).await, one),
            false => (Ok(None), one),
        });
        let mut answers = futures_util::stream::iter(questions).buffer_unordered(AT_ONCE);
        let mut aside = Vec::new();
        while let Some((answer, one)) = answers.next().await {
            let Some(Change::Judged(judgement) | Change::Asked(judgement)) =
                items.get_mut(one.place).map(|item| &mut item.change)
            else {
                continue;
            };
            match answer? {
                Some(answered) => self.answered(&one, answered, judgement),
                None => judgement.asked = Asked::Later { wait: self.wait(), asks: one.asks },
            }
            if let Asked::Later { asks: MOST_ASKS.., .. } = judgement.asked {
                judgement.asked = Asked::GivenUp { asks: MOST_ASKS };
                aside.push(unanswerable(judgement));
            }
        }
        Ok(aside)
    }

    /// `None`: the endpoint is not asked now.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        pool: &Pool,
        one: &Pending,
        digest: &Digest,
    ) -> Result<Option<Result<Answered, Failure>>, Failure> {
        if self.state().off.is_some() {
            return Ok(None);
        }
        let candidates: Vec<Candidate> = one
            .offered
            .iter()
            .map(|(id, name, description)| Candidate { id: *id, name, description: description.as_deref() })
            .collect();
        let question = Question { title: &one.title, author: &one.author, text: &one.text, candidates: &candidates };
        let failure = match endpoint.ask(pool, &question).await {
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
                digest.tell("the model endpoint is not asked for a while", Some(failure.class), "all users", &failure.message);
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
                judgement.asked = Asked::Later { wait, asks };
                judgement.reason =
                    format!("{}; the endpoint gave no answer that can be used: {}", judgement.reason, failure.message);
                return;
            }
        };
        judgement.asked = Asked::Answered;
        let label = match answered.choice {
            Choice::Project(id) => Some(Label::Project(id)),
            Choice::NoneOfThem => Some(Label::NoneOfThem),
            Choice::Unsure => None,
        };
        match label.filter(|label| answered.confidence >= LEAST_CONFIDENCE && !one.refused.contains(label)) {
            Some(label) => {
                self.count("decided");
                judgement.verdict = Verdict::Decided { label, by: "endpoint", confidence: answered.confidence };
                judgement.reason =
                    format!("the endpoint chose it with confidence {:.2}; {}", answered.confidence, judgement.reason);
            }
            None => {
                self.count("unsure");
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

    fn state(&self) -> MutexGuard<'_, Standing> {
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
