// Daemon: to come.
