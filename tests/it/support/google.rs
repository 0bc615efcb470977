//! A user's own client of Google's APIs, as the simulator serves them: the answers that the database is compared with.

use serde_json::Value;

use super::Sim;
use super::sim::field;

pub struct Google {
    root: String,
    token: String,
}

impl Google {
    /// A client with the grant of this account, as the simulator lists it.
    pub fn of(sim: &Sim, account: &Value) -> Self {
        let credential = |name: &str| field(&account["credentials"], name);
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", credential("client_id")),
            ("client_secret", credential("client_secret")),
            ("refresh_token", credential("refresh_token")),
        ];
        let mut answer = ureq::post(format!("{}/token", sim.url)).send_form(form).expect("a token");
        let answer: Value = answer.body_mut().read_json().expect("JSON");
        Self { root: sim.url.clone(), token: field(&answer, "access_token") }
    }

    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let request = ureq::get(format!("{}/{path}", self.root)).header("authorization", format!("Bearer {}", self.token));
        let request = query.iter().fold(request, |request, (name, value)| request.query(*name, *value));
        request.call().unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_json().expect("JSON")
    }

    /// The entries of all pages of a list, which have this name.
    pub fn all(&self, path: &str, query: &[(&str, &str)], entries: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut page: Option<String> = None;
        loop {
            let mut answer = {
                let token = page.as_deref().map(|token| ("pageToken", token));
                let query: Vec<(&str, &str)> = query.iter().copied().chain(token).collect();
                self.get(path, &query)
            };
            // Gmail leaves an empty list out.
            if let Value::Array(entries) = answer[entries].take() {
                found.extend(entries);
            }
            page = answer["nextPageToken"].as_str().map(str::to_owned);
            if page.is_none() {
                return found;
            }
        }
    }
}
