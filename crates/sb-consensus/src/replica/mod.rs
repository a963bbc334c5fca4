//! The Raft backend without threads, clocks, files or sockets.
