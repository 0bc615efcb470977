//! How the calls of a service are authorized. From it follows what a run needs before it begins: one that calls no provider needs no keys, no prices and
//! no revoked accounts, and saves the statements for them.

/// How a service's calls are authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By users' tokens, which must carry this OAuth scope.
    Scope(&'static str),
    /// By keys of projects, at a provider that knows no scopes.
    Key,
    /// It calls no provider: what its pages bring stands in our own database, and polls use up no quota.
    NoCalls,
}

impl Auth {
    /// The scope that a token must carry.
    pub fn scope(self) -> Option<&'static str> {
        match self {
            Self::Scope(scope) => Some(scope),
            Self::Key | Self::NoCalls => None,
        }
    }

    /// Whether a provider is called: with what is sealed, at a price.
    pub fn makes_calls(self) -> bool {
        self != Self::NoCalls
    }
}
