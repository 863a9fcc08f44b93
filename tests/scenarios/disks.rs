//! Disks that fill up or go read-only in mid-session, and data folders with things in them that are
//! not limn's, or no longer whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use mock_server::Reply;
use rusqlite::Connection;

use crate::faults::check;
use crate::world::{World, files, say_skipped, server, shell};

/// Runs a command as root may; false where it may not.
fn may(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A disk of its own below a folder, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None, said, where this machine lets nobody mount; CI has to.
    fn mounted(at: &Path, arguments: &[&str]) -> Option<Self> {
        let place = at.to_str().unwrap();
        if may("mount", &[arguments, &[place]].concat()) {
            return Some(Self(at.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "CI cannot skip this: nothing can be mounted");
        say_skipped("a disk of its own: nothing can be mounted here");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        may("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_disk_that_fills_up_costs_nothing_that_was_acknowledged() {
    let world = World::new();
    let size = ["-t", "tmpfs", "-o", "size=2m,mode=700", "none"];
    let Some(_disk) = Disk::mounted(&world.data(), &size) else { return };
    let noise = "head -c 4000000 /dev/urandom | base64; echo effect >>effects.txt";
    let server = server([
        Reply::text("Fine."),
        shell(noise),
        shell("touch too-late"),
        Reply::text("There is room again."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    let run = world.exec(&server.url(), &["--json", "--resume", "last", "second"]);
    let run = run.exits(4).says(&["space", "resume"]);
    assert!(!world.workspace().join("too-late").exists());
    let acknowledged: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    assert!(acknowledged.iter().any(|line| line.contains("tool_started")), "{acknowledged:?}");
    assert!(may("mount", &["-o", "remount,size=64m", world.data().to_str().unwrap()]));
    check(&world, &acknowledged);
    world.exec(&server.url(), &["--resume", "last", "third"]).succeeds();
    world.assert_sound();
}

/// A real disk whose file system finds itself damaged, and lets nobody write any more.
#[test]
fn a_disk_that_goes_read_only_stops_the_session_and_keeps_what_was_waited_for() {
    let world = World::new();
    let (image, data) = (world.path("disk.img"), world.data());
    let (image, place) = (image.to_str().unwrap(), data.to_str().unwrap());
    fs::write(image, vec![0; 24 << 20]).unwrap();
    let mount = ["-o", "loop,errors=remount-ro", image];
    let can = may("mkfs.ext4", &["-q", image]);
    let Some(disk) = can.then(|| Disk::mounted(&data, &mount)).flatten() else {
        say_skipped("a disk that goes read-only: none of ext4 can be made here");
        return;
    };
    // A data folder holds nothing else.
    fs::remove_dir(data.join("lost+found")).unwrap();
    let fault = format!("mount -o remount,abort {place} && echo effect >>effects.txt");
    let server = server([shell(&fault), shell("touch too-late"), Reply::text("Whole again.")]);
    let run = world.exec(&server.url(), &["--json", "go"]).exits(4).says(&["resume"]);
    assert!(world.workspace().join("effects.txt").exists(), "the command ran");
    assert!(!world.workspace().join("too-late").exists());
    // What is there can be looked at; nothing can be begun.
    world.exec(&server.url(), &["begin"]).exits(4).says(&["LIMN_HOME"]);
    drop(disk);
    // As after the repair of any disk: what was not on it is gone. What ran is on record.
    may("e2fsck", &["-fy", image]);
    let _disk = Disk::mounted(&data, &mount).unwrap();
    let waited_for = run.stdout.lines().take_while(|line| !line.contains("tool_started")).count();
    let acknowledged: Vec<String> =
        run.stdout.lines().take(waited_for + 1).map(str::to_owned).collect();
    assert!(acknowledged.iter().any(|line| line.contains("tool_started")), "{acknowledged:?}");
    check(&world, &acknowledged);
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    world.assert_sound();
}

/// Tears a WAL that a killed process left, in one way or another.
#[test]
fn a_torn_wal_costs_its_end_and_nothing_else() {
    type Tear = fn(Vec<u8>) -> Vec<u8>;
    let tears: [Tear; 3] = [
        |wal| wal[..wal.len() * 2 / 3].to_vec(),
        |wal| [wal, b"not a page of anything".repeat(700)].concat(),
        |mut wal| {
            let middle = wal.len() / 2;
            wal[middle] ^= 0x10;
            wal
        },
    ];
    for (number, tear) in tears.into_iter().enumerate() {
        let world = World::new();
        let server = server([shell("echo one"), Reply::new().hang_after(0), Reply::text("On.")]);
        let mut command = world.exec_command(&server.url(), &["go"]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(2, crate::world::PATIENCE));
        crate::world::kill(&mut child);
        // Whoever opens the recording tidies up: it is looked for by its name.
        let mut left = files(&world.path("data/sessions")).into_iter();
        let wal = left.find(|path| path.to_string_lossy().ends_with(".db-wal")).unwrap();
        let whole = fs::read(&wal).unwrap();
        fs::write(&wal, tear(whole)).unwrap();
        world.assert_sound();
        let shown = world.limn(&["show", "last"]).succeeds().stdout;
        assert!(shown.contains("interrupted"), "tear {number}: {shown}");
        world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
        world.assert_sound();
    }
}

/// What lies in a folder: paths, and the bytes of what is a file.
fn inventory(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            all.extend(inventory(&path));
        }
        let bytes = if kind.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.push((path, bytes));
    }
    all.sort();
    all
}

#[test]
fn what_is_not_limns_or_not_whole_is_named_and_left_alone() {
    let world = World::new();
    let server = server([Reply::text("one"), Reply::text("two"), Reply::text("three")]);
    world.exec(&server.url(), &["first"]).succeeds();
    world.exec(&server.url(), &["second"]).succeeds();
    let home = world.home();
    let whole = home.session_ids().unwrap();
    let sessions = home.sessions();
    let named = |number: u32| sessions.join(format!("01990000-0000-7000-8000-{number:012}.db"));
    let recording = fs::read(home.session_file(whole[0])).unwrap();
    fs::write(named(1), &recording[..recording.len() / 3]).unwrap();
    fs::write(named(2), &recording).unwrap();
    fs::write(named(3), b"SQLite format 3\0 and then nothing like it").unwrap();
    Connection::open(named(4)).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    fs::create_dir(named(5)).unwrap();
    assert!(may("mkfifo", &[named(6).to_str().unwrap()]));
    symlink("nowhere", named(7)).unwrap();
    fs::create_dir(sessions.join("old")).unwrap();
    for stranger in ["notes.txt", "old/more.txt", "last.db"] {
        fs::write(sessions.join(stranger), b"mine").unwrap();
    }
    let strange = |(path, _): &(PathBuf, Vec<u8>)| {
        let name = path.to_string_lossy();
        !whole.iter().any(|id| name.contains(&id.to_string())) && !name.contains(".lock")
    };
    let before: Vec<_> = inventory(&sessions).into_iter().filter(strange).collect();

    let doctor = world.limn(&["doctor", "--store"]).exits(1).stdout;
    for number in 1..=6 {
        let name = named(number);
        let id = name.file_stem().unwrap().to_str().unwrap();
        let told = doctor.lines().find(|line| line.contains(id)).unwrap_or_default();
        assert!(told.starts_with("FAIL"), "{id}: {doctor}");
    }
    for stranger in ["notes.txt", "old", "last.db"] {
        let place = sessions.join(stranger).display().to_string();
        assert!(doctor.contains(&format!("{place} is none of limn's")), "{doctor}");
    }
    for id in &whole {
        let name = format!("session {id}");
        assert!(doctor.lines().any(|line| line.starts_with("ok") && line.contains(&name)));
        world.limn(&["show", &id.to_string()]).succeeds();
    }
    let listed = world.limn(&["sessions", "--json"]).succeeds();
    assert!(listed.stdout.contains("\"first\"") && listed.stdout.contains("\"second\""));
    let found = world.limn(&["sessions", "--search", "second"]).succeeds();
    assert!(found.stdout.contains("second"));
    world.limn(&["store", "stats"]).succeeds();
    world.limn(&["store", "rebuild"]).succeeds();
    let copy = world.path("copy");
    world.limn(&["store", "backup", copy.to_str().unwrap()]).exits(1).says(&["left out"]);
    for id in &whole {
        assert!(copy.join("sessions").join(format!("{id}.db")).exists());
    }
    let out = world.path("out");
    let export = ["export", "--format", "messages", "--status", "all", "--out"];
    world.limn(&[&export[..], &[out.to_str().unwrap()]].concat()).succeeds();
    assert_eq!(fs::read_to_string(out.join("messages.jsonl")).unwrap().lines().count(), 2);
    let last = whole.last().unwrap().to_string();
    world.exec(&server.url(), &["--resume", &last, "third"]).succeeds();
    let after: Vec<_> = inventory(&sessions).into_iter().filter(strange).collect();
    let paths = |all: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        all.iter().map(|(path, _)| path.clone()).collect()
    };
    assert_eq!(paths(&after), paths(&before));
    for (after, before) in after.iter().zip(&before) {
        assert!(after == before, "{} was touched", after.0.display());
    }
}

#[test]
fn a_library_that_is_damaged_is_named_and_no_recording_is_lost() {
    let world = World::new();
    let server = server([Reply::text("one"), Reply::text("two")]);
    world.exec(&server.url(), &["first"]).succeeds();
    let file = world.path("data/limn.db");
    let garbage = b"this was a library once ".repeat(500);
    fs::write(&file, &garbage).unwrap();
    let doctor = world.limn(&["doctor", "--store"]).exits(1).stdout;
    let told = doctor.lines().find(|line| line.contains("library")).unwrap_or_default();
    assert!(told.starts_with("FAIL") && told.contains("limn.db"), "{doctor}");
    assert!(world.limn(&["sessions"]).succeeds().stdout.contains("first"));
    world.limn(&["show", "last"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    world.limn(&["annotate", "last", "--outcome", "success"]).exits(1).says(&["limn.db"]);
    assert_eq!(fs::read(&file).unwrap(), garbage, "it is left for whoever can mend it");
    fs::remove_file(&file).unwrap();
    world.limn(&["annotate", "last", "--outcome", "success"]).succeeds();
    world.assert_sound();
    assert!(files(&world.data()).iter().any(|path| path.ends_with("limn.db")));
}
