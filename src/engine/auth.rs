//! How a service's calls are authorized. This determines what a run needs before it begins: a service that calls no provider needs no keys, prices or
//! revived accounts, and saves the statements for them.

/// How a service's calls are authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By user tokens, which must carry this OAuth scope.
    Scope(&'static str),
    /// By project keys, at a provider without scopes.
    Key,
    /// No provider is called: the pages come from this database, and polls use no quota.
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

    /// Whether a provider is called, which needs sealed credentials and uses quota.
    pub const fn makes_calls(self) -> bool {
        !matches!(self, Self::NoCalls)
    }
}
