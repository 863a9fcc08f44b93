//! Reading.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use serde_json::json;
use trajectory::event::CallStatus;

use super::pdf::tests::document;
use crate::tests::Bench;
use crate::{Attached, Setup};

#[test]
fn lines_are_numbered_as_cat_does() {
    let bench = Bench::new();
    bench.put("a.txt", "one\n\n  three\tx");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tone\n     2\t\n     3\t  three\tx"
    );
}

#[test]
fn a_range_says_how_to_go_on() {
    let bench = Bench::new();
    bench.put("a.txt", (1..=10).map(|n| format!("line {n}\n")).collect::<String>());
    let outcome = bench.run("read", &json!({"file_path": "a.txt", "offset": 4, "limit": 2}));
    assert_eq!(
        outcome.shown,
        "     4\tline 4\n     5\tline 5\n[lines 4-5 of 10; go on with offset 6]"
    );
    assert_eq!(outcome.truncated, None);
    let last = bench.ok("read", &json!({"file_path": "a.txt", "offset": 10, "limit": 5}));
    assert_eq!(last, "    10\tline 10");
    let beyond = bench.fails("read", &json!({"file_path": "a.txt", "offset": 11}));
    assert_eq!(beyond, "Offset 11 is beyond the end: a.txt has 10 lines.");
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let bench = Bench::new();
    bench.put("a.txt", "");
    assert_eq!(bench.ok("read", &json!({"file_path": "a.txt"})), "(empty file)");
}

#[test]
fn a_huge_file_is_cut_by_lines_and_by_bytes() {
    let bench = Bench::new();
    bench.put("short.txt", "x\n".repeat(1_000_000));
    let outcome = bench.run("read", &json!({"file_path": "short.txt", "limit": 999_999}));
    assert!(outcome.shown.ends_with("[lines 1-2000 of 1000000; go on with offset 2001]"));
    assert_eq!(outcome.truncated.unwrap().lines_omitted, 998_000);
    bench.put("wide.txt", format!("{}\n", "y".repeat(1_500)).repeat(5_000));
    let outcome = bench.run("read", &json!({"file_path": "wide.txt"}));
    assert!(outcome.shown.len() < 66 << 10, "{}", outcome.shown.len());
    assert!(
        outcome.shown.ends_with(" of 5000; go on with offset 44]"),
        "{:?}",
        outcome.shown.get(outcome.shown.len() - 80..)
    );
    assert!(outcome.truncated.is_some());
}

#[test]
fn a_sparse_file_of_many_gigabytes_is_no_trouble() {
    let bench = Bench::new();
    bench.put("a.bin", "");
    let path = bench.workspace().join("a.bin");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 36).unwrap();
    let told = bench.fails("read", &json!({"file_path": "a.bin"}));
    assert_eq!(told, "a.bin is a binary file (unknown kind, 64.0 GB), not text.");
}

#[test]
fn a_long_line_is_cut_with_a_note() {
    let bench = Bench::new();
    bench.put("a.json", format!("{}\nnext\n", "é".repeat(30_000)));
    let outcome = bench.run("read", &json!({"file_path": "a.json"}));
    let mut lines = outcome.shown.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("     1\téé"), "{}", &first[..20]);
    assert!(first.contains("more bytes in this line]"));
    assert_eq!(first.matches('é').count(), 2_000);
    assert_eq!(lines.next(), Some("     2\tnext"));
    assert_eq!(lines.next(), None, "cutting a line is not invalid UTF-8");
    assert!(outcome.truncated.unwrap().chars_omitted > 0);
}

#[test]
fn binary_files_are_refused_with_their_kind() {
    let bench = Bench::new();
    bench.put("a.zip", b"PK\x03\x04\0\0");
    bench.put("b", b"text\0more");
    let told = |path: &str| bench.fails("read", &json!({ "file_path": path }));
    assert_eq!(told("a.zip"), "a.zip is a binary file (ZIP archive, 6 B), not text.");
    assert_eq!(told("b"), "b is a binary file (unknown kind, 9 B), not text.");
}

#[test]
fn utf16_is_decoded_and_paged() {
    let bench = Bench::new();
    let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}naïve 😀\r\ntwo\r\n".encode_utf16().flat_map(bytes).collect()
    };
    bench.put("little.txt", wide(u16::to_le_bytes));
    bench.put("big.txt", wide(u16::to_be_bytes));
    let told = bench.ok("read", &json!({"file_path": "little.txt"}));
    assert!(
        told.starts_with("     1\tnaïve 😀\n     2\ttwo\n     3\t[decoded from UTF-16"),
        "{told}"
    );
    assert_eq!(told, bench.ok("read", &json!({"file_path": "big.txt"})));
    let one = bench.ok("read", &json!({"file_path": "big.txt", "offset": 2, "limit": 1}));
    assert!(one.starts_with("     2\ttwo\n[lines 2-2 of 3"), "{one}");
}

#[test]
fn a_large_table_says_how_wide_it_is() {
    let bench = Bench::new();
    bench.put("a.csv", "id,\"name, long\",x\n".to_owned() + &"1,b,2\n".repeat(5_000));
    let told = bench.ok("read", &json!({"file_path": "a.csv", "limit": 2}));
    assert!(
        told.ends_with("[lines 1-2 of 5001; go on with offset 3]\n[a table of 3 columns]"),
        "{told}"
    );
    bench.put("b.tsv", "id\tname\n1\tb\n");
    assert_eq!(bench.ok("read", &json!({"file_path": "b.tsv"})), "     1\tid\tname\n     2\t1\tb");
}

/// A picture as far as its header goes.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 6, 0, 0, 0]);
    bytes
}

#[test]
fn an_image_is_handed_to_a_model_that_sees() {
    let bench = Bench::with(Setup { images: true, ..Setup::default() });
    let gif = b"GIF89a\x40\x01\xc8\0\0\0\0".to_vec();
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x3f\x41\x31\0\0\0\0\0\0\0\0\0".to_vec();
    let jpeg = b"\xff\xd8\xff\xc0\0\x11\x08\0\xc8\x01\x40\x03\0\0\0\0\0\0\0\0\0\xff\xd9".to_vec();
    for (name, media_type, format, bytes) in [
        ("a.png", "image/png", "PNG", png(320, 200)),
        ("b.gif", "image/gif", "GIF", gif),
        ("c.jpg", "image/jpeg", "JPEG", jpeg),
        ("d.dat", "image/webp", "WEBP", webp),
    ] {
        bench.put(name, &bytes);
        let outcome = bench.run("read", &json!({ "file_path": name }));
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
        let size = bytes.len();
        let width = if name == "d.dat" { "320×" } else { "320×200" };
        assert!(
            outcome.shown.starts_with(&format!("{name}: {format} image, {width}")),
            "{}",
            outcome.shown
        );
        assert!(outcome.shown.ends_with(&format!(" pixels, {size} B")), "{}", outcome.shown);
        let expected = Attached { name: name.to_owned(), media_type: media_type.to_owned(), bytes };
        assert_eq!(outcome.attachments, [expected]);
    }
}

#[test]
fn an_image_that_cannot_be_shown_is_described() {
    let blind = Bench::new();
    blind.put("a.png", png(320, 200));
    let outcome = blind.run("read", &json!({"file_path": "a.png"}));
    assert_eq!(outcome.shown, "a.png: PNG image, 320×200 pixels, 29 B. You cannot see images.");
    assert!(outcome.attachments.is_empty());
    let sees = Bench::with(Setup { images: true, ..Setup::default() });
    let mut large = png(9_000, 9_000);
    large.resize(6 << 20, 0);
    sees.put("large.png", large);
    let told = sees.fails("read", &json!({"file_path": "large.png"}));
    assert!(
        told.ends_with("6.0 MB. That is more than 5.0 MB; make a smaller copy with shell."),
        "{told}"
    );
    sees.put("broken.png", b"\x89PNG\r\n\x1a\n\0\0");
    let told = sees.fails("read", &json!({"file_path": "broken.png"}));
    assert_eq!(told, "broken.png is a damaged PNG image (10 B).");
}

#[test]
fn a_notebook_is_shown_as_cells_with_what_they_printed() {
    let bench = Bench::new();
    let notebook = json!({
        "metadata": {"language_info": {"name": "python"}},
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "1/0", "outputs": [
                {"output_type": "stream", "name": "stderr", "text": ["a\n", "b\n"]},
                {"output_type": "error", "traceback": ["\u{1b}[0;31mZeroDivisionError\u{1b}[0m: no"]},
            ]},
            {"cell_type": "code", "source": "plot()", "outputs": [
                {"output_type": "display_data", "data": {"text/plain": "<Figure>", "image/png": "iVBO"}},
                {"output_type": "stream", "text": "x".repeat(5_000)},
            ]},
        ],
    });
    bench.put("a.ipynb", notebook.to_string());
    let shown = bench.ok("read", &json!({"file_path": "a.ipynb"}));
    let plain: Vec<&str> = shown.lines().map(|line| line.get(7..).unwrap_or(line)).collect();
    assert_eq!(
        plain[..17],
        [
            "[notebook of 3 cells; the lines are of this text, the file itself is JSON]",
            "--- cell 1: markdown ---",
            "# Title",
            "words",
            "--- cell 2: python ---",
            "1/0",
            "--- stderr ---",
            "a",
            "b",
            "--- error ---",
            "ZeroDivisionError: no",
            "--- cell 3: python ---",
            "plot()",
            "--- output ---",
            "<Figure>",
            "[image/png, not shown]",
            "--- stdout ---",
        ]
    );
    assert!(shown.ends_with("[1000 more characters of this output]"), "{shown}");
    bench.put("b.ipynb", "{\"cells\": 1}");
    assert_eq!(bench.ok("read", &json!({"file_path": "b.ipynb"})), "     1\t{\"cells\": 1}");
}

#[test]
fn a_pdf_document_is_shown_page_by_page() {
    let bench = Bench::new();
    bench.put("a.pdf", document(&["First page", "Second page"]));
    let shown = bench.ok("read", &json!({"file_path": "a.pdf"}));
    assert_eq!(
        shown,
        "     1\t--- page 1 of 2 ---\n     2\tFirst page\n     3\t--- page 2 of 2 ---\n     4\tSecond page"
    );
    let second = bench.ok("read", &json!({"file_path": "a.pdf", "offset": 4}));
    assert_eq!(second, "     4\tSecond page");
    bench.put("long.pdf", document(&["many words ".repeat(200).trim()]));
    let shown = bench.ok("read", &json!({"file_path": "long.pdf"}));
    assert!(shown.lines().all(|line| line.chars().count() <= 207), "{shown}");
    assert_eq!(shown.matches("many words").count(), 200);
}

#[test]
fn a_pdf_document_without_use_is_refused() {
    let bench = Bench::new();
    let told = |content: &[u8]| {
        bench.put("a.pdf", content);
        bench.fails("read", &json!({"file_path": "a.pdf"}))
    };
    assert_eq!(told(b"%PDF-1.7\nnonsense"), "a.pdf is a PDF document that cannot be read.");
    assert_eq!(told(&document(&[""])), "a.pdf is a PDF document without text; perhaps a scan.");
    let whole = document(&["First page"]);
    for end in (0..whole.len()).step_by(37).skip(1) {
        bench.put("cut.pdf", &whole[..end]);
        bench.run("read", &json!({"file_path": "cut.pdf"}));
    }
}

#[test]
fn a_parquet_file_shows_its_columns_and_first_rows() {
    let bench = Bench::new();
    bench.put("a.parquet", rows(25));
    let shown = bench.ok("read", &json!({"file_path": "a.parquet", "limit": 2}));
    assert_eq!(
        shown,
        "Parquet: 25 rows, 2 columns\n  id: int64\n  name: utf8?\n\
         1\tid=0, name=\"n 0\"\n2\tid=1, name=\"n 1\"\n[rows 1-2 of 25; go on with offset 3]"
    );
    let last = bench.ok("read", &json!({"file_path": "a.parquet", "offset": 25}));
    assert!(last.ends_with("\n25\tid=24, name=\"n 24\""), "{last}");
    let whole = rows(3);
    for end in (8..whole.len()).step_by(7) {
        let mut damaged = whole[..end].to_vec();
        damaged.extend(&whole[whole.len() - 8..]);
        bench.put("b.parquet", &damaged);
        let outcome = bench.run("read", &json!({"file_path": "b.parquet"}));
        assert_ne!(outcome.shown, "", "{end}");
    }
    bench.put("c.parquet", b"PAR1PAR1");
    let told = bench.fails("read", &json!({"file_path": "c.parquet"}));
    assert!(told.starts_with("c.parquet is a Parquet file that cannot be read: "), "{told}");
}

/// A table of two columns.
fn rows(number: i64) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::writer::SerializedFileWriter;

    let schema = "message rows { required int64 id; optional binary name (utf8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let ids: Vec<i64> = (0..number).collect();
    let names: Vec<ByteArray> = ids.iter().map(|id| format!("n {id}").as_str().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let levels = vec![1; names.len()];
    column.typed::<ByteArrayType>().write_batch(&names, Some(&levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn what_is_not_utf8_is_shown_with_a_note() {
    let bench = Bench::new();
    bench.put("a.txt", b"caf\xe9\n");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tcaf\u{fffd}\n[not all of it is UTF-8: what is not is shown as \u{fffd}]"
    );
    bench.put("b.txt", "a replacement \u{fffd} of its own\n");
    assert!(!bench.ok("read", &json!({"file_path": "b.txt"})).contains("UTF-8"));
}

#[test]
fn crlf_and_a_byte_order_mark_do_not_show() {
    let bench = Bench::new();
    bench.put("a.txt", "\u{feff}one\r\ntwo\r\n");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tone\n     2\ttwo\n[lines end in CRLF; edit keeps them]"
    );
}

#[test]
fn a_missing_file_brings_near_names() {
    let bench = Bench::new();
    bench.put("README.md", "x");
    bench.put("src/parser.rs", "x");
    let told = |path: &str| bench.fails("read", &json!({ "file_path": path }));
    assert_eq!(told("readme.txt"), "readme.txt does not exist. Did you mean README.md?");
    assert_eq!(told("src/praser.rs"), "src/praser.rs does not exist. Did you mean src/parser.rs?");
    assert_eq!(told("parser.rs"), "parser.rs does not exist. Did you mean src/parser.rs?");
    assert_eq!(told("lib/x/y.py"), "lib/x/y.py does not exist.");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let bench = Bench::new();
    bench.put("dir/a", "x");
    assert_eq!(bench.fails("read", &json!({"file_path": "dir"})), "dir is a directory; use list.");
    bench.fifo("fifo");
    assert_eq!(
        bench.fails("read", &json!({"file_path": "fifo"})),
        "fifo is a FIFO, not a file; it was not read."
    );
    let _socket = std::os::unix::net::UnixListener::bind(bench.workspace().join("socket")).unwrap();
    let told = bench.fails("read", &json!({"file_path": "socket"}));
    assert_eq!(told, "socket is a socket or a device, not a file.");
    symlink("/dev/zero", bench.workspace().join("zero")).unwrap();
    assert!(
        bench.fails("read", &json!({"file_path": "zero"})).contains("leads out of the workspace")
    );
}

#[test]
fn a_file_that_nobody_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.put("a", "x");
    let none = std::fs::Permissions::from_mode(0o0);
    std::fs::set_permissions(bench.workspace().join("a"), none).unwrap();
    let outcome = bench.run("read", &json!({"file_path": "a"}));
    if !rustix::process::geteuid().is_root() {
        assert_eq!(outcome.status, CallStatus::Error);
        assert_eq!(outcome.shown, "a: permission denied.");
    }
}
