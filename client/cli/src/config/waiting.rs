//! Waits for addresses of this machine that the configuration needs and that do not exist yet.

use super::{AgentConfig, ConfigError, Sources, load};
use std::time::{Duration, Instant};

/// How often the interfaces are read again.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often the missing address is logged.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Waits until all addresses that `config` needs exist, since advertised addresses cannot change later. Returns
/// the configuration as it was read then.
///
/// # Errors
/// The configuration became invalid meanwhile.
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
