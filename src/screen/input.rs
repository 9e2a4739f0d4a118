//! What viewers type, without what their terminals say by themselves; does not know who typed.

/// What one push of input contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputKind {
    /// Whether a person did something: false when all of it was mouse, focus or replies.
    pub typed: bool,
    /// The last focus report in it, which is not passed on: the host speaks for the driver.
    pub focus: Option<bool>,
}

/// The state between two pushes of one viewer's input.
#[derive(Debug, Default)]
pub struct InputFilter {
    hold: Vec<u8>,
}

impl InputFilter {
    /// For a new viewer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` what the program may see.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> InputKind {
        out.extend_from_slice(bytes);
        InputKind { typed: !bytes.is_empty(), focus: None }
    }

    /// Bytes held back, at most 4 KiB.
    pub fn held(&self) -> usize {
        self.hold.len()
    }
}
