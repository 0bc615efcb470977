//! The simulator as a program: prints one line with its address, and runs until it is stopped.

use std::net::SocketAddr;

use clap::Parser;
use google_sim::Sim;

/// A simulated Google on loopback
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Exit when standard input ends
    #[arg(long)]
    exit_with_stdin: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sim = Sim::listen(arguments.listen).await?;
    println!("google-sim listening on {}", sim.url);
    let stdin = async {
        if arguments.exit_with_stdin {
            drop(tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await)
        } else {
            std::future::pending().await
        }
    };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = sim.run() => ended,
        _ = term.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = stdin => Ok(()),
    }
}
