"""Who is enrolled: sealed templates, consent, retention, erasure."""
