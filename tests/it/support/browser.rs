//! A real Chromium without a window, driven through chromedriver by the W3C WebDriver protocol: what a person sees and clicks.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::postgres::watchdog::Watchdog;

/// How long an element may take to be there, in milliseconds, and any answer of the driver.
const ELEMENT_MS: u64 = 20_000;
const ANSWER: Duration = Duration::from_secs(90);
/// How many drivers may be started until one listens.
const DRIVERS: usize = 5;
/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one tab and an empty profile. Gone with the value, or with the test process.
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
        let made = browser.call("POST", "/session", &browser.wanted());
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        let pid = &made["capabilities"]["goog:processID"];
        fs::write(browser.folder.join("browser.pid"), pid.to_string()).expect("the browser's pid");
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    fn wanted(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.folder.join("profile").display());
        let mut options = json!({ "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", profile] });
        // Its driver looks for Chrome only.
        if let Some(program) = program() {
            options["binary"] = json!(program);
        }
        json!({ "capabilities": { "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "implicit": ELEMENT_MS, "pageLoad": 60_000, "script": 20_000 } } } })
    }

    /// Opens an address, and waits until it is loaded.
    pub fn goto(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// The address with this in it at which the browser ends. It may be one where nobody answers, which no click waits for.
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

    /// The first element that the selector names; waits for it.
    fn find(&self, css: &str) -> String {
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {css}: {found}")).to_owned()
    }

    /// Clicks it, and waits for the page that this opens.
    pub fn click(&self, css: &str) {
        self.call("POST", &format!("/element/{}/click", self.find(css)), &json!({}));
    }

    /// Its text as it is seen.
    pub fn text(&self, css: &str) -> String {
        self.call("GET", &format!("/element/{}/text", self.find(css)), &Value::Null).as_str().expect("text").to_owned()
    }

    /// What a function body of JavaScript returns in the page.
    pub fn script(&self, body: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// A screen this wide, as of a phone: no window is so narrow.
    pub fn narrow(&self, width: u32) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 2, "mobile": true });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": screen });
        self.call("POST", "/goog/cdp/execute", &command);
    }

    /// What the console said since this was last asked.
    pub fn console(&self) -> Vec<Value> {
        let told = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        told.as_array().unwrap_or_else(|| panic!("no log: {told}")).clone()
    }

    /// Makes the window this large.
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
        // A screenshot is larger than what is read without being told.
        let text = answer.body_mut().with_config().limit(1 << 26).read_to_string().map_err(|error| error.to_string())?;
        let mut told: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer.status().is_success() {
            true => Ok(told["value"].take()),
            false => Err(told["value"]["message"].as_str().unwrap_or(&text).to_owned()),
        }
    }

    /// The page as it is seen, as PNG in base64.
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
            let place = std::env::temp_dir().join(format!("syncctl-test-browser-{}.png", self.driver.id()));
            let kept = fs::write(&place, shot);
            eprintln!("the page as it was when the test failed: {} ({kept:?})", place.display());
        }
        // Ends the browser; the driver alone would leave it.
        let _ = self.try_call("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A running driver and the port that it listens on. It picks a port that is free on IPv4 and gives up when another
/// program has the same one on IPv6; the next driver picks another.
fn driver(home: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..DRIVERS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // Chromium keeps crash reports and caches at home.
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
            // A pipe that nobody reads would stop it in the end.
            std::thread::spawn(move || lines.for_each(drop));
            return (driver, port);
        }
        driver.wait().expect("a driver that has closed its output ends");
    }
    panic!("none of {DRIVERS} chromedrivers started:{said}");
}

/// The browser, by the names that it has in the packages of systems.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|program| program.is_file())
}
