//! The yardstick: mock providers, a TCP relay that is the floor of what a proxy costs, and load generators.
//!
//! One binary and one thread each, on the runtime and ring flags of the product, so that in the same-core regime
//! (everything on one core, README.md) the tools take as little of the core as they can. wrk and k6 were the choice
//! before: wrk's latencies hide omitted calls, k6 costs more than the proxies under test.
//! Bad arguments exit 2, a failed run exits 1.

mod answer;
mod args;
mod call;
mod converse;
mod frame;
mod gather;
mod heads;
mod load;
mod load_args;
mod logs;
mod meter;
mod mock;
mod pace;
mod process;
mod relay;
mod reply;
mod ring;
mod scan;
mod slow;
mod subscribe;
mod tls;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match args::parse(std::env::args_os()) {
        Err(text) => {
            eprintln!("loadtest: {text}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
        Ok(args::Command::Help) => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Ok(args::Command::Mock(options)) => mock::run(options),
        Ok(args::Command::Relay(options)) => relay::run(options),
        Ok(args::Command::Load(options)) => load::run(options),
        Ok(args::Command::Heads(options)) => heads::run(options),
        Ok(args::Command::Subscribe(options)) => subscribe::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("loadtest: {text}");
            ExitCode::from(1)
        }
    }
}
