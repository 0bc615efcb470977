//! A simulated Google, Attendee and model endpoint on loopback: OAuth, Calendar, Gmail, Drive and meeting bots with the real rules, faults
//! on demand, and a ledger of every call.
//!
//! Google's side is under `/token`, `/o/oauth2`, `/revoke`, `/admin/directory/v1`, `/calendar/v3`, `/gmail/v1`, `/drive/v3`, `/oauth2/v3`
//! and `/batch`, Attendee's under `/api/v1`, the model endpoint under `/v1`, the test's side under `/admin` (see this crate's README).

mod admin;
mod attendee;
mod batch;
mod calendar;
mod call;
mod churn;
mod concurrency;
mod directory;
mod drive;
mod errors;
mod event;
mod faults;
mod feed;
mod fields;
mod generate;
mod gmail;
mod ics;
mod instances;
mod latency;
mod ledger;
mod models;
mod oauth;
mod place;
mod push;
mod quota;
mod reply;
mod requests;
mod schema;
mod sink;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use tokio::net::TcpListener;

pub use state::World;

/// A running simulator.
pub struct Sim {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// Its state.
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
        let batch = |api: Router<Arc<World>>, most: usize| {
            let api = api.with_state(Arc::clone(&world));
            post(move |state, headers, body| batch::serve(state, (api.clone(), most), headers, body))
        };
        let admin = admin::routes().merge(gmail::admin_routes()).merge(drive::admin_routes());
        let admin = admin.merge(push::admin_routes()).merge(directory::admin_routes()).merge(attendee::admin_routes());
        let admin = admin.merge(models::admin_routes());
        let recorded = |api: Router<Arc<World>>| api.layer(from_fn_with_state(Arc::clone(&world), requests::record));
        let (calendar, drive) = (recorded(calendar::routes()), recorded(drive::routes()));
        let (gmail, directory) = (recorded(gmail::routes()), recorded(directory::routes()));
        let google = calendar
            .clone()
            .merge(gmail.clone())
            .merge(drive.clone())
            .merge(directory.clone())
            .route("/batch/calendar/v3", batch(calendar, 1_000))
            .route("/batch/gmail/v1", batch(gmail.clone(), 100))
            .route("/batch/drive/v3", batch(drive, 100))
            // The batch endpoint of all APIs with a separate host.
            .route("/batch", batch(gmail.merge(directory), 100))
            .layer(from_fn_with_state(Arc::clone(&world), requests::at_once));
        let router = oauth::routes()
            .merge(google)
            .merge(attendee::routes())
            .merge(models::routes())
            .merge(sink::routes())
            .merge(push::routes())
            .nest("/admin", admin)
            .with_state(Arc::clone(&world));
        push::start(&world);
        attendee::start(&world);
        let server = tokio::spawn(axum::serve(axum::serve::ListenerExt::tap_io(listener, no_delay), router).into_future());
        Ok(Self { url, world, server })
    }

    /// Serves until the process ends.
    pub async fn run(self) -> anyhow::Result<()> {
        self.server.await.context("the server panicked")?.context("serving")
    }
}

/// Small answers must not be delayed by Nagle's algorithm.
fn no_delay(connection: &mut tokio::net::TcpStream) {
    let _ = connection.set_nodelay(true);
}
