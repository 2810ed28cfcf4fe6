CREATE TABLE IF NOT EXISTS terminals (
    id TEXT PRIMARY KEY, counter INTEGER NOT NULL DEFAULT 0, suspended INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS intents (
    id BLOB PRIMARY KEY, digest BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'declined', 'rejected')),
    code TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TRIGGER IF NOT EXISTS closed_once BEFORE UPDATE ON intents WHEN OLD.state <> 'open'
    BEGIN SELECT RAISE(ABORT, 'an intent is closed once'); END;
CREATE TABLE IF NOT EXISTS mandates (id BLOB PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters (
    terminal TEXT NOT NULL, counter INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (terminal, counter)
) STRICT;
CREATE TABLE IF NOT EXISTS authorizations (id BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payments (
    intent BLOB PRIMARY KEY REFERENCES intents (id), authorization BLOB NOT NULL UNIQUE,
    payer TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    terminal TEXT NOT NULL, digest BLOB NOT NULL, receipt BLOB NOT NULL, PRIMARY KEY (terminal, digest)
) STRICT;
