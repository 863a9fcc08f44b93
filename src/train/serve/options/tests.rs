use std::ffi::OsString;
use std::path::PathBuf;

use training::recipe::{Device, Precision};

use super::Options;

fn read(line: &str) -> Result<Options, String> {
    Options::read(line.split_whitespace().map(OsString::from))
}

#[test]
fn what_is_not_said_has_a_default() {
    let options = read("models/one").unwrap();
    assert_eq!(options.target, PathBuf::from("models/one"));
    assert_eq!((options.host.as_str(), options.port, options.slots), ("127.0.0.1", 8080, 4));
    assert_eq!((options.context, options.precision, options.device), (None, None, Device::Auto));
    assert!(!options.json && !options.until_stdin_ends && options.graphs);
    assert!(options.adapters.is_empty());
}

#[test]
fn everything_can_be_said_in_any_order() {
    let options = read(
        "--json --adapter two=runs/a=b --host 0.0.0.0 --port 0 --key-file key --slots 8 run \
         --template chatml-tools --context 4096 --precision bf16 --device cpu --name one \
         --adapter three=runs/c --until-stdin-ends --no-graphs",
    )
    .unwrap();
    let adapters = [("two", "runs/a=b"), ("three", "runs/c")];
    let adapters = adapters.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
    let expected = Options {
        target: "run".into(),
        adapters: adapters.to_vec(),
        host: "0.0.0.0".to_owned(),
        port: 0,
        key_file: Some("key".into()),
        template: Some("chatml-tools".into()),
        context: Some(4096),
        slots: 8,
        precision: Some(Precision::Bf16),
        device: Device::Cpu,
        graphs: false,
        name: Some("one".to_owned()),
        json: true,
        until_stdin_ends: true,
    };
    assert_eq!(options, expected);
}

#[test]
fn what_makes_no_sense_is_said_in_a_sentence() {
    for (line, part) in [
        ("", "TARGET is missing"),
        ("one two", "two is another"),
        ("one --port", "--port needs a value"),
        ("one --port 70000", "from 0 to 65535"),
        ("one --slots 0", "from 1 to 256"),
        ("one --context 0", "from 1"),
        ("one --precision f16", "f32 or bf16"),
        ("one --device tpu", "auto, cpu or cuda"),
        ("one --adapter runs/a", "NAME=RUN"),
        ("one --adapter =runs/a", "NAME=RUN"),
        ("one --adapter name=", "NAME=RUN"),
        ("one --api-key secret", "no --api-key"),
    ] {
        let told = read(line).unwrap_err();
        assert!(told.contains(part), "{line}: {told}");
    }
}
