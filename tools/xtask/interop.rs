//! `cargo xtask interop`: what limn exports, read by the packages it is exported for.
//!
//! The packages are from PyPI, in an environment of their own below the target folder, made once.
//! Tests do without them: this is for whoever changes a format, or one of the versions below.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use crate::process::{cargo, program, root, run as run_command, target};

pub(crate) const HELP: &str = "\
Usage: cargo xtask interop

Records a few sessions on a scripted model, exports them in every format, and reads them with
transformers, datasets and atif: the same rows, ids and masks. Needs Python 3.11 and, the first
time, PyPI.";

/// With `transformers`, `jinja2` and `tokenizers` as in `src/chat/fixtures/make.py`.
const PACKAGES: [&str; 5] = [
    "transformers==5.24.0",
    "jinja2==3.1.6",
    "tokenizers==0.23.3",
    "datasets==5.2.0",
    "atif==1.8.0",
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        return Err(crate::Usage("interop takes no arguments".to_owned()).into());
    }
    run_command(&mut cargo(&["build", "--locked", "--bin", "limn"]))?;
    let folder = target().join("interop");
    let python = environment(&folder)?;
    let exports = folder.join("exports");
    let _ = fs::remove_dir_all(&exports);
    fs::create_dir_all(exports.join("work"))?;
    sessions(&exports)?;
    let model = root().join("src/chat/fixtures/model").to_string_lossy().into_owned();
    let template = root().join("assets/templates/chatml-tools.jinja");
    let template = template.to_string_lossy().into_owned();
    for format in
        ["messages", "openai", "axolotl", "slime", "llamafactory", "sharegpt", "atif", "traces"]
    {
        limn(&exports, &["export", "--format", format, "--out", format])?;
    }
    let tokens = ["--tokenizer", &model, "--template", &template];
    limn(&exports, &[&["export", "--format", "tokens", "--out", "tokens"], &tokens[..]].concat())?;
    let columns = ["export", "--format", "messages", "--files", "parquet", "--out", "parquet"];
    limn(&exports, &columns)?;
    let columns = ["export", "--format", "tokens", "--files", "parquet", "--out", "token-parquet"];
    limn(&exports, &[&columns[..], &tokens[..]].concat())?;
    let script = root().join("tools/xtask/interop.py");
    let mut check = program(&python, &[]);
    check.arg(script).arg(&exports).args([&model, &template]);
    run_command(check.env("HF_HUB_OFFLINE", "1"))
}

/// The Python of an environment that has the packages.
fn environment(folder: &Path) -> Result<String> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python").to_string_lossy().into_owned();
    let (made, stamp) = (folder.join("packages"), PACKAGES.join("\n"));
    if fs::read_to_string(&made).is_ok_and(|has| has == stamp) {
        return Ok(python);
    }
    fs::create_dir_all(folder)?;
    run_command(program("python3", &["-m", "venv"]).arg(&venv))?;
    run_command(program(&python, &["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    fs::write(&made, stamp)?;
    Ok(python)
}

/// Sessions with what formats stumble over.
fn sessions(exports: &Path) -> Result<()> {
    let odd =
        "{\"command\": \"printf '%s' \\\"<a & b>\\\" 日本 \\ud83d\\ude80\", \"timeout_ms\": 5000}";
    let stories = [
        vec![
            Reply::new()
                .reasoning("Two at once.\nSo be it.")
                .then_text("I look.")
                .call("shell", "{\"command\": \"echo a\"}")
                .call("list", "{}"),
            Reply::text("Both are there: <b>&amp;</b> \u{1f680} é e\u{301}."),
        ],
        vec![Reply::new().call("shell", odd), Reply::text("Odd, but done.")],
        vec![
            Reply::new().reasoning("Hm.").call("read", "{broken"),
            Reply::new().call("shell", "{\"command\": \"true\"}"),
            Reply::text("Done."),
        ],
    ];
    for replies in stories {
        let server = MockServer::start(Scenario::replies(replies))?;
        let url = server.url();
        let args = ["exec", "--model", "mock", "--base-url", &url, "--sandbox", "off", "Look."];
        limn(exports, &args)?;
        limn(exports, &["annotate", "last", "--outcome", "success"])?;
    }
    Ok(())
}

/// Runs limn with a data folder of its own; exports lie beside its workspace.
fn limn(exports: &Path, args: &[&str]) -> Result<()> {
    let mut command = program(&target().join("debug/limn").to_string_lossy(), args);
    let is_export = args.first() == Some(&"export");
    let folder = if is_export { exports.to_owned() } else { exports.join("work") };
    command.env("LIMN_HOME", exports.join("home")).env("HOME", exports).current_dir(folder);
    let output = command.output().context("limn could not be started")?;
    if !output.status.success() {
        bail!("limn {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
