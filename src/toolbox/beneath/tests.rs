//! Both ways of looking up give the same answers.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

struct Ground {
    _folder: TempDir,
    kernel: Workspace,
    walk: Workspace,
}

fn ground() -> Ground {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("a/b/c")).unwrap();
    std::fs::write(root.join("a/file"), "inside").unwrap();
    std::fs::write(folder.path().join("secret"), "outside").unwrap();
    let whole = root.canonicalize().unwrap();
    for (target, name) in [
        ("a/file", "link"),
        ("b/../file", "a/round"),
        ("../a/b", "a/around"),
        ("../secret", "out"),
        ("a/b/../../../secret", "far-out"),
        ("..", "up"),
        ("/etc/passwd", "absolute-out"),
        ("loop", "loop"),
        ("missing", "dangling"),
        ("/proc/self/cwd", "magic"),
        (whole.join("a/file").to_str().unwrap(), "absolute-in"),
        (whole.join("a").to_str().unwrap(), "absolute-dir"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    let kernel = Workspace::open(&root).unwrap();
    let walk = Workspace::open(&root).unwrap().with_resolver(Resolver::Walk);
    Ground { _folder: folder, kernel, walk }
}

fn read(workspace: &Workspace, path: &str) -> Result<String, Errno> {
    use std::io::Read;
    let mut file =
        std::fs::File::from(workspace.look_up(Path::new(path), OFlags::RDONLY | OFlags::CLOEXEC)?);
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap())?;
    Ok(text)
}

#[test]
fn both_resolvers_agree() {
    let ground = ground();
    let inside = || Ok("inside".to_owned());
    let cases = [
        ("a/file", inside()),
        ("./a/./file", inside()),
        ("a/b/../file", inside()),
        ("link", inside()),
        ("a/round", inside()),
        ("a/around/../file", inside()),
        ("absolute-in", inside()),
        ("absolute-dir/file", inside()),
        ("a/around/../../absolute-dir/around/../file", inside()),
        ("out", Err(Errno::XDEV)),
        ("far-out", Err(Errno::XDEV)),
        ("up/secret", Err(Errno::XDEV)),
        ("../secret", Err(Errno::XDEV)),
        ("absolute-out", Err(Errno::XDEV)),
        ("magic/secret", Err(Errno::XDEV)),
        ("loop", Err(Errno::LOOP)),
        ("loop/x", Err(Errno::LOOP)),
        ("dangling", Err(Errno::NOENT)),
        ("missing", Err(Errno::NOENT)),
        ("a/file/x", Err(Errno::NOTDIR)),
        ("a/b", Err(Errno::ISDIR)),
    ];
    for (path, expected) in cases {
        assert_eq!(read(&ground.kernel, path), expected, "kernel: {path}");
        assert_eq!(read(&ground.walk, path), expected, "walk: {path}");
    }
}

#[test]
fn the_kernel_looks_up_where_it_can() {
    if cfg!(target_os = "linux") && std::fs::read_to_string("/proc/sys/kernel/osrelease").is_ok() {
        let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let major: u32 = version.split('.').next().unwrap().parse().unwrap();
        if major >= 6 {
            assert_eq!(ground().kernel.resolver, Resolver::Kernel);
        }
    }
}

#[test]
fn places_are_found_behind_links_and_made_only_when_asked() {
    let ground = ground();
    for workspace in [&ground.kernel, &ground.walk] {
        let place = |path: &str, missing| {
            let path = Relative::parse(path, workspace).unwrap();
            match workspace.place(&path, missing) {
                Ok(place) => Ok(place.name.into_string().unwrap()),
                Err(Refusal::System(error)) => Err(error),
                Err(Refusal::Denied(rule)) => panic!("{rule:?}"),
            }
        };
        assert_eq!(place("link", Access::Change), Ok("file".to_owned()));
        assert_eq!(place("a/round", Access::Change), Ok("file".to_owned()));
        assert_eq!(place("dangling", Access::Change), Ok("missing".to_owned()));
        assert_eq!(place("absolute-in", Access::Change), Ok("file".to_owned()));
        assert_eq!(place("out", Access::Create), Err(Errno::XDEV));
        assert_eq!(place("up/new", Access::Create), Err(Errno::XDEV));
        assert_eq!(place("loop", Access::Create), Err(Errno::LOOP));
        assert_eq!(place("n/e/w", Access::Change), Err(Errno::NOENT));
        assert!(!workspace.root().join("n").exists());
        assert_eq!(place("n/e/w", Access::Create), Ok("w".to_owned()));
        assert!(workspace.root().join("n/e").is_dir());
        std::fs::remove_dir_all(workspace.root().join("n")).unwrap();
    }
}

#[test]
fn the_walk_too_withstands_a_link_that_is_swapped() {
    let ground = ground();
    let root = ground.walk.root().to_path_buf();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (target, spare) = (root.join("swapped"), root.join("spare"));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for to in ["..", "a"] {
                    symlink(to, &spare).unwrap();
                    std::fs::rename(&spare, &target).unwrap();
                }
                std::fs::remove_file(&target).unwrap();
                std::fs::create_dir(&target).unwrap();
                std::fs::remove_dir(&target).unwrap();
            }
        });
        for _ in 0..1_000 {
            assert!(read(&ground.walk, "swapped/secret").is_err());
            assert!(read(&ground.kernel, "swapped/secret").is_err());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A policy that opens folders beyond the workspace.
fn opening(readable: &[&Path], writable: &[&Path], hidden: &[&Path]) -> Policy {
    let paths = |paths: &[&Path]| paths.iter().map(|path| path.canonicalize().unwrap()).collect();
    let (readable, writable, hidden) = (paths(readable), paths(writable), paths(hidden));
    Policy { readable, writable, hidden, ..Policy::default() }
}

#[test]
fn the_policy_opens_folders_beyond_the_workspace_and_closes_what_it_hides() {
    let folder = TempDir::new().unwrap();
    let top = folder.path().canonicalize().unwrap();
    for name in ["root", "library/secret", "notes"] {
        std::fs::create_dir_all(top.join(name)).unwrap();
    }
    std::fs::write(top.join("library/file"), "inside").unwrap();
    symlink("../notes", top.join("library/out")).unwrap();
    symlink("file", top.join("library/link")).unwrap();
    symlink(top.join("library/file"), top.join("root/into")).unwrap();
    let (library, notes) = (top.join("library"), top.join("notes"));
    let policy = opening(&[&library], &[&notes], &[&library.join("secret")]);
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let workspace = Workspace::open(&top.join("root")).unwrap().within(&policy);
        let workspace = workspace.with_resolver(resolver);
        let place = |path: &str, access: Access| {
            let text = top.join(path).display().to_string();
            let path = Relative::parse(&text, &workspace)?;
            let denied = |refusal: Refusal| match refusal {
                Refusal::Denied(rule) => rule.explain(&path),
                Refusal::System(error) => path.explain(error),
            };
            workspace.place(&path, access).map(drop).map_err(denied)
        };
        assert_eq!(place("library/file", Access::Read), Ok(()));
        assert_eq!(place("library/link", Access::Read), Ok(()));
        assert_eq!(place("root/into", Access::Read), Ok(()));
        assert_eq!(place("notes/new/today", Access::Create), Ok(()));
        for (path, access, told) in [
            ("library/file", Access::Change, "outside what this session may write"),
            ("library/new", Access::Create, "outside what this session may write"),
            ("root/into", Access::Change, "outside what this session may write"),
            ("library/secret/key", Access::Read, "is hidden"),
            ("library/out/x", Access::Read, "leads out"),
            ("notes/.git/hooks/x", Access::Create, "git directory"),
            ("elsewhere", Access::Read, "is outside the workspace"),
        ] {
            let found = place(path, access).unwrap_err();
            assert!(found.contains(told), "{resolver:?} {path}: {found}");
        }
        assert!(workspace.open_listing(&library).is_ok());
        assert!(workspace.open_listing(&library.join("secret")).is_err());
        std::fs::remove_dir_all(top.join("notes/new")).unwrap();
    }
}

#[test]
fn a_file_that_is_open_alone_opens_nothing_beside_it() {
    use crate::atomic;
    use std::os::unix::fs::MetadataExt as _;
    use tokio_util::sync::CancellationToken;

    let folder = TempDir::new().unwrap();
    let top = folder.path().canonicalize().unwrap();
    for name in ["root", "notes"] {
        std::fs::create_dir(top.join(name)).unwrap();
    }
    for name in ["notes/read", "notes/write", "notes/other"] {
        std::fs::write(top.join(name), "as it is").unwrap();
    }
    symlink(top.join("notes/write"), top.join("root/into")).unwrap();
    let policy = opening(&[&top.join("notes/read")], &[&top.join("notes/write")], &[]);
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let workspace = Workspace::open(&top.join("root")).unwrap().within(&policy);
        let workspace = workspace.with_resolver(resolver);
        let place = |path: &str, access: Access| {
            let text = top.join(path).display().to_string();
            let path = Relative::parse(&text, &workspace).ok()?;
            workspace.place(&path, access).ok()
        };
        for path in ["notes/read", "notes/write", "root/into"] {
            assert!(place(path, Access::Read).is_some_and(|it| it.open().is_ok()), "{path}");
        }
        assert!(place("notes/read", Access::Change).is_none());
        for path in ["notes/other", "notes", "notes/write/x", "notes/new"] {
            assert!(place(path, Access::Create).is_none(), "{path}");
        }
        // It stays the file that commands see, and nothing is put beside it.
        let file = top.join("notes/write");
        let number = file.metadata().unwrap().ino();
        let written = place("root/into", Access::Change).unwrap();
        let before = atomic::existing(&written).unwrap();
        for text in ["longer than it was", "short"] {
            let cancel = CancellationToken::new();
            atomic::replace(&written, before.as_ref(), text.as_bytes(), &cancel).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(file.metadata().unwrap().ino(), number);
        assert_eq!(std::fs::read_dir(top.join("notes")).unwrap().count(), 3);
        // A link in its place leads nowhere else.
        std::fs::rename(&file, top.join("kept")).unwrap();
        symlink("other", &file).unwrap();
        assert!(place("notes/write", Access::Read).is_none());
        std::fs::rename(top.join("kept"), &file).unwrap();
    }
}

#[test]
fn the_settings_of_a_workspace_are_read_only_from_a_folder_around_it_too() {
    let folder = TempDir::new().unwrap();
    let top = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(top.join("around/work")).unwrap();
    symlink("work/.limn/config.toml", top.join("around/link")).unwrap();
    symlink("work/file", top.join("around/other")).unwrap();
    let policy = opening(&[], &[&top.join("around")], &[]);
    let workspace = Workspace::open(&top.join("around/work")).unwrap().within(&policy);
    let place = |path: &str| {
        let path = Relative::parse(&top.join(path).display().to_string(), &workspace).unwrap();
        assert!(path.as_path().is_absolute(), "it is reached by the folder around");
        workspace.place(&path, Access::Create).map(drop)
    };
    assert_eq!(place("around/other"), Ok(()));
    assert_eq!(place("around/link"), Err(Refusal::Denied(Rule::Settings)));
    std::fs::create_dir(top.join("around/work/.limn")).unwrap();
    assert_eq!(place("around/link"), Err(Refusal::Denied(Rule::Settings)));
}

#[test]
fn without_isolation_what_is_hidden_is_hidden_from_file_tools_too() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("secret"), "").unwrap();
    let policy = opening(&[], &[], &[&folder.path().join("secret")]);
    assert_eq!(policy.preset, sandbox::Preset::Off);
    let workspace = Workspace::open(folder.path()).unwrap().within(&policy);
    let path = Relative::parse("secret", &workspace).unwrap();
    let refusal = workspace.place(&path, Access::Read).map(drop);
    assert_eq!(refusal, Err(Refusal::Denied(Rule::Hidden)));
}

#[test]
fn a_session_that_only_reads_changes_nothing() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "as it is").unwrap();
    let policy = Policy { workspace_writable: false, ..Policy::default() };
    let workspace = Workspace::open(folder.path()).unwrap().within(&policy);
    let path = Relative::parse("file", &workspace).unwrap();
    assert!(workspace.place(&path, Access::Read).is_ok());
    for access in [Access::Change, Access::Create] {
        let refusal = workspace.place(&path, access).map(drop);
        assert_eq!(refusal, Err(Refusal::Denied(Rule::ReadOnly)));
    }
}
