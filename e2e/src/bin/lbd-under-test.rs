//! `lbd` as a program of this package, so that cargo builds it before the tests that run it.

fn main() -> std::process::ExitCode {
    lbd::main()
}
