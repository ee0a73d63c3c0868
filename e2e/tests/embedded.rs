//! The behaviour, on the embedded store.

fn main() -> std::process::ExitCode {
    e2e::suite::embedded()
}
