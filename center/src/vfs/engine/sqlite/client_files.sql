-- The folder, outside the root, of the files that a customer calls by ids of its own (PRIV-4); NULL until it stores
-- one.
ALTER TABLE customer ADD COLUMN client_files INTEGER; -- entry.id
