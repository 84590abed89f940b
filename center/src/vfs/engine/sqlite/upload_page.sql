-- Where a customer's end users are sent after an upload (DOSM-18); NULL for nowhere.
ALTER TABLE customer ADD COLUMN upload_page TEXT;
