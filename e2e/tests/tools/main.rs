//! Answering on a LAN of namespaces, seen by programs that share no code with ours: the system's tools, and the Linux
//! kernel by way of them.

mod answering;
mod arping;
mod conflicts;
mod connections;
mod detection;
mod listener;
mod ndisc6;
mod neighbours;
mod page;
mod ping;
mod site;
mod snooping;
mod tool;

fn main() -> std::process::ExitCode {
    lblab::suite::main(|| {
        let cases = [
            arping::cases(),
            ndisc6::cases(),
            conflicts::cases(),
            neighbours::cases(),
            connections::cases(),
            detection::cases(),
            page::cases(),
            ping::cases(),
            snooping::cases(),
        ];
        cases.into_iter().flatten().collect()
    })
}
