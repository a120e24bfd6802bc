//! Checks that paths in a job stay inside the allocation's directory.

/// Whether `path`, relative to a directory `depth` levels below the allocation's, leaves the allocation's directory at
/// any point. An absolute path is treated as relative.
pub(super) fn escapes(depth: usize, path: &str) -> bool {
    let mut depth = depth;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::escapes;

    #[test]
    fn a_path_may_climb_to_the_allocation_and_no_further() {
        for (path, expected) in [
            ("local/file", false),
            ("", false),
            ("/etc/passwd", false),
            ("../shared", false),
            ("local/../../shared", false),
            ("../..", true),
            ("../../../etc/passwd", true),
            ("../../back/again", true),
        ] {
            assert_eq!(escapes(1, path), expected, "{path}");
        }
    }
}
