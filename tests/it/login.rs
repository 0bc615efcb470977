//! `accounts login`, with a real browser at the consent page.

use crate::support::browser::Browser;

#[test]
fn a_page_is_opened_read_and_clicked() {
    let browser = Browser::start();
    browser.resize(412, 800);
    browser.goto("data:text/html,<p>before</p><button onclick=\"document.querySelector('p').textContent='after'\">go</button>");
    assert_eq!(browser.text("p"), "before");
    assert!(browser.script("return window.innerWidth").as_u64().is_some_and(|width| width <= 500));
    browser.click("button");
    assert_eq!(browser.text("p"), "after");
    assert!(browser.url().starts_with("data:"), "{}", browser.url());
}
