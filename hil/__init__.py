"""The test rig: virtual people, a virtual camera, attacks, brokers, the reference backend. Never in the field."""
