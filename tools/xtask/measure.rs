//! Measuring: a program's time and memory, repetitions, and the machine they were taken on.
//!
//! The kernel counts what a process used, but tells it only to the process that waits for it, and
//! for all of its children together. So a measured program runs under a wrapper, this same binary
//! as `xtask measured REPORT PROGRAM ARG…`, which has no other child and writes down what it was
//! told. Sampling would miss whatever peaks between two looks; this does not.
//!
//! Nothing here passes or fails on a time: figures are for people.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::process::{output, program, target};

/// The hidden command under which measured programs run.
pub(crate) const WRAPPER: &str = "measured";

/// What one run of a program cost.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Child {
    /// From just before it was started until it was waited for.
    pub(crate) wall: Duration,
    /// User and system time, of its descendants too as far as they were waited for.
    pub(crate) cpu: Duration,
    /// The largest resident set of any one process among them. Never less than the wrapper's
    /// own few megabytes: the kernel counts what a process was before it became another.
    pub(crate) peak_rss_bytes: u64,
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
}

impl Child {
    fn to_report(&self) -> String {
        let Self { wall, cpu, peak_rss_bytes, code } = self;
        let code = code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
        format!("{} {} {peak_rss_bytes} {code}", wall.as_nanos(), cpu.as_nanos())
    }

    fn from_report(text: &str) -> Result<Self> {
        let [wall, cpu, rss, code] = text.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("the report of a measured program is not four words: `{text}`");
        };
        Ok(Self {
            wall: Duration::from_nanos(wall.parse()?),
            cpu: Duration::from_nanos(cpu.parse()?),
            peak_rss_bytes: rss.parse()?,
            code: if code == "signal" { None } else { Some(code.parse()?) },
        })
    }
}

/// One measured run, prepared: give [`Probe::command`] its arguments, environment and pipes.
pub(crate) struct Probe {
    command: Command,
    report: PathBuf,
}

impl Probe {
    /// A run of this program; a relative path counts from the root of the workspace.
    pub(crate) fn new(measured: &Path) -> Result<Self> {
        let folder = target().join("measure");
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} could not be created", folder.display()))?;
        let report = folder.join(format!("report-{}", std::process::id()));
        let wrapper = std::env::current_exe().context("this program cannot find itself")?;
        let mut command = program(&wrapper.to_string_lossy(), &[WRAPPER]);
        command.arg(&report).arg(measured);
        Ok(Self { command, report })
    }

    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end. How it ended is for the caller to judge.
    pub(crate) fn run(mut self) -> Result<Child> {
        let status = self.command.status().context("the wrapper could not be started")?;
        if !status.success() {
            bail!("the wrapper of a measured program failed ({status})");
        }
        let text = fs::read_to_string(&self.report)
            .with_context(|| format!("no report at {}", self.report.display()))?;
        let _ = fs::remove_file(&self.report);
        Child::from_report(&text)
    }
}

/// The wrapper's side of [`Probe`].
pub(crate) fn wrapper(args: &[String]) -> Result<()> {
    let [report, measured, rest @ ..] = args else {
        bail!("{WRAPPER} takes a report file, a program and its arguments");
    };
    let started = Instant::now();
    let status = Command::new(measured)
        .args(rest)
        .status()
        .with_context(|| format!("{measured} could not be started"))?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the kernel tells no usage")?;
    let child = Child {
        wall,
        cpu: duration(usage.user_time()) + duration(usage.system_time()),
        peak_rss_bytes: rss_bytes(usage.max_rss()),
        code: status.code(),
    };
    fs::write(report, child.to_report()).with_context(|| format!("{report} cannot be written"))
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(time.tv_usec().unsigned_abs())
}

/// Linux counts in kibibytes, macOS in bytes.
fn rss_bytes(counted: i64) -> u64 {
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    counted.unsigned_abs() * unit
}

/// One quantity, measured again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => self.0[count / 2],
            count => f64::midpoint(self.0[count / 2 - 1], self.0[count / 2]),
        }
    }

    /// The value that 95 of 100 do not exceed; with few samples that is the largest.
    pub(crate) fn p95(&self) -> f64 {
        self.percentile(95)
    }

    /// The value that so many of 100 do not exceed.
    pub(crate) fn percentile(&self, of_100: usize) -> f64 {
        let rank = (self.0.len() * of_100).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

/// Does it once to warm up, then so many times for keeps.
pub(crate) fn repeat<T>(times: usize, mut once: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    once()?;
    (0..times).map(|_| once()).collect()
}

/// How long one small durable append takes here, in seconds: 256 bytes, then `fdatasync`.
pub(crate) fn fsync_seconds(folder: &Path, times: usize) -> Result<Samples> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("fsync-{}", std::process::id()));
    let mut file = fs::File::create(&path)
        .with_context(|| format!("{} could not be created", path.display()))?;
    let durations = repeat(times, || {
        let started = Instant::now();
        file.write_all(&[b'x'; 256])?;
        file.sync_data()?;
        Ok(started.elapsed().as_secs_f64())
    });
    let _ = fs::remove_file(&path);
    Ok(Samples::of(durations?))
}

/// What one must know of the machine to compare figures; what cannot be told is `unknown`.
pub(crate) fn environment(folder: &Path) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let tool = |name: &str, args: &[&str]| output(&mut program(name, args)).ok();
    let facts = [
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("cores", std::thread::available_parallelism().ok().map(|count| count.to_string())),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        ("kernel", tool("uname", &["-sr"])),
        ("file system", file_system(&read("/proc/self/mounts"), folder)),
        ("compiler", tool("rustc", &["--version"])),
        ("commit", tool("git", &["describe", "--always", "--dirty"])),
    ];
    let known = |fact: Option<String>| fact.map_or("unknown".to_owned(), |it| it.trim().to_owned());
    facts.into_iter().map(|(name, fact)| (name, known(fact))).collect()
}

/// The type of the file system that a folder lies on: the longest mount point that leads to it.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounted.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Child, Samples, file_system, fsync_seconds, repeat, wrapper};

    #[test]
    fn a_wrapped_program_is_reported_with_its_exit_code() {
        let report = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let args = [&report.to_string_lossy(), "sh", "-c", "exit 3"].map(ToString::to_string);
        wrapper(&args).unwrap();
        let child = Child::from_report(&std::fs::read_to_string(&report).unwrap()).unwrap();
        std::fs::remove_file(&report).unwrap();
        assert_eq!(child.code, Some(3));
        assert!(child.peak_rss_bytes > 100_000, "{child:?}");
        assert!(child.wall > Duration::ZERO, "{child:?}");
    }

    #[test]
    fn reports_are_read_as_they_are_written() {
        let child = Child {
            wall: Duration::from_nanos(17),
            cpu: Duration::from_micros(5),
            peak_rss_bytes: 4096,
            code: None,
        };
        assert_eq!(Child::from_report(&child.to_report()).unwrap(), child);
        assert!(Child::from_report("1 2 3").is_err());
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(Samples::of([3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples::of([4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(Samples::of((1..=100).map(f64::from)).p95(), 95.0);
        assert_eq!(Samples::of([7.0]).p95(), 7.0);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn a_repetition_warms_up_once() {
        let mut runs = 0;
        let kept = repeat(3, || {
            runs += 1;
            Ok(runs)
        });
        assert_eq!(kept.unwrap(), [2, 3, 4]);
    }

    #[test]
    fn durable_appends_are_timed() {
        assert!(fsync_seconds(&std::env::temp_dir(), 2).unwrap().median() > 0.0);
    }

    #[test]
    fn the_longest_mount_point_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")).unwrap(), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home")).unwrap(), "ext4");
    }
}
