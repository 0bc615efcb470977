//! The baseline of every fetch: a loop that sends the same requests over open connections, and discards the answers.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::support::World;

/// Concurrent requests, as many as a run has in flight.
const CONCURRENT: usize = 32;

/// A GET and its token.
pub type Request = (reqwest::Url, String);

/// A client and its runtime; connections stay open across rounds.
pub struct Loop {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Loop {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let client = reqwest::Client::builder().user_agent("bench (gzip)").gzip(true).build().expect("a client");
        Self { runtime, client }
    }

    /// GETs them all.
    pub fn get(&self, requests: &[Request]) {
        self.send(requests.iter().map(|(url, token)| self.client.get(url.clone()).bearer_auth(token)));
    }

    /// POSTs each body.
    pub fn post(&self, url: &str, bodies: &[String]) {
        self.send(bodies.iter().map(|body| self.client.post(url).header("content-type", "application/json").body(body.clone())));
    }

    fn send(&self, requests: impl Iterator<Item = reqwest::RequestBuilder>) {
        self.runtime.block_on(futures_util::stream::iter(requests).for_each_concurrent(CONCURRENT, |request| async {
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("a body");
        }));
    }
}

/// An access token for each address.
pub fn tokens(world: &World) -> HashMap<String, String> {
    let accounts = world.sim.text("accounts");
    let accounts = accounts.lines().filter(|line| !line.is_empty());
    accounts
        .map(|line| {
            let account: Value = serde_json::from_str(line).expect("an account");
            let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
            let form = [
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", field("client_id")),
                ("client_secret", field("client_secret")),
                ("refresh_token", field("refresh_token")),
            ];
            let mut answer = ureq::post(field("token_uri")).send_form(form).expect("a token");
            let token: Value = answer.body_mut().read_json().expect("a token");
            (
                account["email"].as_str().expect("an address").to_owned(),
                token["access_token"].as_str().expect("a token").to_owned(),
            )
        })
        .collect()
}

/// A URL at the simulator.
pub fn url(world: &World, path: &[&str], query: &[(&str, &str)]) -> reqwest::Url {
    let mut url = reqwest::Url::parse(&world.sim.url).expect("an origin");
    url.path_segments_mut().expect("a path").extend(path);
    url.query_pairs_mut().extend_pairs(query);
    url
}
