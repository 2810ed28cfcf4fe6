"""Why the terminal said no: one closed list of codes, each with its plain sentence, and what of it is told.

Rules kept here:
- Whoever stands before the terminal reads what they can mend, and for every sign of an attack, or of another person,
  one and the same sentence: which check failed would teach the next try. So does the backend's decline.
- The code itself stays in the terminal's own record, and is told in profiles whose `tell_values` is set.
"""

from typing import Final

from firmware.liveness.challenge import PromptKind

SENTENCES = {
    # what the customer can mend: shown while looking, and as the reason when time runs out
    "no_face": "No face was seen.",
    "two_faces": "More than one face was seen. One person at a time, please.",
    "too_near": "Too near. Please step back a little.",
    "too_far": "Too far. Please come closer.",
    "not_frontal": "Please look at the terminal.",
    "face_cut_off": "Part of the face is outside the picture.",
    "no_depth": "The distance of the face cannot be measured.",
    "depth_missing": "Too little of the face has depth.",
    "covered": "Something is before the face, or it is not a face.",
    "mask_worn": "Please take off the mask.",
    "sunglasses_worn": "Please take off the sunglasses.",
    "not_attentive": "Please open your eyes and look at the terminal.",
    "exposure": "The light on the face is too strong or too weak.",
    "incoherent": "The face moved or changed too fast. Please hold still.",
    "moving": "The face moves too much to be recognised. Please keep it still for a moment.",
    "gathering": "Not enough was seen yet. Please keep looking at the terminal.",
    # what ends a session
    "no_answer": "The movement that was asked for was not seen.",
    "flat": "This is a flat or bent sheet, not a face.",
    "wrong_size": "This is not the size of a face.",
    "not_skin": "This does not return light as skin does.",
    "code_wrong": "The picture does not answer this terminal's light.",
    "not_alive": "This does not look alive.",
    "repeated_frame": "The camera repeats a frame.",
    "stale_frame": "The camera's picture is too old.",
    "gate_unknown": "A check could not be made.",
    "not_recognised": "This is not the person who was claimed.",
    "modality_missing": "The face could be seen in one way only, in infrared or in shape; both are needed.",
    "modalities_disagree": "The picture and the shape of the face are not of the same person.",
    "not_confirmed": "The face could not be confirmed.",
    "wait": "Too many tries have failed. Please wait half a minute before the next, or pay another way.",
    "stopped": "Too many tries have failed: this face must be enrolled anew. Please pay another way.",
    "no_pin": "No PIN was typed.",
    "pin_wrong": "The PIN is wrong.",
    "pin_locked": "Too many wrong PINs were typed: it must be set anew. Please pay another way.",
    "pin_missing": "This payment asks for a PIN, and none is set here. Please ask at the counter.",
    "minor": "Somebody who was under 18 when they enrolled cannot pay with a face.",
    "not_enrolled": "Nobody is enrolled for this payment.",
    # consent, looked at before every match (`gallery.consent`)
    "consent_renew": "The notice has changed: your consent must be given anew. Please ask at the counter.",
    "consent_expired": "Your consent has ended and must be given anew. Please ask at the counter.",
    "consent_majority": "You are 14 by now and decide for yourself: please ask at the counter.",
    "consent_purpose": "There is no consent to this.",
    "consent_date": "The consent on record cannot be relied on. Please ask at the counter.",
    "consent_signature": "The consent on record cannot be relied on. Please ask at the counter.",
    "consent_malformed": "The consent on record cannot be relied on. Please ask at the counter.",
    "guardian_missing": "A guardian's consent is missing. Please ask at the counter.",
    "minor_payment": "Nobody under 18 can pay with a face.",
    "no_notice": "This terminal has no notice to tell people what becomes of their face: nobody can use theirs here.",
    "audit": "What is done here cannot be recorded, and so is not done.",
    "camera_lost": "The camera does not answer.",
    "camera_unfit": "This camera is not allowed here.",
    "no_tap": "Nobody touched the screen.",
    "cancelled": "Cancelled at the terminal.",
    "cancelled_by_register": "The cash register has taken the payment back.",
    "busy": "The terminal is busy.",
    "offline": "The terminal has no connection.",
    "clock": "The terminal's clock cannot be trusted.",
    "expired": "The payment request has expired.",
    "evidence": "This payment asks for stronger evidence than this terminal has.",
    "store": "The terminal cannot store the payment.",
    "key": "The terminal cannot sign.",
    "out_of_service": "The terminal is out of service.",
    "amount_limit": "The amount is above the limit for paying with a face.",
    "interrupted": "The terminal was interrupted.",
    "person_changed": "The face changed during enrolment.",
    "person_left": "The face was out of sight during enrolment. Please stay before the terminal, alone, and try again.",
    "face_enrolled_elsewhere": "This face is enrolled for another account. Please ask at the counter.",
    "pose_timeout": "The poses were not all seen in time.",
}

# A frame with one of these is a sign of an attack or a broken camera: seen often enough it ends the session at once.
ATTACKS: Final = frozenset(
    {"flat", "wrong_size", "not_skin", "code_wrong", "not_alive", "repeated_frame", "stale_frame"}
)
# It is somebody, but not the person.
ANOTHER: Final = frozenset({"not_recognised", "modalities_disagree"})
# The person may be anybody, and the face does what it was asked to: not recognised in this very moment.
MOVING: Final = "moving"
# Nothing more can come of this session: one frame with it ends it.
FINAL: Final = frozenset({"no_answer"})
# What makes an attempt a failed one (`attempts`). A camera that freezes or lags is nobody's attempt. Nor is a movement
# that was not seen, or eyes that looked elsewhere: many a living face cannot smile, and must be free to try twice and
# pay another way. What that gives away is small: a head or a mask that only lacks the movement is refused whatever the
# number of its tries, each takes an intent that the backend signed anew and some ten seconds before the camera, and a
# prompt that nobody can foresee.
COUNTED: Final = (ATTACKS | ANOTHER | {"person_changed"}) - {"repeated_frame", "stale_frame"}
NOT_CONFIRMED: Final = "not_confirmed"
# What the customer is told while they stand there, frame by frame: what they can mend, and nothing else.
MENDABLE: Final = frozenset(
    {
        "no_face", "two_faces", "too_near", "too_far", "not_frontal", "face_cut_off", "no_depth", "depth_missing",
        "covered", "mask_worn", "sunglasses_worn", "not_attentive", "exposure", "incoherent", "moving",
    }
)  # fmt: skip
_UNTOLD: Final = ATTACKS | ANOTHER | {"modality_missing"}


def told(code: str) -> str:
    """The code as it is told outside the terminal's own record: one for every sign of an attack or another person."""
    return NOT_CONFIRMED if code in _UNTOLD else code


def sentence(code: str) -> str:
    """The plain sentence for a code of `SENTENCES`, as it is told."""
    return SENTENCES[told(code)]


FALLBACK = "You can always pay another way: with a card or cash."

# What a face is asked to do: a closed list too.
PROMPTS: Final[dict[PromptKind, str]] = {
    "smile": "Please smile.",
    "mouth_open": "Please open your mouth wide.",
    "speak": "Please say your name out loud, or count to five.",
    "turn_left": "Please turn your head a little to the left.",
    "turn_right": "Please turn your head a little to the right.",
    "look_up": "Please look up a little.",
}
# What somebody is asked to type.
PIN_PROMPTS: Final = {
    "pin": "Please type your PIN for this terminal. Never type that of a card.",
    "pin_wrong": "The PIN is wrong. Please type it again.",
    "pin_choose": "Please choose a PIN for this terminal: 4 to 12 digits, and not that of a card.",
    "pin_weak": "That is too easy to guess. Please choose other digits, not all alike and not in a row.",
    "pin_again": "Please type it once more.",
    "pin_differs": "These were not the same. Please choose a PIN once more, 4 to 12 digits.",
}
INSTEAD: Final = "If you cannot, or would rather not, touch Cancel: it is not held against you."
THANKS: Final = ("thanks", "Thank you.")
REST: Final = ("rest", "Please rest your face for a moment. You will be asked once more.")
