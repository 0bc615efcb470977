//! Failures of the endpoint, and their consequences.

use std::time::Duration;

use serde_json::json;
use syncctl::error::Class;

use super::{Desk, KEY, project};

const METHOD: &str = "chat.completions";
/// A text that must not appear in any message.
const TEXT: &str = "the drill of Mrs Nightingale";

#[test]
fn each_failure_has_its_class_and_reveals_neither_text_nor_key() {
    let desk = Desk::new();
    let host = desk.host();
    for (fault, class) in [
        (json!({ "fault": "rate_limit_429", "retry_after": 7 }), Class::RateLimited),
        (json!({ "fault": "server_500" }), Class::Transient),
        (json!({ "fault": "unavailable_503" }), Class::Transient),
        (json!({ "fault": "bad_gateway_502" }), Class::Transient),
        (json!({ "fault": "timeout_408" }), Class::Transient),
        (json!({ "fault": "connection_reset" }), Class::Transient),
        (json!({ "fault": "cut_body" }), Class::Transient),
        (json!({ "fault": "cut_json" }), Class::Transient),
        (json!({ "fault": "answer_lost" }), Class::Transient),
        (json!({ "fault": "auth_error" }), Class::AuthRevoked),
        (json!({ "fault": "insufficient_permissions" }), Class::AuthRevoked),
        (json!({ "fault": "redirect_302" }), Class::Settings),
        (json!({ "fault": "not_found_page" }), Class::Settings),
        (json!({ "fault": "bad_request_400" }), Class::Permanent),
        (json!({ "fault": "answer", "status": 402 }), Class::DailyQuota),
        (json!({ "fault": "answer", "status": 422, "body": { "detail": [{ "input": TEXT, "key": KEY }] } }), Class::Permanent),
        (json!({ "fault": "answer", "status": 200, "body": "<html>" }), Class::BadAnswer),
        (json!({ "fault": "answer", "status": 200, "body": { "choices": "x".repeat(70_000) } }), Class::BadAnswer),
    ] {
        desk.world.sim.fault(fault.clone());
        let failure = host.ask_about(TEXT).expect_err(&fault.to_string());
        assert_eq!(failure.class, class, "{fault}: {failure}");
        assert!(!failure.message.contains("Nightingale") && !failure.message.contains(KEY), "{failure}");
        if class == Class::RateLimited {
            assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        }
        desk.world.sim.clear_faults();
    }
    assert_eq!(host.ask_about(TEXT).expect("an answer").choice, project(1));
}

#[test]
fn failures_of_keys_models_and_credit_are_distinguished_in_every_dialect() {
    for dialect in ["openai", "vllm", "llama_cpp", "ollama"] {
        let mut desk = Desk::new();
        desk.configure(json!({ "dialect": dialect }));
        let failure = |desk: &Desk| desk.host().ask_about(TEXT).expect_err(dialect);
        desk.settings.model = "large".into();
        let unknown = failure(&desk);
        assert_eq!(unknown.class, Class::Settings, "{dialect}: {unknown}");
        assert!(unknown.message.contains("classify.endpoint.model"), "{unknown}");
        desk.settings.model = "small".into();
        for key in ["sk-another-5ecret", ""] {
            desk.settings.key = key.to_owned().into();
            let refused = failure(&desk);
            assert_eq!(refused.class, Class::AuthRevoked, "{dialect}: {refused}");
            assert!(refused.message.contains("classify.endpoint.key_file") && !refused.message.contains("sk-"), "{refused}");
        }
        desk.settings.key = KEY.to_owned().into();
        desk.configure(json!({ "credit": 0 }));
        assert_eq!(failure(&desk).class, Class::DailyQuota, "{dialect}");
        desk.configure(json!({ "credit": null, "requests_per_minute": 0 }));
        let limited = failure(&desk);
        assert_eq!((limited.class, limited.retry_after.is_some()), (Class::RateLimited, true), "{dialect}");
        // None of them used a token.
        assert_eq!(desk.world.count("SELECT sum(tokens)::bigint FROM model_budgets"), 0, "{dialect}");
        assert_eq!(desk.world.count("SELECT sum(failures)::bigint FROM model_usage"), 5, "{dialect}");
    }
}

#[test]
fn a_text_that_is_too_long_is_halved_once() {
    for dialect in ["openai", "vllm", "llama_cpp", "ollama"] {
        let desk = Desk::new();
        let host = desk.host();
        let text = format!("drill {}", "word ".repeat(600));
        let total = host.ask_about(&text).expect("an answer").usage.prompt_tokens;
        // With the 256 tokens of an answer, half the text fits.
        desk.configure(json!({ "dialect": dialect, "context": total + 256 - 100 }));
        let half = host.ask_about(&text).expect(dialect).usage.prompt_tokens;
        assert!(half < total - 100, "{half} of {total}");
        desk.configure(json!({ "context": 300 }));
        let failure = host.ask_about(&text).expect_err("too long");
        assert_eq!((failure.class, failure.reason.as_str()), (Class::Permanent, "context_length"), "{dialect}: {failure}");
        assert_eq!(desk.ledger()["by_status"], json!({ "200": 2, "400": 3 }), "{dialect}");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_waited_for_as_long_as_the_settings_say() {
    let mut desk = Desk::new();
    desk.settings.timeout = Duration::from_secs(1);
    desk.world.sim.fault(json!({ "fault": "stall", "method": METHOD }));
    let failure = desk.host().ask_about(TEXT).expect_err("no answer");
    assert_eq!(failure.class, Class::Transient);
    assert!(failure.message.contains("timed out"), "{failure}");
    // The actual usage is unknown.
    assert!(desk.world.budget_tokens() > 1_000);
    assert_eq!(desk.world.count("SELECT prompt_tokens + completion_tokens - b.tokens FROM model_usage, model_budgets b"), 0);
}
