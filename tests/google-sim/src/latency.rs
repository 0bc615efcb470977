//! How long answers take: log-normal times, as they are seen from outside. Off until a test sets some; then nothing but the clock waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::state::{World, lock};

/// Two runs with the same order of calls wait alike.
const SEED: u64 = 20_261_128;

/// A model: POST it to `/admin/latency`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(flatten)]
    model: Model,
    /// As in faults, `token` and `batch` among them; absent: all that have none of their own.
    method: Option<String>,
    /// Begins the random numbers anew.
    seed: Option<u64>,
}

/// The time of an answer: `median_ms` times e to a normal number of deviation `sigma`; of a batch, `per_call_ms` more for each call in it.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
pub struct Model {
    median_ms: f64,
    #[serde(default)]
    sigma: f64,
    #[serde(default)]
    per_call_ms: f64,
}

pub struct Latency {
    any: AtomicBool,
    state: Mutex<State>,
}

struct State {
    others: Model,
    of_method: BTreeMap<String, Model>,
    chance: SmallRng,
}

impl Default for Latency {
    fn default() -> Self {
        let chance = SmallRng::seed_from_u64(SEED);
        let state = State { others: Model::default(), of_method: BTreeMap::new(), chance };
        Self { any: AtomicBool::new(false), state: Mutex::new(state) }
    }
}

tokio::task_local! {
    /// The batch that is being answered: the slowest model of its calls, and what they add.
    static OF_BATCH: RefCell<(Model, f64)>;
}

impl Model {
    fn is_zero(self) -> bool {
        self.median_ms <= 0.0 && self.per_call_ms <= 0.0
    }

    /// A time in milliseconds.
    fn draw(self, chance: &mut SmallRng) -> f64 {
        if self.sigma <= 0.0 || self.median_ms <= 0.0 {
            return self.median_ms.max(0.0);
        }
        // Box and Muller: two uniform numbers make a normal one.
        let (first, second) = (1.0 - chance.random::<f64>(), chance.random::<f64>());
        let normal = (-2.0 * first.ln()).sqrt() * (TAU * second).cos();
        self.median_ms * (self.sigma * normal).exp()
    }
}

impl Latency {
    pub fn set(&self, order: Order) {
        let mut state = lock(&self.state);
        match order.method {
            Some(method) => drop(state.of_method.insert(method, order.model)),
            None => state.others = order.model,
        }
        state.chance = SmallRng::seed_from_u64(order.seed.unwrap_or(SEED));
        let any = !state.others.is_zero() || state.of_method.values().any(|model| !model.is_zero());
        self.any.store(any, Ordering::Release);
    }

    pub fn clear(&self) {
        let mut state = lock(&self.state);
        (state.others, state.of_method) = (Model::default(), BTreeMap::new());
        self.any.store(false, Ordering::Release);
    }

    /// The models that are set.
    pub fn shown(&self) -> serde_json::Value {
        let state = lock(&self.state);
        serde_json::json!({ "others": state.others, "of_method": state.of_method })
    }

    /// Whether any answer waits.
    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }
}

impl State {
    fn model(&self, method: &str) -> Model {
        self.of_method.get(method).copied().unwrap_or(self.others)
    }
}

/// Waits as long as the answer of this method takes; within a batch it adds to the batch's time instead.
pub async fn wait(world: &World, method: &str) {
    if !world.latency.any() {
        return;
    }
    let alone = {
        let mut state = lock(&world.latency.state);
        let model = state.model(method);
        let of_batch = OF_BATCH.try_with(|batch| {
            let (slowest, added) = &mut *batch.borrow_mut();
            *added += model.per_call_ms;
            if model.median_ms > slowest.median_ms {
                *slowest = model;
            }
        });
        of_batch.is_err().then(|| model.draw(&mut state.chance))
    };
    if let Some(ms) = alone {
        sleep(ms).await;
    }
}

/// Answers a batch and waits as long as it takes: as its slowest call, or as method `batch` has it where that is set.
pub async fn batch<T>(world: &World, answers: impl Future<Output = T>) -> T {
    if !world.latency.any() {
        return answers.await;
    }
    let made = async {
        let made = answers.await;
        (made, OF_BATCH.with(|batch| *batch.borrow()))
    };
    let (made, (slowest, added)) = OF_BATCH.scope(RefCell::default(), made).await;
    let ms = {
        let mut state = lock(&world.latency.state);
        // A batch that is refused as a whole has no calls, and takes its time all the same.
        let model = match state.of_method.get("batch") {
            Some(model) => *model,
            None if slowest.is_zero() && added == 0.0 => state.others,
            None => slowest,
        };
        model.draw(&mut state.chance) + added
    };
    sleep(ms).await;
    made
}

async fn sleep(ms: f64) {
    if ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(ms / 1_000.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_median_and_the_spread_that_were_asked_for() {
        let mut chance = SmallRng::seed_from_u64(SEED);
        let model = Model { median_ms: 150.0, sigma: 0.4, per_call_ms: 1.0 };
        let mut times: Vec<f64> = (0..20_001).map(|_| model.draw(&mut chance)).collect();
        times.sort_by(f64::total_cmp);
        let near = |got: f64, wanted: f64| (got / wanted - 1.0).abs() < 0.03;
        // A deviation above the median lies at the share of 0.8413.
        let (median, above) = (times[10_000], times[(20_001.0 * 0.8413) as usize]);
        assert!(near(median, 150.0) && near(above, 150.0 * 0.4_f64.exp()), "{median} {above}");
    }
}
