//! Exports that cannot be made: a clear error, and nothing half-written.

use std::fs;
use std::path::Path;

use mock_server::Reply;

use crate::export::{model, template};
use crate::world::{Run, World, in_namespace, namespaces_can_mount, server, shell};

/// A session of two rounds with a thought and a call.
fn recorded() -> World {
    let world = World::new();
    let server = server([
        shell("echo one").reasoning("So."),
        Reply::new().reasoning("Hm.").then_text("One."),
        Reply::text("Two."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    fs::create_dir(world.path("exports")).unwrap();
    world
}

/// An export of tokens with a template of which these lines are all; what it says, and that it
/// left nothing behind.
#[track_caller]
fn refused(world: &World, model: &Path, source: &str, says: &[&str]) -> Run {
    world.write("template.jinja", source);
    let (file, out) = (world.path("template.jinja"), world.path("exports/out"));
    let args = ["export", "--status", "all", "--format", "tokens", "--rows", "trajectory"];
    let named = ["--tokenizer", model.to_str().unwrap(), "--template", file.to_str().unwrap()];
    let out = ["--out", out.to_str().unwrap()];
    let run = world.limn(&[&args[..], &named, &out].concat()).exits(1).says(says);
    assert_eq!(fs::read_dir(world.path("exports")).unwrap().count(), 0, "{}", run.stderr);
    run
}

/// The messages in ChatML, and this before each of them.
fn chatml(before: &str) -> String {
    format!(
        "{{{{ tools | tojson if tools else '' }}}}{{% for m in messages %}}{before}{{{{ '<|im_start|>' + m.role + '\\n' }}}}\
         {{% if m.reasoning_content %}}{{{{ '<think>' + m.reasoning_content + '</think>' }}}}{{% endif %}}\
         {{{{ m.content or '' }}}}{{% for c in m.tool_calls or [] %}}{{{{ c.function | tojson }}}}{{% endfor %}}\
         {{{{ '<|im_end|>\\n' }}}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n' }}}}{{% endif %}}"
    )
}

#[test]
fn a_template_that_refuses_or_fails_says_why_and_in_which_session() {
    let world = recorded();
    let id = world.home().find("last").unwrap().to_string();
    let raises = "{% if loop.index > 5 %}{{ raise_exception('Only five messages.') }}{% endif %}";
    let says = [id.as_str(), "refuses the conversation: Only five messages", "--template"];
    refused(&world, &model(), &chatml(raises), &says);
    // One that refuses everybody is found before any session is opened.
    refused(&world, &model(), "{{ raise_exception('Never.') }}", &["Never", "--template"]);
    let fails = chatml("{% if loop.index > 5 %}{{ m.content.no.such.thing }}{% endif %}");
    refused(&world, &model(), &fails, &[&id, "The chat template fails", "--template"]);
    refused(&world, &model(), "{% for %}", &["The chat template fails in line 1", "--template"]);
}

#[test]
fn a_template_that_does_not_come_to_an_end_is_stopped() {
    let world = recorded();
    let loops = chatml(
        "{% if loop.index > 5 %}{% for a in range(90000) %}{% for b in range(90000) %}\
         {% endfor %}{% endfor %}{% endif %}",
    );
    refused(&world, &model(), &loops, &["does not come to an end", "--template"]);
}

#[test]
fn a_template_that_writes_otherwise_what_others_follow_is_refused_with_its_place() {
    let world = recorded();
    let counts = chatml("{{ messages | length }}");
    let says = ["is written otherwise", "at byte", "--rows round", "--template"];
    refused(&world, &model(), &counts, &says);
}

#[test]
fn a_tokenizer_that_does_not_fit_the_template_is_found() {
    let world = recorded();
    // What ends a message is text to this tokenizer, and no model stops at it.
    let other = chatml("").replace("<|im_end|>", "<|eot_id|>").replace("<|im_start|>", "<|start|>");
    refused(&world, &model(), &other, &["without a token at which the model stops", "tokenizer"]);
    let folder = world.path("model");
    fs::create_dir(&folder).unwrap();
    let plain = fs::read_to_string(template("assets/templates/chatml-tools.jinja")).unwrap();
    refused(&world, &folder, &plain, &["tokenizer.json", "Name a folder"]);
    let json = fs::read_to_string(model().join("tokenizer.json")).unwrap();
    fs::write(folder.join("tokenizer.json"), &json[..json.len() / 2]).unwrap();
    refused(&world, &folder, &plain, &["tokenizer.json", "cannot be used"]);
}

/// On a disk of 32 KiB, whose content is told after what the command says.
fn on_a_small_disk(world: &World, args: &[&str]) -> Run {
    let disk = world.path("exports");
    let disk = disk.display();
    let script = format!(
        "mount -t tmpfs -o size=32k none {disk} && \"$@\"; code=$?; ls -A {disk} >&2; exit $code"
    );
    in_namespace(world, &script, &world.command(args))
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left_on_it() {
    if !namespaces_can_mount() {
        return;
    }
    let world = recorded();
    let long = server([shell("head -c 30000 /dev/urandom | base64"), Reply::text("Long.")]);
    world.exec(&long.url(), &["print"]).succeeds();
    let out = world.path("exports/out");
    let model = model();
    let tokens = ["--tokenizer", model.to_str().unwrap(), "--template", "chatml-tools"];
    let forms: [(&str, &[&str]); 6] = [
        ("messages", &[]),
        ("messages", &["--files", "parquet"]),
        ("tokens", &tokens),
        ("sharegpt", &[]),
        ("atif", &[]),
        ("bundle", &[]),
    ];
    for (form, more) in forms {
        let args = ["export", "--status", "all", "--format", form, "--out", out.to_str().unwrap()];
        let run = on_a_small_disk(&world, &[&args[..], more].concat());
        let run = run.exits(1).says(&["no space left", "Nothing was written", "--out"]);
        assert!(run.stderr.trim_end().ends_with("--out."), "{form} left: {}", run.stderr);
    }
    // Where there is space, it is written.
    let args = ["export", "--status", "all", "--format", "messages", "--out"];
    world.limn(&[&args[..], &[out.to_str().unwrap()]].concat()).succeeds();
}
