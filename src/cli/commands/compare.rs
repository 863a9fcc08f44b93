//! `limn compare`: two models, the same tasks, and what each of them did.
//!
//! Every session runs through the same machinery as `limn exec`, in a throw-away copy of the
//! workspace as it was when the comparison began, and is recorded like any other. What goes wrong
//! with one of them is a result. What came of each is kept as it comes, so that whoever is stopped
//! goes on where that was.

mod columns;
mod outcome;
mod queries;
mod results;
mod session;
mod summary;
mod work;

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use workspace::{Hash, Pin, Policy, Workspace};

use crate::args::{CompareArgs, RunArgs, SessionArgs};
use crate::commands::checkpoint::NEVER;
use crate::error::{CliError, CliResult, Exit};
use crate::local;
use crate::print::{Out, safe_line};
use crate::settings::{self, Endpoint, Settings};
use crate::store::Store;

use columns::{Column, head, side_by_side};
use outcome::{Key, Outcome, Side};
use queries::Query;
use results::Results;
use session::Job;
use summary::Summary;
use work::work;

/// How wide what is not a terminal is.
const COLUMNS_ELSEWHERE: usize = 120;

pub(crate) fn run(args: &CompareArgs) -> CliResult {
    let [a, b] = [&args.a, &args.b].map(|name| local::or_path(name));
    let args = &CompareArgs { a, b, ..args.clone() };
    let queries = queries::read(args)?;
    refuse_wrong(args, &queries)?;
    let mut results = Results::open(args.out.as_deref())?;
    let starts = starts(&queries)?;
    let all = jobs(args, &queries, &starts);
    let mut left = Vec::new();
    for job in all {
        match results.get(&job.key) {
            Some(known)
                if known.task != job.task || Some(&known.model) != job.run.model.as_ref() =>
            {
                return Err(CliError::usage(format!(
                    "What is in --out came of another task {:?}, or of another workspace, model or \
                     flag. Name another folder.",
                    job.key.query
                )));
            }
            // A model that was not reached then may be now.
            Some(known) if known.reached => {}
            _ => left.push(job),
        }
    }
    // They are in no recording before a session of theirs begins.
    let _pin = Pin::hold(&settings::home()?, left.iter().filter_map(|job| job.tree))?;
    let ended = work(args.jobs, &left, &mut results)?;
    let mut out = Out::new();
    let summary = tell(args, &queries, &results, &mut out);
    out.flush();
    Ok(match ended {
        Exit::Completed if summary.is_one_unreachable() => Exit::ModelUnreachable,
        ended => ended,
    })
}

/// A name that is no model, a workspace whose file nobody has trusted, and a key that would go to a
/// server it was not named for, are said before anything runs.
fn refuse_wrong(args: &CompareArgs, queries: &[Query]) -> Result<(), CliError> {
    let empty = tempfile::tempdir();
    let empty = empty.map_err(|error| session::no_scratch(&error))?;
    let folders: HashSet<&Path> =
        queries.iter().map(|query| query.workspace.as_deref().unwrap_or(empty.path())).collect();
    // The server that the key of one model is for, or that of both, where it is said once.
    let mut servers: HashMap<Option<Side>, Endpoint> = HashMap::new();
    for (folder, side) in folders.iter().flat_map(|folder| Side::BOTH.map(|side| (folder, side))) {
        let run = args.run_of(side == Side::A);
        let run = RunArgs { workspace: Some(folder.to_path_buf()), ..run };
        let settings = Settings::resolve(&run)?;
        refuse_mixed(side, &run, &settings)?;
        let endpoint = settings.endpoint().filter(|_| run.api_key_env.is_some());
        let Some(endpoint) = endpoint else { continue };
        let whose = args.run.api_key_env.is_none().then_some(side);
        let known = servers.entry(whose).or_insert_with(|| endpoint.clone());
        if !known.shares_server_with(endpoint) {
            return Err(CliError::usage(format!(
                "One key is named, and two servers would be sent it: {} and {}. Say whose it is \
                 with --api-key-env-a or --api-key-env-b, or compare the tasks of one server at a \
                 time.",
                safe_line(&known.provider.base_url),
                safe_line(&endpoint.provider.base_url)
            )));
        }
    }
    Ok(())
}

/// What is said of a server is not said to one that limn starts itself.
fn refuse_mixed(side: Side, run: &RunArgs, settings: &Settings) -> Result<(), CliError> {
    let Some((flag, model)) = settings::said_in_vain(run, settings) else { return Ok(()) };
    let other = if side == Side::A { "b" } else { "a" };
    Err(CliError::usage(format!(
        "{flag} is about another server than that of {model}, which limn starts itself. Leave it \
         out, or say it of the other model: --base-url-{other}, --api-key-env-{other}."
    )))
}

/// A workspace as it was when the comparison began.
struct Start {
    tree: Hash,
    /// The same without times: what a task was done in.
    content: Hash,
}

/// Every workspace as it is now, once.
fn starts(queries: &[Query]) -> Result<HashMap<PathBuf, Start>, CliError> {
    let mut starts = HashMap::new();
    let store = Store::open()?;
    for folder in queries.iter().filter_map(|query| query.workspace.as_ref()) {
        if !starts.contains_key(folder) {
            let workspace = Workspace::open(folder, store.home.path(), Policy::default(), true)?;
            let taken = workspace.checkpoint(&NEVER)?;
            let start = Start { tree: taken.tree, content: taken.manifest.content };
            starts.insert(folder.clone(), start);
        }
    }
    Ok(starts)
}

/// Every session there is to be: task by task, and each task by both models in turn, unless both are
/// of this machine, which has the memory of one: then the second begins when the first has done all.
fn jobs<'a>(
    args: &CompareArgs,
    queries: &'a [Query],
    starts: &HashMap<PathBuf, Start>,
) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for query in queries {
        for repeat in 1..=args.repeat {
            for side in Side::BOTH {
                let run = args.run_of(side == Side::A);
                let start = query.workspace.as_ref().and_then(|folder| starts.get(folder));
                jobs.push(Job {
                    key: Key { query: query.id.clone(), repeat, side },
                    query,
                    tree: start.map(|start| start.tree),
                    task: task(query, start.map(|start| start.content), &run),
                    run,
                    private: args.private,
                });
            }
        }
    }
    if [&args.a, &args.b].iter().all(|name| name.starts_with(local::PREFIX)) {
        jobs.sort_by_key(|job| job.key.side == Side::B);
    }
    jobs
}

/// A digest over a task, what it is done in, and how it is run: all that can be said of a session,
/// but for whether it waits for the disk.
fn task(query: &Query, content: Option<Hash>, run: &RunArgs) -> String {
    let how = SessionArgs { no_fsync: false, ..run.session.clone() };
    // As it is printed to find faults: so no flag is forgotten, and no path is too odd.
    let said = format!("{query:?} {content:?} {:?} {how:?}", run.base_url);
    blake3::hash(said.as_bytes()).to_hex().to_string()
}

/// Prints what came of it all, as far as it is known.
fn tell(args: &CompareArgs, queries: &[Query], results: &Results, out: &mut Out) -> Summary {
    let mut pairs = Vec::new();
    for query in queries {
        for repeat in 1..=args.repeat {
            let key = |side| Key { query: query.id.clone(), repeat, side };
            let both = Side::BOTH.map(|side| results.get(&key(side)));
            if args.json {
                let objects = both.iter().flatten().map(|outcome| to_json(outcome, query));
                objects.for_each(|object| out.json(&object));
            } else if both.iter().any(Option::is_some) {
                show(args, query, repeat, both, out);
            }
            if let [Some(a), Some(b)] = both {
                pairs.push((query.check.is_some(), [a, b]));
            }
        }
    }
    let summary = Summary::of([&args.a, &args.b], pairs.into_iter());
    if args.json {
        out.json(&summary.to_json());
    } else {
        summary.lines().iter().for_each(|line| out.line(line));
    }
    summary
}

fn show(
    args: &CompareArgs,
    query: &Query,
    repeat: u32,
    both: [Option<&Outcome>; 2],
    out: &mut Out,
) {
    let again =
        if args.repeat > 1 { format!(" ({repeat} of {})", args.repeat) } else { String::new() };
    let title = crate::print::headline(&query.prompt, 60);
    out.line(&format!("══ {}{again}: {title}", safe_line(&query.id)));
    let has_check = query.check.is_some();
    let models = [&args.a, &args.b];
    let columns = [0, 1].map(|place: usize| Column {
        head: head(Side::BOTH[place].letter(), models[place]),
        outcome: both[place],
        has_check,
    });
    side_by_side(&columns, width()).iter().for_each(|line| out.line(line));
}

fn to_json(outcome: &Outcome, query: &Query) -> Value {
    let mut object = json!({
        "type": "run",
        "done": outcome.is_done(query.check.is_some()),
    });
    if let (Some(object), Ok(Value::Object(fields))) =
        (object.as_object_mut(), serde_json::to_value(outcome))
    {
        object.extend(fields);
    }
    object
}

/// How wide the terminal is.
fn width() -> usize {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return COLUMNS_ELSEWHERE;
    }
    let size = rustix::termios::tcgetwinsize(stdout);
    size.map_or(COLUMNS_ELSEWHERE, |size| usize::from(size.ws_col))
}
