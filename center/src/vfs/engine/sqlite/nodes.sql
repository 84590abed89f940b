-- Storage nodes of the cluster there have ever been, until somebody takes one out: a reference is given up on all of
-- them (REF-3), also on one that is away. No row says where an object is (SYS-2).
CREATE TABLE node (
    number  INTEGER PRIMARY KEY,
    address TEXT NOT NULL -- of DOSP, as it said last
) STRICT;
