use std::fmt;
use std::num::NonZeroU16;
use std::time::Instant;

use proptest::prelude::*;

use crate::collector::Collector;
use crate::core::Core;
use crate::{Emulator, Reader, TEXT_CHARS_MAX, TerminalSize, Text};

fn size(columns: u16, rows: u16) -> TerminalSize {
    TerminalSize { columns, rows }
}

fn read(bytes: &[u8]) -> Text {
    let mut reader = Reader::new(TerminalSize::default(), TEXT_CHARS_MAX);
    reader.feed(bytes);
    reader.finish()
}

fn check(bytes: impl AsRef<[u8]>, expect: &str) {
    assert_eq!(read(bytes.as_ref()), Text { text: expect.to_owned(), truncation: None });
}

/// What each of these pieces of output adds to what was taken before.
fn check_taken(pieces: &[(&str, &str)]) {
    let mut reader = Reader::new(size(40, 6), TEXT_CHARS_MAX);
    for (bytes, expect) in pieces {
        reader.feed(bytes.as_bytes());
        assert_eq!(reader.take().text, *expect, "after {bytes:?}");
    }
    assert_eq!(reader.take(), Text::default());
}

#[test]
fn only_what_is_new_is_taken() {
    check_taken(&[("one\r\ntwo\r\n", "one\ntwo"), ("", ""), ("three\r\n", "three")]);
    check_taken(&[(">>> ", ">>>"), ("1+1\r\n2\r\n>>> ", "1+1\n2\n>>>"), ("x\r\n>>> ", "x\n>>>")]);
    check_taken(&[("a\r\n\r\n", "a"), ("b\r\n", "b"), ("\r\n\r\nc", "c")]);
    check_taken(&[("same\r\n", "same"), ("same\r\n", "same"), ("same\r\n", "same")]);
    let many: String = (1..=50).map(|n| format!("line {n}\r\n")).collect();
    let plain = many.trim_end().replace('\r', "");
    check_taken(&[("start\r\n", "start"), (&many, &plain), ("end\r\n", "end")]);
    let long = "x".repeat(100);
    check_taken(&[(&long, &long), ("more", "more"), ("\r\nnext", "next")]);
}

#[test]
fn what_is_drawn_anew_is_taken_anew() {
    check_taken(&[("10%", "10%"), ("\r20%", "20%"), ("\r100%\r\ndone\r\n", "100%\ndone")]);
    check_taken(&[("a\r\nb\r\nc\r\n", "a\nb\nc"), ("\x1b[2A\rB\x1b[2B\r", "B\nc")]);
    check_taken(&[("old\r\n", "old"), ("\x1b[2J\x1b[Hnew\r\n", "new")]);
    check_taken(&[("old line\r\n", "old line"), ("\x1b[H\x1b[Jold\r\n", "old")]);
}

#[test]
fn a_full_screen_program_is_taken_as_its_screen_while_it_changes() {
    let title = "[a full-screen program is running; its screen:]";
    let enter = "$ vim\r\n\x1b[?1049h\x1b[H\x1b[2Jtop";
    check_taken(&[
        (enter, &format!("$ vim\n{title}\ntop")),
        ("", ""),
        ("\x1b[3;4Hmiddle", &format!("{title}\ntop\n\n   middle")),
        ("\x1b[?1049lback\r\n", "back"),
        ("\x1b[?1049h\x1b[Htop", &format!("{title}\ntop")),
    ]);
    let mut reader = Reader::new(size(40, 6), TEXT_CHARS_MAX);
    reader.feed(enter.as_bytes());
    assert!(reader.alternate_screen() && !reader.application_cursor());
    reader.take();
    reader.feed(b"\x1b[?1h");
    assert!(reader.application_cursor());
    reader.feed(b"\x1b[?1049l");
    assert_eq!(reader.finish().text, "");
}

#[test]
fn what_is_new_is_bounded_and_a_new_size_loses_nothing() {
    let mut reader = Reader::new(size(40, 6), 400);
    reader.feed(b"before\r\n");
    reader.take();
    reader.feed("0123456789\r\n".repeat(1_000).as_bytes());
    reader.resize(size(20, 3));
    reader.feed(b"last\r\n");
    let text = reader.take();
    assert!(text.truncation.is_some_and(|truncation| truncation.lines_omitted > 900));
    assert!(text.text.starts_with("0123456789\n") && text.text.ends_with("\nlast"));
    reader.resize(size(60, 20));
    reader.feed(b"after\r\n");
    assert_eq!(reader.finish().text, "after");
}

#[test]
fn a_prompt_stands_before_the_cursor() {
    for bytes in ["name? ", "a\r\n> ", "\x1b[1mname\x1b[0m: ", "a\r\x1b[Kb"] {
        let mut reader = Reader::new(size(40, 6), TEXT_CHARS_MAX);
        assert!(!reader.is_prompting());
        reader.feed(bytes.as_bytes());
        assert!(reader.is_prompting(), "{bytes:?}");
        reader.take();
        assert!(reader.is_prompting(), "{bytes:?}");
        reader.feed(b"\r\n");
        assert!(!reader.is_prompting(), "{bytes:?}");
    }
}

/// The terminal runs over all of it and forgets nothing.
fn emulated(bytes: &[u8], size: TerminalSize, chars_max: usize) -> Text {
    let mut core = Core::new(size, 1_000_000);
    core.feed(bytes, None);
    let mut collector = Collector::new(chars_max);
    core.finish(&mut collector);
    collector.finish()
}

#[test]
fn plain_lines() {
    check("", "");
    check("one\r\ntwo\r\n", "one\ntwo");
    check("one\r\n\r\n\r\ntwo   \r\n\r\n  \r\n", "one\n\n\ntwo");
    check("\r\n\nfirst", "\n\nfirst");
    check("no line end", "no line end");
    check("über 漢字 🦀\r\n", "über 漢字 🦀");
    check("all:\r\n\tcc -o a\ta.c\r\n", "all:\n\tcc -o a\ta.c");
}

#[test]
fn control_characters_are_resolved() {
    check("10%\r20%\r100%\r\ndone\r\n", "100%\ndone");
    check("abc\x08\x08X\r\n", "aXc");
    check("a\x08\tb", "a       b");
    check("\tX\x08\x08\x08Y\r\n", "      Y X");
    check("bell\x07 and nul\0 and more\r\n", "bell and nul and more");
    check(
        b"bad \xff\xfe utf8 \xe2\x82 more\r\nnext\r\n",
        "bad \u{fffd}\u{fffd} utf8 \u{fffd} more\nnext",
    );
    check("bare\nline feed", "bare\n    line feed");
}

#[test]
fn escape_sequences_are_resolved() {
    check("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[m\r\n", "red and bold");
    check("one\r\ntwo\r\nthree\x1b[2A\rONE\x1b[2B\r\n", "ONE\ntwo\nthree");
    check("title \x1b]0;secret\x07gone", "title gone");
    check("link \x1b]8;;http://example.com\x1b\\text\x1b]8;;\x1b\\", "link text");
    check("kept\r\n\x1b[H\x1b[2J\x1b[3Jafter clear", "kept\nafter clear");
    check("kept\x1bcafter reset", "kept\nafter reset");
    check("\x1b[5i\x1bP1$r0m\x1b\\\x1b_apc\x1b\\x", "x");
}

#[test]
fn wrapped_lines_come_back_whole() {
    let long: String = (0..1_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    check(format!("{long}\r\nnext\r\n"), &format!("{long}\nnext"));
    check(format!("\x1b[m{long}\r\nnext\r\n"), &format!("{long}\nnext"));
    let wide = "漢".repeat(333);
    check(format!("x{wide}\r\n"), &format!("x{wide}"));
    check(format!("\x1b[mx{wide}\r\n"), &format!("x{wide}"));
    let full = "f".repeat(120);
    check(format!("\x1b[m{full}\r\n{full}\r\n"), &format!("{full}\n{full}"));
}

#[test]
fn a_full_screen_program_is_a_snapshot() {
    let vim = "$ vim\r\n\x1b[?1049h\x1b[2J\x1b[1;1Hfn main() {}\x1b[2;1H~\x1b[40;1H\"main.rs\" 1L";
    let text = read(vim.as_bytes()).text;
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(
        &lines[..4],
        ["$ vim", "[a full-screen program is running; its screen:]", "fn main() {}", "~"]
    );
    assert_eq!(lines.last(), Some(&"\"main.rs\" 1L"));
    check(format!("{vim}\x1b[?1049l$ done\r\n"), "$ vim\n$ done");
}

#[test]
fn questions_are_answered_within_bounds() {
    let mut reader = Reader::new(TerminalSize::default(), TEXT_CHARS_MAX);
    reader.feed(b"ab\x1b[6n");
    assert_eq!(reader.take_replies(), b"\x1b[1;3R");
    assert_eq!(reader.take_replies(), b"");
    reader.feed(b"\x1b[c");
    assert_eq!(reader.take_replies(), b"\x1b[?6c");
    reader.feed(&b"\x1b[6n".repeat(100_000));
    assert!(reader.take_replies().len() <= 4_096);
    let mut emulator = Emulator::new(TerminalSize::default(), 10);
    emulator.feed(b"\x1b[5n\x1b[18t\x1b]52;c;?\x07\x1b]11;?\x07");
    assert_eq!(emulator.take_replies(), b"\x1b[0n\x1b[8;40;120t");
}

#[test]
fn hostile_sequences_stay_small() {
    // A title of 8 MB, a cell with a million accents, repeats of 65,535, a stack of everything.
    let mut reader = Reader::new(TerminalSize::default(), TEXT_CHARS_MAX);
    reader.feed(b"\x1b]0;");
    for _ in 0..2_000 {
        reader.feed(&[b'x'; 4_096]);
    }
    reader.feed(b"\x07a");
    reader.feed("\u{301}".repeat(1_000_000).as_bytes());
    reader.feed(b"\r\nz");
    reader.feed(&b"\x1b[65535b".repeat(200));
    let text = reader.finish();
    assert!(text.text.starts_with("a\u{301}"));
    assert!(text.text.chars().count() < TEXT_CHARS_MAX + 100);
    assert_eq!(text.text.chars().filter(|c| *c == '\u{301}').count(), 8);
}

#[test]
fn what_is_left_out_is_said() {
    let lines: String = (1..=10_000).map(|n| format!("line {n}\r\n")).collect();
    let text = read(lines.as_bytes());
    let truncation = text.truncation.expect("it is too long");
    let marker =
        text.text.lines().find(|line| line.starts_with("[…")).expect("it says so").to_owned();
    let shown: Vec<&str> = text.text.lines().filter(|line| *line != marker).collect();
    assert_eq!(shown.first(), Some(&"line 1"));
    assert_eq!(shown.last(), Some(&"line 10000"));
    assert_eq!(shown.len() as u64 + truncation.lines_omitted, 10_000);
    let shown_chars: usize = shown.iter().map(|line| line.len() + 1).sum();
    let all_chars = lines.len() as u64 - 10_000;
    assert_eq!(shown_chars as u64 + truncation.chars_omitted, all_chars);
    assert!((15_000..=16_000).contains(&shown_chars), "{shown_chars}");
    assert_eq!(
        marker,
        "[… 8,415 lines (93,405 characters) left out …]"
            .replace("8,415", &grouped(truncation.lines_omitted))
            .replace("93,405", &grouped(truncation.chars_omitted))
    );
}

fn grouped(number: u64) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{thousands},{rest:03}") }
}

#[test]
fn a_budget_that_suffices_cuts_nothing() {
    let line = "x".repeat(15_990);
    check(format!("{line}\r\nend\r\n"), &format!("{line}\nend"));
    let text = read(format!("{line}\r\n0123456789\r\n").as_bytes());
    let first = "x".repeat(1_333);
    let last = "x".repeat(667);
    assert_eq!(text.text, format!("{first}[… 13,990 characters left out …]{last}\n0123456789"));
    let truncation = text.truncation.expect("cut");
    assert_eq!((truncation.lines_omitted, truncation.chars_omitted), (0, 13_990));
}

#[test]
fn an_endless_line_is_bounded() {
    let mut reader = Reader::new(TerminalSize::default(), TEXT_CHARS_MAX);
    for _ in 0..50 {
        reader.feed(&[b'y'; 65_536]);
    }
    let text = reader.finish();
    assert!(text.text.contains("[… 3,274,800 characters left out …]"), "{}", text.text.len());
    assert_eq!(
        text.text.len() - "…".len() * 2 + 2,
        2_000 + "[… 3,274,800 characters left out …]".chars().count()
    );
}

#[test]
fn sizes_are_clamped_and_change() {
    for (columns, rows) in [(0, 0), (1, 1), (u16::MAX, 1), (1, u16::MAX)] {
        let mut emulator = Emulator::new(size(columns, rows), 100);
        emulator.feed("漢字 and more\r\n\tthings".as_bytes());
        emulator.resize(size(rows, columns));
        assert!(emulator.size().columns >= 2 && emulator.size().rows >= 2);
        assert!(!emulator.lines().is_empty());
    }
    let mut emulator = Emulator::new(size(10, 4), 100);
    emulator.feed(b"0123456789abc\r\nx");
    emulator.resize(size(20, 4));
    assert_eq!(emulator.screen(), ["0123456789abc", "x", "", ""]);
    assert_eq!(emulator.lines(), ["0123456789abc", "x"]);
    let cursor = emulator.cursor();
    assert_eq!((cursor.row, cursor.column, cursor.visible), (1, 1, true));
    let mut reader = Reader::new(size(10, 4), TEXT_CHARS_MAX);
    reader.feed(b"0123456789abc\r\n");
    reader.resize(size(20, 4));
    reader.feed(b"next\r\n");
    reader.resize(size(5, 2));
    reader.resize(size(30, 9));
    assert_eq!(reader.finish().text, "0123456789abc\nnext");
}

/// The screen is the one another emulator shows.
#[test]
fn another_emulator_agrees() {
    let inputs: &[&str] = &[
        "plain\r\ntext",
        "a line that is longer than forty columns and so it wraps\r\nx",
        "\x1b[2J\x1b[3;5Hhere\x1b[1;1Htop\x1b[10;40Hz",
        "one\r\ntwo\r\nthree\x1b[A\x1b[2K\rTWO",
        "abcdef\x1b[3D\x1b[K\x1b[1;1H\x1b[2P",
        "abcdef\x1b[1;3H\x1b[3@xy",
        "1\r\n2\r\n3\r\n4\r\n5\x1b[2;4r\x1b[4;1H\r\nscrolled\x1b[r",
        "1\r\n2\r\n3\x1b[2;1H\x1b[L\x1b[3;1H\x1b[M",
        "main\x1b[?1049h\x1b[Halt\x1b[5;5Hfull",
        "main\x1b[?1049halt\x1b[?1049l back",
        "\x1b[31;1mred\x1b[0m\x1b7\x1b[8;8Hfar\x1b8near",
        "漢字かな\x1b[1;3HX",
        "x\x1b[6b\r\n\x1b[3;3Hy\x1b[1J",
        "progress 1%\rprogress 50%\rprogress 100%\x1b[K\r\n",
        "\x1b[10;1Hlast\r\n\r\nscroll\x1bM\x1bMup",
    ];
    for input in inputs {
        let mut ours = Emulator::new(size(40, 10), 100);
        ours.feed(input.as_bytes());
        let mut theirs = vt100::Parser::new(
            NonZeroU16::new(10).expect("not zero"),
            NonZeroU16::new(40).expect("not zero"),
            100,
        );
        theirs.process(input.as_bytes());
        // The other one knows no repeat.
        if !input.contains("\x1b[6b") {
            let rows: Vec<String> =
                theirs.screen().rows(0, 40).map(|row| row.trim_end().to_owned()).collect();
            assert_eq!(ours.screen(), rows, "{input:?}");
            let (row, _) = theirs.screen().cursor_position();
            assert_eq!(ours.cursor().row, row, "{input:?}");
        }
        assert_eq!(ours.alternate_screen(), theirs.screen().alternate_screen());
    }
}

/// Prints what the reader costs; run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn figures() {
    let samples: [(&str, Vec<u8>); 5] = [
        ("y", b"y\r\n".to_vec()),
        ("60 columns", format!("{}\r\n", "0123456789".repeat(6)).into_bytes()),
        ("utf-8 and tabs", "\tüber 漢字 some more text of an ordinary line\r\n".into()),
        ("colours", "\x1b[32m   Compiling\x1b[0m some-crate v1.2.3 (/src/some)\r\n".into()),
        ("one line", vec![b'x'; 64]),
    ];
    for (name, line) in samples {
        let chunk = line.repeat(65_536 / line.len());
        let start = Instant::now();
        let mut reader = Reader::new(TerminalSize::default(), TEXT_CHARS_MAX);
        let mut bytes = 0;
        while bytes < 50_000_000 {
            reader.feed(&chunk);
            bytes += chunk.len();
        }
        let text = reader.finish();
        println!(
            "{name}: {:?} for {bytes} bytes, {} bytes of text",
            start.elapsed(),
            text.text.len()
        );
    }
}

/// Pieces of output, weighted towards what programs print.
fn token(escapes: bool) -> BoxedStrategy<Vec<u8>> {
    let plain = prop_oneof![
        8 => "[a-z ]{0,30}".prop_map(String::into_bytes),
        2 => "[a-z漢é \\t]{0,60}".prop_map(String::into_bytes),
        8 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r\n".repeat(30)),
        2 => Just(b"\r".to_vec()),
        1 => Just(b"\x08".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just("e\u{301}".as_bytes().to_vec()),
        1 => Just(vec![0xff]),
        1 => Just(vec![0xe2, 0x82]),
        1 => Just(vec![0]),
        1 => Just(b"   ".to_vec()),
        1 => "[a-z]{250,300}".prop_map(String::into_bytes),
        1 => Just(b"y\r\n".repeat(200)),
        1 => Just(b"a line of text\r\n".repeat(100)),
    ];
    if !escapes {
        return plain.boxed();
    }
    prop_oneof![
        40 => plain,
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\x1b[m\x1b[31;1m".to_vec()),
        1 => "\x1b\\[[0-9]{0,2}[ABCDEFGHIJKLMPSTXZ@abdefghlrsu]".prop_map(String::into_bytes),
        1 => "\x1b\\[[0-9]{0,2};[0-9]{0,2}[Hfr]".prop_map(String::into_bytes),
        1 => "\x1b\\[\\?(7|6|25|1049|1047|47|2026)[hl]".prop_map(String::into_bytes),
        1 => "\x1b[78DEHM]".prop_map(String::into_bytes),
        1 => "\x1b\\]0;[a-z]{0,8}(\x07|\x1b\\\\)".prop_map(String::into_bytes),
    ]
    // A terminal forgets its scrollback here, a reader does not.
    .prop_filter("clears the scrollback", |bytes| !bytes.ends_with(b"3J"))
    .boxed()
}

/// Output that a failing test can print.
#[derive(Clone)]
struct Output(Vec<u8>);

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn stream(escapes: bool) -> impl Strategy<Value = Output> {
    prop::collection::vec(token(escapes), 0..120).prop_map(|tokens| Output(tokens.concat()))
}

fn fed_in_pieces(bytes: &[u8], cuts: &[usize], size: TerminalSize, chars_max: usize) -> Text {
    let mut reader = Reader::holding(size, chars_max, 2_048);
    let mut rest = bytes;
    for cut in cuts {
        let (piece, later) = rest.split_at((*cut).min(rest.len()));
        reader.feed(piece);
        rest = later;
    }
    reader.feed(rest);
    reader.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_reading_is_emulation(
        bytes in stream(false),
        cuts in prop::collection::vec(0_usize..600, 0..40),
        columns in 2_u16..90,
        rows in 2_u16..12,
        chars_max in 200_usize..3_000,
    ) {
        let size = size(columns, rows);
        prop_assert_eq!(fed_in_pieces(&bytes.0, &cuts, size, chars_max), emulated(&bytes.0, size, chars_max));
    }

    #[test]
    fn reading_is_emulation(
        plain in stream(false),
        bytes in stream(true),
        cuts in prop::collection::vec(0_usize..600, 0..40),
        columns in 2_u16..90,
        rows in 2_u16..12,
        chars_max in 200_usize..3_000,
    ) {
        let size = size(columns, rows);
        let bytes = Output([plain.0, bytes.0].concat());
        prop_assert_eq!(fed_in_pieces(&bytes.0, &cuts, size, chars_max), emulated(&bytes.0, size, chars_max));
    }

    #[test]
    fn lines_are_taken_once(
        lines in prop::collection::vec("[ a-c]{0,30}", 0..60),
        takes in prop::collection::vec(0_usize..4, 60),
        columns in 2_u16..40,
        rows in 2_u16..12,
    ) {
        let mut reader = Reader::new(size(columns, rows), TEXT_CHARS_MAX);
        let mut taken = Vec::new();
        for (line, take) in lines.iter().zip(takes) {
            reader.feed(format!("{line}\r\n").as_bytes());
            if take == 0 {
                taken.push(reader.take().text);
            }
        }
        taken.push(reader.finish().text);
        let given = lines.join("\n");
        let told = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| line.trim_end().to_owned());
            lines.filter(|line| !line.is_empty()).collect()
        };
        prop_assert_eq!(told(&taken.join("\n")), told(&given));
    }

    #[test]
    fn random_bytes_do_no_harm(
        bytes in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(0x1b), 1 => Just(b'[')], 0..2_000).prop_map(Output),
        cuts in prop::collection::vec(0_usize..100, 0..20),
        columns in 0_u16..30,
        rows in 0_u16..8,
    ) {
        let size = size(columns, rows);
        let whole = fed_in_pieces(&bytes.0, &[], size, 500);
        prop_assert_eq!(&fed_in_pieces(&bytes.0, &cuts, size, 500), &whole);
        prop_assert!(whole.text.chars().count() <= 500 + 200);
        let mut reader = Reader::new(size, 500);
        for piece in bytes.0.chunks(97) {
            reader.feed(piece);
            prop_assert!(reader.take().text.chars().count() <= 500 + 200 + 2_000);
            let _ = reader.is_prompting();
        }
        let mut emulator = Emulator::new(size, 50);
        emulator.feed(&bytes.0);
        emulator.resize(TerminalSize { columns: rows, rows: columns });
        emulator.feed(&bytes.0);
        prop_assert!(emulator.screen().len() >= 2);
        prop_assert!(emulator.lines().len() <= 50 + 1_000);
    }
}
