//! The sieve against its table and its rules; what random streams show is in `random`.

mod random;

use super::{ColorSlot, HOLD_MOST, Mark, Note, Piece, Query, Sieve, Sieved, Terminator, What};

/// The whole stream through one sieve, cut by `cuts` again and again.
fn sieve(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Note>) {
    let mut sieve = Sieve::new();
    let mut sieved = Sieved::default();
    let (mut kept, mut notes) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        sieve.push(now, &mut sieved);
        assert!(sieve.held() <= HOLD_MOST);
        collect(&sieved, now, &mut kept, &mut notes);
        rest = later;
    }
    sieve.finish(&mut sieved);
    collect(&sieved, &[], &mut kept, &mut notes);
    (kept, notes)
}

fn collect(sieved: &Sieved, input: &[u8], kept: &mut Vec<u8>, notes: &mut Vec<Note>) {
    let base = kept.len();
    assert!(sieved.notes.is_sorted_by_key(|note| note.at));
    notes.extend(sieved.notes.iter().map(|note| Note { at: base + note.at, what: note.what.clone() }));
    sieved.assemble(input, kept);
    assert_eq!(kept.len() - base, sieved.kept());
    assert_eq!(sieved.is_whole(input.len()), kept.get(base..) == Some(input) && sieved.own.is_empty());
}

/// The stream gives these bytes and notes, however it is cut.
#[track_caller]
fn gives(stream: &[u8], kept: &[u8], notes: &[(usize, What)]) {
    let notes: Vec<Note> = notes.iter().map(|(at, what)| Note { at: *at, what: what.clone() }).collect();
    for cut in 1..=stream.len() {
        for cuts in [vec![cut], vec![cut, usize::MAX]] {
            let (got, got_notes) = sieve(stream, &cuts);
            assert_eq!(got.escape_ascii().to_string(), kept.escape_ascii().to_string(), "cut {cuts:?}");
            assert_eq!(got_notes, notes, "cut {cuts:?}");
        }
    }
}

/// The sequence is gone, leaving one note where it stood.
#[track_caller]
fn asks(sequence: &[u8], query: Query) {
    let note = What::Query(query);
    gives(&[b"ab", sequence, b"6ncd"].concat(), b"ab6ncd", &[(2, note.clone())]);
    gives(&[sequence, sequence].concat(), b"", &[(0, note.clone()), (0, note)]);
}

#[track_caller]
fn refused(sequence: &[u8], name: &'static str) {
    asks(sequence, Query::Refused(name));
}

#[track_caller]
fn dropped(sequence: &[u8]) {
    gives(&[b"ab", sequence, b"cd"].concat(), b"abcd", &[]);
}

#[track_caller]
fn passes(sequence: &[u8]) {
    let stream = [b"ab", sequence, b"cd"].concat();
    gives(&stream, &stream, &[]);
    let mut sieved = Sieved::default();
    Sieve::new().push(&stream, &mut sieved);
    assert!(sieved.is_whole(stream.len()), "{}", sequence.escape_ascii());
}

#[test]
fn terminals_are_asked_who_they_are() {
    for form in [&b"\x1b[c"[..], b"\x1b[0c", b"\x1b[;c", b"\x1bZ", b"\xc2\x9bc", b"\xc2\x9a", b"\x1b[\x7fc"] {
        asks(form, Query::PrimaryAttributes);
    }
    asks(b"\x1b[>c", Query::SecondaryAttributes);
    asks(b"\x1b[>0c", Query::SecondaryAttributes);
    asks(b"\x1b[=c", Query::TertiaryAttributes);
    asks(b"\x1b[>q", Query::Version);
    asks(b"\x1b[>0q", Query::Version);
    for unasked in [&b"\x1b[1c"[..], b"\x1b[>1c", b"\x1b[=1c", b"\x1b[>1q", b"\x1b[> c"] {
        dropped(unasked);
    }
}

#[test]
fn the_state_of_the_screen_is_asked() {
    asks(b"\x1b[5n", Query::OperatingStatus);
    asks(b"\x1b[6n", Query::CursorPosition);
    asks(b"\xc2\x9b6n", Query::CursorPosition);
    asks(b"\x1b[?6n", Query::ExtendedCursorPosition);
    asks(b"\x1b[?996n", Query::ColorScheme);
    for report in [&b"\x1b[?15n"[..], b"\x1b[?26n", b"\x1b[?55n", b"\x1b[?62n", b"\x1b[?63n", b"\x1b[7n", b"\x1b[n"] {
        refused(report, "DSR");
    }
    asks(b"\x1b[4$p", Query::AnsiMode(4));
    for mode in [1004, 1016, 2004, 2026, 2027, 2031] {
        asks(format!("\x1b[?{mode}$p").as_bytes(), Query::PrivateMode(mode));
    }
    asks(b"\x1b[?u", Query::KittyKeyboard);
    asks(b"\x1b[?4m", Query::ModifyOtherKeys);
    asks(b"\x1b[14t", Query::TextAreaPixels);
    asks(b"\x1b[14;2t", Query::TextAreaPixels);
    asks(b"\x1b[16t", Query::CellPixels);
    asks(b"\x1b[18t", Query::TextAreaCells);
    asks(b"\x1b[19t", Query::ScreenCells);
    for report in [11, 13, 15, 20, 21] {
        refused(format!("\x1b[{report}t").as_bytes(), "window report");
    }
    for (sequence, name) in [
        (&b"\x1b[x"[..], "DECREQTPARM"),
        (b"\x1b[1x", "DECREQTPARM"),
        (b"\x1b[1;1;1;1;2;2*y", "DECRQCRA"),
        (b"\x1b[1$w", "DECRQPSR"),
        (b"\x1b[1$u", "DECRQTSR"),
        (b"\x1b[&u", "DECRQUPSS"),
        (b"\x1b[\"v", "DECRQDE"),
        (b"\x1b[?1;1;0S", "XTSMGRAPHICS"),
        (b"\x1b[1;1;2;2#|", "XTREPORTSGR"),
        (b"\x1b[#R", "XTREPORTCOLORS"),
        (b"\x1b['|", "locator"),
        (b"\x1b[?1m", "XTQMODKEYS"),
        (b"\x05", "ENQ"),
    ] {
        refused(sequence, name);
    }
}

#[test]
fn colours_are_asked_with_either_end() {
    let ends = [
        (&b"\x07"[..], Terminator::Bell),
        (b"\x1b\\", Terminator::StringTerminator),
        (b"\xc2\x9c", Terminator::StringTerminator),
    ];
    for (end, terminator) in ends {
        let osc = |contents: &str| [b"\x1b]", contents.as_bytes(), end].concat();
        asks(&osc("4;7;?"), Query::Color(ColorSlot::Indexed(7), terminator));
        asks(&osc("10;?"), Query::Color(ColorSlot::Foreground, terminator));
        asks(&osc("11;?"), Query::Color(ColorSlot::Background, terminator));
        asks(&osc("011;?"), Query::Color(ColorSlot::Background, terminator));
        asks(&osc("1\x001;\x01?"), Query::Color(ColorSlot::Background, terminator));
        asks(&osc("12;?"), Query::Color(ColorSlot::Cursor, terminator));
        refused(&osc("4;256;?"), "OSC 4");
        for code in 13..=19 {
            refused(&osc(&format!("{code};?")), "OSC 13 to 19");
        }
        for contents in ["5;0;?", "21;foreground=?", "22;?__current__", "50;?", "4242;?"] {
            refused(&osc(contents), "OSC");
        }
        refused(&osc("60"), "OSC 60");
        refused(&osc("61;allowWindowOps"), "OSC 60");
        refused(&osc("5522;type=read"), "OSC 5522");
        refused(&osc("52;c;?"), "OSC 52");
        refused(&osc("99;i=1:p=?;"), "OSC 99");
        refused(&osc("1337;ReportCellSize"), "OSC 1337");
        refused(&osc("3;?WM_NAME"), "OSC 3");
        for contents in ["I", "L", "l"] {
            refused(&osc(contents), "OSC I, L, l");
        }
        passes(b"\x1b]10;#ffffff\x07");
        passes(b"\x1b]4;1;rgb:00/11/22;2;red\x1b\\");
    }
}

#[test]
fn questions_among_settings_are_taken_out_one_by_one() {
    let bell = |slot| What::Query(Query::Color(slot, Terminator::Bell));
    let first = b"\x1b]4;1;red\x07";
    let both = b"\x1b]4;1;red\x07\x1b]4;3;blue\x07";
    let (one, two) = (bell(ColorSlot::Indexed(1)), bell(ColorSlot::Indexed(2)));
    gives(b"\x1b]4;1;red;1;?;3;blue;2;?\x07", both, &[(first.len(), one), (both.len(), two)]);
    gives(
        b"\x1b]10;?;#000000;?\x07x",
        b"\x1b]11;#000000\x07x",
        &[(0, bell(ColorSlot::Foreground)), (13, bell(ColorSlot::Cursor))],
    );
}

#[test]
fn strings_ask() {
    asks(b"\x1bP+q544e;436f\x1b\\", Query::Capability(b"544e;436f".to_vec()));
    asks(b"\xc2\x90+q544e\xc2\x9c", Query::Capability(b"544e".to_vec()));
    asks(b"\x1bP$qm\x1b\\", Query::Setting(b"m".to_vec()));
    asks(b"\x1bP$q q\x1b\\", Query::Setting(b" q".to_vec()));
    asks(b"\x1bP\x00$\x01q\x07r\x1b\\", Query::Setting(b"\x00r".iter().skip(1).copied().collect()));
    refused(b"\x1bP+p544e\x1b\\", "XTSETTCAP");
    refused(b"\x1bPtmux;\x1b\\", "tmux");
    refused(b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", "kitty graphics");
    refused(b"\x1b_Ga=q\x1b\\", "kitty graphics");
    refused(b"\x1b_Ga=\x00q\xc2\x9c", "kitty graphics");
    passes(b"\x1b_Gi=31,a=T;AAAA\x1b\\");
    passes(b"\x1b_anything a=q\x1b\\");
    passes(b"\x1bP1;2q#0~~\x1b\\");
    passes(b"\x1b^pm\x1b\\\x1bXsos\x1b\\");
    for gone in [&b"\x1bP0|17/414243\x1b\\"[..], b"\x1bP1$tx\x1b\\", b"\x1bP1;1;1{x\x1b\\", b"\x1b]66;s=2;big\x07"] {
        dropped(gone);
    }
}

#[test]
fn modes_are_judged_one_by_one() {
    gives(b"\x1b[?1004h", b"", &[(0, What::FocusReports(true))]);
    gives(b"a\x1b[?2031;2048lb", b"ab", &[(1, What::ColorReports(false)), (1, What::SizeReports(false))]);
    gives(b"\x1b[?2004;1004;1006h", b"\x1b[?2004;1006h", &[(13, What::FocusReports(true))]);
    gives(b"\x1b[?01004:1;25l", b"\x1b[?25l", &[(6, What::FocusReports(false))]);
    gives(b"\x1b[?47h\x1b[?1047;25l", b"\x1b[?1049h\x1b[?1049;25l", &[]);
    gives(b"\x1b[?2026h\x1b[?2026l", b"\x1b[?2026h\x1b[?2026l", &[(8, What::FrameStart), (16, What::FrameEnd)]);
    gives(b"\x1b[?25;2026;69l", b"\x1b[?25;2026l", &[(11, What::FrameEnd)]);
    for mode in [2, 3, 69, 5522] {
        dropped(format!("\x1b[?{mode}h\x1b[?{mode}l").as_bytes());
    }
    for mode in [1, 5, 6, 7, 12, 25, 1000, 1002, 1003, 1006, 1049, 2004] {
        passes(format!("\x1b[?{mode}h").as_bytes());
    }
    passes(b"\x1b[4h\x1b[20l");
}

#[test]
fn a_reset_gives_up_the_reports_that_were_asked_for() {
    gives(b"\x1bc", b"\x1bc", &[]);
    gives(
        b"\x1b[?2048;1004h\x1bc\x1bc",
        b"\x1bc\x1bc",
        &[
            (0, What::SizeReports(true)),
            (0, What::FocusReports(true)),
            (2, What::FocusReports(false)),
            (2, What::SizeReports(false)),
        ],
    );
}

#[test]
fn what_the_engine_does_not_have_is_dropped() {
    for gone in [
        &b"\x1b[5;20s"[..],
        b"\x1b[1;1;2;2;3$r",
        b"\x1b[1;1;2;2;3$t",
        b"\x1b[1;1;2;2;1;3;3;1$v",
        b"\x1b[65;1;1;2;2$x",
        b"\x1b[1;1;2;2$z",
        b"\x1b[1;1;2;2${",
        b"\x1b[2*x",
        b"\x1b[1\"q",
        b"\x1b#3\x1b#4\x1b#5\x1b#6",
        b"\x1bV\x1bW\xc2\x96",
        b"\x1b%@\x1b%G\x1b G",
        b"\x1b[5i\x1b[?5i",
        b"\x1b[?1004s\x1b[?1004r",
        b"\x1b['w\x1b[1;2'z\x1b[1'{",
    ] {
        dropped(gone);
    }
    for kept in [
        &b"\x1b[s\x1b[u\x1b[2;5r"[..],
        b"\x1b#8\x1b7\x1b8\x1bM\x1bD\x1bE\x1bH",
        b"\x1b(0\x1b)B\x0e\x0f",
        b"\x1b[22;0;0t\x1b[23t\x1b[8;24;80t",
        b"\x1b[2 q\x1b[!p\x1b[3'}",
        b"\x1b[>1u\x1b[<u\x1b[=5;1u\x1b[>4;2m\x1b[>4n",
        b"\x1b[1;31;38:2::1:2:3;48;2;1;2;3m",
        "é©»漢字🎉\r\n\t\x08".as_bytes(),
        b"\xc2\xff\xc2 \xe2\x9c \x9b6n \xf0\x9f",
        b"\x1b]8;id=1;http://example.org/?a=?\x1b\\link\x1b]8;;\x1b\\",
        b"\x1b]7;file:///x?\x07\x1b]133;A\x07\x1b]104\x07\x1b]110;?\x07",
        b"\x1b]1;icon\x07",
    ] {
        passes(kept);
    }
}

#[test]
fn titles_and_bells_stay_and_are_noted() {
    let title = What::Title("✳ wörk".to_owned());
    for end in ["\x07", "\x1b\\"] {
        let stream = format!("a\x1b]0;✳ wörk{end}b");
        gives(stream.as_bytes(), stream.as_bytes(), &[(stream.len() - 1, title.clone())]);
    }
    gives(b"\x1b]2;?\x07", b"\x1b]2;?\x07", &[(6, What::Title("?".to_owned()))]);
    gives(b"\x1b]2;a\nb\x07", b"\x1b]2;a\nb\x07", &[(8, What::Title("ab".to_owned()))]);
    gives(b"a\x07b\x07\x07\x07c", b"a\x07b\x07\x07\x07c", &[(2, What::Bell), (4, What::Bell)]);
    let long = format!("\x1b]2;{}\x07", "é".repeat(4000));
    let (kept, notes) = sieve(long.as_bytes(), &[700]);
    assert_eq!(kept, long.as_bytes());
    assert_eq!(notes[0].what, What::Title("é".repeat(512)));
}

#[test]
fn clipboards_are_taken_out_and_decoded() {
    let copied = |text: &str| [(1, What::Clipboard(text.as_bytes().to_vec()))];
    gives(b"a\x1b]52;c;aGVsbG8=\x07b", b"ab", &copied("hello"));
    gives(b"a\x1b]52;;aGVs\nbG8\x1b\\b", b"ab", &copied("hello"));
    gives(b"a\x1b]52;c;\xc2\x9cb", b"ab", &copied(""));
    gives(b"a\x1b]52;c;!!!\x07b", b"ab", &[]);
    gives(b"a\x1b]52;c;aGVsbG8=\x18b", b"a\x18b", &[]);
}

#[test]
fn notifications_are_taken_out_and_noted() {
    let note = |title: &str, body: &str| [(1, What::Notification { title: title.to_owned(), body: body.to_owned() })];
    gives(b"a\x1b]9;done; now what\x07b", b"ab", &note("", "done; now what"));
    gives(b"a\x1b]9;5 files\x07b", b"ab", &note("", "5 files"));
    gives(b"a\x1b]777;notify;title;bo;dy\x1b\\b", b"ab", &note("title", "bo;dy"));
    gives(b"a\x1b]99;;hi\x07b", b"ab", &note("hi", ""));
    gives(b"a\x1b]99;i=1:e=1:p=body;aGVsbG8=\x07b", b"ab", &note("", "hello"));
    for silent in ["9;4;1;50", "9;4", "9;9;/tmp", "777;preexec", "99;i=1:p=close;", "9;"] {
        dropped(format!("\x1b]{silent}\x07").as_bytes());
    }
}

#[test]
fn broken_sequences_leave_nothing_that_later_bytes_could_join() {
    let cursor = |at| (at, What::Query(Query::CursorPosition));
    // A prefix that is aborted by the question itself, by another sequence, by a character.
    gives(b"\x1b[\x1b[6n6n", b"6n", &[cursor(0)]);
    gives(b"\x1b[3\x1b[1m\x1b[\x1b]4\x1b[m\x1b[6\x1b\\n", b"\x1b[1m\x1b[m\x1b\\n", &[]);
    gives("\x1b[é6n".as_bytes(), "é6n".as_bytes(), &[]);
    gives(b"\x1b\xe2\x86\x92Z", b"\xe2\x86\x92Z", &[]);
    gives(b"\x1b\x1b\x1bcx", b"\x1bcx", &[]);
    gives(b"\x1b[1\x186n\x1b(\x1a0", b"\x186n\x1a0", &[]);
    // Control characters in it act at once.
    gives(b"\x1b[\r\n6n", b"\r\n", &[cursor(2)]);
    gives(b"\x1b\n[\x053\x071m", b"\n\x07\x1b[31m", &[(1, What::Query(Query::Refused("ENQ"))), (2, What::Bell)]);
    gives(b"\x1b[1\n\x1b[m", b"\n\x1b[m", &[]);
    // No grammar allows them.
    for malformed in [&b"\x1b[6?n"[..], b"\x1b[ 6n", b"\x1b[?1;?25h"] {
        dropped(malformed);
    }
    // A C1 lead hides nothing and meets nothing.
    gives(b"\xc2\x1b[6n\x9b6n", b"\xef\xbf\xbd\x9b6n", &[cursor(3)]);
    gives(b"\xc2\x05\x9b6n", b"\xef\xbf\xbd\x9b6n", &[(3, What::Query(Query::Refused("ENQ")))]);
    gives(b"\xc2\xc2\x9b6n\x9b6n", b"\xef\xbf\xbd\x9b6n", &[cursor(3)]);
    gives(b"a\xc2", b"a\xc2", &[]);
    gives(b"a\x1b", b"a", &[]);
    gives(b"\xc2\x9b1mx\xc2\x8d\xc2\x80", b"\x1b[1mx\x1bM\xc2\x80", &[]);
}

#[test]
fn strings_end_where_every_parser_ends_them() {
    let title = |at| (at, What::Title("x".to_owned()));
    gives(b"\x1b]0;x\xc2\x9cy", b"\x1b]0;x\x1b\\y", &[title(7)]);
    gives(b"\xc2\x9d0;x\x07y", b"\x1b]0;x\x07y", &[title(6)]);
    gives(b"\x1b]0;x\x1b[Ay", b"\x1b]0;x\x1b\\\x1b[Ay", &[title(7)]);
    gives(b"\x1b]0;x\x18y", b"\x1b]0;x\x1b\\\x18y", &[title(7)]);
    gives(b"\x1b]0;x", b"\x1b]0;x\x1b\\", &[title(7)]);
    gives(b"\x1b]0;x\xc2\x9b\xc2\x05\x9b\x07", b"\x1b]0;x\x9b\x07", &[(7, What::Title("x\u{fffd}".to_owned()))]);
    gives(b"\x1bPq~\x9c\xe2\x9c\x93\x07~\x1b\\y", b"\x1bPq~~\x1b\\y", &[]);
    // Questions that were never ended, or ended by CAN, which some parsers take for an end.
    for aborted in [&b"\x1b]11;?\x18"[..], b"\x1b]11;?\x1a", b"\x1bP+q544e\x18", b"\x1bP$qm\x18", b"\x1b]52;c;?\x18"] {
        let stream = [aborted, b"z"].concat();
        gives(&stream, &stream[stream.len() - 2..], &[]);
    }
    gives(b"\x1b]11;?\x1b[Az", b"\x1b[Az", &[]);
    gives(b"\x1b]11;?", b"", &[]);
    gives(b"\x1bP+\x1b\\z", b"\x1b\\z", &[]);
    gives(b"\x1b]0;\xc2\x80x\x07y", b"\x1b]0;x\x07y", &[title(6)]);
    gives(b"\x1b]10;#fff\xc2\x9cz", b"\x1b]10;#fff\x1b\\z", &[]);
    gives(b"\x1b]8\x1az", b"\x1b]8\x1b\\\x1az", &[]);
    gives(b"\x1b\n]0;x\x07y", b"\n\x1b]0;x\x07y", &[title(7)]);
    gives(b"\x1b\n]10;?\x18y", b"\n\x18y", &[]);
    gives(b"\x1b]5\x002;c;aGVsbG8=\x07", b"", &[(0, What::Clipboard(b"hello".to_vec()))]);
    // What goes from inside a string must not turn it into another one.
    for hiding in [
        &b"\x1b]1\xc2\x800;?\x07"[..],
        b"\x1b]1\xc20;?\x07",
        b"\x1b_\xc2\x80Ga=q\x1b\\",
        b"\x1b_\xc2Ga=q\x1b\\",
        b"\x1b_Ga=\xc2\x80q;\x1b\\",
    ] {
        dropped(hiding);
    }
    refused(b"\x1b_\x07Ga=q;\x1b\\", "kitty graphics");
    asks(b"\x1b]1\x050;?\x07", Query::Color(ColorSlot::Foreground, Terminator::Bell));
    gives(b"\x1b]4242;a\xc2\x9b\nb\xc2\x9cz", b"\x1b]4242;ab\x1b\\z", &[]);
}

#[test]
fn long_ones_are_cut() {
    let cut = |stream: &[u8], kept: &[u8], what: &'static str, at: usize| {
        for cuts in [&[usize::MAX][..], &[32 * 1024], &[4090, 1], &[777]] {
            let (got, notes) = sieve(stream, cuts);
            assert!(got == kept, "{what}, cuts {cuts:?}: {} instead of {} bytes", got.len(), kept.len());
            assert_eq!(notes, [Note { at, what: What::Cut(what) }], "cuts {cuts:?}");
        }
    };
    let xs = |n: usize| vec![b'x'; n];
    let ones = |n: usize| vec![b'1'; n];
    let start = b"\x1b]8;";
    let most = 64 * 1024;
    let stream = [&start[..], &xs(most + 1), b"\x07z"].concat();
    cut(&stream, &[&start[..], &xs(most), b"\x1b\\z"].concat(), "string", start.len() + most + 2);
    let fits = [&start[..], &xs(most), b"\x07z"].concat();
    assert!(sieve(&fits, &[1000]) == (fits.clone(), vec![]));
    let graphics = 4 << 20;
    let fits = [b"\x1b_Ga=T;", &xs(graphics - 1)[..], b"\x1b\\z"].concat();
    assert!(sieve(&fits, &[32 * 1024]) == (fits.clone(), vec![]));
    let stream = [b"\x1bPq", &xs(graphics + 9)[..], b"\x1b\\z"].concat();
    cut(&stream, &[b"\x1bPq", &xs(graphics)[..], b"\x1b\\z"].concat(), "string", 3 + graphics + 2);
    cut(&[b"a\x1b]4;", &ones(5000)[..], b"\x07z"].concat(), b"az", "string", 1);
    cut(&[b"a\x1b]", &ones(5000)[..], b"\x07z"].concat(), b"az", "string", 1);
    cut(&[b"a\x1bP", &ones(64)[..], b"q\x1b\\z"].concat(), b"az", "string", 1);
    cut(&[b"a\x1b_G", &xs(300)[..], b";\x1b\\z"].concat(), b"az", "string", 1);
    cut(&[b"a\x1b]52;c;", &xs((1 << 20) + 1)[..], b"\x07z"].concat(), b"az", "clipboard", 1);
    cut(&[b"a\x1b]9;", &xs(5000)[..], b"\x07z"].concat(), b"az", "notification", 1);
    cut(&[b"a\x1bP+q", &xs(5000)[..], b"\x1b\\z"].concat(), b"az", "XTGETTCAP", 1);
    cut(&[b"a\x1b[", &ones(300)[..], b"nz"].concat(), b"az", "control sequence", 1);
    cut(&[b"a\x1b[\n", &ones(300)[..], b"\r\x1b[mz"].concat(), b"a\n\r\x1b[mz", "control sequence", 2);
    passes(&[b"\x1b[", &ones(253)[..], b"m"].concat());
}

#[test]
fn endless_strings_hold_constant_memory() {
    for (start, most) in [
        (&b"\x1b]8;"[..], 4096),
        (b"\x1b]0;", 4096),
        (b"\x1b]4;", 4096),
        (b"\x1b]9;", 8192),
        (b"\x1b]66;", 4096),
        (b"\x1b]52;c;", (1 << 21) + 4096),
        (b"\x1bPq", 4096),
        (b"\x1bP+q", 8192),
        (b"\x1b_G", 4096),
        (b"\x1b^", 4096),
        (b"\x1b[", 4096),
        (b"\x1b(((", 4096),
    ] {
        for filler in [b'1', b';', b' ', b'\n'] {
            let mut sieve = Sieve::new();
            let mut sieved = Sieved::default();
            sieve.push(start, &mut sieved);
            let chunk = vec![filler; 32 * 1024];
            for _ in 0..48 {
                sieve.push(&chunk, &mut sieved);
                let memory = sieve.hold.capacity() + sieve.collected.capacity();
                assert!(memory <= most + 40 * 1024, "{}: {memory}", start.escape_ascii());
                assert!(sieve.held() <= HOLD_MOST && sieve.collected() <= 1 << 20);
                assert!(sieved.notes.len() <= 2);
            }
        }
    }
}

#[test]
fn marks_tell_what_may_be_skipped() {
    let mark = |stream: &[u8]| {
        let mut sieved = Sieved::default();
        Sieve::new().push(stream, &mut sieved);
        sieved.mark
    };
    for last in b"KX@PCDG`aIZbBEem" {
        assert_eq!(mark(&[b"\x1b[1", &[*last][..]].concat()), Mark::Plain);
    }
    assert_eq!(mark("text é\r\n\x0b\x0c\t\x08\x07\x1bD\x1bE\x1b[;1:2m".as_bytes()), Mark::Plain);
    assert_eq!(mark(b""), Mark::Plain);
    for mixed in [
        &b"\x1b[H"[..],
        b"\x1b[A",
        b"\x1b[2J",
        b"\x0e",
        b"\x0f",
        b"\x1b[?25l",
        b"\x1b]0;x\x07",
        b"\x1bPx\n\n\x1b\\",
        b"\x1bM",
        b"\x1b(B",
        b"\x1b[>1u",
        b"\x1b[ q",
        b"\xc2\x80",
        b"\x1b[\n1m",
    ] {
        assert_eq!(mark(mixed), Mark::Mixed, "{}", mixed.escape_ascii());
    }
    for barrier in [
        &b"\x1b7"[..],
        b"\x1b8",
        b"\x1b[s",
        b"\x1b[u",
        b"\x1b[2;3r",
        b"\x1b[?6h",
        b"\x1b[?1049h",
        b"\x1b[?47l",
        b"\x1bH",
        b"\x1b[g",
        b"\x1b[?5W",
        b"\x1bc",
        b"\x1b[~",
        b"\x1b[!p",
    ] {
        assert_eq!(mark(barrier), Mark::Barrier, "{}", barrier.escape_ascii());
    }
    // A string that goes on from an earlier push.
    let mut sieve = Sieve::new();
    let mut sieved = Sieved::default();
    sieve.push(b"\x1bPx", &mut sieved);
    sieve.push(b"\n\n\n", &mut sieved);
    assert_eq!(sieved.mark, Mark::Mixed);
}

#[test]
fn plain_text_is_one_piece_of_the_input() {
    let mut sieve = Sieve::new();
    let mut sieved = Sieved::default();
    let text = "línea é ©\r\n\x1b[1mbold\x1b[0m\x1b[?25l\x1b]0;t\x07".repeat(500);
    sieve.push(text.as_bytes(), &mut sieved);
    assert_eq!((sieved.pieces.as_slice(), sieved.own.len()), (&[Piece::Input(0..text.len())][..], 0));
    sieve.push(b"abc\x1b[", &mut sieved);
    assert_eq!((sieved.in_place(), sieved.is_whole(5), sieve.held()), (3, false, 2));
    Sieve::new().push(b"\x1b[6nabc", &mut sieved);
    assert_eq!((sieved.in_place(), sieved.kept()), (0, 3));
    sieve.push(b"1mdef", &mut sieved);
    assert_eq!(sieved.pieces, [Piece::Own(0..4), Piece::Input(2..5)]);
    assert_eq!((sieved.in_place(), sieved.kept()), (0, 7));
}
