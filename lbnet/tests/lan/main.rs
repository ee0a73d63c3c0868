//! Answering and announcing on real sockets, in network namespaces. One claim per test.

mod announcements;
mod answers;
mod changes;
mod conflicts;
mod echo;
mod filters;
mod kernel;
#[cfg(feature = "membership")]
mod members;
mod ndp;
mod segments;
mod site;
mod starting;
#[cfg(feature = "membership")]
mod two_lans;

fn main() -> std::process::ExitCode {
    if std::env::var_os(starting::WITHOUT_PERMISSION).is_some() {
        return starting::without_permission();
    }
    lblab::suite::main(|| {
        let cases = [
            answers::cases(),
            announcements::cases(),
            changes::cases(),
            conflicts::cases(),
            echo::cases(),
            filters::cases(),
            kernel::cases(),
            #[cfg(feature = "membership")]
            members::cases(),
            ndp::cases(),
            segments::cases(),
            starting::cases(),
            #[cfg(feature = "membership")]
            two_lans::cases(),
        ];
        cases.into_iter().flatten().collect()
    })
}
