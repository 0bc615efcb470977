//! Logins on a machine without a browser: URLs pasted into the terminal.

use serde_json::json;

use super::{ALLOW, Login, world};
use crate::support::browser::Browser;

#[test]
fn without_a_browser_the_address_at_which_it_ended_is_pasted() {
    let world = world();
    let mut login = Login::start(&world, &["--no-browser", "--service", "calendar"]);
    let browser = Browser::start();
    browser.goto(&login.page);
    // A single scope has no checkbox: it is granted as a whole.
    browser.click(ALLOW);
    let ended = browser.ends_at("code=");
    assert!(ended.starts_with("http://127.0.0.1:"), "{ended}");
    login.paste(&ended);
    assert_eq!(login.end().expect(0).json()["services"], json!(["calendar"]));
    world.syncctl(&["calendar", "cron"]).expect(0);
}

#[test]
fn without_a_browser_the_code_alone_is_enough_and_a_foreign_address_is_not() {
    let world = world();
    let browser = Browser::start();
    let consent = |login: &Login| {
        browser.goto(&login.page);
        browser.click("#all");
        browser.click(ALLOW);
        browser.ends_at("code=")
    };
    let mut login = Login::start(&world, &["--no-browser"]);
    let ended = consent(&login);
    let (_, code) = ended.split_once("code=").expect("a code");
    let code = code.split('&').next().expect("a code");
    login.paste(code);
    login.end().expect(0);

    // The answer to another login: that code would add the account of the user who created it.
    let mut login = Login::start(&world, &["--no-browser"]);
    login.paste(&ended);
    let output = login.end().expect(2);
    assert!(output.stderr.contains("its state differs"), "{}", output.stderr);
    let mut login = Login::start(&world, &["--no-browser"]);
    login.paste(code);
    let output = login.end().expect(77);
    assert!(output.stderr.contains("was used before"), "{}", output.stderr);
    let mut login = Login::start(&world, &["--no-browser"]);
    drop(login.child.stdin.take());
    login.end().expect(2);
}
