use super::*;

fn settings(url: &str, allow_private: bool) -> config::Endpoint {
    config::Endpoint { url: url.into(), model: "small".into(), allow_private, ..Default::default() }
}

fn endpoint(url: &str, allow_private: bool) -> Result<Endpoint, String> {
    let http = Arc::new(http::Client::new(&config::Google::default(), &config::Engine::default()));
    Endpoint::new(http, &settings(url, allow_private)).map_err(|error| error.to_string())
}

#[test]
fn the_address_of_the_method_is_below_the_base() {
    for (url, address, host) in [
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions", "api.example.com"),
        ("https://api.example.com:8443/", "https://api.example.com:8443/chat/completions", "api.example.com:8443"),
        ("https://api.example.com/openai/v1/", "https://api.example.com/openai/v1/chat/completions", "api.example.com"),
    ] {
        let endpoint = endpoint(url, false).expect(url);
        assert_eq!((endpoint.url.as_str(), endpoint.host.as_str()), (address, host));
    }
}

#[test]
fn private_addresses_must_be_allowed_and_http_stays_private() {
    for url in ["https://127.0.0.1/v1", "https://10.1.2.3/v1", "https://[::1]/v1", "https://2130706433/v1"] {
        let refused = endpoint(url, false).err().expect(url);
        assert!(refused.contains("set classify.endpoint.allow_private=true"), "{refused}");
        assert!(endpoint(url, true).is_ok(), "{url}");
    }
    for (url, allow_private) in [("http://api.example.com/v1", false), ("http://8.8.8.8/v1", true), ("", false)] {
        assert!(endpoint(url, allow_private).is_err(), "{url}");
    }
    for url in ["http://127.0.0.1:11434/v1", "http://192.168.1.2/v1", "http://localhost:8000/v1"] {
        assert!(endpoint(url, true).is_ok(), "{url}");
    }
}

fn prompt() -> Prompt {
    Prompt::new(&Question { title: "", author: "", text: "", candidates: &[] }, 10)
}

#[test]
fn uncounted_tokens_count_as_reserved_and_refused_calls_as_zero() {
    let max = Usage { prompt_tokens: 3_000, completion_tokens: 256 };
    let used = |answer: Result<http::Answer, Failure>| evaluate(answer, &prompt(), max, Utc::now()).0;
    let answered = |body: &str| Ok((200, None, body.as_bytes().to_vec()));
    let transient = Failure::new(Class::Transient, "timed out");
    assert_eq!(used(Err(transient.clone())), max);
    assert_eq!(used(Err(Failure { reason: http::UNREACHED.into(), ..transient })), Usage::default());
    assert_eq!(used(Ok((500, None, Vec::new()))), Usage::default());
    assert_eq!(used(answered(r#"{"choices":[]}"#)), max);
    // Bad answers cost tokens as well.
    let counted = r#"{"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":20,"total_tokens":920}}"#;
    assert_eq!(used(answered(counted)), Usage { prompt_tokens: 900, completion_tokens: 20 });
}
