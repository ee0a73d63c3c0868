//! The program `lbd`.

fn main() -> std::process::ExitCode {
    lbd::main()
}
