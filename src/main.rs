//! The `bedside` command; see [`bedside::cli`].

fn main() -> std::process::ExitCode {
    bedside::cli::main()
}
