//! A fixed replay of what a call goes through, in parts that do no I/O, for `scripts/count` to count instructions of.
//!
//!   instructions                 the names of the parts and how often each is run
//!   instructions PART            prepares PART, runs it once to warm up, then that often inside `counted`
//!
//! Nothing here is random and nothing looks at a clock: the same binary on the same processor runs the same instructions.
//! Callgrind collects inside `counted` only, so what a part needs before is not counted. One process for each part: no
//! part sees another's heap. Rejected: iai-callgrind and its successor (a runner to install whose version must match the
//! crate's, and a format of their own for what is one subtraction here), and criterion (time, which a busy machine bends).

mod calls;
mod events;
mod fixtures;
mod verdicts;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is prepared, ready to be run again and again.
type Run = Box<dyn FnMut()>;

/// A part of the hot path: its name, how often it is run, and how it is prepared.
struct Part(&'static str, u32, fn() -> Run);

/// The only function in which instructions are collected; `scripts/count` knows it by this name.
#[inline(never)]
fn counted(run: &mut dyn FnMut(), rounds: u32) {
    for _ in 0..rounds {
        run();
    }
}

fn main() {
    let parts = || calls::PARTS.iter().chain(verdicts::PARTS).chain(events::PARTS);
    let Some(wanted) = std::env::args().nth(1) else {
        parts().for_each(|Part(name, rounds, _)| println!("{name} {rounds}"));
        return;
    };
    let Some(Part(_, rounds, prepare)) = parts().find(|Part(name, ..)| *name == wanted) else {
        eprintln!("instructions: there is no part {wanted}; without an argument their names are printed");
        std::process::exit(2);
    };
    let mut run = prepare();
    run();
    counted(&mut *run, *rounds);
    // What libraries choose by: counts of processors that differ in it cannot be compared.
    println!("features {}", fixtures::features());
}
