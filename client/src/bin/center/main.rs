//! `center`: files and folders of a storage center from the command line.
//!
//! Exit status: 0 done, 1 not done (the line on stderr says why), 2 wrong usage or configuration.

mod arguments;
mod configuration;
mod download;
mod files;
mod meter;
mod own;
mod remote;
mod show;
mod undo;
mod upload;
mod urls;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command, Object, Ufid};
use own::Purpose;

/// What ends a command: one line that says what to do.
type Outcome = Result<(), String>;

/// Why there is nothing to be done.
enum End {
    /// Settings that cannot work.
    Misconfigured(String),
    /// The command could not be carried out.
    NotDone(String),
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::NotDone(why)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::NotDone(why)) => fail(&why, 1),
        Err(End::Misconfigured(why)) => fail(&why, 2),
    }
}

fn fail(why: &str, status: u8) -> ExitCode {
    eprintln!("center: {}", show::plain(why.as_bytes()));
    ExitCode::from(status)
}

async fn run(Arguments { center: settings, command }: Arguments) -> Result<(), End> {
    let center = || configuration::center(&settings).map_err(End::Misconfigured);
    // Who was given a URL needs neither customer nor secret.
    let bearer = || configuration::bearer(&settings).map_err(End::Misconfigured);
    match command {
        Command::Ls { long, path } => files::list(&center()?, &path, long).await,
        Command::Stat { path } => files::stat(&center()?, &path).await,
        Command::Put { recursive, local, path } => upload::put(&center()?, &local, &path, recursive).await,
        Command::Get { recursive, path, local } => download::get(&center()?, &path, &local, recursive).await,
        Command::Mkdir { parents, path } => files::make_folder(&center()?, &path, parents).await,
        Command::Mv { from, to } => files::rename(&center()?, &from, &to).await,
        Command::Rm { recursive, path } => files::remove(&center()?, &path, recursive).await,
        Command::Set { change, path } => files::set(&center()?, &path, &change).await,
        Command::Versions { json, path } => undo::versions(&center()?, &path, json).await,
        Command::Restore { which, path } => undo::restore(&center()?, &path, which).await,
        Command::Usage => watch::usage(&center()?).await,
        Command::Watch { since, once } => watch::watch(&center()?, since, once).await,
        Command::Srl { term, store, ask, path } => urls::srl(&center()?, &path, &term, store, ask).await,
        Command::Ufid(ufid) => match ufid {
            Ufid::Put { replace, local, id } => own::put(&center()?, &local, &id, replace).await,
            Ufid::Get { id, local } => own::get(&center()?, &id, &local).await,
            Ufid::Stat { id } => own::stat(&center()?, &id).await,
            Ufid::Rm { id } => own::remove(&center()?, &id).await,
            Ufid::Srl { term, store, replace, name, id } => {
                let purpose = match store || replace {
                    true => Purpose::Store { replace },
                    false => Purpose::Fetch,
                };
                own::srl(&center()?, &id, &term, purpose, &name)
            }
        },
        Command::Object(Object::Put { local }) => own::put_object(&center()?, &local).await,
        Command::Object(Object::Rm { md5, token }) => own::remove_object(&center()?, &md5, &token).await,
        Command::Probe => center()?.probe().await.map_err(|error| error.to_string()),
        Command::Download { url, local } => urls::download(&bearer()?, &url, &local).await,
        Command::Upload { local, url } => urls::upload(&bearer()?, &local, &url).await,
    }?;
    Ok(())
}
