//! Picks nothing, knows nothing: the library's `run` does it all.

fn main() -> std::process::ExitCode {
    portcullis::run()
}
