"""Networks as artefacts: where each comes from, how it is built, and the hash it must have.

`manifest` says what is trusted, `build` makes it at set-up from the weights inside an ordinary wheel, `train` is the
workshop where ranges and calibrations are measured. Nothing here knows hardware.
"""
