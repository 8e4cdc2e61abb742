-- DuckDB over the archive. The bytes are Nomad's own, so `Payload` is kept as JSON: events of all topics stand in one object.
CREATE OR REPLACE VIEW events AS
SELECT * FROM read_json(getvariable('archive'), format = 'newline_delimited', compression = 'gzip', maximum_object_size = 67108864,
  columns = {Topic: 'VARCHAR', Type: 'VARCHAR', "Key": 'VARCHAR', Namespace: 'VARCHAR', FilterKeys: 'VARCHAR[]', "Index": 'UBIGINT', Payload: 'JSON'});

-- Repeats are possible (at least once): this is each event once.
CREATE OR REPLACE VIEW distinct_events AS SELECT DISTINCT ON (Topic, Type, "Key", Namespace, "Index", Payload::VARCHAR) * FROM events;

-- How many of what.
SELECT Topic, Type, count(*) AS events FROM distinct_events GROUP BY ALL ORDER BY events DESC;

-- Who registered which version of which job.
SELECT "Index", Payload->>'$.Job.ID' AS job, Payload->>'$.Job.Version' AS version FROM distinct_events WHERE Topic = 'Job' AND Type = 'JobRegistered' ORDER BY "Index";

-- Allocations that failed, by job. Nanoseconds: divide as integers.
SELECT Payload->>'$.Allocation.JobID' AS job, count(DISTINCT "Key") AS allocations, make_timestamp(max((Payload->>'$.Allocation.ModifyTime')::BIGINT) // 1000) AS newest
FROM distinct_events WHERE Topic = 'Allocation' AND (Payload->>'$.Allocation.ClientStatus') = 'failed' GROUP BY job ORDER BY allocations DESC;
