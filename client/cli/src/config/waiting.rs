//! Waiting for addresses of this machine that the configuration asks for and that are not there yet.

use super::{AgentConfig, ConfigError, Sources, load};
use std::time::{Duration, Instant};

/// How often it is looked whether an address has come …
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// … and how often it is told that there is none.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Waits until all addresses are there that `config` asks for: what others are told once, they keep. Gives the
/// configuration as it is read then.
///
/// # Errors
/// What has become wrong with it meanwhile.
pub(crate) fn with_addresses(mut config: AgentConfig, sources: &Sources) -> Result<AgentConfig, ConfigError> {
    let mut told: Option<Instant> = None;
    while let Some(missing) = &config.missing_address {
        if told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
            told = Some(Instant::now());
            tracing::warn!("waiting for an address: {missing}");
        }
        std::thread::sleep(LOOK_INTERVAL);
        config = load(sources)?;
    }
    if told.is_some() {
        tracing::info!(rpc = %config.advertised.rpc, "there is an address now");
    }
    Ok(config)
}
