-- On which hosts a customer's callbacks may lie (SRL-10), joined by spaces; NULL for none.
ALTER TABLE customer ADD COLUMN callback_hosts TEXT;
