//! Latency of answers: log-normal, as observed by a client. Off until a test sets it.

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

/// Two runs with the same order of calls have the same latencies.
const SEED: u64 = 20_261_128;

/// A model: POST it to `/admin/latency`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(flatten)]
    model: Model,
    /// As for faults, including `token` and `batch`; absent: all methods without a setting.
    method: Option<String>,
    /// Restarts the random numbers.
    seed: Option<u64>,
}

/// The latency of an answer: `median_ms` times e to a normal number of deviation `sigma`; for a batch, `per_call_ms` more for each call in
/// it.
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
    /// The batch being answered: the slowest model of its calls, and their total addition.
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

    /// Whether any latency is set.
    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }
}

impl State {
    fn model(&self, method: &str) -> Model {
        self.of_method.get(method).copied().unwrap_or(self.others)
    }
}

/// Waits for the latency of this method; within a batch it adds to the batch's time instead.
pub async fn wait(world: &World, method: &str) {
    if !world.latency.any() {
        return;
    }
    let outside_batch = {
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
    if let Some(ms) = outside_batch {
        sleep(ms).await;
    }
}

/// Answers a batch and waits for its latency: that of its slowest call, or of method `batch` if set.
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
        // A batch that is refused as a whole has no calls, but still takes time.
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
        let near = |got: f64, expected: f64| (got / expected - 1.0).abs() < 0.03;
        // One deviation above the median is the quantile 0.8413.
        let (median, above) = (times[10_000], times[(20_001.0 * 0.8413) as usize]);
        assert!(near(median, 150.0) && near(above, 150.0 * 0.4_f64.exp()), "{median} {above}");
    }
}
