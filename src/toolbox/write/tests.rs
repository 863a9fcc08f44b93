//! Writing.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tests::Bench;

#[test]
fn a_file_is_created_with_its_directories_and_replaced() {
    let bench = Bench::new();
    let write =
        |content: &str| bench.ok("write", &json!({"file_path": "a/b/c.txt", "content": content}));
    assert_eq!(write("one\ntwo\n"), "Created a/b/c.txt (2 lines)");
    assert_eq!(bench.get("a/b/c.txt"), "one\ntwo\n");
    assert_eq!(write("naïve 名前"), "Replaced a/b/c.txt (2 lines before, 1 line now)");
    assert_eq!(bench.get("a/b/c.txt"), "naïve 名前");
    assert_eq!(write(""), "Replaced a/b/c.txt (1 line before, 0 lines now)");
    assert_eq!(std::fs::read_dir(bench.workspace().join("a/b")).unwrap().count(), 1);
}

#[test]
fn absolute_paths_inside_are_taken_and_those_outside_refused() {
    let bench = Bench::new();
    let canonical = bench.workspace().canonicalize().unwrap();
    let link = bench.outside().parent().unwrap().join("another-way-in");
    symlink(&canonical, &link).unwrap();
    for (number, root) in [&canonical, &bench.workspace(), &link].into_iter().enumerate() {
        let path = root.join(format!("new/f{number}"));
        bench.ok("write", &json!({"file_path": path, "content": "x"}));
        assert_eq!(bench.get(&format!("new/f{number}")), "x");
    }
    let outside = bench.outside().join("planted");
    let up = canonical.join("../outside/planted");
    let paths =
        [outside.to_str().unwrap(), up.to_str().unwrap(), "../outside/planted", "a/../../x", "~/x"];
    for path in paths {
        let told = bench.fails("write", &json!({"file_path": path, "content": "x"}));
        assert!(told.contains("is outside the workspace"), "{path}: {told}");
        assert!(told.contains("what the user opens with --readable or --writable"), "{told}");
    }
    bench.assert_outside_untouched();
}

#[test]
fn a_link_out_is_not_followed_and_a_link_inside_is() {
    let bench = Bench::new();
    bench.put("dir/real.txt", "old");
    symlink("dir/real.txt", bench.workspace().join("inside")).unwrap();
    symlink(bench.workspace().canonicalize().unwrap().join("dir"), bench.workspace().join("whole"))
        .unwrap();
    symlink(bench.outside().join("secret"), bench.workspace().join("out")).unwrap();
    symlink("../outside", bench.workspace().join("outdir")).unwrap();
    symlink("loop", bench.workspace().join("loop")).unwrap();
    let write = |path: &str| json!({"file_path": path, "content": "new"});
    bench.ok("write", &write("inside"));
    assert_eq!(bench.get("dir/real.txt"), "new");
    assert!(bench.workspace().join("inside").is_symlink());
    bench.ok("write", &write("whole/second.txt"));
    assert_eq!(bench.get("dir/second.txt"), "new");
    for path in ["out", "outdir/secret", "outdir/planted", "outdir/deeper/planted"] {
        let told = bench.fails("write", &write(path));
        assert!(told.contains("leads out of the workspace"), "{path}: {told}");
    }
    assert!(bench.fails("write", &write("loop")).contains("too many symbolic links"));
    bench.assert_outside_untouched();
}

#[test]
fn a_hard_link_from_outside_keeps_its_content() {
    let bench = Bench::new();
    std::fs::hard_link(bench.outside().join("secret"), bench.workspace().join("mine")).unwrap();
    bench.ok("write", &json!({"file_path": "mine", "content": "new"}));
    assert_eq!(bench.get("mine"), "new");
    bench.assert_outside_untouched();
}

#[test]
fn a_link_that_is_swapped_all_the_time_leads_nowhere() {
    let bench = Bench::new();
    let workspace = bench.workspace();
    std::fs::create_dir(workspace.join("real")).unwrap();
    std::fs::write(workspace.join("real/secret"), "in").unwrap();
    let outside = bench.outside();
    symlink("real", workspace.join("dir")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (target, spare) = (workspace.join("dir"), workspace.join("spare"));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for to in [outside.as_path(), std::path::Path::new("real")] {
                    symlink(to, &spare).unwrap();
                    std::fs::rename(&spare, &target).unwrap();
                }
            }
        });
        for number in 0..1_000 {
            let path = if number % 2 == 0 { "dir/secret" } else { "dir/new/planted" };
            let tool = if number % 3 == 0 { "edit" } else { "write" };
            let arguments = if tool == "edit" {
                json!({"file_path": path, "old_string": "not", "new_string": "NOT"})
            } else {
                json!({"file_path": path, "content": "in"})
            };
            bench.run(tool, &arguments);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    bench.assert_outside_untouched();
}

#[test]
fn what_is_no_file_is_never_written_to() {
    let bench = Bench::new();
    bench.put("dir/a", "x");
    bench.fifo("fifo");
    let told = |path: &str| bench.fails("write", &json!({"file_path": path, "content": "x"}));
    assert_eq!(told("dir"), "dir is a directory, not a file. Nothing was written.");
    assert_eq!(told("fifo"), "fifo is a FIFO, not a file. Nothing was written.");
    assert_eq!(told("."), "The workspace itself is a directory. Nothing was written.");
    assert!(told("dir/a/b").contains("a part of the path is not a directory"));
    assert!(told(&"x".repeat(300)).contains("too long"));
    assert_eq!(told(""), "The path is empty.");
    assert_eq!(told("a\0b"), "The path holds a NUL character.");
    assert_eq!(bench.names(), ["dir", "fifo"]);
}

#[test]
fn the_mode_stays_but_for_set_user_id() {
    let bench = Bench::new();
    bench.put("run.sh", "#!/bin/sh\n");
    let path = bench.workspace().join("run.sh");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4750)).unwrap();
    bench.ok("write", &json!({"file_path": "run.sh", "content": "#!/bin/bash\n"}));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
}

#[test]
fn a_reader_sees_the_old_or_the_new_content_whole() {
    let bench = Bench::new();
    let (old, new) = ("a".repeat(300_000), "b".repeat(300_000));
    bench.put("f", &old);
    let path = bench.workspace().join("f");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || reads == 0 {
                let seen = std::fs::read_to_string(&path).unwrap();
                assert!(seen == old || seen == new, "{} bytes", seen.len());
                reads += 1;
            }
        });
        for content in [&new, &old, &new, &old, &new] {
            bench.ok("write", &json!({"file_path": "f", "content": content}));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(bench.names(), ["f"]);
}

#[test]
fn cancelled_in_mid_write_leaves_the_old_content_and_no_leftover() {
    let bench = Bench::new();
    bench.put("f", "old");
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let input = Input { file_path: "f".to_owned(), content: "new".to_owned() };
    let failure = run(&workspace, &input, &cancel).unwrap_err();
    assert_eq!(failure, Failure::Cancelled("Cancelled: f was not written.".to_owned()));
    assert_eq!(bench.get("f"), "old");
    assert_eq!(bench.names(), ["f"]);
}

#[test]
fn what_the_system_refuses_is_told_and_leaves_the_old_content() {
    // /proc takes no new files, whoever asks.
    let workspace = Workspace::open(std::path::Path::new("/proc")).unwrap();
    let input = Input { file_path: "f".to_owned(), content: "new".to_owned() };
    let failure = run(&workspace, &input, &CancellationToken::new()).unwrap_err();
    let Failure::Error(told) = failure else { panic!("an error") };
    assert!(told.ends_with("Nothing was written."), "{told}");
    let path = Relative::parse("f", &workspace).unwrap();
    let full = explain(&path, WriteError::System(rustix::io::Errno::NOSPC));
    assert_eq!(full, Failure::Error("f: the disk is full. Nothing was written.".to_owned()));
}

#[test]
fn lines_are_counted_with_and_without_a_last_end() {
    assert_eq!([lines(b""), lines(b"a"), lines(b"a\n"), lines(b"a\n\nb")], [0, 1, 1, 3]);
}

#[test]
fn a_syntax_error_is_told_and_the_file_written() {
    let bench = Bench::new();
    let write =
        |content: &str| bench.ok("write", &json!({"file_path": "a.json", "content": content}));
    assert_eq!(write("{\"a\": 1}\n"), "Created a.json (1 line)");
    let told = write("{\"a\": 1,, \"b\": 2}\n");
    assert!(told.contains("\nThis change introduced a syntax error at line 1:"), "{told}");
    assert_eq!(write("{\"a\": 1,, \"b\": 3}\n"), "Replaced a.json (1 line before, 1 line now)");
}
