//! The loopback address to which the browser returns after the consent page, open while a login waits. Nothing here is specific to Google.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The page loads no resources, runs no scripts, submits no forms and cannot be framed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A browser that returned; the waiting login sends it the result page.
pub(super) struct Arrival {
    /// The query of its address.
    pub(super) query: String,
    pub(super) reply: oneshot::Sender<Page>,
}

/// The result page in the browser.
pub(super) struct Page {
    pub(super) good: bool,
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// An open loopback address.
pub(super) struct Landing {
    /// `http://127.0.0.1:PORT`
    pub(super) origin: String,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Landing {
    /// Listens on a free port.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on a free port of 127.0.0.1")?;
        let origin = format!("http://{}", listener.local_addr().context("reading the port")?);
        let (sender, arrivals) = mpsc::channel(1);
        let app = Router::new().route("/", get(arrive)).fallback(|| async { StatusCode::NOT_FOUND }).with_state(sender);
        let stop = CancellationToken::new();
        let serve = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
        Ok(Self { origin, arrivals, server: tokio::spawn(serve.into_future()), stop })
    }

    /// Closes the address after the last page is sent.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        // Do not wait for connections that a browser opened and never used.
        match tokio::time::timeout(std::time::Duration::from_secs(2), self.server).await {
            Ok(ended) => Ok(ended.context("the loopback server panicked")??),
            Err(_) => Ok(()),
        }
    }
}

async fn arrive(State(sender): State<mpsc::Sender<Arrival>>, RawQuery(query): RawQuery) -> Response {
    let (reply, page) = oneshot::channel();
    let arrival = Arrival { query: query.unwrap_or_default(), reply };
    let expired = |_| Page {
        good: false,
        title: "This login is over",
        text: "syncctl is no longer waiting. Start it again in the terminal.".into(),
    };
    let page = match sender.send(arrival).await {
        Ok(()) => page.await.unwrap_or_else(|_| expired(())),
        Err(_) => expired(()),
    };
    page.into_response()
}

impl Page {
    fn into_response(self) -> Response {
        let status = if self.good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let headers = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONNECTION, "close"),
        ];
        (status, headers, Html(self.html())).into_response()
    }

    fn html(&self) -> String {
        let Self { title, text, .. } = self;
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>syncctl: {title}</title>\n<style>:root {{ color-scheme: light dark }} body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem; overflow-wrap: anywhere }}</style></head>\n\
             <body><main><h1>{title}</h1><p>{text}</p></main></body></html>\n"
        )
    }
}
