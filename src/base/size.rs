//! The size of a terminal grid; does not know whose it is.

use std::fmt;

/// Columns and rows, always within what the screen engine survives (screen.md 6: one column panics it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WinSize {
    cols: u16,
    rows: u16,
}

impl WinSize {
    /// What a session has when nobody said otherwise.
    pub const DEFAULT: Self = Self { cols: 80, rows: 24 };

    /// Clamped to 2..=1000 columns and 2..=500 rows; a zero means the default of that direction.
    pub fn clamped(cols: u32, rows: u32) -> Self {
        let one = |value: u32, default: u16, most: u32| {
            if value == 0 { default } else { value.clamp(2, most) as u16 }
        };
        Self { cols: one(cols, 80, 1000), rows: one(rows, 24, 500) }
    }

    /// Columns.
    pub const fn cols(self) -> u16 {
        self.cols
    }

    /// Rows.
    pub const fn rows(self) -> u16 {
        self.rows
    }
}

impl fmt::Display for WinSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.cols, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_numbers_make_a_size_that_is_safe() {
        assert_eq!(WinSize::clamped(0, 0), WinSize::DEFAULT);
        assert_eq!(WinSize::clamped(1, 1).to_string(), "2x2");
        assert_eq!(WinSize::clamped(u32::MAX, u32::MAX).to_string(), "1000x500");
    }
}
