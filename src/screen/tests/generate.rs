//! Random output of programs, the same for the same seed.

/// SplitMix64: small, and the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const TEXT: &[&str] = &[
    "a",
    "word ",
    "two words",
    "0123456789",
    "x=1; ",
    "~",
    "  ",
    "é",
    "漢字",
    "한",
    "🙂",
    "👩\u{200d}👩\u{200d}👧",
    "e\u{301}",
    "n\u{303}\u{323}",
    "❤\u{fe0f}",
    "\u{301}",
    "─│┌",
    "\u{200b}",
    "\u{ad}",
    "a long line that is wider than any of the screens that are tried here",
];

const LINE: &[&str] = &["\r\n", "\r\n", "\r\n", "\n", "\r", "\t", "\x08", "\x07", "\x0b", "\x0c"];

const PENS: &[&str] = &[
    "\x1b[m",
    "\x1b[0m",
    "\x1b[0;1m",
    "\x1b[1m",
    "\x1b[2m",
    "\x1b[3m",
    "\x1b[4m",
    "\x1b[4:3m",
    "\x1b[21m",
    "\x1b[7m",
    "\x1b[8m",
    "\x1b[9m",
    "\x1b[22;24m",
    "\x1b[31m",
    "\x1b[92m",
    "\x1b[44m",
    "\x1b[101m",
    "\x1b[38;5;200m",
    "\x1b[48;5;17m",
    "\x1b[38;2;1;2;3m",
    "\x1b[48;2;90;0;9m",
    "\x1b[58:2::9:8:7m",
    "\x1b[58;5;3m",
    "\x1b[59m",
    "\x1b[39m",
    "\x1b[49m",
    "\x1b[;4m",
    "\x1b[4:4m",
    "\x1b[4:5m",
    "\x1b[27m",
];

const ROW: &[&str] = &[
    "\x1b[K",
    "\x1b[1K",
    "\x1b[2K",
    "\x1b[3X",
    "\x1b[X",
    "\x1b[2@",
    "\x1b[P",
    "\x1b[4P",
    "\x1b[3C",
    "\x1b[2D",
    "\x1b[5G",
    "\x1b[2`",
    "\x1b[2a",
    "\x1b[I",
    "\x1b[2Z",
    "\x1b[B",
    "\x1b[2B",
    "\x1b[E",
    "\x1b[2e",
    "\x1bD",
    "\x1bE",
    "\x1bPqabc\x1b\\",
    "\x1b_Gx=1\x1b\\",
    "\x1b^pm\x1b\\",
    "\x1bXsos\x1b\\",
];

const REPEAT: &[&str] = &["\x1b[b", "\x1b[3b", "\x1b[40b", "\x1b[9999b"];

const KEEP: &[&str] = &[
    "\x1b[4h",
    "\x1b[4l",
    "\x1b[20h",
    "\x1b[20l",
    "\x1b[?7l",
    "\x1b[?7h",
    "\x1b[?25l",
    "\x1b[?25h",
    "\x1b[?1h",
    "\x1b[?1l",
    "\x1b[?1000h",
    "\x1b[?1002h",
    "\x1b[?1003h",
    "\x1b[?1000l",
    "\x1b[?1006h",
    "\x1b[?2004h",
    "\x1b[?2004l",
    "\x1b[?2026h",
    "\x1b[?2026l",
    "\x1b[?12h",
    "\x1b[?1007l",
    "\x1b[?5h",
    "\x1b[?2027h",
    "\x0e",
    "\x0f",
    "\x1b(0",
    "\x1b(B",
    "\x1b)0",
    "\x1b)B",
    "\x1b*0",
    "\x1b[3 q",
    "\x1b[0 q",
    "\x1b[6 q",
    "\x1b=",
    "\x1b>",
    "\x1b[>1u",
    "\x1b[>5u",
    "\x1b[<u",
    "\x1b[=3u",
    "\x1b[=8;2u",
    "\x1b[>4;2m",
    "\x1b[>4;0m",
    "\x1b]0;title\x07",
    "\x1b]2;t\u{e9}tle; x\x1b\\",
    "\x1b[22;0t",
    "\x1b[23;0t",
    "\x1b]4;5;#102030\x1b\\",
    "\x1b]104;5\x07",
    "\x1b]10;rgb:11/22/33\x07",
    "\x1b]110\x07",
    "\x1b]8;id=a;https://x.example/\x1b\\",
    "\x1b]8;;https://y.example/;z\x07",
    "\x1b]8;;\x1b\\",
    "\x1b]50;CursorShape=1\x07",
];

const GRID: &[&str] = &[
    "\x1b[H",
    "\x1b[3;4H",
    "\x1b[2;9f",
    "\x1b[A",
    "\x1b[3A",
    "\x1b[2F",
    "\x1b[2d",
    "\x1b[J",
    "\x1b[1J",
    "\x1b[2J",
    "\x1b[3J",
    "\x1b[L",
    "\x1b[2L",
    "\x1b[M",
    "\x1b[3M",
    "\x1b[S",
    "\x1b[2S",
    "\x1b[T",
    "\x1bM",
    "\x1b#8",
];

const BARRIER: &[&str] = &[
    "\x1b7",
    "\x1b8",
    "\x1b[s",
    "\x1b[u",
    "\x1b[2;4r",
    "\x1b[3r",
    "\x1b[r",
    "\x1b[2;2r",
    "\x1b[5;99r",
    "\x1b[?6h",
    "\x1b[?6l",
    "\x1b[?3h",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1bH",
    "\x1b[g",
    "\x1b[3g",
    "\x1b[?5W",
    "\x1bc",
    "\x1b[c",
    "\x1b[6n",
    "\x1b[?u",
    "\x1b[?1;6h",
    "\x1b[!p",
    "\x1b[?25;1049h",
];

/// Broken, aborted, unknown.
const BROKEN: &[&[u8]] = &[
    b"\x1b",
    b"\x1b\x1b",
    b"\x1b[",
    b"\x1b[3",
    b"\x1b[1;",
    b"\x1b]0;open",
    b"\x1bPopen",
    b"\x1b_open",
    b"\x18",
    b"\x1a",
    b"\x1b[3\x18",
    b"\x1b[\r2C",
    b"\x1b[2\nm",
    b"\x1b\n[A",
    b"\x1b]2;cancelled\x18",
    b"\x1b]2;l\nf\x07",
    b"\x1b_l\r\nf\x1b\\",
    b"\x1bP1q\x9crest",
    b"\x1b[1 ;2m",
    b"\x1b[>c",
    b"\x1b[?m",
    b"\x1b[999999999999m",
    b"\x9b3m",
    b"\xc2\x9b",
    b"\xff",
    b"\xe6\xbc",
    b"\xf0\x9f",
    b"\xc3",
    b"\x80",
    b"\x1b\x80[1m",
    b"\x1b[\x7f1m",
    b"\x1b%G",
    b"\x1b(x",
    b"\x1bN",
    b"\x1b[5:3b",
    b"\x1b[<1;2M",
    b"\0",
    b"\x05",
];

/// What a stream is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// Everything, with 60 to 100 % of the plain set.
    General,
    /// Floods of lines with the little things between them that break a careless rule.
    Flood,
    /// Everything whole: what a repaint is held against.
    Whole,
}

/// A stream of `items` things.
pub(super) fn stream(random: &mut Random, mix: Mix, items: usize) -> Vec<u8> {
    let mut out = Vec::new();
    // Half of the streams have long stretches without anything else.
    let plain = if random.chance(50) { random.between(600, 1000) } else { random.between(990, 1000) };
    for _ in 0..items {
        match mix {
            Mix::Flood => flood_item(random, &mut out),
            _ if random.below(1000) < plain => plain_item(random, &mut out),
            _ => any_item(random, mix, &mut out),
        }
    }
    if mix == Mix::Whole {
        out.extend_from_slice(b"\x18");
    }
    out
}

fn add(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn plain_item(random: &mut Random, out: &mut Vec<u8>) {
    if random.below(300) == 0 {
        return lines(random, out, 90);
    }
    let list = match random.below(20) {
        0..8 => TEXT,
        8..15 => LINE,
        15..17 => PENS,
        17..19 => ROW,
        _ if random.chance(10) => REPEAT,
        _ => TEXT,
    };
    add(out, random.pick(list));
}

fn any_item(random: &mut Random, mix: Mix, out: &mut Vec<u8>) {
    match random.below(10) {
        0..4 => add(out, random.pick(KEEP)),
        4..7 => add(out, random.pick(GRID)),
        7..9 => add(out, random.pick(BARRIER)),
        _ if mix == Mix::Whole => add(out, random.pick(KEEP)),
        _ => out.extend_from_slice(random.pick(BROKEN)),
    }
}

fn lines(random: &mut Random, out: &mut Vec<u8>, most: usize) {
    for _ in 0..random.between(1, most) {
        if random.chance(20) {
            add(out, random.pick(PENS));
        }
        add(out, random.pick(TEXT));
        add(out, "\r\n");
    }
}

fn flood_item(random: &mut Random, out: &mut Vec<u8>) {
    match random.below(17) {
        0..6 => lines(random, out, 100),
        // Line feeds that keep the column.
        6 => {
            add(out, random.pick(TEXT));
            for _ in 0..random.between(1, 60) {
                add(out, "\n");
            }
        }
        // Empty lines, and a repetition of what came before them.
        7 => {
            add(out, random.pick(TEXT));
            for _ in 0..random.between(1, 60) {
                add(out, "\r\n");
                if random.chance(10) {
                    add(out, random.pick(&["\x1b[K", "\x1b[1m", "\x1b]8;;\x1b\\"]));
                }
            }
            add(out, random.pick(REPEAT));
        }
        // Lines with a step upward between them.
        8 => {
            for _ in 0..random.between(1, 40) {
                add(out, "line\r\n");
                if random.chance(30) {
                    add(out, random.pick(&["\x1b[A", "\x1b[3A", "\x1b[H", "\x1bM", "\x1b[J", "\x1b[2L"]));
                }
            }
        }
        9 => add(out, random.pick(PENS)),
        10 => add(out, random.pick(KEEP)),
        11 => add(out, random.pick(TEXT)),
        12 => add(out, random.pick(GRID)),
        13 => add(out, random.pick(ROW)),
        14 => add(out, random.pick(BARRIER)),
        15 => out.extend_from_slice(random.pick(BROKEN)),
        _ => {
            add(out, random.pick(&["\x1b[2;4r", "\x1b[3r", "\x1b[r", "\x1b[r", "\x1b[r"]));
        }
    }
}
