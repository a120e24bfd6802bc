//! The state machine's commands, one a file.
