//! Consents that grant less than requested, or nothing, and forged answers.

use serde_json::json;

use super::{ALLOW, ANN, BEN, Login, nothing_is_stored, world};
use crate::support::browser::Browser;

const CANCEL: &str = "button[value=cancel]";

#[test]
fn cancel_stores_nothing_and_is_reported_in_browser_and_terminal() {
    let world = world();
    let login = Login::start(&world, &[]);
    let browser = Browser::start();
    browser.goto(&login.page);
    browser.click(CANCEL);
    assert_eq!(browser.text("main h1"), "Access was refused");
    let output = login.end().expect(77);
    assert!(output.stderr.contains("access_denied") && output.stderr.contains("nothing was stored"), "{}", output.stderr);
    nothing_is_stored(&world);
}

#[test]
fn a_scope_that_was_left_out_is_named_with_what_it_means() {
    let world = world();
    let login = Login::start(&world, &["--email", ANN]);
    let browser = Browser::start();
    browser.goto(&login.page);
    for scope in ["calendar", "drive"] {
        browser.click(&format!("input[value$='{scope}.readonly']"));
    }
    browser.click(ALLOW);
    assert_eq!(browser.text("main h1"), "Access granted");
    assert!(
        browser.text("main p").contains("Not allowed, and not synced until you log in again: gmail"),
        "{}",
        browser.text("main p")
    );
    let output = login.end().expect(0);
    assert_eq!(output.json()["missing"], json!(["gmail"]));
    assert!(output.stderr.contains("gmail was not allowed"), "{}", output.stderr);
    let check = world.syncctl(&["accounts", "check", "--all", "--json"]).expect(0).json();
    assert_eq!(check[0]["services"], json!({ "calendar": "ok", "drive": "ok", "gmail": "not_granted" }), "{check}");
}

#[test]
fn a_consent_without_any_scope_stores_nothing() {
    let world = world();
    let login = Login::start(&world, &[]);
    let browser = Browser::start();
    browser.goto(&login.page);
    browser.click(ALLOW);
    assert_eq!(browser.text("main h1"), "Nothing was stored");
    let output = login.end().expect(77);
    assert!(output.stderr.contains("nothing was ticked"), "{}", output.stderr);
    nothing_is_stored(&world);
}

#[test]
fn another_account_than_the_one_that_was_asked_for_is_refused() {
    let world = world();
    let login = Login::start(&world, &["--email", ANN]);
    let browser = Browser::start();
    browser.goto(&login.page);
    browser.click(&format!("input[value='{BEN}']"));
    browser.click("#all");
    browser.click(ALLOW);
    assert_eq!(browser.text("main h1"), "Nothing was stored");
    let output = login.end().expect(77);
    assert!(output.stderr.contains(&format!("{BEN} consented, not {ANN}")), "{}", output.stderr);
    nothing_is_stored(&world);
}

#[test]
fn a_forged_answer_is_refused_and_the_true_one_still_counts() {
    let world = world();
    let login = Login::start(&world, &[]);
    let back = login.parameter("redirect_uri");
    let browser = Browser::start();
    for forged in ["?state=guessed&code=4/0stolen", "?code=4/0stolen", "?state=&error=access_denied", ""] {
        browser.goto(&format!("{back}/{forged}"));
        assert_eq!(browser.text("main h1"), "Not the answer to this login", "{forged}");
    }
    nothing_is_stored(&world);
    browser.goto(&login.page);
    browser.click("#all");
    browser.click(ALLOW);
    assert_eq!(browser.text("main h1"), "Access granted");
    let output = login.end().expect(0);
    assert!(output.stderr.contains("does not answer this login"), "{}", output.stderr);
}
