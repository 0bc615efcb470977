//! A receiver of messages on a free port, which answers as configured.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

#[derive(Clone, Debug)]
pub struct Got {
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn state(&self) -> &str {
        self.header("x-goog-resource-state")
    }

    pub fn number(&self) -> u64 {
        self.header("x-goog-message-number").parse().expect("a number")
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/push", listener.local_addr().expect("an address"));
        let receiver = Self { url, got: Arc::default(), answers: Arc::default() };
        let router = Router::new().route("/push", post(receive)).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    /// The next requests are answered with these statuses; all others with 200.
    pub fn answer(&self, statuses: &[u16]) {
        *self.answers.lock().expect("answers") = statuses.iter().rev().copied().collect();
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("messages").clone()
    }

    /// Waits for this many requests of any kind.
    pub fn at_least(&self, count: usize) -> Vec<Got> {
        let patience = Instant::now() + Duration::from_secs(300);
        while self.got().len() < count && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.got()
    }

    /// Waits for exactly this many messages of a channel, and checks that no more arrive.
    pub fn exactly(&self, channel: &str, count: usize) -> Vec<Got> {
        let all = || -> Vec<Got> { self.got().into_iter().filter(|got| got.header("x-goog-channel-id") == channel).collect() };
        let patience = Instant::now() + Duration::from_secs(300);
        while all().len() < count && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(150));
        let got = all();
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    receiver.got.lock().expect("messages").push(Got { headers, body, at: Instant::now() });
    let status = receiver.answers.lock().expect("answers").pop().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}
