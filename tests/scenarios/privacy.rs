//! What lies in the data folder: for its owner alone, without anybody's keys, and gone when it is
//! deleted, however it was packed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use mock_server::Reply;
use record::Library;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::world::{World, copy_folder, files, run, server, shell};

/// A word that stands nowhere else.
const NEEDLE: &str = "xylokraken";
/// Another one begins alike: an index keeps of the second of them only how it goes on.
const NEIGHBOUR: &str = "xylophone";
const REST: &str = "kraken";

const KEY: &str = "sk-needle-5678-of-the-key";

fn holds(bytes: &[u8], needle: &str) -> bool {
    memchr::memmem::find(bytes, needle.as_bytes()).is_some()
}

/// Whether bytes hold it as they are, or unpacked.
fn holds_packed(bytes: &[u8], needle: &str) -> bool {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let unpacked = || zstd::decode_all(bytes).is_ok_and(|unpacked| holds(&unpacked, needle));
    holds(bytes, needle) || bytes.starts_with(&ZSTD) && unpacked()
}

/// The columns of a database that hold it.
fn columns(database: &Path, needle: &str) -> Vec<String> {
    let connection = Connection::open(database).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut statement = connection.prepare(names).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut found = Vec::new();
    for name in names {
        let name = name.unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (at, column) in columns.iter().enumerate() {
                let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = row.get_ref(at).unwrap()
                else {
                    continue;
                };
                if holds_packed(bytes, needle) {
                    found.push(format!("{name}.{column}"));
                }
            }
        }
    }
    found
}

/// Where a word lies in a folder: in names, in bytes, in what is packed, in databases.
fn traces(world: &World, needle: &str) -> Vec<String> {
    // Looking must change nothing.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&world.data(), copy.path());
    let mut found = Vec::new();
    for path in files(copy.path()) {
        let name = path.strip_prefix(copy.path()).unwrap().display().to_string();
        let bytes = fs::read(&path).unwrap();
        // A blob has its codec and its length before what is packed.
        let of_blob = bytes.get(9..).unwrap_or_default();
        if holds(name.as_bytes(), needle) || holds(&bytes, needle) || holds_packed(of_blob, needle)
        {
            found.push(name.clone());
        }
        if bytes.starts_with(b"SQLite format 3\0") {
            let columns = columns(&path, needle);
            found.extend(columns.into_iter().map(|column| format!("{name}: {column}")));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A session in whose every part the word stands, and one in which another word does.
fn two_sessions() -> World {
    let world = World::new();
    let long = format!("seq 3000; echo {NEEDLE} printed; seq 3000");
    let server = server([
        Reply::text(&format!("A {NEIGHBOUR} plays.")),
        Reply::new().reasoning(&format!("The {NEEDLE} again.")).call(
            "write",
            &serde_json::json!({
                "file_path": format!("{NEEDLE}.txt"),
                "content": format!("{}\n{NEEDLE} inside\n", "a line\n".repeat(1_000)),
            })
            .to_string(),
        ),
        shell(&long),
        Reply::text(&format!("The {NEEDLE} is written.")),
        Reply::text("Seen."),
    ]);
    world.exec(&server.url(), &["Play"]).succeeds();
    world.exec(&server.url(), &[&format!("Call the {NEEDLE}")]).succeeds();
    world.write("work/mine.txt", &format!("my own {NEEDLE}\n"));
    // What has just been written is not remembered by its time.
    let written = fs::metadata(world.path("work/mine.txt")).unwrap().modified().unwrap();
    while written.elapsed().is_ok_and(|age| age < Duration::from_millis(200)) {
        std::thread::yield_now();
    }
    world.exec(&server.url(), &["--resume", "last", "Look"]).succeeds();
    let library = Library::open(&world.home()).unwrap();
    let id = world.archive().id();
    library.annotate(id, "note", &format!("about the {NEEDLE}"), "user", None).unwrap();
    world.limn(&["annotate", "last", "--tag", NEEDLE]).succeeds();
    world.limn(&["sessions", "--search", NEEDLE]).succeeds();
    world
}

#[test]
fn nothing_of_a_deleted_session_is_left_in_the_data_folder() {
    let world = two_sessions();
    let before = traces(&world, NEEDLE);
    for place in ["event.body", "blob.data", "output_part.data", "annotation.value", "catalogue"] {
        assert!(before.iter().any(|it| it.contains(place)), "{place}: {before:?}");
    }
    assert!(before.iter().any(|it| it.starts_with("blobs/")), "{before:?}");
    assert!(before.iter().any(|it| it.starts_with("workspaces/")), "{before:?}");
    assert!(!traces(&world, REST).is_empty() && !traces(&world, NEIGHBOUR).is_empty());
    let id = world.archive().id().to_string();
    world.limn(&["rm", "last"]).succeeds();
    for gone in [NEEDLE, REST, &id] {
        assert_eq!(traces(&world, gone), [""; 0], "{gone}");
    }
    // The other one is whole, and found.
    world.assert_sound();
    let found = world.limn(&["sessions", "--search", NEIGHBOUR, "--json"]).succeeds().json_lines();
    assert_eq!((found.len(), &found[0]["title"]), (1, &"Play".into()));
    assert!(!traces(&world, NEIGHBOUR).is_empty());
}

#[test]
fn what_a_backup_has_stays_there_and_a_copy_of_a_session_keeps_what_it_needs() {
    let world = two_sessions();
    world.limn(&["fork", "last"]).succeeds();
    let original = world.home().session_ids().unwrap()[1].to_string();
    let copy = world.path("copy");
    world.limn(&["store", "backup", copy.to_str().unwrap()]).succeeds();
    world.limn(&["rm", &original]).succeeds();
    // The fork is a recording of its own: what it was given is its own.
    assert!(!traces(&world, NEEDLE).is_empty());
    world.assert_sound();
    world.limn(&["rewind", "last", "--to", "1", "--files", "--overwrite"]).succeeds();
    assert!(!world.path("work").join(format!("{NEEDLE}.txt")).exists());
    world.limn(&["rm", "last"]).succeeds();
    assert_eq!(traces(&world, NEEDLE), [""; 0]);
    let mut command = world.command(&["show", &original]);
    command.env("LIMN_HOME", &copy);
    assert!(run(command).succeeds().stdout.contains(NEEDLE), "the copy is the user's own");
}

#[test]
fn no_key_of_the_environment_is_ever_recorded() {
    let world = World::new();
    let echo = format!(r#"{{"error": {{"message": "The key {KEY} is busy"}}}}"#);
    let server = server([
        Reply::status(429, &[("retry-after", "0")], echo),
        shell("env; cat /proc/self/environ; echo done"),
        Reply::text("Done."),
    ]);
    let secrets = [
        ("OPENAI_API_KEY", KEY),
        ("AWS_SECRET_ACCESS_KEY", "needle-of-aws-1234"),
        ("GITHUB_TOKEN", "ghp_needleofgithub1234"),
        ("DATABASE_URL", "postgres://me:needle-of-postgres@db/x"),
        ("INNOCENT", "hf_needleofhuggingface"),
    ];
    let mut command = world.command(&["exec", "--model", "m", "--sandbox", "off", "go"]);
    command.envs(secrets).env("OPENAI_BASE_URL", server.url());
    let ran = run(command).succeeds();
    let sent = server.requests();
    assert!(sent.iter().all(|it| it.header("authorization") == Some(&format!("Bearer {KEY}"))));
    assert!(!traces(&world, "PATH=").is_empty(), "the environment of commands was printed");
    for (name, secret) in secrets {
        assert_eq!(traces(&world, secret), [""; 0], "{name}");
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{name}");
    }
    assert_eq!(traces(&world, "Bearer"), [""; 0]);
    assert_eq!(traces(&world, "uthorization"), [""; 0]);
    world.assert_sound();
}

#[test]
fn everything_in_the_data_folder_is_its_owner_s_alone() {
    let world = two_sessions();
    fs::remove_dir_all(world.data()).unwrap();
    let server = server([shell("echo a > a; sleep 1000"), Reply::text("Done.")]);
    // A umask that closes nothing, and a session that is open while it is looked at.
    let program = world.exec_command(&server.url(), &["--timeout", "600", "go"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 000 && exec \"$0\" \"$@\""]).arg(program.get_program());
    command.args(program.get_args()).env_clear().current_dir(world.workspace());
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !world.path("work/a").exists() {
        assert!(began.elapsed() < crate::world::PATIENCE, "the command never came");
        std::thread::yield_now();
    }
    let looked_at = |ending: &str| {
        let mut seen = 0;
        for (path, mode) in modes(&world.data()) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{}", path.display());
            seen += usize::from(path.to_string_lossy().ends_with(ending));
        }
        assert!(seen > 0, "nothing ends with {ending}");
    };
    looked_at(".db-wal");
    looked_at(".db-shm");
    crate::world::kill(&mut child);
    world.limn(&["sessions", "--search", "echo"]).succeeds();
    looked_at("limn.db");
    // Not even where somebody opened it to all meanwhile.
    for (path, mode) in modes(&world.data()) {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o077)).unwrap();
    }
    world.exec(&server.url(), &["--resume", "last", "on"]).succeeds();
    let open = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o077;
    assert_eq!(open(&world.data()), 0, "nobody else gets into the folder");
}

/// Everything below a folder, itself included, and its permissions.
fn modes(folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    let mut all = vec![(folder.to_owned(), mode(folder))];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(modes(&path));
        } else {
            let mode = mode(&path);
            all.push((path, mode));
        }
    }
    all
}
