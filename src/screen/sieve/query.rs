//! The questions that programs ask a terminal, parsed; does not know the answers.

/// One of the colours that a program may set or ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColorSlot {
    /// OSC 4, the 256 indexed colours.
    Indexed(u8),
    /// OSC 10.
    Foreground,
    /// OSC 11.
    Background,
    /// OSC 12.
    Cursor,
}

/// How a string was ended; an answer ends as its question did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminator {
    /// One byte, 0x07.
    Bell,
    /// `ESC \`.
    StringTerminator,
}

impl Terminator {
    /// As it is written.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Bell => b"\x07",
            Self::StringTerminator => b"\x1b\\",
        }
    }
}

/// A question that the sieve took out of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// DA1, `CSI c`, and DECID, `ESC Z`.
    PrimaryAttributes,
    /// DA2, `CSI > c`.
    SecondaryAttributes,
    /// DA3, `CSI = c`.
    TertiaryAttributes,
    /// XTVERSION, `CSI > q`.
    Version,
    /// DSR 5, `CSI 5 n`.
    OperatingStatus,
    /// CPR, `CSI 6 n`.
    CursorPosition,
    /// DECXCPR, `CSI ? 6 n`.
    ExtendedCursorPosition,
    /// `CSI ? 996 n`: dark or light.
    ColorScheme,
    /// DECRQM without `?`.
    AnsiMode(u16),
    /// DECRQM with `?`.
    PrivateMode(u16),
    /// `CSI ? u`.
    KittyKeyboard,
    /// XTQMODKEYS, `CSI ? 4 m`.
    ModifyOtherKeys,
    /// `CSI 14 t`.
    TextAreaPixels,
    /// `CSI 16 t`.
    CellPixels,
    /// `CSI 18 t`.
    TextAreaCells,
    /// `CSI 19 t`.
    ScreenCells,
    /// OSC 4, 10, 11, 12 with `?`.
    Color(ColorSlot, Terminator),
    /// XTGETTCAP with its payload: hexadecimal names with `;` between them.
    Capability(Vec<u8>),
    /// DECRQSS with its payload: the final bytes of the control asked for.
    Setting(Vec<u8>),
    /// One that is never answered, by the name of its kind.
    Refused(&'static str),
}

impl Query {
    /// Whether the answer depends on the screen at exactly this byte, so that it must be settled up to there first.
    pub fn needs_screen(&self) -> bool {
        match self {
            Self::CursorPosition
            | Self::ExtendedCursorPosition
            | Self::AnsiMode(_)
            | Self::KittyKeyboard
            | Self::ModifyOtherKeys
            | Self::Color(..)
            | Self::Setting(_) => true,
            // Known without a screen: never supported, or kept by the host.
            Self::PrivateMode(mode) => !matches!(mode, 1004 | 1016 | 2027 | 2031 | 2048),
            Self::PrimaryAttributes
            | Self::SecondaryAttributes
            | Self::TertiaryAttributes
            | Self::Version
            | Self::OperatingStatus
            | Self::ColorScheme
            | Self::TextAreaPixels
            | Self::CellPixels
            | Self::TextAreaCells
            | Self::ScreenCells
            | Self::Capability(_)
            | Self::Refused(_) => false,
        }
    }
}
