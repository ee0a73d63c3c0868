//! Answering on real sockets, in network namespaces.
fn main() -> std::process::ExitCode {
    lblab::suite::main(Vec::new)
}
