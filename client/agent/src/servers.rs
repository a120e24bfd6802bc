//! Chooses the next server to try: first the servers learned from a server, then the configured ones.

/// Server addresses (host:port).
#[derive(Clone, Debug)]
pub(crate) struct ServerList {
    configured: Vec<String>,
    learned: Vec<String>,
    /// Position of the first try.
    first: usize,
    tried: Option<String>,
}

impl ServerList {
    /// Starts at a random position, so that nodes with the same configuration spread over the servers.
    pub(crate) fn new(configured: Vec<String>) -> Self {
        let first = if configured.is_empty() { 0 } else { rand::random_range(0..configured.len()) };
        Self { configured, learned: Vec::new(), first, tried: None }
    }

    /// Replaces the learned servers. Ignores an empty list.
    pub(crate) fn learn(&mut self, servers: Vec<String>) {
        if !servers.is_empty() {
            self.learned = servers;
        }
    }

    /// Returns the number of distinct servers.
    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    /// Returns the server after the one tried last, so the same server is not retried while there are others.
    pub(crate) fn next(&mut self) -> Option<String> {
        let all = self.all();
        let tried = all.iter().position(|server| self.tried.as_ref() == Some(server));
        let position = tried.map_or(self.first, |position| position + 1);
        let server = all.get(position % all.len().max(1)).map(|server| (*server).clone());
        self.tried.clone_from(&server);
        server
    }

    /// Returns the distinct servers, the learned ones first.
    pub(crate) fn all(&self) -> Vec<&String> {
        let mut all: Vec<&String> = Vec::new();
        for server in self.learned.iter().chain(&self.configured) {
            if !all.contains(&server) {
                all.push(server);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_server_has_its_turn_whether_configured_or_learned() {
        let mut servers = ServerList::new(list(&["a:1", "b:1"]));
        servers.learn(list(&["b:1", "c:1"]));
        servers.learn(Vec::new());
        assert_eq!(servers.len(), 3);
        let tried: BTreeSet<String> = (0..3).filter_map(|_| servers.next()).collect();
        assert_eq!(tried.into_iter().collect::<Vec<_>>(), list(&["a:1", "b:1", "c:1"]));
    }

    #[test]
    fn the_server_that_was_left_is_not_the_next_whatever_was_learned_from_it() {
        let mut servers = ServerList::new(list(&["a:1"]));
        assert_eq!(servers.next().as_deref(), Some("a:1"));
        servers.learn(list(&["b:1", "a:1"]));
        assert_eq!(servers.next().as_deref(), Some("b:1"));
        assert_eq!(servers.next().as_deref(), Some("a:1"));
    }

    #[test]
    fn no_server_is_none() {
        assert_eq!(ServerList::new(Vec::new()).next(), None);
    }
}
