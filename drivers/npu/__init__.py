"""Neural network runtimes: one interface, found by entry point `tessera.npu`."""
