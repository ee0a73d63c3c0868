//! `lbd completions` and `lbd man`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn lbd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lbd")).args(arguments).output().expect("it was built for this test")
}

#[test]
fn every_shell_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = lbd(&["completions", shell]);
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{shell}");
        for command in ["speaker", "undrain", "rebalance", "whohas"] {
            assert!(text.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn bash_completes_a_command() {
    let script = r#"source <("$LBD" completions bash); COMP_WORDS=(lbd undr); COMP_CWORD=1; _lbd lbd undr lbd
        echo "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    let output =
        bash.args(["-c", script]).env("LBD", env!("CARGO_BIN_EXE_lbd")).output().expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "undrain", "{output:?}");
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man");
    let _ = std::fs::remove_dir_all(&folder);
    let output = lbd(&["man", folder.to_str().expect("a path of our own")]);
    assert!(output.status.success(), "{output:?}");
    for page in ["lbd.1", "lbd-speaker.1", "lbd-undrain.1"] {
        let text = std::fs::read_to_string(folder.join(page)).expect(page);
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{page}: {text}");
    }
}

#[test]
fn who_reads_no_further_is_no_reason_to_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lbd"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built for this test");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}
