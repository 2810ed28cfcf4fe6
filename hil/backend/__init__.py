"""The reference payment backend: issues signed intents, judges authorizations, answers with signed receipts.

It is part of the rig and shows every check a real backend must make; its keys are demonstration keys.
"""
