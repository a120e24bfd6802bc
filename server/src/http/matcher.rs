//! Maps a request's method and path to a route.

use axum::http::Method;
use rustc_hash::FxHashMap;

use super::routes::{ROUTES, SLASHES_BELOW};

/// Result of looking up a method and a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Matched<'m, 'p> {
    /// The route's index in `ROUTES`, and the path's `:id`, still percent-encoded.
    Route(usize, &'p str),
    /// The path exists, but not with this method; holds the indices of its routes.
    WrongMethod(&'m [usize]),
    /// No route has this path.
    Unknown,
}

/// The part of a path after `:id`, with the indices of the routes that end in it.
type Ending = (&'static str, Vec<usize>);

/// Looks up routes: paths without `:id` by hash, the others by the text before and after `:id`.
pub(super) struct Matcher {
    whole: FxHashMap<&'static str, Vec<usize>>,
    with_id: Vec<(&'static str, Vec<Ending>)>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        let mut matcher = Self { whole: FxHashMap::default(), with_id: Vec::new() };
        for (number, route) in ROUTES.iter().enumerate() {
            match route.info.path.split_once(":id") {
                None => matcher.whole.entry(route.info.path).or_default().push(number),
                Some((before, after)) => {
                    let endings = entry(&mut matcher.with_id, before);
                    entry(endings, after).push(number);
                }
            }
        }
        // Longest ending first: the empty ending matches everything, so it is tried last.
        for (_, endings) in &mut matcher.with_id {
            endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        }
        matcher
    }

    /// Finds the route of a request.
    pub(super) fn find<'m, 'p>(&'m self, method: &Method, path: &'p str) -> Matched<'m, 'p> {
        if let Some(numbers) = self.whole.get(path) {
            return choose(numbers, method, "");
        }
        for (before, endings) in &self.with_id {
            let Some(rest) = path.strip_prefix(before) else { continue };
            for (ending, numbers) in endings {
                let Some(id) = rest.strip_suffix(ending) else { continue };
                if *before == SLASHES_BELOW || !id.contains('/') {
                    return choose(numbers, method, id);
                }
            }
        }
        Matched::Unknown
    }
}

fn entry<'l, T: Default>(list: &'l mut Vec<(&'static str, T)>, name: &'static str) -> &'l mut T {
    let place = list.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        list.push((name, T::default()));
        list.len() - 1
    });
    &mut list[place].1
}

fn choose<'m, 'p>(numbers: &'m [usize], method: &Method, id: &'p str) -> Matched<'m, 'p> {
    let taking = numbers.iter().find(|number| ROUTES[**number].info.methods.take(method));
    taking.map_or(Matched::WrongMethod(numbers), |number| Matched::Route(*number, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::Methods::{self, Delete, Get, Write};
    use crate::http::routes::allowed;

    fn find(method: &Method, path: &'static str) -> Option<(&'static str, Methods, &'static str)> {
        match Matcher::new().find(method, path) {
            Matched::Route(number, id) => Some((ROUTES[number].info.path, ROUTES[number].info.methods, id)),
            _ => None,
        }
    }

    #[test]
    fn job_ids_may_hold_slashes_and_be_words_of_the_api() {
        for (path, pattern, id) in [
            ("/v1/job/a", "/v1/job/:id", "a"),
            ("/v1/job/a/b", "/v1/job/:id", "a/b"),
            ("/v1/job/a/b/summary", "/v1/job/:id/summary", "a/b"),
            ("/v1/job/p/periodic-17/allocations", "/v1/job/:id/allocations", "p/periodic-17"),
            ("/v1/job/summary", "/v1/job/:id", "summary"),
            ("/v1/job/summary/summary", "/v1/job/:id/summary", "summary"),
            ("/v1/job/versions/evaluations", "/v1/job/:id/evaluations", "versions"),
            ("/v1/job/deployment/deployments", "/v1/job/:id/deployments", "deployment"),
            ("/v1/job/a%2Fsummary", "/v1/job/:id", "a%2Fsummary"),
            ("/v1/job/jobs", "/v1/job/:id", "jobs"),
            ("/v1/job/a/unknown", "/v1/job/:id", "a/unknown"),
        ] {
            let (found, _, found_id) =
                find(&Method::GET, path).unwrap_or_else(|| panic!("{path} is not found"));
            assert_eq!((pattern, id), (found, found_id), "{path}");
        }
    }

    #[test]
    fn the_method_chooses_among_the_routes_of_a_path() {
        for (method, path, methods) in [
            (Method::GET, "/v1/jobs", Get),
            (Method::HEAD, "/v1/jobs", Get),
            (Method::POST, "/v1/jobs", Write),
            (Method::PUT, "/v1/job/a/b", Write),
            (Method::DELETE, "/v1/job/a", Delete),
            (Method::POST, "/v1/job/a/summary", Methods::Any),
            (Method::PATCH, "/v1/job/a/versions", Methods::Any),
        ] {
            assert_eq!(Some(methods), find(&method, path).map(|found| found.1), "{method} {path}");
        }
    }

    #[test]
    fn wrong_methods_and_unknown_paths_are_told_apart() {
        let matcher = Matcher::new();
        for (method, path) in [
            (Method::PATCH, "/v1/jobs"),
            (Method::DELETE, "/v1/jobs"),
            (Method::POST, "/v1/job/a/allocations"),
            (Method::DELETE, "/v1/job/a/evaluate"),
            (Method::GET, "/v1/job/a/evaluate"),
            (Method::POST, "/v1/nodes"),
            (Method::OPTIONS, "/v1/status/leader"),
        ] {
            let found = matcher.find(&method, path);
            assert!(matches!(found, Matched::WrongMethod(_)), "{method} {path}: {found:?}");
        }
        for path in
            ["/", "", "/v1", "/v1/", "/v1/nonsense", "/v1/job", "/v1/jobs/", "/v1/node/a/b", "/v2/jobs"]
        {
            assert_eq!(Matched::Unknown, matcher.find(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_which_there_are() {
        for (path, methods) in [
            ("/v1/jobs", "GET, HEAD, PUT, POST"),
            ("/v1/job/a", "GET, HEAD, PUT, POST, DELETE"),
            ("/v1/nodes", "GET, HEAD"),
            ("/v1/system/reconcile/summaries", "PUT"),
        ] {
            let matcher = Matcher::new();
            let Matched::WrongMethod(routes) = matcher.find(&Method::PATCH, path) else { panic!("{path}") };
            assert_eq!(methods, allowed(routes), "{path}");
        }
    }
}
