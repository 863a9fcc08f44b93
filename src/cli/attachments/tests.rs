use std::fs;

use super::*;

fn kind(bytes: &[u8]) -> &'static str {
    match kind_of(bytes) {
        Kind::Image(media_type) => media_type,
        Kind::Text(_) => "text",
        Kind::Other => "other",
    }
}

#[test]
fn bytes_say_what_they_are() {
    let cases: [(&[u8], &str); 10] = [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89arest", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "other"),
        (b"\x89PNG", "other"),
        ("crabs: 🦀\n".as_bytes(), "text"),
        (b"with a \0 in it", "other"),
        (b"\xff\xfe", "other"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(kind(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn a_text_stands_in_a_fence_that_it_cannot_close() {
    let path = Path::new("a.md");
    assert_eq!(block("a.md", "one\n", path).unwrap(), "\n\na.md:\n```\none\n```");
    assert_eq!(block("a.md", "one", path).unwrap(), "\n\na.md:\n```\none\n```");
    let fenced = block("a.md", "```rust\n````\n", path).unwrap();
    assert!(fenced.ends_with("\n`````") && fenced.contains("\n`````\n"), "{fenced}");
    assert!(block("a.md", &"x".repeat(TEXT_BYTES_MAX + 1), path).is_err());
}

#[test]
fn names_are_one_line() {
    assert_eq!(name_of(Path::new("/a/b\u{1b}[31m\nc.png")), "b\u{fffd}[31m\u{fffd}c.png");
    assert_eq!(name_of(Path::new("..")), "..");
    assert_eq!(name_of(&PathBuf::from("x".repeat(500))).len(), NAME_CHARACTERS_MAX);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, word) in [("gone", "No such file"), (".", "no regular file")] {
        let error = read(&folder.path().join(name)).unwrap_err();
        assert!(error.message.contains(word), "{error}");
    }
    fs::write(folder.path().join("empty"), "").unwrap();
    assert!(read(&folder.path().join("empty")).unwrap_err().message.contains("empty"));
    let large = fs::File::create(folder.path().join("large")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(read(&folder.path().join("large")).unwrap_err().message.contains("20 MiB"));
}
