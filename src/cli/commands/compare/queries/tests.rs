use std::fs;

use clap::Parser;

use super::{Query, read};
use crate::args::{Cli, Command, CompareArgs};

fn args(words: &[&str]) -> CompareArgs {
    let words = ["limn", "compare", "a", "b", "--queries"].iter().chain(words);
    match Cli::try_parse_from(words).unwrap().command {
        Some(Command::Compare(args)) => *args,
        other => panic!("{other:?}"),
    }
}

fn read_text(name: &str, text: &str, more: &[&str]) -> Result<Vec<Query>, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("game")).unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read(&args(&[&[path.to_str().unwrap()], more].concat())).map_err(|error| error.to_string())
}

#[test]
fn lines_and_whole_files_are_tasks() {
    let text = "{\"id\":\"one\",\"prompt\":\"Do it.\",\"workspace\":\"game\",\"check\":\"true\"}\n\n\
                {\"prompt\":\"Again.\"}\n";
    let queries = read_text("tasks.jsonl", text, &["--check", "false"]).unwrap();
    assert_eq!((queries[0].id.as_str(), queries[0].check.as_deref()), ("one", Some("true")));
    assert!(queries[0].workspace.as_ref().unwrap().ends_with("game"), "beside the file");
    assert_eq!((queries[1].id.as_str(), queries[1].check.as_deref()), ("2", Some("false")));
    assert_eq!(queries[1].workspace, None);
    let whole = read_text("greet.md", "\n# Greet\n\nSay hello.\n", &[]).unwrap();
    assert_eq!(
        (whole[0].id.as_str(), whole[0].prompt.as_str()),
        ("greet", "# Greet\n\nSay hello.")
    );
}

#[test]
fn what_is_no_task_is_named_with_its_place() {
    for (name, text, words) in [
        ("t.jsonl", "{\"prompt\":\"a\"}\n{oops\n", "line 2"),
        ("t.jsonl", "{\"prompt\":\"a\",\"chek\":\"true\"}\n", "chek"),
        ("t.jsonl", "{\"prompt\":\"a\",\"id\":\"x\"}\n{\"prompt\":\"b\",\"id\":\"x\"}\n", "\"x\""),
        ("t.jsonl", "{\"prompt\":\"a\",\"workspace\":\"gone\"}\n", "gone"),
        ("t.jsonl", "\n", "no task"),
        ("t.md", "  \n", "empty"),
    ] {
        let error = read_text(name, text, &[]).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
