//! `lbd` on hosts of the laboratory, in one program: `cargo test -p lbd --test lan hosts::`.

mod hosts;
mod run;
mod running;
mod wire;

use lblab::suite;

fn main() -> std::process::ExitCode {
    if std::env::var_os(run::WITHOUT_RIGHTS).is_some() {
        return run::without_rights();
    }
    suite::main(|| {
        let modules = [("hosts", hosts::cases()), ("run", run::cases()), ("wire", wire::cases())];
        let cases = modules.into_iter().map(|(module, cases)| cases.into_iter().map(move |it| it.of(module)));
        cases.flatten().collect()
    })
}
