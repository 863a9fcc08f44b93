use std::path::Path;

use serde_json::json;

use super::{APPARMOR, apparmor, training};

#[test]
fn the_profile_for_apparmor_names_this_program_wherever_it_lies() {
    let here = apparmor(Some(Path::new("/opt/a [1]/\"limn\"")));
    assert!(here.starts_with(APPARMOR) && here.contains("profile limn /{usr/"), "{here}");
    assert!(
        here.contains(r#"profile limn-here "/opt/a \[1\]/\"limn\"" flags=(unconfined)"#),
        "{here}"
    );
    // What cannot be written down is left out.
    assert_eq!(apparmor(Some(Path::new("/opt/line\nfeed"))), APPARMOR);
    assert_eq!(apparmor(None), APPARMOR);
}

#[test]
fn what_trains_is_said_and_a_gpu_that_does_not_work_is_a_failure() {
    let processor = json!({
        "libtorch": "2.11.0", "threads": 2, "attention": "flash", "usable": false,
        "cuda": { "absent": "/lib" },
    });
    let check = training::judge(&processor);
    assert_eq!(check.ok, None);
    assert!(check.found.contains("processor: 2 threads, attention by flash"), "{}", check.found);
    let broken = json!({ "libtorch": "2.11.0", "cuda": { "broken": "libcudnn.so.9 is missing" } });
    let check = training::judge(&broken);
    assert_eq!(check.ok, Some(false));
    assert!(check.found.contains("libcudnn.so.9"), "{}", check.found);
    let gpu = json!({
        "libtorch": "2.11.0", "usable": true, "cudart": 13000, "cudnn": 91900,
        "attention": "cudnn", "cuda": { "library": "/lib/libtorch_cuda.so", "devices": 1 },
        "graphs": "yes",
    });
    let check = training::judge(&gpu);
    assert_eq!(check.ok, Some(true));
    assert!(check.found.ends_with("attention by cudnn, CUDA graphs"), "{}", check.found);
    let mut other = gpu;
    other["graphs"] = "another libtorch".into();
    let check = training::judge(&other);
    assert!(check.found.ends_with("no CUDA graphs (another libtorch)"), "{}", check.found);
}
