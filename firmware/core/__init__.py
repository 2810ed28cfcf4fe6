"""The session state machine that ties camera, vision, liveness, gallery, payment and link together."""
