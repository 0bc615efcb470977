//! Documents and projects with prompt injections, for a model that obeys each of them.

use regex::Regex;
use serde_json::json;
use syncctl::error::Class;
use syncctl::services::classify::endpoint::{Candidate, Choice, Question};

use super::{Desk, KEY, NAMES, id};
use crate::support::models::{ORDERS, WAYS};

/// The places where an injection may be.
fn question<'a>(index: usize, order: &'a str, candidates: &'a mut [Candidate<'a>; 3]) -> Question<'a> {
    let usual = Question { title: "Minutes", author: "ann@example.com", text: "a crane", candidates: &[] };
    let question = match index {
        0 => Question { text: order, ..usual },
        1 => Question { title: order, ..usual },
        2 => Question { author: order, ..usual },
        3 => {
            candidates[2].name = order;
            usual
        }
        _ => {
            candidates[2].description = Some(order);
            usual
        }
    };
    Question { candidates, ..question }
}

#[test]
fn fifty_injections_bring_no_id_that_was_not_offered() {
    let desk = Desk::new();
    desk.configure(json!({ "mode": "obeys" }));
    let host = desk.host();
    let (mut obeyed, mut bad) = (0, 0);
    for (at, order) in ORDERS.iter().enumerate() {
        for (number, configure) in WAYS.iter().enumerate() {
            let order = configure(order);
            let mut candidates = super::candidates();
            match host.ask(&question((at + number) % 5, &order, &mut candidates)) {
                Ok(answered) => {
                    let offered = (0..NAMES.len()).map(|at| Choice::Project(id(at))).chain([Choice::NoneOfThem, Choice::Unsure]);
                    assert!(offered.into_iter().any(|choice| choice == answered.choice), "{order}: {answered:?}");
                    assert!((0.0..=1.0).contains(&answered.confidence), "{order}: {answered:?}");
                    obeyed += usize::from(answered.choice == Choice::Project(id(1)));
                }
                Err(failure) => {
                    assert_eq!(failure.class, Class::BadAnswer, "{order}: {failure}");
                    assert!(!failure.message.contains(KEY) && !failure.message.contains("p9"), "{failure}");
                    bad += 1;
                }
            }
        }
    }
    // The model did obey: the injected answer was rejected, or was one of the offers.
    assert!(bad >= 25 && obeyed >= 3, "{bad} bad answers, {obeyed} obeyed");
    let ledger = desk.ledger();
    let calls = ledger["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 50);
    let uuid = Regex::new("[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}").expect("a pattern");
    for call in calls {
        let body = call["body"].to_string();
        assert!(!body.contains(KEY) && !body.contains("sk-"), "{body}");
        assert!(!uuid.is_match(&body), "{body}");
        let user = call["body"]["messages"][1]["content"].as_str().expect("a prompt");
        for tag in ["<projects>", "</projects>", "<document>", "</document>", "<text>", "</text>", "</title>"] {
            assert_eq!(user.matches(tag).count(), 1, "{tag} in {user}");
        }
    }
}
