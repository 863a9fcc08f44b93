//! Attempts that need limn itself: its environment, its file tools, the terminal it runs in.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use mock_server::{MockServer, Reply, Scenario};
use sandbox::Tier;
use serde_json::json;

use crate::world::{World, run, say_skipped, server, shell};

const SECRET: &str = "decoy-secret-of-the-environment";

/// The tiers of this machine, as limn itself finds them, and none.
fn modes() -> Vec<Option<Tier>> {
    let works = |tier: &Tier| {
        let world = World::new();
        let server = server([shell("echo it-$((40+2))"), Reply::text("Done.")]);
        run(exec(&world, &server, Some(*tier)));
        let works = world.shown().iter().any(|shown| shown.contains("it-42"));
        if !works {
            say_skipped(&format!("attempts on limn as a whole in the tier {tier}"));
        }
        works
    };
    Tier::ISOLATING.into_iter().filter(works).map(Some).chain([None]).collect()
}

fn exec(world: &World, server: &MockServer, mode: Option<Tier>) -> Command {
    let url = server.url();
    let sandbox = if mode.is_some() { "auto" } else { "off" };
    let mut command = world.exec_command(&url, &["--sandbox", sandbox, "go"]);
    if let Some(tier) = mode {
        command.env("LIMN_SANDBOX_TIER", tier.as_str());
    }
    command
}

#[test]
fn escape_5_secrets_of_the_environment_stay_outside() {
    let look =
        "env; cat /proc/[0-9]*/environ 2>&1 | tr '\\0' '\\n' | grep -a decoy-secret; echo looked";
    for mode in modes() {
        let world = World::new();
        let server = server([shell(look), Reply::text("Done.")]);
        let mut command = exec(&world, &server, mode);
        for name in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "SSH_AUTH_SOCK"] {
            command.env(name, SECRET);
        }
        run(command).succeeds();
        let shown = world.shown().concat();
        assert!(shown.contains("looked"), "{mode:?}: {shown}");
        // Without a sandbox the command's own environment is as clean, and limn's can be read.
        assert_eq!(shown.contains(SECRET), mode.is_none(), "{mode:?}: {shown}");
    }
}

/// Swaps a folder and a link that leads out, as fast as it can.
const SWAP: &str = "
import ctypes, os
libc = ctypes.CDLL(None)
while True:
    libc.renameat2(-100, b'slot', -100, b'link', 2)
";

/// A workspace in which `slot` is a folder one moment and a link to `home/outside` the next.
struct Race {
    world: World,
    swapping: Child,
}

impl Race {
    fn new() -> Self {
        let world = World::new();
        world.write("home/outside/file", "untouched");
        world.write("work/slot/file", "inside");
        symlink(world.path("home/outside"), world.path("work/link")).unwrap();
        let swapping = Command::new("python3")
            .args(["-I", "-c", SWAP])
            .current_dir(world.workspace())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { world, swapping }
    }

    fn got_out(&self) -> bool {
        fs::read_to_string(self.world.path("home/outside/file")).unwrap() != "untouched"
            || fs::read_dir(self.world.path("home/outside")).unwrap().count() > 1
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        let _ = self.swapping.kill();
        let _ = self.swapping.wait();
    }
}

#[test]
fn escape_54_a_file_tool_loses_no_race_against_a_link() {
    // Whoever writes by name loses it soon, which shows that there is one.
    let race = Race::new();
    while !race.got_out() {
        let _ = fs::write(race.world.path("work/slot/file"), "outside");
    }
    drop(race);
    const WRITES: usize = 60;
    let race = Race::new();
    let server = MockServer::start(Scenario::generate(|number, _| match number {
        WRITES.. => Reply::text("Done."),
        _ => {
            let path = format!("slot/{}", if number % 2 == 0 { "file" } else { "new" });
            let arguments = json!({"path": path, "content": format!("outside {number}\n")});
            Reply::new().call("write", &arguments.to_string())
        }
    }))
    .unwrap();
    run(exec(&race.world, &server, None)).succeeds();
    assert_eq!(race.world.shown().len(), WRITES);
    assert!(!race.got_out());
}

#[test]
fn escape_55_a_flood_of_output_is_bounded() {
    for mode in modes() {
        let world = World::new();
        let flood = "head -c 30000000 /dev/zero | tr '\\0' 'x' | fold; echo the end";
        let server = server([shell(flood), Reply::text("Done.")]);
        run(exec(&world, &server, mode)).succeeds();
        let shown = world.shown().concat();
        assert!(shown.contains("the end") && shown.len() < 200_000, "{mode:?}: {}", shown.len());
        // Nor does the model's next request carry more.
        let asked = server.requests().last().unwrap().json().to_string();
        assert!(asked.len() < 400_000, "{mode:?}: {}", asked.len());
    }
}

#[test]
fn escape_56_orders_to_a_terminal_do_not_reach_the_user_s() {
    let orders = "printf '\\033]52;c;bGltbg==\\007\\033]0;planted-title\\007\\033P+q544e\\033\\\\\\033[6n after'";
    let traces = ["\u{1b}]52", "\u{1b}]0;planted", "\u{1b}P", "\u{1b}[6n"];
    // A terminal that runs the command itself gets them all.
    let world = World::new();
    let (seen, _) = on_terminal(&world, orders);
    assert!(traces.iter().all(|trace| seen.contains(trace)), "{seen:?}");
    for mode in modes() {
        let world = World::new();
        let server = server([shell(orders), Reply::text("Done.")]);
        let command = exec(&world, &server, mode);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let mut line = String::new();
        if let Some(tier) = mode {
            line += &format!("LIMN_SANDBOX_TIER={tier} ");
        }
        line += &words.map(|word| format!("'{}' ", word.to_str().unwrap())).collect::<String>();
        let (seen, _) = on_terminal(&world, &line);
        assert!(world.shown().concat().contains("after"), "{mode:?}: {seen}");
        assert!(!traces.iter().any(|trace| seen.contains(trace)), "{mode:?}: {seen:?}");
    }
}

/// Runs a line of the shell on a terminal; what the terminal got.
fn on_terminal(world: &World, line: &str) -> (String, i32) {
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", world.path("home"))
        .env("LIMN_HOME", world.data())
        .env("TERM", "xterm-256color")
        .current_dir(world.workspace())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
}
