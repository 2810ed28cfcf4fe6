"""The test rig: brokers, certificates, scenes, and the demo that plays them."""
