//! Languages by name and by `#!`.

use super::*;

#[test]
fn every_language_has_one_row_and_a_grammar_that_loads() {
    for row in ROWS {
        assert_eq!(ROWS.iter().filter(|other| other.language == row.language).count(), 1);
        tree_sitter::Parser::new().set_language(&row.language.grammar()).unwrap();
    }
    let count = ROWS.len();
    let mut names: Vec<_> = ROWS.iter().flat_map(|row| row.extensions.iter()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!((count, names.len()), (11, all));
}

#[test]
fn the_name_tells_the_language() {
    let cases = [
        ("src/lib.rs", Some(Language::Rust)),
        ("a.PY", Some(Language::Python)),
        ("x/SConstruct", Some(Language::Python)),
        ("a.d.ts", Some(Language::TypeScript)),
        ("App.tsx", Some(Language::Tsx)),
        ("a.h", Some(Language::C)),
        ("a.hpp", Some(Language::Cpp)),
        (".bashrc", Some(Language::Bash)),
        ("rs", None),
        ("a.rs.bak", None),
        ("", None),
        ("..", None),
    ];
    for (path, expected) in cases {
        assert_eq!(Language::of(Path::new(path), ""), expected, "{path}");
    }
}

#[test]
fn a_script_without_an_extension_names_its_interpreter() {
    let cases = [
        ("#!/bin/sh\n", Some(Language::Bash)),
        ("#!/usr/bin/env python3.12\nprint()", Some(Language::Python)),
        ("#! /usr/bin/env -S NAME=x node --flag\n", Some(Language::JavaScript)),
        ("#!/usr/bin/perl\n", None),
        ("#!", None),
        ("# !/bin/sh\n", None),
        ("\u{feff}#!/bin/sh\n", None),
    ];
    for (source, expected) in cases {
        assert_eq!(Language::of(Path::new("bin/tool"), source), expected, "{source}");
    }
    assert_eq!(Language::of(Path::new("a.txt"), "#!/bin/sh\n"), None);
    assert_eq!(Language::of(Path::new("a"), &format!("#!{}", "é".repeat(1_000))), None);
}
