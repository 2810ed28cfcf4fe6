-- What a terminal's outbox forgets in time is kept here, in the same transaction. Of the rig's own; the product's tables
-- are not touched.
CREATE TABLE history (intent BLOB, kind TEXT, counter INTEGER, digest BLOB, outcome TEXT, code TEXT);
CREATE TRIGGER kept BEFORE DELETE ON outbox
    BEGIN INSERT INTO history VALUES (OLD.intent, OLD.kind, OLD.counter, OLD.digest, OLD.outcome, OLD.code); END;
CREATE TABLE opened (intent BLOB);
CREATE TRIGGER opened_at_all AFTER INSERT ON intents BEGIN INSERT INTO opened VALUES (NEW.id); END;
