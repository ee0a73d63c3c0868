//! The behaviour, on a real control plane: `e2e/run` builds that and runs this.

fn main() -> std::process::ExitCode {
    e2e::suite::real()
}
