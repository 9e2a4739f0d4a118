//! The parser and the signatures against the real OpenSSH tools; tests only.
