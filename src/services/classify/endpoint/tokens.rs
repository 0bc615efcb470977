//! Tokens of a call: an estimate without a tokenizer, and what they cost. Pure.

use crate::config;
use crate::db::model_usage::Spending;

/// Tokens that a call used, or may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
}

/// Estimates the tokens of a text, erring on the high side.
pub fn about(text: &str) -> usize {
    text.chars().map(parts).sum::<usize>().div_ceil(PARTS)
}

/// Number of parts in a token.
pub const PARTS: usize = 14;

/// Parts of a token that a character takes: seven English characters make two tokens, two characters of another alphabet make one, and each sign or
/// ideograph makes one.
pub fn parts(c: char) -> usize {
    match c {
        _ if c.is_ascii_alphanumeric() || c.is_ascii_whitespace() => 4,
        // East Asian scripts and symbols are above this range.
        '\u{80}'..'\u{2e80}' if c.is_alphabetic() => 7,
        _ => 14,
    }
}

/// Prices of one token, in billionths of the currency.
#[derive(Debug, Clone, Copy)]
pub struct Prices {
    prompt: f64,
    completion: f64,
}

impl Prices {
    pub fn of(settings: &config::Endpoint) -> Self {
        // From the price of a million tokens to billionths per token.
        let each = |million: f64| million * 1_000.0;
        Self {
            prompt: each(settings.cost_per_million_prompt_tokens),
            completion: each(settings.cost_per_million_completion_tokens),
        }
    }

    /// The tokens and their cost, rounded up.
    pub fn spending(&self, usage: Usage) -> Spending {
        let cost = usage.prompt_tokens as f64 * self.prompt + usage.completion_tokens as f64 * self.completion;
        // Keep a floating-point error, as in 3 * 0.1, from rounding up a unit.
        Spending { tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens), cost: (cost - 1e-6).ceil() as i64 }
    }

    /// The limits per day; 0 means no limit.
    pub fn limits(&self, settings: &config::Endpoint) -> Spending {
        let tokens = i64::try_from(settings.tokens_per_day).unwrap_or(i64::MAX);
        // A limit below one billionth must not round to 0, which means no limit.
        let cost = if settings.cost_per_day > 0.0 { ((settings.cost_per_day * 1e9) as i64).max(1) } else { 0 };
        Spending { tokens, cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_per_million_tokens() {
        let mut settings = config::Endpoint {
            cost_per_million_prompt_tokens: 0.15,
            cost_per_million_completion_tokens: 0.6,
            ..Default::default()
        };
        let prices = Prices::of(&settings);
        let million = Usage { prompt_tokens: 1_000_000, completion_tokens: 1_000_000 };
        assert_eq!(prices.spending(million), Spending { tokens: 2_000_000, cost: 750_000_000 });
        assert_eq!(prices.spending(Usage { prompt_tokens: 1, completion_tokens: 0 }).cost, 150);
        assert_eq!(prices.spending(Usage::default()), Spending { tokens: 0, cost: 0 });
        assert_eq!(prices.limits(&settings), Spending { tokens: 1_000_000, cost: 0 });
        settings.cost_per_day = 2.5;
        assert_eq!(prices.limits(&settings).cost, 2_500_000_000);
    }

    #[test]
    fn non_latin_scripts_and_symbols_count_for_more_tokens() {
        assert_eq!(
            [about(""), about("abcd"), about("abc abc abc"), about("жжжж"), about("漢字"), about("<-->")],
            [0, 2, 4, 2, 2, 4]
        );
    }
}
