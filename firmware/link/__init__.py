"""The MQTT connection, in a process of its own.

Rules kept here:
- It moves sealed envelopes and understands none: no import from `payment`, `vision`, `gallery` or `core`.
- It holds a TLS key of its own and never the key that signs authorizations.
- It keeps no state: the broker keeps our session, `core` keeps the outbox. A PUBACK is not durability.
- It is connected to the broker only while `core` is there to take what comes, and acknowledges a message
  only once `core` has been handed it.
"""
