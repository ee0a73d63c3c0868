//! The system's `arping` asks.
fn main() -> std::process::ExitCode {
    lblab::suite::main(Vec::new)
}
