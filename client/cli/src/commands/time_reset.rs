//! `ordu operator time reset`.

use super::{CommandError, DONE};
use crate::arguments::ApiArgs;
use crate::output::{Screen, moment};
use clap::Args;

/// The arguments of `ordu operator time reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &ResetArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true)).await
}

async fn run(arguments: &ResetArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let reset = arguments.api.client()?.reset_time().await?;
    let (before, now) = (moment(reset.time_before), moment(reset.time));
    screen.line(format!("The cluster's time is {now}; it was {before}"));
    screen.line(format!("Periodic jobs whose launches go on from now: {}", reset.periodic_launches));
    screen.line(format!("Evaluations that do not wait any more: {}", reset.evaluations));
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, OperatorCommand, TimeCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    #[tokio::test]
    async fn a_reset_says_what_was_mended() {
        let reset = json!({"Index": 7, "TimeBefore": 1_767_229_200_000_000_000_i64, "Time": 1_767_225_600_000_000_000_i64,
            "PeriodicLaunches": 3, "Evaluations": 1});
        let (address, seen) = serve(Answers::new().on("PUT /v1/operator/ordu/time/reset", [reset])).await;
        let line = format!("ordu operator time reset -address={address}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Operator(OperatorCommand::Time(TimeCommand::Reset(arguments))) = cli.command else {
            panic!()
        };
        let mut screen = Screen::captured(true);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        let lines: Vec<&str> = screen.text().lines().collect();
        let [now, before] = [1_767_225_600_000_000_000, 1_767_229_200_000_000_000].map(moment);
        assert_eq!(format!("The cluster's time is {now}; it was {before}"), lines[0]);
        assert_eq!(
            ["Periodic jobs whose launches go on from now: 3", "Evaluations that do not wait any more: 1"],
            lines[1..]
        );
        assert_eq!(*seen.lock().unwrap(), ["PUT /v1/operator/ordu/time/reset"]);
    }
}
