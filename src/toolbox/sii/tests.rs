//! The coats, and what exists only under them.

use serde_json::json;
use trajectory::event::{CallStatus, PlanStatus};

use crate::tests::Bench;
use crate::{Setup, ToolSet};

fn sii() -> Bench {
    Bench::with(Setup { set: ToolSet::Sii, ..Setup::default() })
}

#[test]
fn each_tool_does_what_ours_does() {
    let bench = sii();
    let root = bench.workspace().canonicalize().unwrap();
    let path = root.join("src/a.txt");
    let told = bench.ok("write_file", &json!({"file_path": path, "content": "one\ntwo\nthree\n"}));
    assert_eq!(told, "Created src/a.txt (3 lines)");
    let shown = bench.ok("read_file", &json!({"absolute_path": path, "offset": 1, "limit": 1}));
    assert_eq!(shown, "     2\ttwo\n[lines 2-2 of 3; go on with offset 3]");
    assert_eq!(bench.ok("list_directory", &json!({"path": root.join("src")})), "a.txt  14 B");
    assert_eq!(bench.ok("glob", &json!({"pattern": "**/*.txt"})), "src/a.txt");
    let found = bench.ok("search_file_content", &json!({"pattern": "t\\w+", "include": "*.txt"}));
    assert_eq!(found, "src/a.txt:2: two\nsrc/a.txt:3: three");
    let command = json!({"command": "cat a.txt", "description": "Look", "directory": "src"});
    assert_eq!(bench.ok("run_shell_command", &command), "one\ntwo\nthree");
    let todos = json!([{"id": "1", "content": "look", "status": "completed"}]);
    let outcome = bench.run("todo_write", &json!({ "todos": todos }));
    assert_eq!(outcome.plan.unwrap().items[0].status, PlanStatus::Completed);
    let told = bench.fails("read", &json!({"file_path": "src/a.txt"}));
    assert!(
        told.starts_with("There is no tool \"read\". The tools are list_directory, "),
        "{told}"
    );
}

#[test]
fn replace_does_it_as_often_as_expected() {
    let bench = sii();
    bench.put("a.txt", "x\nx\ny\n");
    let replace = |old: &str, new: &str, expected: Option<u64>| {
        let mut call = json!({"file_path": "a.txt", "old_string": old, "new_string": new});
        if let Some(expected) = expected {
            call["expected_replacements"] = expected.into();
        }
        bench.run("replace", &call)
    };
    assert_eq!(replace("x", "z", None).status, CallStatus::Error);
    let wrong = replace("x", "z", Some(3));
    assert_eq!(wrong.shown, "old_string occurs 2 times in a.txt, not 3. Nothing was changed.");
    assert_eq!(bench.get("a.txt"), "x\nx\ny\n");
    assert_eq!(replace("x", "z", Some(2)).status, CallStatus::Ok);
    assert_eq!(replace("y", "w", Some(1)).status, CallStatus::Ok);
    assert_eq!(bench.get("a.txt"), "z\nz\nw\n");
    bench.put("a.txt", "a\r\nb\r\na\r\nb\r\n");
    assert_eq!(replace("a\nb", "c\nd", Some(3)).status, CallStatus::Error);
    assert_eq!(replace("a\nb", "c\nd", Some(2)).status, CallStatus::Ok);
    assert_eq!(bench.get("a.txt"), "c\r\nd\r\nc\r\nd\r\n");
    let new = json!({"file_path": "new/b.txt", "old_string": "", "new_string": "hi\n"});
    assert_eq!(bench.ok("replace", &new), "Created new/b.txt (1 line)");
    assert!(bench.fails("replace", &new).contains("old_string is empty"));
}

#[test]
fn many_files_are_read_within_bounds() {
    let bench = sii();
    bench.put("a.txt", "one\n");
    bench.put("src/b.py", "two\n");
    bench.put("src/c.py", "three\n");
    bench.put("src/[d].py", "four\n");
    let shown =
        bench.ok("read_many_files", &json!({"paths": ["src/*.py", "a.txt", "src/b.py", "none"]}));
    assert_eq!(
        shown,
        "--- src/[d].py ---\n     1\tfour\n--- src/b.py ---\n     1\ttwo\n--- src/c.py ---\n     1\tthree\n\
         --- a.txt ---\n     1\tone\n--- none ---\nnone does not exist."
    );
    let one = bench.ok("read_many_files", &json!({"paths": "src/[d].py"}));
    assert_eq!(one, "--- src/[d].py ---\n     1\tfour");
    for number in 0..60 {
        bench.put(&format!("many/{number:02}.txt"), "x\n".repeat(10));
    }
    let outcome = bench.run("read_many_files", &json!({"paths": ["many/*"]}));
    assert_eq!(outcome.shown.matches("--- many/").count(), 50);
    let note = "[10 more files, for which there is no room: many/50.txt, ";
    assert!(outcome.shown.contains(note), "{}", outcome.shown);
    assert!(outcome.truncated.is_some());
    bench.put("big.txt", "y".repeat(100).repeat(2_000) + "\n");
    bench.put("wide.txt", format!("{}\n", "y".repeat(1_500)).repeat(100));
    let paths = ["wide.txt", "wide.txt/../wide.txt", "./wide.txt", "a.txt"];
    let outcome = bench.run("read_many_files", &json!({ "paths": paths }));
    assert!(outcome.shown.len() < 200 << 10, "{}", outcome.shown.len());
    let told = bench.fails("read_many_files", &json!({"paths": ["*.xyz"]}));
    assert_eq!(told, "No file matches the paths.");
    let outside = bench.ok("read_many_files", &json!({"paths": ["../outside/secret"]}));
    assert!(outside.contains("is outside the workspace"), "{outside}");
}

#[test]
fn what_is_saved_stands_in_the_file_that_later_sessions_read() {
    let bench = sii();
    let save = |fact: &str| bench.ok("save_memory", &json!({ "fact": fact }));
    assert_eq!(save("- Tests run  with\nmake."), "Noted in AGENTS.md, under \"## Memory\".");
    assert_eq!(save("Use tabs."), "Noted in AGENTS.md, under \"## Memory\".");
    assert_eq!(save("Use tabs."), "AGENTS.md says so already.");
    assert_eq!(bench.get("AGENTS.md"), "## Memory\n\n- Tests run with make.\n- Use tabs.\n");
    let outcome = bench.run("save_memory", &json!({"fact": "x".repeat(1_001)}));
    assert_eq!(outcome.status, CallStatus::Error);
    let outcome = bench.run("save_memory", &json!({"fact": " - "}));
    assert_eq!(outcome.status, CallStatus::Error);
}
