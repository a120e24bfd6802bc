//! Functions on address ranges such as `10.1.0.0/16`.

use crate::hcl::tree::ValueKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::call::Call;
use super::super::{Fault, Outcome};
use super::{Function, at_least, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("cidrhost", 2, |call| {
        let (range, number) = (range(call)?, call.integer(1)?);
        let hosts = range.bits() - range.prefix;
        let address = range.address | numbered(call, number, hosts, "hosts")?;
        call.made(range.write(address))
    }),
    exactly("cidrnetmask", 1, |call| {
        let range = range(call)?;
        let mask = range.mask(range.prefix);
        call.made(range.write(mask))
    }),
    exactly("cidrsubnet", 3, |call| {
        let range = range(call)?;
        let (added, number) = (call.integer(1)?, call.integer(2)?);
        let prefix = u32::try_from(added).ok().and_then(|added| range.prefix.checked_add(added));
        let Some(prefix) = prefix.filter(|prefix| *prefix <= range.bits()) else {
            return call.refuse(1, "is more than the range has bits left");
        };
        let subnet = numbered(call, number, prefix - range.prefix, "subnets")?;
        let shift = range.bits() - prefix;
        let address = range.address | subnet.checked_shl(shift).unwrap_or(0);
        call.made(format!("{}/{prefix}", range.write(address)))
    }),
    at_least("cidrsubnets", 2, subnets),
];

/// Address range; an IPv4 address occupies the low 32 bits.
struct Range {
    address: u128,
    prefix: u32,
    is_short: bool,
}

impl Range {
    fn bits(&self) -> u32 {
        if self.is_short { 32 } else { 128 }
    }

    fn mask(&self, prefix: u32) -> u128 {
        let all = if self.is_short { u128::from(u32::MAX) } else { u128::MAX };
        all & !(all.checked_shr(prefix).unwrap_or(0))
    }

    fn write(&self, address: u128) -> String {
        match u32::try_from(address) {
            Ok(short) if self.is_short => Ipv4Addr::from(short).to_string(),
            _ => Ipv6Addr::from(address).to_string(),
        }
    }
}

fn range(call: &mut Call<'_>) -> Result<Range, Fault> {
    let text = call.text(0)?;
    let parts = text
        .split_once('/')
        .and_then(|(address, prefix)| Some((address.parse::<IpAddr>().ok()?, prefix.parse::<u32>().ok()?)));
    let Some((address, prefix)) = parts else {
        return call.refuse(0, "has to be an address range like \"10.1.0.0/16\"");
    };
    let (address, is_short) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    };
    let mut range = Range { address, prefix, is_short };
    if prefix > range.bits() {
        return call.refuse(0, "has more bits before the hosts than an address has");
    }
    range.address &= range.mask(prefix);
    Ok(range)
}

/// `cidrsubnets(range, bits…)`: consecutive subnets, each with as many bits more than the range as its argument says.
fn subnets(call: &mut Call<'_>) -> Outcome {
    let range = range(call)?;
    let last = range.address | !range.mask(range.prefix) & range.mask(range.bits());
    let mut next = Some(range.address);
    let mut subnets = Vec::new();
    for at in 1..call.count() {
        let added = call.integer(at)?;
        let prefix = u32::try_from(added).ok().and_then(|added| range.prefix.checked_add(added));
        let Some(prefix) = prefix.filter(|prefix| *prefix > range.prefix && *prefix <= range.bits()) else {
            return call.refuse(at, "has to be at least 1, and no more than the range has bits left");
        };
        let hosts = range.mask(range.bits()) & !range.mask(prefix);
        // A subnet begins at a multiple of its size.
        let start = next.and_then(|next| next.checked_add(hosts)).map(|next| next & !hosts);
        let Some(start) = start.filter(|start| start | hosts <= last) else {
            return call.refuse(at, "is a subnet for which the range has no room left");
        };
        next = (start | hosts).checked_add(1);
        let text = format!("{}/{prefix}", range.write(start));
        call.budget.bytes(text.len())?;
        subnets.push(call.text_value(text));
    }
    Ok(ValueKind::List(subnets))
}

/// Checks that a host or subnet number fits into `bits` bits; a negative number counts from the end.
fn numbered(call: &Call<'_>, number: i64, bits: u32, what: &str) -> Result<u128, Fault> {
    let count = 1_u128.checked_shl(bits);
    let size = u128::from(number.unsigned_abs());
    let found = match (number < 0, count) {
        (false, Some(count)) => Some(size).filter(|size| *size < count),
        (false, None) => Some(size),
        (true, Some(count)) => count.checked_sub(size),
        (true, None) => Some(u128::MAX - size + 1),
    };
    let at = call.count() - 1;
    found.map_or_else(|| call.refuse(at, &format!("is beyond the {what} of the range")), Ok)
}
