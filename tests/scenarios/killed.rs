//! Killed while something larger is under way: a migration, a checkpoint, an export, a restore.
//! `cargo xtask soak` does the same thousands of times.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mock_server::{MockServer, Reply, Scenario};
use rusqlite::Connection;

use crate::world::{PATIENCE, World, copy_folder, files, kill, server, shell};

/// How often each is killed. The moments are spread over what it takes when nobody kills it.
const KILLS: u32 = 4;

/// The same moments each time (xorshift).
struct Moments(u64);

impl Moments {
    /// A moment of the n-th of [`KILLS`] parts of a time.
    fn within(&mut self, whole: Duration, part: u32) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let share = (self.0 >> 40) as f64 / f64::from(1 << 24);
        whole.mul_f64((f64::from(part) + share) / f64::from(KILLS))
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn spawned(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Not to wait for anything: to be killed at no particular moment.
fn kill_after(child: &mut Child, moment: Duration) {
    std::thread::park_timeout(moment);
    kill(child);
}

/// A recording with some megabytes of output in it, and a server for what comes next.
fn large(world: &World) -> MockServer {
    let replies = [shell("head -c 3000000 /dev/urandom | base64"), Reply::text("Done.")];
    let later = (0..KILLS + 1).map(|_| Reply::text("And on."));
    let server = server(replies.into_iter().chain(later));
    world.exec(&server.url(), &["go"]).succeeds();
    server
}

/// Makes a recording one of the first format.
fn make_old(file: &Path) {
    let connection = Connection::open(file).unwrap();
    let old = include_str!("../../src/record/fixtures/to-session-1.sql");
    connection.execute_batch(old).unwrap();
}

fn version_of(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn while_a_recording_is_brought_up_to_date() {
    let world = World::new();
    let server = large(&world);
    let file = world.home().session_file(world.home().find("last").unwrap());
    make_old(&file);
    let (old, events) = (fs::read(&file).unwrap(), world.events());
    let whole = timed(|| drop(world.limn(&["show", "last"]).succeeds()));
    let newest = version_of(&file);
    assert!(newest > 1);
    let backup = file.with_extension("v1.bak");
    let mut moments = Moments(0x4d16);
    for part in 0..KILLS {
        for name in ["v1.bak", "db-wal", "db-shm"] {
            let _ = fs::remove_file(file.with_extension(name));
        }
        fs::write(&file, &old).unwrap();
        let mut child = spawned(world.command(&["show", "last"]));
        kill_after(&mut child, moments.within(whole, part));
        let version = version_of(&file);
        assert!(version == 1 || version == newest, "half of it: {version}");
        assert_eq!(world.events(), events, "it is read whichever it is");
        world.assert_sound();
        // Whoever opened it next has finished what was killed; nothing half made is left.
        world.limn(&["show", "last"]).succeeds();
        assert_eq!(version_of(&file), newest);
        assert_eq!(version_of(&backup), 1);
        let parts = files(&world.home().sessions());
        assert!(parts.iter().all(|path| !path.to_string_lossy().contains(".part")), "{parts:?}");
        world.exec(&server.url(), &["--resume", "last", "and on"]).succeeds();
        assert_eq!(world.events()[..events.len()], events);
        world.assert_sound();
    }
}

/// A workspace whose checkpoint takes a while.
fn fill(work: &Path) {
    for number in 0..600 {
        let folder = work.join(format!("folder{}", number % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), format!("{number}\n").repeat(700)).unwrap();
    }
}

/// Every file of a folder and its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> =
        files(folder).into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

/// The checkpoint of the workspace that is taken when a round begins, and those of SQLite that fold
/// in what a command prints.
#[test]
fn while_a_checkpoint_is_taken() {
    let round = || {
        MockServer::start(Scenario::generate(|number, _| match number {
            0 => shell("head -c 3000000 /dev/urandom | base64 | tee noise; rm -r folder3"),
            _ => Reply::text("Done."),
        }))
        .unwrap()
    };
    let world = World::new();
    fill(&world.workspace());
    let server = round();
    let whole = timed(|| drop(world.exec(&server.url(), &["go"]).succeeds()));
    let mut moments = Moments(0xc4ec);
    for part in 0..KILLS {
        let (world, server) = (World::new(), round());
        fill(&world.workspace());
        let before = contents(&world.workspace());
        let mut child = spawned(world.exec_command(&server.url(), &["go"]));
        assert!(server.wait_for_requests(1, PATIENCE));
        kill_after(&mut child, moments.within(whole, part));
        world.assert_sound();
        world.limn(&["store", "check"]).succeeds();
        world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
        world.assert_sound();
        // What was recorded of the files before the round brings them back.
        let rounds = world.limn(&["rewind", "last", "--json"]).succeeds().json_lines();
        if rounds[0]["tree"].is_string() {
            let back = ["rewind", "last", "--to", "1", "--files", "--overwrite"];
            world.limn(&back).succeeds();
            assert_eq!(contents(&world.workspace()), before);
        }
    }
}

#[test]
fn while_an_export_is_written() {
    let world = World::new();
    large(&world);
    let export = |out: &Path| {
        let out = out.to_str().unwrap().to_owned();
        world.command(&["export", "--format", "messages", "--status", "all", "--out", &out])
    };
    let whole_out = world.path("whole");
    let whole = timed(|| drop(crate::world::run(export(&whole_out)).succeeds()));
    let named = |folder: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let inside = |(path, bytes): (PathBuf, Vec<u8>)| {
            (path.strip_prefix(folder).unwrap().to_owned(), bytes)
        };
        contents(folder).into_iter().map(inside).collect()
    };
    let mut moments = Moments(0xe490);
    for part in 0..KILLS {
        let out = world.path(&format!("out{part}"));
        let mut child = spawned(export(&out));
        kill_after(&mut child, moments.within(whole, part));
        // It is there whole, or not at all.
        if !out.exists() {
            crate::world::run(export(&out)).succeeds();
        }
        assert_eq!(named(&out), named(&whole_out));
        world.assert_sound();
    }
}

#[test]
fn while_files_are_taken_back() {
    let world = World::new();
    fill(&world.workspace());
    let before = contents(&world.workspace());
    let change = "for f in folder1*/*.txt; do echo more >>$f; done; rm -r folder2 folder3; \
                  mkdir new; seq 100 >new/file";
    let server = server([shell(change), Reply::text("Done."), Reply::text("And on.")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let (data, work) = (world.data(), world.workspace());
    copy_folder(&data, &world.path("data-then"));
    copy_folder(&work, &world.path("work-then"));
    let back = ["rewind", "last", "--to", "1", "--files", "--overwrite"];
    let whole = timed(|| drop(world.limn(&back).succeeds()));
    let mut moments = Moments(0x4e57);
    for part in 0..KILLS {
        for (place, then) in [(&data, "data-then"), (&work, "work-then")] {
            fs::remove_dir_all(place).unwrap();
            copy_folder(&world.path(then), place);
        }
        let mut child = spawned(world.command(&back));
        kill_after(&mut child, moments.within(whole, part));
        world.assert_sound();
        // Whoever comes next finishes it; and once more is nothing more.
        world.limn(&back).succeeds();
        assert_eq!(contents(&work), before);
        world.limn(&["store", "check"]).succeeds();
    }
    world.exec(&server.url(), &["--resume", "last", "and on"]).succeeds();
    world.assert_sound();
}

/// A bundle on its way into a store, as far as it was let through.
struct Import {
    child: Child,
    pipe: fs::File,
}

impl Import {
    /// Begins, and waits until half of the lines are through and the import has a file of its own.
    fn halfway(into: &World, lines: &str) -> Self {
        let path = into.path("pipe");
        if !path.exists() {
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        }
        let child = spawned(into.command(&["import", "bundle", path.to_str().unwrap()]));
        let mut pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let half = lines.len() / 2;
        pipe.write_all(&lines.as_bytes()[..half]).unwrap();
        let began = Instant::now();
        while imports(into).is_empty() {
            assert!(began.elapsed() < PATIENCE, "the import never began");
            std::thread::yield_now();
        }
        Self { child, pipe }
    }
}

/// What imports have in the store.
fn imports(world: &World) -> Vec<PathBuf> {
    let mut found = files(&world.home().sessions());
    found.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(".import-") && name != ".import-lock"
    });
    found
}

#[test]
fn while_a_bundle_is_imported() {
    let (from, into) = (World::new(), World::new());
    let server = large(&from);
    from.limn(&["annotate", "last", "--outcome", "success"]).succeeds();
    let id = from.home().find("last").unwrap().to_string();
    let out = from.path("bundles");
    from.limn(&["export", "--format", "bundle", "--out", out.to_str().unwrap()]).succeeds();
    let packed = fs::read(out.join(format!("{id}.limn"))).unwrap();
    let lines = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    into.exec(&server.url(), &["mine"]).succeeds();
    let mine = into.home().find("last").unwrap().to_string();

    // One that goes on is nobody's to delete, and ends well.
    let mut import = Import::halfway(&into, &lines);
    let said = into.limn(&["doctor", "--store"]).stdout;
    assert!(!said.contains("was left by an import"), "{said}");
    into.limn(&["store", "gc"]).succeeds();
    assert_eq!(imports(&into).len(), 1);
    import.pipe.write_all(&lines.as_bytes()[lines.len() / 2..]).unwrap();
    drop(import.pipe);
    assert!(import.child.wait().unwrap().success());
    assert!(imports(&into).is_empty());

    // Of one that was killed something is left: it is named, counts for nothing, and goes.
    into.limn(&["rm", &id]).succeeds();
    let killed = |into: &World| {
        kill(&mut Import::halfway(into, &lines).child);
        assert_eq!(imports(into).len(), 1);
        into.assert_sound();
        let said = into.limn(&["doctor", "--store"]).stdout;
        assert!(said.contains("was left by an import that was killed"), "{said}");
        assert_eq!(into.home().session_ids().unwrap().len(), 1);
    };
    killed(&into);
    let told = into.limn(&["store", "gc", "--json"]).succeeds().json_lines();
    assert_eq!((&told[0]["imports_removed"], imports(&into).len()), (&1.into(), 0));
    killed(&into);
    into.limn(&["import", "bundle", out.join(format!("{id}.limn")).to_str().unwrap()]).succeeds();
    assert!(imports(&into).is_empty(), "whoever imports next tidies up");
    into.limn(&["rm", &id]).succeeds();
    killed(&into);
    into.limn(&["rm", &mine]).succeeds().says(&["removed what killed imports had left: 1 files"]);
    assert!(imports(&into).is_empty());
}
