//! Somebody else's text as rows that a terminal can show: cleaned, wrapped, styled. Does not know what the text says.

use unicode_width::UnicodeWidthChar;

use crate::base::acts_on_terminal;

/// A tab's columns: where it stands does not count.
const TAB: &str = "    ";
/// Characters of a row for each of its columns: marks without a width must not make one without an end.
const CHARACTERS: usize = 8;

/// How a row looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    User,
    Added,
    Removed,
    Good,
    Warning,
    Bad,
    Bar,
}

impl Style {
    fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::User => "\x1b[1;36m",
            Self::Added | Self::Good => "\x1b[32m",
            Self::Removed | Self::Bad => "\x1b[31m",
            Self::Warning => "\x1b[1;33m",
            Self::Bar => "\x1b[7m",
        }
    }
}

/// How exactly a text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// For reading: colours, and marks that only join or vary characters, are left out.
    Prose,
    /// For deciding: every character that cannot be seen is spelled out.
    Exact,
}

/// One row; its text acts on no terminal, whatever it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    style: Style,
    text: String,
}

impl Row {
    /// A text without line ends, cut at `width` columns.
    pub(super) fn clipped(style: Style, text: &str, width: usize) -> Self {
        Self { style, text: crate::gateway::verbs::clip(&crate::base::printable(text, CHARACTERS * width), width) }
    }

    /// A clean text that fits.
    pub(super) fn of(style: Style, clean: String) -> Self {
        Self { style, text: clean }
    }

    /// What stands on it.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its columns.
    pub(super) fn width(&self) -> usize {
        columns(&self.text)
    }

    /// For the terminal, without a line end.
    pub(super) fn paint(&self, out: &mut String) {
        let begin = self.style.begin();
        out.push_str(begin);
        out.push_str(&self.text);
        if !begin.is_empty() {
            out.push_str("\x1b[m");
        }
    }
}

/// Columns, counted as rows are cut: character by character.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|ch| ch.width().unwrap_or(0)).sum()
}

/// A text whose only control characters are line ends.
pub(super) fn clean(text: &str, care: Care) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '\n' => out.push('\n'),
            '\t' => out.push_str(TAB),
            '\r' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' if care == Care::Prose => {}
            '\u{fe00}'..='\u{fe0f}' => out.extend(ch.escape_unicode()),
            ch if acts_on_terminal(ch) => out.extend(ch.escape_unicode()),
            ch => out.push(ch),
        }
    }
    out
}

/// What programs print, without the colours that they print it in; what was written over itself is several lines.
pub(super) fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let end = after.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'));
        match end.and_then(|end| after.get(end..)).and_then(|tail| tail.strip_prefix('m')) {
            Some(tail) => rest = tail,
            None => {
                out.push_str("\x1b[");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.replace("\r\n", "\n").replace('\r', "\n")
}

/// Where a row of clean text without line ends has to end, and the next begins; none when all of it fits.
pub(super) fn cut(text: &str, width: usize) -> Option<(usize, usize)> {
    let mut used = 0;
    let mut place = None;
    for (count, (at, ch)) in text.char_indices().enumerate() {
        let wide = ch.width().unwrap_or(0);
        if used + wide > width || count >= CHARACTERS * width.max(1) {
            let here = if ch == ' ' { (at, at + 1) } else { (at, at) };
            let least = (ch.len_utf8(), ch.len_utf8());
            return Some(place.filter(|_| ch != ' ').unwrap_or(if at == 0 { least } else { here }));
        }
        used += wide;
        let indent = || text.get(..at).is_none_or(|before| before.trim_start().is_empty());
        if ch == ' ' && !indent() {
            place = Some((at, at + 1));
        } else if wide > 1 {
            // Where words have no blanks between them a line may end behind any character.
            place = Some((at + ch.len_utf8(), at + ch.len_utf8()));
        }
    }
    None
}

/// Clean text as rows, each begun with `indent`; at least one.
pub(super) fn rows(style: Style, indent: &str, clean: &str, width: usize) -> Vec<Row> {
    let room = width.saturating_sub(columns(indent)).max(1);
    let piece = |piece: &str| Row::of(style, format!("{indent}{piece}"));
    clean.split('\n').flat_map(|line| pieces(line, room).map(piece)).collect()
}

/// Clean text without line ends in pieces of at most `room` columns; at least one.
pub(super) fn pieces(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let place = cut(line, room);
        rest = place.and_then(|(_, next)| line.get(next..));
        Some(place.and_then(|(end, _)| line.get(..end)).unwrap_or(line))
    })
}

/// As `rows`, with the mark in front of the first only.
pub(super) fn hanging(style: Style, mark: &str, clean: &str, width: usize) -> Vec<Row> {
    let blank = " ".repeat(columns(mark));
    let mut out = rows(style, &blank, clean, width);
    if let Some(first) = out.first_mut() {
        first.text.replace_range(..blank.len(), mark);
    }
    out
}

/// The first `most` of them, and how many there are beyond.
pub(super) fn shortened(mut all: Vec<Row>, most: usize, indent: &str) -> Vec<Row> {
    let more = all.len().saturating_sub(most);
    // The remark takes a row itself.
    if more > 1 {
        all.truncate(most);
        all.push(Row::of(Style::Dim, format!("{indent}… {more} more lines")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(Row::text).collect()
    }

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(texts(&rows(Style::Plain, "", "one two three", 8)), ["one two", "three"]);
        assert_eq!(texts(&rows(Style::Plain, "  ", "abcdefghij", 6)), ["  abcd", "  efgh", "  ij"]);
        assert_eq!(texts(&rows(Style::Plain, "", "    let deep = 1;", 10)), ["    let", "deep = 1;"]);
        assert_eq!(texts(&rows(Style::Plain, "", "a\n\nb", 10)), ["a", "", "b"]);
        assert_eq!(texts(&rows(Style::Plain, "", "exactly8 x", 8)), ["exactly8", "x"]);
    }

    #[test]
    fn wide_characters_count_twice_and_no_row_is_too_wide() {
        assert_eq!(texts(&rows(Style::Plain, "", "漢字かな交じり", 6)), ["漢字か", "な交じ", "り"]);
        let text = "mixed 漢字 and 😀😀 emoji e\u{301}\u{301} and averyverylongwordthatdoesnotfitanywhere".repeat(20);
        for width in [1, 2, 3, 39, 79, 119] {
            let all = rows(Style::Plain, "", &text, width);
            assert!(all.iter().all(|row| row.width() <= width.max(2)), "{width}");
            let kept: String = all.iter().flat_map(|row| row.text().chars()).filter(|ch| *ch != ' ').collect();
            assert_eq!(kept, text.replace(' ', ""), "nothing is lost at {width}");
        }
    }

    #[test]
    fn marks_without_a_width_make_no_endless_row() {
        let zalgo = format!("a{}", "\u{301}".repeat(10_000));
        assert!(rows(Style::Plain, "", &zalgo, 20).iter().all(|row| row.text().chars().count() <= CHARACTERS * 20));
    }

    #[test]
    fn nothing_acts_on_the_terminal() {
        let hostile = "\x1b[2J\x1b]0;t\x07\u{9b}31m\u{202e}x\u{e0041}\r\x08\x7f\tend";
        for care in [Care::Prose, Care::Exact] {
            let clean = clean(hostile, care);
            assert!(!clean.chars().any(acts_on_terminal), "{clean:?}");
            assert!(clean.ends_with("    end"));
        }
        assert_eq!(clean("👩\u{200d}💻", Care::Prose), "👩💻");
        assert_eq!(clean("rm\u{200d} -rf", Care::Exact), "rm\\u{200d} -rf");
        assert_eq!(without_colours("\x1b[1;31mred\x1b[m 1%\r2%\x1b[2J"), "red 1%\n2%\x1b[2J");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let all = rows(Style::Plain, "", "1\n2\n3\n4", 10);
        assert_eq!(texts(&shortened(all.clone(), 2, "  ")), ["1", "2", "  … 2 more lines"]);
        assert_eq!(shortened(all.clone(), 3, "").len(), 4, "one line more is shown instead of the remark");
        assert_eq!(shortened(all, 9, "").len(), 4);
    }
}
