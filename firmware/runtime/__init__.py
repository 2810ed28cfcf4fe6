"""The ground the processes stand on: configuration, processes, messages between them, watchdog, logs."""
