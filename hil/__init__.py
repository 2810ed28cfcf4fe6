"""The test rig: virtual people, a virtual camera, attacks, brokers and the reference backend. Never installed in the field."""
