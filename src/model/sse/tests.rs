use proptest::prelude::*;

use super::*;

/// The items of a response that arrives in these pieces, printed.
fn items(pieces: &[&[u8]]) -> Vec<String> {
    let show = |item: SseItem<'_>| match item {
        SseItem::Data(data) => format!("data {}", String::from_utf8_lossy(&data)),
        SseItem::Stray(line) => format!("stray {}", String::from_utf8_lossy(line)),
    };
    let mut decoder = SseDecoder::default();
    let mut raw = Vec::new();
    let mut items = Vec::new();
    for piece in pieces {
        raw.extend_from_slice(piece);
        while let Some(item) = decoder.next(&raw) {
            items.push(show(item));
        }
    }
    while let Some(item) = decoder.finish(&raw) {
        items.push(show(item));
    }
    items
}

fn check(stream: &str, expected: &[&str]) {
    assert_eq!(items(&[stream.as_bytes()]), expected, "whole: {stream:?}");
    let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(items(&single), expected, "byte by byte: {stream:?}");
}

#[test]
fn events_are_told_apart() {
    check("data: a\n\ndata: b\n\n", &["data a", "data b"]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &["data a", "data b"]);
    check("data: a\r\rdata: b\r\r", &["data a", "data b"]);
    check("data:a\n\n", &["data a"]);
    check("data:  a \n\n", &["data  a "]);
    check("\u{feff}data: a\n\n", &["data a"]);
    check("\n\n\ndata: a\n\n\n\n", &["data a"]);
}

#[test]
fn what_is_no_data_is_passed_over() {
    check(": keepalive\n\nevent: x\nid: 7\nretry: 3\ndata: a\n\n", &["data a"]);
    check("data\n\ndata:\n\ndata: \n\n", &[]);
    check("", &[]);
    check("event: ping\n\n", &[]);
}

#[test]
fn several_data_lines_are_one_event() {
    check("data: a\ndata: b\n\n", &["data a\nb"]);
    check("data: a\nevent: e\n: c\ndata: b\n\n", &["data a\nb"]);
}

#[test]
fn the_end_ends_an_event() {
    check("data: a", &["data a"]);
    check("data: a\n", &["data a"]);
    check("data: a\r", &["data a"]);
    check("data: a\ndata: b", &["data a\nb"]);
}

#[test]
fn stray_lines_are_shown() {
    check("oops\ndata: a\n\nerror: no\n\n", &["stray oops", "data a", "stray error: no"]);
}

#[test]
fn what_waits_is_measured() {
    let mut decoder = SseDecoder::default();
    let raw = b"data: a\n\ndata: 12345";
    assert_eq!(decoder.next(raw), Some(SseItem::Data(Cow::Borrowed(b"a"))));
    assert_eq!(decoder.next(raw), None);
    assert_eq!(decoder.waiting(raw), 11);
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_items(
        lines in proptest::collection::vec("(data: ?)?[a-z:\u{e9}\u{1f600}]{0,6}(\n|\r\n|\r|\n\n)", 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = lines.concat().into_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.push(0);
        places.push(stream.len());
        places.sort_unstable();
        let pieces: Vec<&[u8]> =
            places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(items(&pieces), items(&[&stream]));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let whole = items(&[&bytes]);
        let pieces: Vec<&[u8]> = bytes.chunks(3).collect();
        prop_assert_eq!(items(&pieces), whole);
    }
}
