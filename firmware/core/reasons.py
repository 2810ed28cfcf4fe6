"""Why the terminal said no: one closed list of codes with the plain sentence a customer reads."""

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
    # what ends a session
    "flat": "This is a flat or bent sheet, not a face.",
    "covered": "Something is before the face, or it is not a face.",
    "wrong_size": "This is not the size of a face.",
    "repeated_frame": "The camera repeats a frame.",
    "stale_frame": "The camera's picture is too old.",
    "gate_unknown": "A check could not be made.",
    "not_recognised": "This is not the person who was claimed.",
    "modality_missing": "The face could be seen in one way only, in infrared or in shape; both are needed.",
    "modalities_disagree": "The picture and the shape of the face are not of the same person.",
    "minor": "Somebody who was under 18 when they enrolled cannot pay with a face.",
    "not_enrolled": "Nobody is enrolled for this payment.",
    "camera_lost": "The camera does not answer.",
    "camera_unfit": "This camera is not allowed here.",
    "no_tap": "Nobody touched the screen.",
    "cancelled": "Cancelled at the terminal.",
    "busy": "The terminal is busy.",
    "offline": "The terminal has no connection.",
    "clock": "The terminal's clock cannot be trusted.",
    "expired": "The payment request has expired.",
    "evidence": "This payment asks for stronger evidence than this terminal has.",
    "store": "The terminal cannot store the payment.",
    "key": "The terminal cannot sign.",
    "amount_limit": "The amount is above the limit for paying with a face.",
    "interrupted": "The terminal was interrupted.",
    "person_changed": "The face changed during enrolment.",
    "pose_timeout": "The poses were not all seen in time.",
}

# A frame with one of these is a sign of an attack or a broken camera: seen often enough it ends the session at once.
ATTACKS = frozenset({"flat", "wrong_size", "repeated_frame", "stale_frame"})

FALLBACK = "You can always pay another way: with a card or cash."
