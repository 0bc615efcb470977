//! A real headless Chromium, driven through chromedriver by the W3C WebDriver protocol.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::postgres::watchdog::Watchdog;

/// Timeout for an element to appear, in milliseconds, and for any answer of the driver.
const ELEMENT_MS: u64 = 20_000;
const ANSWER: Duration = Duration::from_secs(90);
/// Maximum number of drivers to start until one listens.
const DRIVERS: usize = 5;
/// WebDriver's key for element references.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one tab and an empty profile. Stopped when dropped, or with the test process.
pub struct Browser {
    driver: Child,
    /// The address of the session.
    session: String,
    folder: PathBuf,
    _watchdog: Watchdog,
}

impl Browser {
    /// Starts a browser. A machine without one fails the test.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("syncctl-test-").tempdir().expect("a temporary folder").keep();
        let watchdog = Watchdog::over(&folder, &folder);
        let (driver, port) = driver(&folder);
        fs::write(folder.join("driver.pid"), driver.id().to_string()).expect("the driver's pid");
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}"), folder, _watchdog: watchdog };
        let made = browser.call("POST", "/session", &browser.capabilities());
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        let pid = &made["capabilities"]["goog:processID"];
        fs::write(browser.folder.join("browser.pid"), pid.to_string()).expect("the browser's pid");
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.folder.join("profile").display());
        let mut options = json!({ "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", profile] });
        // Its driver looks only for Chrome.
        if let Some(program) = program() {
            options["binary"] = json!(program);
        }
        json!({ "capabilities": { "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "implicit": ELEMENT_MS, "pageLoad": 60_000, "script": 20_000 } } } })
    }

    /// Opens a URL, and waits until it is loaded.
    pub fn goto(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Waits until the browser is at a URL that contains this part. No server may answer there, and no click waits for it.
    pub fn ends_at(&self, part: &str) -> String {
        let late = Instant::now() + ANSWER;
        loop {
            let at = self.call("GET", "/url", &Value::Null).as_str().expect("an address").to_owned();
            if at.contains(part) {
                return at;
            }
            assert!(Instant::now() < late, "the browser is still at {at}");
        }
    }

    /// The first element that matches the selector; waits for it.
    fn find(&self, css: &str) -> String {
        let element = self.call("POST", "/element", &json!({ "using": "css selector", "value": css }));
        element[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {css}: {element}")).to_owned()
    }

    /// Clicks it, and waits for the page to load.
    pub fn click(&self, css: &str) {
        self.call("POST", &format!("/element/{}/click", self.find(css)), &json!({}));
    }

    /// Its visible text.
    pub fn text(&self, css: &str) -> String {
        self.call("GET", &format!("/element/{}/text", self.find(css)), &Value::Null).as_str().expect("text").to_owned()
    }

    /// The return value of a JavaScript function body in the page.
    pub fn script(&self, body: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// A screen of this width, as of a phone: no window can be that narrow.
    pub fn narrow(&self, width: u32) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 2, "mobile": true });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": screen });
        self.call("POST", "/goog/cdp/execute", &command);
    }

    /// Console messages since the last call.
    pub fn console(&self) -> Vec<Value> {
        let answer_json = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        answer_json.as_array().unwrap_or_else(|| panic!("no log: {answer_json}")).clone()
    }

    /// Resizes the window.
    pub fn resize(&self, width: u32, height: u32) {
        self.call("POST", "/window/rect", &json!({ "width": width, "height": height }));
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false).build().into();
        let answer = match method {
            "POST" => agent.post(url).send_json(body),
            "DELETE" => agent.delete(url).call(),
            _ => agent.get(url).call(),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        // A screenshot is larger than the default limit.
        let text = answer.body_mut().with_config().limit(1 << 26).read_to_string().map_err(|error| error.to_string())?;
        let mut answer_json: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer.status().is_success() {
            Ok(answer_json["value"].take())
        } else {
            Err(answer_json["value"]["message"].as_str().unwrap_or(&text).to_owned())
        }
    }

    /// The visible page as a base64-encoded PNG.
    fn screenshot(&self) -> Option<Vec<u8>> {
        let shot = self.try_call("GET", "/screenshot", &Value::Null).ok()?;
        data_encoding::BASE64.decode(shot.as_str()?.as_bytes()).ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(shot) = self.screenshot()
        {
            let path = std::env::temp_dir().join(format!("syncctl-test-browser-{}.png", self.driver.id()));
            let kept = fs::write(&path, shot);
            eprintln!("the page as it was when the test failed: {} ({kept:?})", path.display());
        }
        // Ends the browser; the driver alone would leave it running.
        let _ = self.try_call("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A running driver and its port. It picks a port that is free on IPv4 and gives up if another program has the same one on IPv6; the next
/// driver picks another.
fn driver(home: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..DRIVERS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // Chromium keeps crash reports and caches in the home folder.
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error} (scripts/ensure-chromium installs it)"));
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            said = format!("{said}\n{line}");
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        if let Some(port) = port {
            // A full pipe would block it eventually.
            std::thread::spawn(move || lines.for_each(drop));
            return (driver, port);
        }
        driver.wait().expect("a driver that has closed its output ends");
    }
    panic!("none of {DRIVERS} chromedrivers started:{said}");
}

/// The browser, by its names in distribution packages.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|program| program.is_file())
}
