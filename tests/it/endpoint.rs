//! The model endpoint: requests over real HTTP to the simulator, within budgets in a real PostgreSQL.

mod answers;
mod budgets;
mod failures;
mod injections;
mod places;

use std::sync::Arc;

use serde_json::{Value, json};
use syncctl::config::{self, Db};
use syncctl::db::Pool;
use syncctl::db::conninfo::Target;
use syncctl::error::Failure;
use syncctl::http::Client;
use syncctl::services::classify::endpoint::{Answered, Candidate, Choice, Endpoint, Question};
use uuid::Uuid;

use crate::support::World;
use crate::support::models::KEY;

const NAMES: [&str; 3] = ["River bridge", "Tunnel", "Harbour"];

/// An endpoint that recognises three projects by one word each, and its settings.
struct Desk {
    world: World,
    settings: config::Endpoint,
}

/// One process: its own pool and endpoint.
struct Host {
    runtime: tokio::runtime::Runtime,
    pool: Pool,
    endpoint: Endpoint,
}

impl Desk {
    fn new() -> Self {
        let world = World::empty();
        let truth = json!({ "girder": NAMES[0], "drill": NAMES[1], "crane": NAMES[2], "noodles": "none" });
        world.sim.admin("models", json!({ "key": KEY, "truth": truth }));
        let settings = config::Endpoint {
            url: format!("{}/v1", world.sim.url),
            model: "small".into(),
            allow_private: true,
            key: KEY.to_owned().into(),
            requests_per_minute: 10_000,
            ..config::Endpoint::default()
        };
        Self { world, settings }
    }

    /// Configures the simulator.
    fn configure(&self, change: Value) {
        self.world.tell_model(change);
    }

    /// The requests the simulator received.
    fn ledger(&self) -> Value {
        self.world.model_ledger()
    }

    fn host(&self) -> Host {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let db = Db::default();
        let pool = runtime.block_on(async { Pool::new(Target::parse(&self.world.url, None, db.connect_timeout)?, &db) });
        let http = Arc::new(Client::new(&config::Google::default(), &config::Engine::default()));
        Host { runtime, pool: pool.expect("a pool"), endpoint: Endpoint::new(http, &self.settings).expect("an endpoint") }
    }
}

impl Host {
    fn ask(&self, question: &Question<'_>) -> Result<Answered, Failure> {
        self.runtime.block_on(self.endpoint.request(&self.pool, question))
    }

    /// Asks about a text with the three projects.
    fn ask_about(&self, text: &str) -> Result<Answered, Failure> {
        self.ask(&Question { title: "Minutes", author: "ann@example.com", text, candidates: &candidates() })
    }
}

/// The three projects, with IDs by index.
fn candidates() -> [Candidate<'static>; 3] {
    std::array::from_fn(|at| Candidate { id: id(at), name: NAMES[at], description: None })
}

fn id(at: usize) -> Uuid {
    Uuid::from_u128(0x0197_c9a2_5b1e_7f60_8d2a_0000_0000_0000 + at as u128)
}

fn project(at: usize) -> Choice {
    Choice::Project(id(at))
}
