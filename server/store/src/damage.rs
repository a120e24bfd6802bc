//! Instructions for the operator of a server whose disk has lost or changed data.

/// How to recover; part of every error about damaged data.
pub const WAY_OUT: &str = "While most servers of the cluster run: move this server's data directory aside, keep it, \
     and start the server with an empty one; it joins under another id, in the place of its former self, and takes \
     the state from the others. If most servers are in this state, restore their directories from copies instead";
