//! A simulated Google on loopback: OAuth and Calendar with the real rules, faults on demand, and a ledger of every call.
//!
//! Google's side lies under `/token`, `/calendar/v3` and `/batch`, the test's side under `/admin` (see the README beside this crate).

mod admin;
mod batch;
mod calendar;
mod churn;
mod errors;
mod event;
mod faults;
mod feed;
mod fields;
mod generate;
mod ics;
mod instances;
mod ledger;
mod oauth;
mod place;
mod quota;
mod reply;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::routing::post;
use tokio::net::TcpListener;

pub use state::World;

/// A running simulator.
pub struct Sim {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// What it holds.
    pub world: Arc<World>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Sim {
    /// Starts on a free loopback port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts on this address.
    pub async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let url = format!("http://{}", listener.local_addr().context("reading the address")?);
        let world = Arc::new(World::new(url.clone()));
        let api = calendar::routes().with_state(Arc::clone(&world));
        let batch = post(move |state, headers, body| batch::serve(state, api.clone(), headers, body));
        let router = oauth::routes().merge(calendar::routes()).nest("/admin", admin::routes()).route("/batch/calendar/v3", batch);
        let router = router.with_state(Arc::clone(&world));
        let server = tokio::spawn(axum::serve(axum::serve::ListenerExt::tap_io(listener, no_delay), router).into_future());
        Ok(Self { url, world, server })
    }

    /// Serves until the process ends.
    pub async fn run(self) -> anyhow::Result<()> {
        self.server.await.context("the server panicked")?.context("serving")
    }
}

/// Small answers must not wait for each other's acknowledgement.
fn no_delay(connection: &mut tokio::net::TcpStream) {
    let _ = connection.set_nodelay(true);
}
