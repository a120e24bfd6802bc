//! `ordu operator raft remove-peer` and `ordu operator raft transfer-leadership`.

use super::{CommandError, DONE};
use crate::arguments::ApiArgs;
use crate::output::Screen;
use clap::Args;
use ordu_client::{ForcedRemoval, RaftPeer};

/// How a server is named.
#[derive(Debug, Args)]
struct PeerArgs {
    /// The server's raft id, as list-peers tells it
    #[arg(long, value_name = "ID", conflicts_with = "peer_address")]
    peer_id: Option<String>,
    /// The server's address and RPC port, instead of its id
    #[arg(long, value_name = "HOST:PORT")]
    peer_address: Option<String>,
}

impl PeerArgs {
    fn peer(&self) -> Option<RaftPeer<'_>> {
        let by_address = self.peer_address.as_deref().map(RaftPeer::Address);
        self.peer_id.as_deref().map(RaftPeer::Id).or(by_address)
    }
}

/// The arguments of `ordu operator raft remove-peer`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    peer: PeerArgs,
    /// Remove it although it lives; unless it is stopped, it joins again
    #[arg(long)]
    force_living: bool,
    /// Remove it although no majority of the voters that are left lives; nothing is decided before some are back
    #[arg(long)]
    force_without_majority: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The arguments of `ordu operator raft transfer-leadership`.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    #[command(flatten)]
    peer: PeerArgs,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn remove(arguments: &RemoveArgs) -> Result<u8, CommandError> {
    run_removal(arguments, &mut Screen::terminal(true)).await
}

async fn run_removal(arguments: &RemoveArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let none = || CommandError::Told("name the server by -peer-id or by -peer-address".to_owned());
    let peer = arguments.peer.peer().ok_or_else(none)?;
    let force =
        ForcedRemoval { living: arguments.force_living, without_majority: arguments.force_without_majority };
    arguments.api.client()?.remove_raft_peer(peer, force).await?;
    let (RaftPeer::Id(name) | RaftPeer::Address(name)) = peer;
    screen.line(format!("Removed {name} from raft"));
    Ok(DONE)
}

pub(crate) async fn transfer(arguments: &TransferArgs) -> Result<u8, CommandError> {
    run_transfer(arguments, &mut Screen::terminal(true)).await
}

async fn run_transfer(arguments: &TransferArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let went = arguments.api.client()?.transfer_leadership(arguments.peer.peer()).await?;
    let (from, to) = (&went.from.address, &went.to.address);
    screen.line(if went.noop {
        format!("{to} leads already")
    } else {
        format!("Leadership went from {from} to {to}")
    });
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, OperatorCommand, RaftCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    fn parsed(line: &str) -> RaftCommand {
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Operator(OperatorCommand::Raft(command)) = cli.command else { panic!("{line}") };
        command
    }

    #[tokio::test]
    async fn a_peer_is_removed_by_its_id_or_its_address_and_by_neither_none_is() {
        for (named, asked, said) in [
            ("-peer-id=7", "id=7", "7"),
            ("-peer-address=a:4647", "address=a%3A4647", "a:4647"),
            ("-peer-id=7 -force-living", "id=7&force_living=true", "7"),
            ("-peer-id=7 -force-without-majority", "id=7&force_without_majority=true", "7"),
        ] {
            let on = "DELETE /v1/operator/raft/peer";
            let (address, seen) = serve(Answers::new().on(on, [json!(null)])).await;
            let line = format!("ordu operator raft remove-peer {named} -address={address}");
            let RaftCommand::RemovePeer(arguments) = parsed(&line) else { panic!() };
            let mut screen = Screen::captured(true);
            assert_eq!(run_removal(&arguments, &mut screen).await.unwrap(), DONE);
            assert_eq!(screen.text(), format!("Removed {said} from raft\n"));
            assert_eq!(*seen.lock().unwrap(), [format!("{on}?{asked}")]);
        }
        let RaftCommand::RemovePeer(arguments) = parsed("ordu operator raft remove-peer") else { panic!() };
        let refused = run_removal(&arguments, &mut Screen::captured(true)).await.unwrap_err();
        assert!(refused.to_string().contains("-peer-id"), "{refused}");
    }

    #[tokio::test]
    async fn a_transfer_says_from_whom_to_whom() {
        let on = "PUT /v1/operator/raft/transfer-leadership";
        let went = |noop| json!({"From": {"ID": "1", "Address": "a:4647"}, "To": {"ID": "2", "Address": "b:4647"}, "Noop": noop});
        let (address, seen) = serve(Answers::new().on(on, [went(false), went(true)])).await;
        for (named, said) in
            [("", "Leadership went from a:4647 to b:4647\n"), ("-peer-id=2", "b:4647 leads already\n")]
        {
            let line = format!("ordu operator raft transfer-leadership {named} -address={address}");
            let RaftCommand::TransferLeadership(arguments) = parsed(&line) else { panic!() };
            let mut screen = Screen::captured(true);
            assert_eq!(run_transfer(&arguments, &mut screen).await.unwrap(), DONE);
            assert_eq!(screen.text(), said);
        }
        assert_eq!(*seen.lock().unwrap(), [on.to_owned(), format!("{on}?id=2")]);
    }
}
