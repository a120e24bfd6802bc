//! `ordu config validate`.

use super::{CommandError, DONE};
use crate::config::{self, Sources};
use crate::output::Screen;
use clap::Args;
use std::path::PathBuf;

/// The arguments of `ordu config validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Configuration files, or directories of .hcl and .json files; read together, later ones override earlier ones
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(crate) fn execute(arguments: &ValidateArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true))
}

fn run(arguments: &ValidateArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let sources = Sources { paths: arguments.paths.clone(), ..Sources::default() };
    let config = config::load(&sources).map_err(|error| CommandError::Told(error.to_string()))?;
    for warning in &config.warnings {
        screen.line(format!("Warning: {warning}"));
    }
    screen.line("Configuration is valid!");
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_checked_together_with_what_is_wrong_and_what_has_no_effect() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let server = file("a.hcl", "server {\n  enabled = true\n  bootstrap_expect = 1\n}\nconsul {}\n");
        let data = file("b.hcl", "data_dir = \"/nowhere\"\n");
        let wrong = file("c.hcl", "data_dir = \"/nowhere\"\nsever {}\n");
        let check = |paths: Vec<PathBuf>| {
            let mut screen = Screen::captured(true);
            let done = run(&ValidateArgs { paths }, &mut screen);
            (done.map_err(|error| error.to_string()), screen.text().to_owned())
        };
        let (done, said) = check(vec![server.clone(), data]);
        assert_eq!(Ok(DONE), done);
        let of_consul = format!("Warning: {}:5: `consul` is a key of Nomad's", server.display());
        assert!(said.starts_with(&of_consul) && said.ends_with("\nConfiguration is valid!\n"), "{said}");

        let (failed, said) = check(vec![server.clone(), wrong.clone()]);
        let fault = failed.unwrap_err();
        assert!(fault.starts_with(&format!("{}:2:1: `sever`", wrong.display())), "{fault}");
        assert_eq!("", said);
        assert!(check(vec![server]).0.unwrap_err().contains("data_dir is not set"));
    }
}
