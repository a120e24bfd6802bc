//! Time zones by IANA name, from the database in the binary, so that all servers know the same zones.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{ScheduleError, shortened};
use crate::hcl::nearest;
use crate::limits::TIME_ZONE_NAME_BYTES_MAX;

/// Checks that a time zone is known. An empty name means UTC.
pub fn check_time_zone(name: &str) -> Result<(), ScheduleError> {
    find(name).map(|_| ())
}

pub(super) fn find(name: &str) -> Result<TimeZone, ScheduleError> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    if name.len() > TIME_ZONE_NAME_BYTES_MAX {
        let name = shortened(name);
        return Err(ScheduleError::TimeZone { reason: format!("unknown time zone {name}"), name });
    }
    let database = TimeZoneDatabase::bundled();
    // The machines that Nomad runs on hold each zone twice more, without and with leap seconds, which it does not count.
    // The database ignores case and has an entry for unknown zones; Nomad accepts neither.
    let plain = name.strip_prefix("posix/").or_else(|| name.strip_prefix("right/")).unwrap_or(name);
    let found = database.get(plain).ok().filter(|zone| !zone.is_unknown());
    match found {
        Some(zone) if zone.iana_name() == Some(plain) => Ok(zone),
        other => {
            let likely = other.as_ref().and_then(TimeZone::iana_name).map(str::to_owned);
            let reason = refusal(name, likely.or_else(|| similar(&database, name)));
            Err(ScheduleError::TimeZone { name: name.to_owned(), reason })
        }
    }
}

fn refusal(name: &str, likely: Option<String>) -> String {
    if name == "Local" {
        return "the servers have no local time zone in common, name one of the IANA database".to_owned();
    }
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return "time: invalid location name".to_owned();
    }
    match likely {
        Some(likely) => format!("unknown time zone {name} (did you mean {likely}?)"),
        None => format!("unknown time zone {name}"),
    }
}

fn similar(database: &TimeZoneDatabase, name: &str) -> Option<String> {
    let names: Vec<String> = database.available().map(|known| known.as_str().to_owned()).collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}
