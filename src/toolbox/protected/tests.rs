//! Every way there that a tool can go.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::event::CallStatus;

use super::*;
use crate::tests::Bench;

fn write(path: &str) -> Value {
    json!({"file_path": path, "content": "planted"})
}

fn denied(bench: &Bench, tool: &str, arguments: &Value, told: &str) {
    let outcome = bench.run(tool, arguments);
    assert_eq!(outcome.status, CallStatus::Denied, "{arguments}: {}", outcome.shown);
    assert!(outcome.shown.contains(told), "{arguments}: {}", outcome.shown);
    assert!(outcome.shown.contains(" the user "), "{}", outcome.shown);
}

/// All files beneath, with their content.
fn everything(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            all.push((path.clone(), std::fs::read(path).ok()));
        }
    }
    all.sort();
    all
}

fn git() -> Bench {
    let bench = Bench::new();
    bench.put(".git/HEAD", "ref: refs/heads/main\n");
    bench.put(".git/config", "[core]\n");
    bench.put(".git/hooks/pre-commit.sample", "#!/bin/sh\n");
    bench.put(".git/info/attributes", "");
    bench.put(".git/rebase-merge/git-rebase-todo", "pick x\n");
    bench.put("src/a.rs", "fn a() {}\n");
    bench
}

#[test]
fn what_git_runs_is_neither_written_nor_edited() {
    let bench = git();
    // A repository of its own, a submodule, a bare one beside its work trees, one in a fixture.
    for repository in ["nested/.git", ".git/modules/sub", "bare.git", "tests/fixtures/repo"] {
        bench.put(&format!("{repository}/HEAD"), "ref: refs/heads/main\n");
        bench.put(&format!("{repository}/objects/info/packs"), "");
        bench.put(&format!("{repository}/refs/heads/main"), "");
        bench.put(&format!("{repository}/config"), "[core]\n");
    }
    bench.put("bare.git/worktrees/w/HEAD", "");
    bench.put("bare.git/worktrees/w/commondir", "../..\n");
    bench.put("w/.git", "gitdir: ../bare.git/worktrees/w\n");
    let before = everything(&bench.workspace());
    for path in [
        ".git/hooks/pre-commit",
        ".git/hooks/deeper/x",
        ".git/config",
        ".git/config.worktree",
        ".git/commondir",
        ".git/info/attributes",
        ".git/modules/sub/hooks/post-checkout",
        ".git/modules/sub/config",
        ".git/modules/new/config",
        ".git/rebase-merge/git-rebase-todo",
        ".git/worktrees/w/config.worktree",
        "src/../.git/config",
        "./.git//config",
        "nested/.git/hooks/x",
        "nested/.git/config",
        "bare.git/config",
        "bare.git/hooks/post-receive",
        "bare.git/worktrees/w/commondir",
        "tests/fixtures/repo/hooks/x",
        "w/.git",
        "src/.git",
        "src/.git/hooks/x",
        "new/.git/config",
        "new/.GIT/config",
        "new/.g\u{200c}it/config",
        "new/.git. ./config",
    ] {
        denied(&bench, "write", &write(path), "git runs what lies in a git directory");
    }
    let edit =
        |path: &str, old: &str| json!({"file_path": path, "old_string": old, "new_string": "x"});
    denied(&bench, "edit", &edit(".git/config", "[core]"), "read-only for tools");
    denied(&bench, "edit", &edit("w/.git", "gitdir"), "read-only for tools");
    let whole = bench.workspace().canonicalize().unwrap().join(".git/config");
    denied(&bench, "edit", &edit(whole.to_str().unwrap(), "[core]"), "read-only for tools");
    let told = bench.run("write", &write(".git/hooks/pre-commit")).shown;
    assert_eq!(
        told,
        ".git/hooks/pre-commit is read-only for tools: git runs what lies in a git directory. \
         Ask the user to change it."
    );
    assert_eq!(everything(&bench.workspace()), before, "no directory was made on the way either");
}

#[test]
fn what_is_read_only_is_still_read_and_its_neighbours_written() {
    let bench = git();
    assert!(bench.ok("read", &json!({"file_path": ".git/config"})).contains("[core]"));
    assert!(bench.ok("list", &json!({"path": ".git"})).contains("config"));
    for path in [
        ".gitignore",
        ".gitattributes",
        ".github/workflows/ci.yml",
        "git/config",
        "hooks/pre-commit",
        "config",
        "HEAD",
        "src/config",
        "src/.limn/x",
        ".limnrc",
        "資料/設定",
    ] {
        bench.ok("write", &write(path));
    }
    bench.ok("edit", &json!({"file_path": "src/a.rs", "old_string": "fn a", "new_string": "fn b"}));
}

#[test]
fn links_do_not_lead_around_it() {
    let bench = git();
    bench.put(".limn/config.toml", "");
    let root = bench.workspace();
    let whole = root.canonicalize().unwrap();
    for (target, name) in [
        (PathBuf::from(".git/hooks"), "hooks"),
        (whole.join(".git/hooks"), "absolute"),
        (PathBuf::from(".git"), "store"),
        (PathBuf::from("src/../.git/config"), "settings"),
        (PathBuf::from(".git/hooks/pre-commit"), "dangling"),
        (PathBuf::from("hooks"), "twice"),
        (PathBuf::from(".limn"), "limn"),
        (PathBuf::from(".limn/new.toml"), "limn-file"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    let before = everything(&root);
    for path in [
        "hooks/x",
        "absolute/x",
        "absolute/new/x",
        "store/config",
        "store/hooks/new/x",
        "settings",
        "dangling",
        "twice/x",
    ] {
        denied(&bench, "write", &write(path), "git runs what lies in a git directory");
    }
    for path in ["limn/config.toml", "limn/new/x", "limn-file"] {
        denied(&bench, "write", &write(path), "`.limn` says what limn may do");
    }
    let edit = json!({"file_path": "settings", "old_string": "core", "new_string": "x"});
    denied(&bench, "edit", &edit, "git runs");
    assert_eq!(everything(&root), before);
}

#[test]
fn a_git_directory_by_link_is_one_though_it_is_empty() {
    let bench = Bench::new();
    bench.put("store/description", "");
    symlink("store", bench.workspace().join(".git")).unwrap();
    for path in ["store/hooks/x", "store/config", ".git/config"] {
        denied(&bench, "write", &write(path), "git runs");
    }
    bench.put("deep/other/x", "");
    bench.ok("write", &write("deep/other/config"));
}

#[test]
fn a_bare_repository_is_not_put_together() {
    let bench = Bench::new();
    bench.put("objects/info/x", "");
    bench.ok("write", &write("config"));
    bench.ok("write", &write("refs/heads/main"));
    denied(&bench, "write", &write("HEAD"), "git runs");
    bench.put("planted/objects/x", "");
    bench.ok("write", &write("planted/HEAD"));
    denied(&bench, "write", &write("planted/refs/heads/main"), "git runs");
    assert!(!bench.workspace().join("planted/refs").exists());
    denied(&bench, "write", &write("planted/commondir"), "git runs");
}

#[test]
fn what_limn_may_do_is_not_a_tool_s_to_say() {
    let bench = Bench::new();
    for path in [".limn/config.toml", ".limn", ".LIMN/config.toml", "a/../.limn/x/y"] {
        denied(&bench, "write", &write(path), "`.limn` says what limn may do");
    }
    assert!(bench.names().is_empty());
    bench.put(".limn/config.toml", "old");
    let edit = json!({"file_path": ".limn/config.toml", "old_string": "old", "new_string": "new"});
    denied(&bench, "edit", &edit, "`.limn` says what limn may do");
    assert!(bench.ok("read", &json!({"file_path": ".limn/config.toml"})).contains("old"));
}

#[test]
fn limn_s_data_in_the_workspace_does_not_exist_for_tools() {
    let bench = Bench::hiding(&["data/limn", "not/there/yet", "single"]);
    bench.put("data/limn/sessions/1.db", "the record");
    bench.put("data/other", "open");
    bench.put("single", "the record");
    symlink("data/limn", bench.workspace().join("link")).unwrap();
    symlink("data/limn/sessions/1.db", bench.workspace().join("file-link")).unwrap();
    let before = everything(&bench.workspace());
    let read = |path: &str| json!({ "file_path": path });
    for path in ["data/limn/sessions/1.db", "link/sessions/1.db", "file-link", "single"] {
        denied(&bench, "read", &read(path), "hidden from tools");
        denied(&bench, "write", &write(path), "hidden from tools");
        let edit = json!({"file_path": path, "old_string": "the", "new_string": "no"});
        denied(&bench, "edit", &edit, "hidden from tools");
    }
    for path in ["data/limn", "data/limn/sessions", "link", "data/../link/sessions"] {
        denied(&bench, "list", &json!({ "path": path }), "hidden from tools");
    }
    denied(&bench, "write", &write("data/limn/new/x"), "hidden from tools");
    assert_eq!(bench.ok("read", &read("data/other")), "     1\topen");
    // Its names are not suggested either.
    assert_eq!(bench.fails("read", &read("1.db")), "1.db does not exist.");
    assert_eq!(everything(&bench.workspace()), before);
    // What does not exist yet is not made by a tool; what is made later is hidden all the same.
    denied(&bench, "write", &write("not/there/yet/x"), "hidden from tools");
    denied(&bench, "write", &write("not/there/YET"), "hidden from tools");
    bench.put("not/there/yet/x", "the record");
    denied(&bench, "read", &read("not/there/yet/x"), "hidden from tools");
}

#[test]
fn a_workspace_that_git_would_take_for_its_own_is_read_only() {
    let bench = Bench::new();
    for path in ["HEAD", "objects/x", "refs/x"] {
        bench.put(path, "");
    }
    denied(&bench, "write", &write("config"), "git runs");
    denied(&bench, "write", &write("any/file"), "git runs");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However a path is put together, nothing of what is protected changes.
    #[test]
    fn no_spelling_leads_there(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "..", ".", ".git", ".GIT", "hooks", "config", "src", "store", "up", ".limn", "x",
            ]),
            1..7,
        )
    ) {
        let bench = git();
        bench.put(".limn/config.toml", "");
        bench.put("src/src/x", "");
        symlink(".git", bench.workspace().join("store")).unwrap();
        symlink("..", bench.workspace().join("src/up")).unwrap();
        let guarded = |bench: &Bench| {
            [".git", ".limn"].map(|name| everything(&bench.workspace().join(name)))
        };
        let before = guarded(&bench);
        bench.run("write", &write(&parts.join("/")));
        prop_assert_eq!(guarded(&bench), before);
        prop_assert!(!bench.workspace().join("src/.git").exists());
    }
}
