//! Lists this machine's IP addresses and raises an alarm when the advertised one disappears.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use tokio::time::sleep;

use crate::alarms::Alarm;
use crate::context::Context;

/// Interval between checks of the interfaces.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Returns the machine's interface names and addresses, except loopback and link-local ones, which other
/// machines cannot reach.
///
/// # Errors
/// Returned if the system cannot list its interfaces.
pub fn of_machine() -> io::Result<Vec<(String, IpAddr)>> {
    let reachable = |interface: InterfaceAddress| {
        let address = interface.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (None, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => return None,
        };
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        (!ip.is_loopback() && !link_local).then_some((interface.interface_name, ip))
    };
    Ok(getifaddrs()?.filter_map(reachable).collect())
}

/// Raises [`Alarm::AddressGone`] while the address detected at the start is missing from all interfaces. Does
/// nothing if the address was configured: it may belong to another machine that forwards (NAT).
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { options, alarms, .. } = &context;
    let Some(own) = options.own_address else { return std::future::pending().await };
    let mut told = String::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        match of_machine() {
            Ok(all) if all.iter().any(|(_, address)| *address == own) => alarms.clear(Alarm::AddressGone),
            Ok(all) => {
                let text = sentence(own, &all);
                // Log again when the list changes: the new address may appear only some time after the old
                // one is gone.
                if alarms.is_raised(Alarm::AddressGone) && text != told {
                    tracing::error!(alarm = Alarm::AddressGone.name(), "{text}");
                }
                told.clone_from(&text);
                alarms.raise(Alarm::AddressGone, text);
            }
            Err(error) => tracing::warn!(%error, "it is not known which addresses this machine has"),
        }
    }
}

fn sentence(own: IpAddr, all: &[(String, IpAddr)]) -> String {
    let there: Vec<String> =
        all.iter().map(|(interface, address)| format!("{address} ({interface})")).collect();
    let way_out = match there.join(", ") {
        none if none.is_empty() => "there is no other one, so no one reaches this server".to_owned(),
        there => format!("there are {there}: restart this server to tell the others the new one"),
    };
    format!("the address {own}, which others reach this server at, is on no interface any more; {way_out}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_names_the_address_that_is_gone_and_those_that_are_there() {
        let own = IpAddr::from([10, 0, 0, 1]);
        let gone = sentence(own, &[("eth0".to_owned(), IpAddr::from([10, 0, 0, 2]))]);
        assert!(
            gone.contains("10.0.0.1, which others") && gone.contains("there are 10.0.0.2 (eth0): restart"),
            "{gone}"
        );
        assert!(sentence(own, &[]).contains("there is no other one"));
    }

    #[test]
    fn none_of_the_machines_addresses_is_one_that_no_other_machine_reaches() {
        assert!(of_machine().unwrap().iter().all(|(_, address)| !address.is_loopback()));
    }
}
